//! What the control step knows from one time to the next.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::history::History;
use super::limit::{Limit, Room};
use super::parts::Parts;
use super::rate::Rate;
use super::trail::Trail;
use crate::topology::PopIndex;
use crate::unit::Ranked;

/// A ranked list of the map with traffic of its own; the index into what the state was made from.
pub type UnitIndex = usize;

/// What the operator says of a PoP, and health.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PopStatus {
    /// What its fit edges can carry; 0 while none is fit.
    pub capacity: Rate,
    /// Whether it takes units.
    pub admission: Admission,
}

/// Whether a PoP takes units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// By its load.
    Free,
    /// Its units stay whatever its load, by the operator's word.
    Forced,
    /// None, by the operator's word.
    Drained,
}

/// What does not change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// TTL of the answers.
    pub ttl: Duration,
    /// How much better than the present PoP another must be for a unit to move, in milliseconds. More:
    /// fewer moves, dearer answers. 5 by default; 20 where a move is dear (cold caches).
    pub bonus_ms: f64,
}

/// All that is known of load. Pure data: [`super::step`] makes the next from it.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub(super) settings: Settings,
    pub(super) units: Vec<UnitLoad>,
    pub(super) pops: Vec<PopLoad>,
    pub(super) history: History,
    /// When the prices were last made.
    pub(super) solved: Option<Duration>,
    pub(super) reason: Option<Reason>,
}

/// Why everything was placed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Capacity, admission or the map differs from before.
    Changed,
    /// This PoP would be too full.
    Crowded(PopIndex),
    /// This PoP's price is no longer needed.
    Roomy(PopIndex),
}

/// A unit's demand and where its parts are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UnitLoad {
    pub(super) list: Vec<Ranked>,
    pub(super) salt: u64,
    pub(super) demand: f64,
    pub(super) parts: Parts,
    /// As many as there are parts; empty only for an empty list.
    pub(super) placed: Vec<Placed>,
}

/// Where a part is, and how heavy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) trail: Trail,
    /// Its traffic beside what its unit's reports say, on top of its PoP's weight. So what was learned where
    /// it was measured goes with it.
    pub(super) weight: f64,
}

/// What is known of a PoP's load.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PopLoad {
    pub(super) status: PopStatus,
    /// Measured load beside the modelled one: how much heavier its units are than thought.
    pub(super) weight: f64,
    /// The last report, and its time.
    pub(super) measured: Option<(Duration, f64)>,
    pub(super) heat: Heat,
    /// In tenths of a millisecond.
    pub(super) price: f64,
    /// Load it will settle at as things are.
    pub(super) predicted: f64,
    /// Since when there has been room that its price denies.
    pub(super) roomy: Option<Duration>,
}

/// Whether a PoP is overloaded by measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heat {
    Cool,
    Hot,
}

impl State {
    /// Everything at its best PoP, nothing known yet. `lists` are ranked, best first, by [`UnitIndex`].
    #[must_use]
    pub fn new(settings: Settings, lists: Vec<Vec<Ranked>>, pops: &[PopStatus]) -> Self {
        let units = lists.into_iter().map(UnitLoad::new).collect();
        let pops = pops.iter().map(|status| PopLoad::new(*status)).collect();
        Self { settings, units, pops, history: History::new(settings.ttl), solved: None, reason: None }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The same after the map was compiled anew: `earlier` tells which unit each new one was, if any. The
    /// PoPs are the same ones; where they are not, start from [`State::new`].
    #[must_use]
    pub fn with_units(self, units: Vec<(Vec<Ranked>, Option<UnitIndex>)>) -> Self {
        let renewed = units.into_iter().map(|(list, earlier)| {
            let mut unit = UnitLoad::new(list);
            if let Some(earlier) = earlier.and_then(|earlier| self.units.get(earlier)) {
                unit.demand = earlier.demand;
                if earlier.placed.iter().all(|placed| unit.list.iter().any(|ranked| ranked.pop == placed.pop())) {
                    unit.parts = earlier.parts;
                    unit.placed.clone_from(&earlier.placed);
                }
            }
            unit
        });
        let units = renewed.collect();
        Self { units, solved: None, ..self }
    }

    /// Why the last step placed everything anew; `None` if it left all where it was.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// A PoP's price in milliseconds: by how much it seems further to everyone while it is near its limit.
    #[must_use]
    pub fn price_ms(&self, pop: PopIndex) -> f64 {
        self.pops.get(pop.as_usize()).map_or(0.0, |pop| pop.price / crate::COST_PER_MS)
    }

    /// The load at which a PoP will settle as things are, as a share of its capacity.
    #[must_use]
    pub fn predicted_share(&self, pop: PopIndex) -> f64 {
        self.pops.get(pop.as_usize()).map_or(0.0, |pop| share(pop.predicted, pop.capacity()))
    }
}

impl UnitLoad {
    fn new(list: Vec<Ranked>) -> Self {
        // By its PoPs, not its number: numbers change whenever the map is compiled.
        let pops: Vec<u8> = list.iter().flat_map(|ranked| ranked.pop.as_usize().to_le_bytes()).collect();
        let placed = list.first().map(|best| Placed::new(best.pop)).into_iter().collect();
        Self { salt: xxh3_64(&pops), list, demand: 0.0, parts: Parts::Whole, placed }
    }

    /// Demand of each of its parts: blocks are spread by hash, so about the same.
    pub(super) fn part_demand(&self) -> f64 {
        self.demand / f64::from(self.parts.count())
    }
}

impl Placed {
    pub(super) fn new(pop: PopIndex) -> Self {
        Self { trail: Trail::new(pop), weight: 1.0 }
    }

    pub(super) fn pop(&self) -> PopIndex {
        self.trail.pop()
    }
}

impl PopLoad {
    pub(super) fn new(status: PopStatus) -> Self {
        Self { status, weight: 1.0, measured: None, heat: Heat::Cool, price: 0.0, predicted: 0.0, roomy: None }
    }

    pub(super) fn capacity(&self) -> f64 {
        self.status.capacity.per_second()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.status.admission == Admission::Drained || self.capacity() <= 0.0
    }

    /// What it takes when it is filled to a share of its capacity.
    pub(super) fn limit(&self, filled: f64) -> Limit {
        let room = Room { load: filled * self.capacity(), capacity: self.capacity() };
        match (self.status.admission, self.heat) {
            _ if self.is_closed() => Limit::Closed,
            (Admission::Forced, _) => Limit::Forced(room),
            (_, Heat::Hot) => Limit::Full(room),
            (_, Heat::Cool) => Limit::Open(room),
        }
    }
}

/// A load as a share of a capacity; without capacity, 0 for no load, else more than any bound.
pub(super) fn share(load: f64, capacity: f64) -> f64 {
    if load <= 0.0 { 0.0 } else { load / capacity }
}
