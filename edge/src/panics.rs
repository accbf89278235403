//! How often a site has panicked of late.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many panics in this time, and a site falls back: one may be a strange request, three are its config.
pub(crate) const PANICS: usize = 3;
const WITHIN: Duration = Duration::from_secs(10);

/// When requests of a site panicked.
#[derive(Debug, Default)]
pub(crate) struct Panics(Mutex<VecDeque<Instant>>);

impl Panics {
    /// Whether there was any.
    pub(crate) fn any(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// One more; whether they are too many by now.
    pub(crate) fn add(&self, now: Instant) -> bool {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while times.len() >= PANICS || times.front().is_some_and(|first| now.duration_since(*first) >= WITHIN) {
            times.pop_front();
        }
        times.push_back(now);
        times.len() >= PANICS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_in_ten_seconds_are_too_many() {
        let (panics, start) = (Panics::default(), Instant::now());
        let add = |seconds: u64| panics.add(start + Duration::from_secs(seconds));
        assert_eq!([0, 5, 11, 14, 20].map(add), [false, false, false, true, true]);
        assert_eq!([60, 61, 62].map(add), [false, false, true]);
    }
}
