//! The time that freshness is reckoned in: of the day, yet never jumping.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use caching::Moment;

/// Wall-clock time read once at start, then carried on by a clock that only goes forward: a jump of
/// the system's clock ages nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started_ms: i64,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX), started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        Moment::from_millis(self.started_ms.saturating_add(elapsed))
    }
}
