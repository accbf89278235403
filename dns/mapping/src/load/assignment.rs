//! What answers need of load: for each unit the PoP to use.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use super::parts::{Parts, block_bits};
use super::state::{Heat, State, UnitIndex};
use crate::address::Family;
use crate::topology::PopIndex;

/// A table unit -> PoP; immutable, swapped whole after a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assignment {
    units: Vec<Assigned>,
    /// By PoP, in milliseconds.
    prices: Vec<f64>,
    /// By PoP, of its capacity.
    predicted: Vec<f64>,
    /// By PoP.
    shedding: Vec<Shedding>,
}

/// Whether a PoP is split: answering with the narrowest scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shedding {
    No,
    Yes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Assigned {
    /// The first candidate that takes units at all.
    best: Option<PopIndex>,
    parts: Parts,
    /// By part.
    pops: Vec<PopIndex>,
    /// What some of its blocks try for now.
    trial: Option<Tried>,
}

/// A PoP that a share of a unit's blocks try for a while, so that its round trips are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The PoP.
    pub pop: PopIndex,
    /// Of 10,000 blocks, how many.
    pub share: u32,
    /// Another number, other blocks.
    pub turn: u64,
}

impl Tried {
    /// Whether the block of a key is among them. By hash, so that all name servers agree.
    fn has(&self, family: Family, key: u64) -> bool {
        let block = key >> (family.bits() - block_bits(family));
        let bytes: Vec<u8> = [self.turn, block].into_iter().flat_map(u64::to_le_bytes).collect();
        xxh3_64(&bytes) % 10_000 < u64::from(self.share)
    }
}

/// What an answer is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The PoP to use while it is fit.
    pub pop: PopIndex,
    /// For how wide a prefix that holds.
    pub width: Width,
}

/// For how wide a prefix an assignment holds. Disjoint at every instant: for all units with one best PoP it
/// is either `Depth` and that PoP, or not `Depth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// For the depth of the list that is used, as without load: the PoP is the first that takes units, for
    /// all units that have it first.
    Depth,
    /// For the whole list's scope: some of those units are elsewhere.
    List,
    /// As `List`, and no wider than a prefix of this length: the unit's parts are in several places.
    Block(u8),
    /// As `Block`: these clients try another PoP.
    Trial(u8),
}

impl State {
    /// The table for answers.
    #[must_use]
    pub fn assignment(&self) -> Assignment {
        let is_open = |pop: &PopIndex| self.pops.get(pop.as_usize()).is_some_and(|pop| !pop.is_closed());
        let units: Vec<Assigned> = self
            .units
            .iter()
            .map(|unit| Assigned {
                best: unit
                    .list
                    .iter()
                    .map(|ranked| ranked.pop)
                    .find(is_open)
                    .or(unit.list.first().map(|best| best.pop)),
                parts: unit.parts,
                pops: unit.placed.iter().map(super::state::Placed::pop).collect(),
                trial: None,
            })
            .collect();
        let by_load = |pop: &super::state::PopLoad| {
            if pop.price > 0.0 || pop.heat == Heat::Hot { Shedding::Yes } else { Shedding::No }
        };
        let mut shedding: Vec<Shedding> = self.pops.iter().map(by_load).collect();
        for unit in &units {
            let is_elsewhere = unit.pops.iter().any(|pop| Some(*pop) != unit.best);
            if is_elsewhere && let Some(shed) = unit.best.and_then(|best| shedding.get_mut(best.as_usize())) {
                *shed = Shedding::Yes;
            }
        }
        let pops = || (0..self.pops.len()).map(PopIndex::from_usize);
        let prices = pops().map(|pop| self.price_ms(pop)).collect();
        let predicted = pops().map(|pop| self.predicted_share(pop)).collect();
        Assignment { units, prices, predicted, shedding }
    }
}

impl Assignment {
    /// The same for another map of the same PoPs: of each of its units the first PoP, and which unit it was here, if
    /// any. Until load is looked at again the others go where their lists say.
    #[must_use]
    pub fn renumbered(&self, units: impl IntoIterator<Item = (Option<PopIndex>, Option<UnitIndex>)>) -> Self {
        let unit = |(best, earlier): (Option<PopIndex>, Option<UnitIndex>)| {
            let known = earlier.and_then(|earlier| self.units.get(earlier)).cloned();
            known.unwrap_or_else(|| Assigned {
                best,
                parts: Parts::Whole,
                pops: best.into_iter().collect(),
                trial: None,
            })
        };
        Self { units: units.into_iter().map(unit).collect(), ..self.clone() }
    }

    /// Lets blocks of units try other PoPs for now, where those have room. Who else has their best PoP is answered with
    /// narrow scopes meanwhile, lest a wide answer in a cache covers them.
    #[must_use]
    pub fn with_trials(mut self, trials: impl IntoIterator<Item = (UnitIndex, Tried)>) -> Self {
        for (number, tried) in trials {
            let is_full = self.predicted_share(tried.pop).is_some_and(|share| share > super::FILLED);
            let Some(unit) = self.units.get_mut(number).filter(|_| !is_full) else { continue };
            unit.trial = Some(tried);
            if let Some(split) = unit.best.and_then(|best| self.shedding.get_mut(best.as_usize())) {
                *split = Shedding::Yes;
            }
        }
        self
    }

    /// A PoP's price in milliseconds, as [`State::price_ms`].
    #[must_use]
    pub fn price_ms(&self, pop: PopIndex) -> f64 {
        self.prices.get(pop.as_usize()).copied().unwrap_or(0.0)
    }

    /// As [`State::predicted_share`]; `None` while nothing is known of load.
    #[must_use]
    pub fn predicted_share(&self, pop: PopIndex) -> Option<f64> {
        self.predicted.get(pop.as_usize()).copied()
    }

    /// What to use for an address of a unit; `None` for a unit not known or without candidates.
    #[must_use]
    pub fn find(&self, unit: UnitIndex, address: IpAddr) -> Option<Use> {
        let family = Family::of(address);
        let unit = self.units.get(unit)?;
        let key = Family::key(address);
        if let Some(tried) = unit.trial.filter(|tried| tried.has(family, key)) {
            return Some(Use { pop: tried.pop, width: Width::Trial(block_bits(family)) });
        }
        let pop = *unit.pops.get(usize::from(unit.parts.part_of(family, key)))?;
        let width = if unit.trial.is_some() || unit.pops.iter().any(|other| *other != pop) {
            Width::Block(block_bits(family))
        } else if Some(pop) != unit.best || self.is_split(pop) {
            Width::List
        } else {
            Width::Depth
        };
        Some(Use { pop, width })
    }

    /// Whether a PoP is split: it is shedding load, and answers for all whose best it is with the scope of
    /// their whole list, lest wide answers in caches let back in what was moved.
    #[must_use]
    pub fn is_split(&self, pop: PopIndex) -> bool {
        self.shedding.get(pop.as_usize()) == Some(&Shedding::Yes)
    }
}
