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
    /// When a fetch last went well.
    succeeded: Option<Instant>,
    open: Option<Open>,
}

/// It is left alone.
#[derive(Debug)]
struct Open {
    /// When the next trial may be.
    until: Instant,
    time: Duration,
    /// Whether one is under way.
    is_tried: bool,
}

/// What a fetch may be, where it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It may be a trial: it ends by itself, and soon.
    ForTrial,
    /// Its client may make it last.
    Not,
}

/// A fetch that is let through; one that ends without a word says nothing of the server.
#[derive(Debug)]
pub(crate) struct Permit<'b> {
    breaker: &'b Breaker,
    began: Instant,
    is_trial: bool,
}

/// What an outcome changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    Same,
    /// It is left alone from now on.
    Opened,
    /// It takes fetches again.
    Closed,
}

impl Breaker {
    /// Lets a fetch through, if one may be tried now; where the server was left alone, one as a trial.
    pub(crate) fn lets_through(&self, now: Instant, fit: Fit) -> Option<Permit<'_>> {
        let mut state = self.state();
        let is_trial = match &mut state.open {
            None => false,
            Some(open) if open.until <= now && !open.is_tried && fit == Fit::ForTrial => {
                open.is_tried = true;
                true
            }
            Some(_) => return None,
        };
        Some(Permit { breaker: self, began: now, is_trial })
    }

    /// Whether it is left alone now.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        self.state().open.as_ref().is_some_and(|open| open.until > now || open.is_tried)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// The fetch went well.
    pub(crate) fn succeeded(mut self, now: Instant) -> Change {
        self.is_trial = false;
        let mut state = self.breaker.state();
        let was_open = state.open.is_some();
        *state = State { failures: 0, succeeded: Some(now), open: None };
        if was_open { Change::Closed } else { Change::Same }
    }

    /// The fetch failed by the server's fault.
    pub(crate) fn failed(mut self, now: Instant) -> Change {
        let is_trial = std::mem::take(&mut self.is_trial);
        let mut state = self.breaker.state();
        if is_trial {
            let time = state.open.as_ref().map_or(limits::ORIGIN_OPEN_FIRST, |open| open.time * 2);
            let time = time.min(limits::ORIGIN_OPEN_MOST);
            state.open = Some(Open { until: now + time, time, is_tried: false });
            return Change::Same;
        }
        // What went well since it began shows that it was this fetch, and what was under way when it opened says nothing new.
        if state.open.is_some() || state.succeeded.is_some_and(|succeeded| succeeded >= self.began) {
            return Change::Same;
        }
        state.failures += 1;
        if state.failures < limits::ORIGIN_FALL {
            return Change::Same;
        }
        let time = limits::ORIGIN_OPEN_FIRST;
        state.open = Some(Open { until: now + time, time, is_tried: false });
        Change::Opened
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.state().open.iter_mut().for_each(|open| open.is_tried = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn take(breaker: &Breaker, now: Instant) -> Option<Permit<'_>> {
        breaker.lets_through(now, Fit::ForTrial)
    }

    fn fail(breaker: &Breaker, now: Instant) -> Change {
        take(breaker, now).expect("it is let through").failed(now)
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 1..limits::ORIGIN_FALL {
            assert_eq!(fail(&breaker, now), Change::Same);
        }
        assert_eq!(fail(&breaker, now), Change::Opened);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_one_trial_closes_it() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..10 * limits::ORIGIN_FALL {
            assert_eq!(fail(&breaker, now + MS), Change::Same);
            assert_eq!(take(&breaker, now).unwrap().succeeded(now), Change::Same, "not in a row");
        }
        let breaker = opened(now);
        let due = now + limits::ORIGIN_OPEN_FIRST;
        assert!(take(&breaker, due - MS).is_none() && breaker.is_open(due - MS));
        assert!(breaker.lets_through(due, Fit::Not).is_none(), "what a client may draw out is no trial");
        let trial = take(&breaker, due).expect("one");
        assert!(take(&breaker, due).is_none() && take(&breaker, due + 100 * limits::ORIGIN_OPEN_MOST).is_none());
        assert_eq!(trial.succeeded(due), Change::Closed);
        assert!(
            !breaker.is_open(due) && take(&breaker, due).is_some() && breaker.lets_through(due, Fit::Not).is_some()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn each_trial_that_fails_doubles_the_wait() {
        let mut now = Instant::now();
        let breaker = Breaker::default();
        let under_way = take(&breaker, now).unwrap();
        (0..limits::ORIGIN_FALL).for_each(|_| _ = fail(&breaker, now));
        let mut wait = limits::ORIGIN_OPEN_FIRST;
        assert_eq!(under_way.failed(now), Change::Same, "it says nothing new");
        for _ in 0..6 {
            assert!(take(&breaker, now + wait - MS).is_none(), "{wait:?}");
            now += wait;
            assert_eq!(fail(&breaker, now), Change::Same);
            wait = (wait * 2).min(limits::ORIGIN_OPEN_MOST);
        }
        assert_eq!(wait, limits::ORIGIN_OPEN_MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_ends_without_a_word_bars_no_other() {
        let now = Instant::now();
        let breaker = opened(now);
        let due = now + limits::ORIGIN_OPEN_FIRST;
        drop(take(&breaker, due));
        assert_eq!(take(&breaker, due).unwrap().succeeded(due), Change::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn one_slow_url_among_others_opens_nothing() {
        let now = Instant::now();
        let breaker = Breaker::default();
        let slow: Vec<Permit<'_>> = (0..100).map(|_| take(&breaker, now).unwrap()).collect();
        take(&breaker, now).unwrap().succeeded(now + MS);
        for permit in slow {
            assert_eq!(permit.failed(now + 30_000 * MS), Change::Same);
        }
        assert!(!breaker.is_open(now + 30_000 * MS));
    }
}
