//! What answers need of load: for each unit the PoP to use.

use std::net::IpAddr;

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
    /// The PoP that is tried for now.
    trial: Option<PopIndex>,
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
    /// As `List`: these clients try another PoP, so that its round trips are learned.
    Trial,
    /// As `List`, and no wider than a prefix of this length: the unit's parts are in several places.
    Block(u8),
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
    /// The same for another map of the same PoPs: `earlier` tells which unit each of its units was here, if any. Until
    /// load is looked at again the others go where their lists say.
    #[must_use]
    pub fn renumbered(&self, earlier: impl IntoIterator<Item = Option<UnitIndex>>) -> Self {
        let unknown = Assigned { best: None, parts: Parts::Whole, pops: Vec::new(), trial: None };
        let unit =
            |number: Option<UnitIndex>| number.and_then(|number| self.units.get(number)).unwrap_or(&unknown).clone();
        Self { units: earlier.into_iter().map(unit).collect(), ..self.clone() }
    }

    /// Lets units try other PoPs for now. Who else has their best PoP is answered with narrow scopes meanwhile, lest
    /// a wide answer in a cache covers them.
    #[must_use]
    pub fn with_trials(mut self, trials: impl IntoIterator<Item = (UnitIndex, PopIndex)>) -> Self {
        for (number, pop) in trials {
            let Some(unit) = self.units.get_mut(number) else { continue };
            unit.trial = Some(pop);
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
        if let Some(pop) = unit.trial {
            return Some(Use { pop, width: Width::Trial });
        }
        let pop = *unit.pops.get(usize::from(unit.parts.part_of(family, Family::key(address))))?;
        let width = if unit.pops.iter().any(|other| *other != pop) {
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
