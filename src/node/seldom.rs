//! What anybody can cause again and again, and is told seldom.

use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps it from filling the log: once a minute.
#[derive(Debug, Default)]
pub(super) struct Seldom(AtomicU64);

impl Seldom {
    /// Whether it is to be told now.
    pub(super) fn is_due(&self) -> bool {
        let minute = ::fleet::wall_clock_ms() / 60_000;
        self.0.swap(minute, Ordering::Relaxed) != minute
    }
}
