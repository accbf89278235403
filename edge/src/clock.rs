//! The two times of an edge: one to reckon with, one to write and compare dates by.

use std::time::Instant;

use caching::Moment;
use fleet::wall_clock_ms;

/// Time since the start, which only goes forward: a jump of the system's clock ages nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started_ms: u64,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started_ms: wall_clock_ms(), started: Instant::now() }
    }

    /// For how long something has been here: only its differences mean anything.
    pub(crate) fn now(&self) -> Moment {
        self.at(Instant::now())
    }

    /// The same, of a time that was read.
    pub(crate) fn at(&self, now: Instant) -> Moment {
        let elapsed = u64::try_from((now - self.started).as_millis()).unwrap_or(u64::MAX);
        moment(self.started_ms.saturating_add(elapsed))
    }
}

/// The time of day, to set against the dates of others; it may jump, and be mended after the start.
pub(crate) fn today() -> Moment {
    moment(wall_clock_ms())
}

fn moment(millis: u64) -> Moment {
    Moment::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
