//! What is believed of a round trip: what distance says, moved by what was measured.

/// How far priors are off, as a standard deviation of logarithms.
const PRIOR_SPREAD: f64 = 0.35;
/// Variance of one sample's logarithm.
const SAMPLE_VARIANCE: f64 = 0.2;
/// Variance between the prefixes of a group.
const PREFIX_VARIANCE: f64 = 0.02;

/// What is believed of a round trip, in logarithms of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The expected logarithm.
    pub mean: f64,
    /// Its standard deviation.
    pub spread: f64,
    /// Samples it rests on.
    pub samples: u32,
    /// Prefixes they came from.
    pub prefixes: u32,
}

/// Weighs a prior (milliseconds) with the median of so many samples from so many prefixes: the posterior of
/// two normal distributions.
#[must_use]
pub(super) fn estimate(prior_ms: f64, measured: Option<(f64, u32, u32)>) -> Estimate {
    let prior = prior_ms.max(f64::MIN_POSITIVE).ln();
    let Some((median_ms, samples, prefixes)) = measured.filter(|(median, samples, _)| *median > 0.0 && *samples > 0)
    else {
        return Estimate { mean: prior, spread: PRIOR_SPREAD, samples: 0, prefixes: 0 };
    };
    let believed = PRIOR_SPREAD * PRIOR_SPREAD;
    let variance = SAMPLE_VARIANCE / f64::from(samples) + PREFIX_VARIANCE / f64::from(samples.min(prefixes).max(1));
    let share = believed / (believed + variance);
    Estimate { mean: prior + share * (median_ms.ln() - prior), spread: (share * variance).sqrt(), samples, prefixes }
}

impl Estimate {
    /// The expected round trip, milliseconds.
    #[must_use]
    pub fn milliseconds(&self) -> f64 {
        self.mean.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_outweigh_the_prior_as_they_come() {
        assert_eq!(estimate(40.0, None).spread, PRIOR_SPREAD);
        let few = estimate(40.0, Some((80.0, 1, 1)));
        let many = estimate(40.0, Some((80.0, 400, 20)));
        assert!(few.milliseconds() > 40.0 && few.milliseconds() < 60.0, "{few:?}");
        assert!((many.milliseconds() - 80.0).abs() < 1.0, "{many:?}");
        assert!(many.spread < few.spread && few.spread < PRIOR_SPREAD);
        assert_eq!(estimate(40.0, Some((0.0, 9, 9))), estimate(40.0, None), "no round trip takes no time");
    }
}
