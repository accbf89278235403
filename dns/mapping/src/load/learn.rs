//! Points 1 and 2 of the control step: what the reports teach.

use std::time::Duration;

use super::rate::Rate;
use super::state::{Heat, PopLoad, State, UnitIndex, UnitLoad, share};
use crate::topology::PopIndex;

/// What the fleet reports before a step. Numbers come from other machines: each is bounded by what can be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reports<'a> {
    /// Traffic of a unit's clients, wherever they were served, since the last report of it.
    pub demands: &'a [(UnitIndex, f64)],
    /// Load of PoPs.
    pub loads: &'a [LoadReport],
}

/// The load of a PoP at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadReport {
    /// Of which PoP.
    pub pop: PopIndex,
    /// When it was so, on the clock of `now`.
    pub at: Duration,
    /// Traffic per second.
    pub rate: f64,
}

/// How far one report of demand moves the estimate. More follows a surge sooner and noise more; a step being 5 s, half
/// is forgotten in 33 s.
const DEMAND_GAIN: f64 = 0.1;

/// How far one report of load moves a PoP's weight.
const WEIGHT_GAIN: f64 = 0.5;

/// A PoP's units may be at most so many times heavier or lighter than reported; beyond, a report is wrong.
pub(super) const MOST_WEIGHT: f64 = 4.0;

/// Share of the capacity that is added to both the measured and the modelled load before they are compared:
/// near nothing, their ratio says nothing.
const CALM: f64 = 0.02;

/// Above this measured share a PoP is overloaded, and below the second no longer.
const HOT: f64 = 0.95;
const COOL: f64 = 0.90;

impl State {
    /// Takes in what units demand.
    pub(super) fn learn_demands(&mut self, demands: &[(UnitIndex, f64)]) {
        let all: f64 = self.pops.iter().map(PopLoad::capacity).sum();
        for (unit, rate) in demands {
            if let (Some(unit), Some(rate)) = (self.units.get_mut(*unit), Rate::parse(*rate)) {
                unit.learn(rate.per_second().min(all));
            }
        }
    }

    /// Takes in what PoPs carry.
    pub(super) fn learn_loads(&mut self, loads: &[LoadReport], now: Duration) {
        for report in loads {
            let at = report.at.min(now);
            let model = self.history.at(at);
            let (Some(pop), Some(rate)) = (self.pops.get_mut(report.pop.as_usize()), Rate::parse(report.rate)) else {
                continue;
            };
            if pop.measured.is_some_and(|(last, _)| last >= at) {
                continue;
            }
            pop.measure(at, rate.per_second());
            if let Some(model) = model {
                pop.weigh(rate.per_second(), model.at(report.pop));
            }
        }
        let oldest = self.history.oldest(now);
        for pop in &mut self.pops {
            // Without news nobody can be called overloaded.
            if pop.measured.is_some_and(|(at, _)| at < oldest) {
                pop.heat = Heat::Cool;
            }
        }
    }
}

impl UnitLoad {
    fn learn(&mut self, rate: f64) {
        let gain = if self.demand > 0.0 { DEMAND_GAIN } else { 1.0 };
        self.demand += gain * (rate - self.demand);
    }
}

impl PopLoad {
    fn measure(&mut self, at: Duration, rate: f64) {
        self.measured = Some((at, rate));
        self.heat = match share(rate, self.capacity()) {
            share if share > HOT => Heat::Hot,
            share if share < COOL => Heat::Cool,
            _ => self.heat,
        };
    }

    fn weigh(&mut self, measured: f64, modelled: f64) {
        let calm = CALM * self.capacity();
        let ratio = (measured + calm) / (modelled + calm);
        if ratio.is_finite() {
            self.weight += WEIGHT_GAIN * (ratio.clamp(1.0 / MOST_WEIGHT, MOST_WEIGHT) - self.weight);
        }
    }
}
