//! Time as an argument: instants of the wall clock, in milliseconds.

use std::time::Duration;

/// An instant of the wall clock, in milliseconds since the Unix epoch; may lie before it.
///
/// Arithmetic saturates: a clock that jumps makes a wrong age, never a panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// The instant this many milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The instant this many seconds after the Unix epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The instant this much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(millis(time)))
    }

    /// The moment so much earlier.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self::from_millis(self.millis().saturating_sub(millis(time)))
    }
}

/// A duration in milliseconds, saturated.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_rounds_down() {
        assert_eq!(Moment::from_millis(1_999).seconds(), 1);
        assert_eq!(Moment::from_millis(-1).seconds(), -1);
        assert_eq!(Moment::from_seconds(5).since(Moment::from_seconds(3)), Duration::from_secs(2));
        assert_eq!(Moment::from_seconds(3).since(Moment::from_seconds(5)), Duration::ZERO);
        assert_eq!(Moment::from_millis(i64::MAX).after(Duration::MAX).millis(), i64::MAX);
    }
}
