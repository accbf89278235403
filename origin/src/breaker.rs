//! Whether a server is left alone for a while, since fetches from it failed.
//!
//! ```text
//!          ORIGIN_FALL failures in a row
//! closed ────────────────────────────────> open ── its time is over ──> one trial
//!    ^                                       ^                          │     │
//!    └─────────────── success ───────────────┼──────────────────────────┘     │
//!                                            └── failure: for twice as long ──┘
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::limits;
use tokio::time::Instant;

/// A server's circuit breaker, of all cores.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    open: Option<Open>,
}

/// It is left alone.
#[derive(Debug)]
struct Open {
    /// When the next trial may be: one that never ends bars no other.
    until: Instant,
    time: Duration,
    is_tried: bool,
}

/// What an outcome changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    Same,
    /// It is left alone from now on, for so long at first.
    Opened(Duration),
    /// It takes fetches again.
    Closed,
}

impl Breaker {
    /// Whether a fetch may be tried now; where it was left alone, one is let through as a trial.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.state();
        match &mut state.open {
            None => true,
            Some(open) if open.until <= now => {
                open.until = now + open.time;
                open.is_tried = true;
                true
            }
            Some(_) => false,
        }
    }

    /// A fetch went well.
    pub(crate) fn succeeded(&self) -> Change {
        let mut state = self.state();
        let was_open = std::mem::take(&mut *state).open.is_some();
        if was_open { Change::Closed } else { Change::Same }
    }

    /// A fetch failed by the server's fault.
    pub(crate) fn failed(&self, now: Instant) -> Change {
        let mut state = self.state();
        let (first, most) = limits::ORIGIN_OPEN;
        state.failures = state.failures.saturating_add(1);
        let failures = state.failures;
        match &mut state.open {
            Some(open) if open.is_tried => {
                let time = (open.time * 2).min(most);
                *open = Open { until: now + time, time, is_tried: false };
                Change::Same
            }
            // What was under way when it opened says nothing new.
            Some(_) => Change::Same,
            None if failures >= limits::ORIGIN_FALL => {
                state.open = Some(Open { until: now + first, time: first, is_tried: false });
                Change::Opened(first)
            }
            None => Change::Same,
        }
    }

    /// Whether it is left alone, or tried.
    pub(crate) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for number in 1..limits::ORIGIN_FALL {
            assert!(breaker.lets_through(now), "after {number}");
            assert_eq!(breaker.failed(now), Change::Same);
        }
        assert_eq!(breaker.failed(now), Change::Opened(limits::ORIGIN_OPEN.0));
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_one_trial_closes_it() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..10 * limits::ORIGIN_FALL {
            assert_eq!(breaker.failed(now), Change::Same);
            assert_eq!(breaker.succeeded(), Change::Same, "not in a row");
        }
        let breaker = opened(now);
        let due = now + limits::ORIGIN_OPEN.0;
        assert!(!breaker.lets_through(due - MS));
        assert!(breaker.lets_through(due));
        assert!(!breaker.lets_through(due), "one at a time");
        assert_eq!(breaker.succeeded(), Change::Closed);
        assert!(breaker.lets_through(due) && breaker.lets_through(due));
    }

    #[tokio::test(start_paused = true)]
    async fn each_trial_that_fails_doubles_the_wait() {
        let (mut now, (first, most)) = (Instant::now(), limits::ORIGIN_OPEN);
        let breaker = opened(now);
        assert_eq!(breaker.failed(now), Change::Same, "it was under way");
        let mut wait = first;
        for _ in 0..6 {
            assert!(!breaker.lets_through(now + wait - MS), "{wait:?}");
            now += wait;
            assert!(breaker.lets_through(now), "{wait:?}");
            assert_eq!(breaker.failed(now), Change::Same);
            wait = (wait * 2).min(most);
        }
        assert_eq!(wait, most);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_never_ends_bars_no_other() {
        let now = Instant::now();
        let breaker = opened(now);
        let due = now + limits::ORIGIN_OPEN.0;
        assert!(breaker.lets_through(due));
        assert!(breaker.lets_through(due + limits::ORIGIN_OPEN.0));
    }
}
