//! What anybody can cause again and again, and is told seldom.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Keeps something from filling the log: it is told once a minute.
#[derive(Debug, Default)]
pub struct Seldom(AtomicU64);

impl Seldom {
    /// Whether it is to be told now.
    pub fn is_due(&self) -> bool {
        self.is_due_at(SystemTime::now())
    }

    fn is_due_at(&self, now: SystemTime) -> bool {
        let minute = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
        self.0.swap(minute, Ordering::Relaxed) != minute
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_happens_again_and_again_is_told_once_a_minute() {
        let seldom = Seldom::default();
        let told = (0_u64..600).filter(|second| seldom.is_due_at(UNIX_EPOCH + Duration::from_secs(6_000 + *second)));
        assert_eq!(told.collect::<Vec<_>>(), (0..10).map(|minute| minute * 60).collect::<Vec<_>>());
    }
}
