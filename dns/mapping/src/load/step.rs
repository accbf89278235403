//! The control step: learn, predict, and place anew only where a limit is in sight.

use std::time::Duration;

use super::by_pop::ByPop;
use super::learn::{MOST_WEIGHT, Reports};
use super::parts::Parts;
use super::rate::Rate;
use super::solve::{Parcel, Problem, solve};
use super::state::{Admission, Heat, Placed, PopLoad, PopStatus, Reason, State, UnitLoad, share};
use crate::topology::PopIndex;

/// PoPs are filled to this share: what stays free is room for what comes within a TTL.
pub(super) const FILLED: f64 = 0.75;

/// Above this predicted share everything is placed anew.
const CROWDED: f64 = 0.80;

/// Below this predicted share a price has become needless ...
const ROOMY: f64 = 0.70;

/// ... if it is over half a millisecond (in tenths) ...
const FELT: f64 = 5.0;

/// An overloaded PoP is filled to this share: what its load settles at is uncertain while it changes.
const FILLED_HOT: f64 = 0.70;

/// ... for so long. Each time some move, and load wanders.
const RELAXING: Duration = Duration::from_secs(60);

/// A unit above this share of all demand is cut into parts.
const MOVABLE: f64 = 0.005;

/// So is one above this share of what its best PoP carries: it could not be placed to a few per cent.
const MOVABLE_OF_POP: f64 = 0.03;

/// The state after reports; called every 5 s. `now` is the time since any fixed moment, `pops` what holds for
/// each PoP from now on.
#[must_use]
pub fn step(mut state: State, pops: &[PopStatus], reports: &Reports<'_>, now: Duration) -> State {
    let change = state.update(pops);
    state.learn_demands(reports.demands);
    state.learn_loads(reports.loads, now);
    state.cut();
    state.predict();
    state.note_room(now);
    state.reason = state.reason_to_place(change, now);
    if state.reason.is_some() {
        state.place(now);
        state.predict();
    }
    state.model(now);
    state
}

/// What differs from the step before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Status,
    None,
}

impl State {
    /// Takes the PoPs' status over.
    fn update(&mut self, pops: &[PopStatus]) -> Change {
        self.pops
            .resize_with(pops.len(), || PopLoad::new(PopStatus { capacity: Rate::ZERO, admission: Admission::Free }));
        let mut change = Change::None;
        for (known, status) in self.pops.iter_mut().zip(pops) {
            if known.status != *status {
                known.status = *status;
                change = Change::Status;
            }
        }
        change
    }

    /// Cuts units that are too heavy to be moved whole, and joins those that no longer are.
    fn cut(&mut self) {
        let all: f64 = self.units.iter().map(|unit| unit.demand).sum();
        for unit in &mut self.units {
            let best = unit.list.iter().filter_map(|ranked| self.pops.get(ranked.pop.as_usize()));
            let capacity = best.map(PopLoad::capacity).find(|capacity| *capacity > 0.0).unwrap_or(f64::INFINITY);
            unit.cut((MOVABLE * all).min(MOVABLE_OF_POP * capacity));
        }
    }

    /// Where the load of each PoP will settle: the demand of its units, as heavy as it was measured.
    fn predict(&mut self) {
        let weights = self.weights();
        let mut load = ByPop::zero(self.pops.len());
        for unit in &self.units {
            for placed in &unit.placed {
                load.add(placed.pop(), unit.part_demand() * placed.weight * weights.at(placed.pop()));
            }
        }
        self.pops.iter_mut().zip(load.values()).for_each(|(pop, load)| pop.predicted = *load);
    }

    /// Notes what load to measure now, were each PoP's weight 1: demand by where its clients are.
    fn model(&mut self, now: Duration) {
        let mut load = ByPop::zero(self.pops.len());
        for unit in &mut self.units {
            let demand = unit.part_demand();
            for placed in &mut unit.placed {
                placed.trail.forget(now);
                placed.trail.shares(self.settings.ttl, now, |pop, share| load.add(pop, share * demand * placed.weight));
            }
        }
        self.history.push(now, load);
    }

    /// Notes where a price has become needless.
    fn note_room(&mut self, now: Duration) {
        for pop in &mut self.pops {
            let is_roomy = pop.price > FELT && share(pop.predicted, pop.capacity()) < ROOMY;
            pop.roomy = is_roomy.then(|| pop.roomy.filter(|since| *since <= now).unwrap_or(now));
        }
    }

