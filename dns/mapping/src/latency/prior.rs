//! What is expected where nothing is measured.

use crate::distance::{KM_PER_MS, LEAST_MS};

/// How far what was measured says something of its neighbourhood, km.
const REACH_KM: f64 = 600.0;
/// Farther neighbours are not asked: each would weigh less than a hundredth, km.
pub(super) const TOLD_KM: f64 = 5.0 * REACH_KM;
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

/// A group where a PoP was measured: how far it is, how far off its prior was (a logarithm), and how sure
/// that is, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Neighbour {
    /// Distance to it.
    pub distance_km: f64,
    /// Logarithm of what was measured by what was expected.
    pub residual: f64,
    /// How much of it was measured, not assumed.
    pub weight: f64,
}

/// What the neighbours' residuals suggest for a place: a kernel of 600 km with a ridge of 0.1. Their
/// countries say less: a quarter of what distance does.
#[must_use]
pub(super) fn neighbours_residual(neighbours: impl IntoIterator<Item = Neighbour>) -> f64 {
    let (mut sum, mut weights) = (0.0, RIDGE);
    for neighbour in neighbours {
        let weight = neighbour.weight * (-neighbour.distance_km / REACH_KM).exp();
        sum += weight * neighbour.residual;
        weights += weight;
    }
    sum / weights
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
        let at = |distance_km, residual| Neighbour { distance_km, residual, weight: 1.0 };
        assert_eq!(neighbours_residual([]), 0.0);
        assert!(neighbours_residual([at(0.0, 0.5)]) > 0.45);
        assert!(neighbours_residual([at(6_000.0, 0.5)]).abs() < 0.001);
        assert!(neighbours_residual([at(10.0, 0.5), at(3_000.0, -0.5)]) > 0.4);
    }
}
