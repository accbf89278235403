//! Whether a server is left alone for a while, since fetches from it failed.
//!
//! ```text
//!          ORIGIN_FALL failures in a row
//! closed ────────────────────────────────> open ── its time is over ──> a trial
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
    /// How many trials there were.
    trials: u64,
}

/// It is left alone.
#[derive(Debug)]
struct Open {
    /// When the next trial may be: one that takes long bars no other for longer than this.
    until: Instant,
    time: Duration,
    /// The number of the one that is under way: the last.
    trial: Option<u64>,
}

/// What a fetch may be, where it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It makes a good trial: it ends by itself.
    ForTrial,
    /// Its client may make it last: it is a trial where no other fetch has been one for a while.
    Not,
}

/// A fetch that is let through; one that ends without a word says nothing of the server.
#[derive(Debug)]
pub(crate) struct Permit<'b> {
    breaker: &'b Breaker,
    began: Instant,
    /// Its number, if it is one.
    trial: Option<u64>,
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
        let number = state.trials + 1;
        let trial = match &mut state.open {
            None => None,
            Some(open) => {
                let due = if fit == Fit::ForTrial { open.until } else { open.until + open.time };
                if now < due {
                    return None;
                }
                (open.until, open.trial) = (now + open.time, Some(number));
                state.trials = number;
                Some(number)
            }
        };
        Some(Permit { breaker: self, began: now, trial })
    }

    /// Whether it is left alone, but for trials.
    pub(crate) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// The fetch went well.
    pub(crate) fn succeeded(mut self, now: Instant) -> Change {
        self.trial = None;
        let mut state = self.breaker.state();
        let was_open = state.open.take().is_some();
        (state.failures, state.succeeded) = (0, Some(now));
        if was_open { Change::Closed } else { Change::Same }
    }

    /// The fetch failed by the server's fault.
    pub(crate) fn failed(mut self, now: Instant) -> Change {
        let trial = self.trial.take();
        let mut state = self.breaker.state();
        // What went well since it began shows that it was this fetch.
        if state.succeeded.is_some_and(|succeeded| succeeded >= self.began) {
            return Change::Same;
        }
        if let Some(open) = &mut state.open {
            // What was under way when it opened, and a trial that another has followed, say nothing new.
            if trial.is_some() && open.trial == trial {
                open.time = (open.time * 2).min(limits::ORIGIN_OPEN_MOST);
                (open.until, open.trial) = (now + open.time, None);
            }
            return Change::Same;
        }
        state.failures += 1;
        if state.failures < limits::ORIGIN_FALL {
            return Change::Same;
        }
        let time = limits::ORIGIN_OPEN_FIRST;
        state.open = Some(Open { until: now + time, time, trial: None });
        Change::Opened
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.trial.is_some() {
            let mut state = self.breaker.state();
            let open = state.open.iter_mut().filter(|open| open.trial == self.trial);
            // The next fetch may be one.
            open.for_each(|open| (open.until, open.trial) = (self.began, None));
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
        assert!(take(&breaker, due - MS).is_none() && breaker.is_open());
        let trial = take(&breaker, due).expect("one");
        assert!(take(&breaker, due + limits::ORIGIN_OPEN_FIRST - MS).is_none(), "one at a time");
        assert_eq!(trial.succeeded(due), Change::Closed);
        assert!(!breaker.is_open() && take(&breaker, due).is_some() && breaker.lets_through(due, Fit::Not).is_some());
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
    async fn where_all_have_bodies_one_of_them_is_a_trial_a_little_later() {
        let now = Instant::now();
        let breaker = opened(now);
        let due = now + 2 * limits::ORIGIN_OPEN_FIRST;
        assert!(breaker.lets_through(due - MS, Fit::Not).is_none());
        assert_eq!(breaker.lets_through(due, Fit::Not).unwrap().succeeded(due), Change::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_trial_bars_no_other_for_long_and_its_end_says_nothing_then() {
        let now = Instant::now();
        let breaker = opened(now);
        let due = now + limits::ORIGIN_OPEN_FIRST;
        let slow = take(&breaker, due).expect("a trial");
        let slower = take(&breaker, due + limits::ORIGIN_OPEN_FIRST).expect("another");
        drop(slow);
        let later = due + 2 * limits::ORIGIN_OPEN_FIRST;
        assert!(take(&breaker, later - MS).is_none(), "the second is under way");
        assert_eq!(take(&breaker, later).unwrap().succeeded(later), Change::Closed);
        assert_eq!(slower.failed(later + 30_000 * MS), Change::Same);
        assert!(!breaker.is_open(), "it went well since");
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
        assert!(!breaker.is_open());
    }
}