    fn weights(&self) -> ByPop {
        self.pops.iter().map(|pop| pop.weight).collect()
    }

    /// Why everything is placed anew, if it is.
    fn reason_to_place(&self, change: Change, now: Duration) -> Option<Reason> {
        if change == Change::Status || self.solved.is_none() {
            return Some(Reason::Changed);
        }
        let pops = || (0..).map(PopIndex::from_usize).zip(&self.pops);
        let is_crowded = |pop: &PopLoad| {
            let bound = if pop.heat == Heat::Hot { FILLED } else { CROWDED };
            pop.status.admission != Admission::Forced && share(pop.predicted, pop.capacity()) > bound
        };
        if let Some((pop, _)) = pops().find(|(_, pop)| is_crowded(pop)) {
            return Some(Reason::Crowded(pop));
        }
        let is_needless = |pop: &PopLoad| pop.roomy.is_some_and(|since| now.saturating_sub(since) >= RELAXING);
        pops().find(|(_, pop)| is_needless(pop)).map(|(pop, _)| Reason::Roomy(pop))
    }

    /// Solves anew and moves what is cheaper elsewhere.
    fn place(&mut self, now: Duration) {
        let limits: Vec<_> = self.pops.iter().map(|pop| pop.limit(filled(pop))).collect();
        let weights = self.weights();
        let weight = |placed: &Placed| placed.weight * weights.at(placed.pop());
        let parcels: Vec<Parcel<'_>> = self.units.iter().flat_map(|unit| unit.parcels(weight)).collect();
        let earlier: Vec<f64> = self.pops.iter().map(|pop| pop.price).collect();
        let bonus = self.settings.bonus_ms * crate::COST_PER_MS;
        let solution = solve(&Problem { parcels: &parcels, limits: &limits, bonus }, &earlier);
        self.pops.iter_mut().zip(&solution.prices).for_each(|(pop, price)| pop.price = *price);
        let all = self.units.iter_mut().flat_map(|unit| &mut unit.placed);
        for (placed, pop) in all.zip(&solution.pops) {
            if let Some(pop) = pop.filter(|pop| *pop != placed.pop()) {
                let weight = placed.weight * weights.at(placed.pop()) / weights.at(pop);
                placed.weight = weight.clamp(1.0 / MOST_WEIGHT, MOST_WEIGHT);
                placed.trail.turn(pop, now);
            }
        }
        self.pops.iter_mut().for_each(|pop| pop.roomy = None);
        self.solved = Some(now);
    }
}

/// To which share of its capacity a PoP is filled.
fn filled(pop: &PopLoad) -> f64 {
    let predicted = share(pop.predicted, pop.capacity());
    match pop.heat {
        Heat::Hot => FILLED_HOT,
        // It need not shed because others are crowded.
        Heat::Cool if predicted <= CROWDED => predicted.max(FILLED),
        Heat::Cool => FILLED,
    }
}

impl UnitLoad {
    /// Its parts as parcels, in order.
    fn parcels(&self, weight: impl Fn(&Placed) -> f64 + Copy) -> impl Iterator<Item = Parcel<'_>> {
        (0..).zip(&self.placed).map(move |(part, placed)| Parcel {
            rate: self.part_demand() * weight(placed),
            candidates: &self.list,
            present: Some(placed.pop()),
            salt: self.salt,
            part,
            parts: self.parts,
        })
    }

    /// Cuts it finer when it is heavier than what moves whole; joins it when it is half that, and in one place.
    fn cut(&mut self, movable: f64) {
        let times = if movable > 0.0 { self.demand / movable } else { 0.0 };
        let parts = Parts::of_weight(times);
        if parts > self.parts {
            let coarse = |part| self.placed.get(usize::from(part & (self.parts.count() - 1))).cloned();
            self.placed = (0..parts.count()).filter_map(coarse).collect();
            self.parts = parts;
        } else if self.parts != Parts::Whole && Parts::of_weight(2.0 * times) == Parts::Whole {
            let first = self.placed.first().map(Placed::pop);
            if self.placed.iter().all(|placed| placed.trail.is_settled() && Some(placed.pop()) == first) {
                let weight =
                    self.placed.iter().map(|placed| placed.weight).sum::<f64>() / f64::from(self.parts.count());
                self.placed.truncate(1);
                self.placed.iter_mut().for_each(|placed| placed.weight = weight);
                self.parts = Parts::Whole;
            }
        }
    }
}
