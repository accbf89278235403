//! Traffic per second, as reports tell it.

/// Traffic per second, in the fleet's one measure (bits). Never negative, never NaN, bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Rate(f64);

/// A thousand times what all networks of the world carry: beyond it sums stay exact enough in 53 bits.
const MOST: f64 = 1e18;

impl Rate {
    /// No traffic.
    pub const ZERO: Self = Self(0.0);

    /// The rate that a report names; `None` for what is none (NaN, infinite, negative), so that the last
    /// true report goes on holding.
    #[must_use]
    pub fn parse(per_second: f64) -> Option<Self> {
        (per_second.is_finite() && per_second >= 0.0).then(|| Self(per_second.min(MOST)))
    }

    /// The number.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rate_is_refused() {
        for (said, held) in [
            (0.0, Some(0.0)),
            (5.5, Some(5.5)),
            (1e300, Some(MOST)),
            (-1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(Rate::parse(said).map(Rate::per_second), held, "{said}");
        }
    }
}
