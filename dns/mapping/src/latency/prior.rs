//! What is expected where nothing is measured.

use std::collections::HashMap;

use config::Location;

use crate::distance::{Direction, KM_PER_MS, LEAST_MS, kilometres};
use crate::topology::PopIndex;

/// How far what was measured says something of its neighbourhood, km.
const REACH_KM: f64 = 600.0;
/// What a neighbourhood without measurements weighs: keeps a single far neighbour from deciding.
const RIDGE: f64 = 0.1;
/// Bounds of a stretch: cables are never shorter than the great circle, and a PoP beyond the other bound
/// was measured wrong.
const STRETCHES: (f64, f64) = (0.5, 3.0);

/// The round trip expected over a distance to a PoP with this stretch, milliseconds.
#[must_use]
pub fn prior_ms(distance_km: f64, stretch: f64) -> f64 {
    distance_km / KM_PER_MS * stretch + LEAST_MS
}

/// How much longer a PoP's ways are than distance says: the median over the other PoPs of what was measured
/// to them (km, ms) by what was expected. 1 without measurements.
#[must_use]
pub fn stretch(to_others: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let ratios = to_others.into_iter().filter(|(_, ms)| ms.is_finite() && *ms > 0.0);
    let mut ratios: Vec<f64> = ratios.map(|(km, ms)| ms / prior_ms(km, 1.0)).collect();
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.get(ratios.len() / 2).copied().unwrap_or(1.0);
    middle.clamp(STRETCHES.0, STRETCHES.1)
}

/// How far off their priors round trips were, by PoP and place. Summed over cells, so that the work grows with the
/// world and not with what was measured.
#[derive(Debug, Default)]
pub(super) struct Residuals {
    by_pop: HashMap<PopIndex, HashMap<Cell, Sum>>,
    /// What was asked before.
    told: HashMap<(PopIndex, Cell), f64>,
}

/// Two degrees each way, some 200 km: a third of the reach.
type Cell = (i32, i32);

/// Residuals of a cell, weighed by how sure they are.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    residual: f64,
    weight: f64,
    /// Where they are: a sum of directions.
    at: [f64; 3],
}

fn cell(location: Location) -> Cell {
    #[expect(clippy::cast_possible_truncation, reason = "degrees")]
    let number = |degrees: f64| (degrees / 2.0).floor() as i32;
    (number(location.latitude), number(location.longitude))
}

impl Residuals {
    /// Notes that a PoP's prior was off by a residual (a logarithm) at a place; how sure that is, from 0 to 1.
    pub(super) fn add(&mut self, pop: PopIndex, location: Location, residual: f64, sure: f64) {
        let sum = self.by_pop.entry(pop).or_default().entry(cell(location)).or_default();
        sum.residual += sure * residual;
        sum.weight += sure;
        let Direction(at) = Direction::of(location);
        sum.at.iter_mut().zip(at).for_each(|(sum, at)| *sum += sure * at);
    }

    /// What those around a place suggest for a PoP: a kernel of 600 km with a ridge of 0.1. Their countries say less: a
    /// quarter of what distance does.
    pub(super) fn around(&mut self, pop: PopIndex, location: Location) -> f64 {
        let key = (pop, cell(location));
        if let Some(told) = self.told.get(&key) {
            return *told;
        }
        let (latitude, longitude) = (f64::from(key.1.0) * 2.0 + 1.0, f64::from(key.1.1) * 2.0 + 1.0);
        let here = Direction::of(Location { latitude, longitude });
        let (mut residuals, mut weights) = (0.0, RIDGE);
        for sum in self.by_pop.get(&pop).into_iter().flat_map(HashMap::values) {
            let length = sum.at.iter().map(|at| at * at).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            let near = (-kilometres(here.cosine(Direction(sum.at)) / length) / REACH_KM).exp();
            residuals += near * sum.residual;
            weights += near * sum.weight;
        }
        let told = residuals / weights;
        self.told.insert(key, told);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_a_median_within_bounds() {
        assert_eq!(stretch([]), 1.0);
        let twice = |km: f64| (km, 2.0 * prior_ms(km, 1.0));
        let rows = [twice(100.0), twice(1_000.0), (50.0, f64::NAN), (70.0, 100_000.0), twice(8_000.0)];
        assert!((stretch(rows) - 2.0).abs() < 1e-9, "one wild link moves nothing");
        assert_eq!(stretch([(10.0, 1e9)]), 3.0);
    }

    #[test]
    fn near_neighbours_count_and_far_ones_do_not() {
        let pop = PopIndex::from_usize(0);
        // On the equator a degree is 111 km; here is the middle of a cell.
        let at = |km: f64| Location { latitude: 1.0, longitude: 1.0 + km / 111.2 };
        let here = |neighbours: &[(f64, f64)]| {
            let mut residuals = Residuals::default();
            neighbours.iter().for_each(|(km, residual)| residuals.add(pop, at(*km), *residual, 1.0));
            assert_eq!(residuals.around(PopIndex::from_usize(1), at(0.0)), 0.0, "of another PoP nothing is told");
            let told = residuals.around(pop, at(0.0));
            assert_eq!(residuals.around(pop, at(0.0)), told);
            told
        };
        assert_eq!(here(&[]), 0.0);
        assert!(here(&[(0.0, 0.5)]) > 0.45);
        assert!(here(&[(6_000.0, 0.5)]).abs() < 0.001);
        assert!(here(&[(10.0, 0.5), (3_000.0, -0.5)]) > 0.4);
    }
}
