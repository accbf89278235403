//! Connections that are ready before anybody asks: a miss then waits for no handshake.
//!
//! ```text
//! a fetch ──> keeper runs ── too few idle, server well ──> connect ──> pool
//!                  │    ^──────────── a pause ─────────────────────────┘
//!                  └── no fetch for ORIGIN_WARM_TIME: ends, until the next
//! ```

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use config::{Origin, limits};
use tokio::time::{Instant, sleep};

use crate::chance::share;
use crate::connect::{Protocol, Target};
use crate::connection::{Connection, One};
use crate::pool::Pool;
use crate::servers::{Servers, Standing};

/// Keeps connections to one server ready, while a site has fetches; for one core.
#[derive(Debug)]
pub(crate) struct Keeper {
    least: usize,
    connect: Duration,
    target: Arc<Target>,
    /// Ends with its fetcher.
    pool: Weak<Pool<One>>,
    servers: Arc<Servers>,
    /// Which of them it is.
    place: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fetched: Option<Instant>,
    is_running: bool,
}

/// What a look at a pool came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Nothing more is to be done for now.
    Done,
    /// The server could not be reached.
    Failed,
}

impl Keeper {
    /// For one of a site's servers; none, where its connections are not kept ready.
    pub(crate) fn of(
        origin: &Origin,
        target: &Arc<Target>,
        pool: &Arc<Pool<One>>,
        (servers, place): (&Arc<Servers>, usize),
    ) -> Option<Arc<Self>> {
        (origin.warm > 0).then(|| {
            Arc::new(Self {
                least: usize::from(origin.warm),
                connect: origin.connect_timeout,
                target: Arc::clone(target),
                pool: Arc::downgrade(pool),
                servers: Arc::clone(servers),
                place,
                state: Mutex::default(),
            })
        })
    }

    /// Notes a fetch, and sees to it that connections are kept. Call it in a runtime.
    pub(crate) fn note_fetch(self: &Arc<Self>, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fetched = Some(now);
        if !state.is_running {
            state.is_running = true;
            tokio::spawn(keep(Arc::clone(self)));
        }
    }

    /// Whether connections are to be kept still; where they are not, the next fetch begins anew.
    fn goes_on(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = state.fetched.is_some_and(|fetched| now < fetched + limits::ORIGIN_WARM_TIME);
        state.is_running = is_recent && self.pool.strong_count() > 0;
        state.is_running
    }

    /// Connects until there are enough, one after the other.
    async fn look(&self) -> Look {
        for _ in 0..self.least {
            let is_enough =
                self.pool.upgrade().is_none_or(|pool| pool.ready(Instant::now(), One::is_ready) >= self.least);
            // Of one that fails, trials are enough.
            if is_enough || !self.servers.get(self.place).is_some_and(Standing::is_well) {
                return Look::Done;
            }
            let Ok(Connection::One(mut one)) = self.target.connect(Protocol::Http1, self.connect).await else {
                return Look::Failed;
            };
            // Before it is, it would be taken for one that is closed.
            if !one.becomes_ready().await {
                return Look::Failed;
            }
            if let Some(pool) = self.pool.upgrade() {
                pool.put(one, Instant::now() + limits::ORIGIN_IDLE_TIME);
            }
        }
        Look::Done
    }
}

async fn keep(keeper: Arc<Keeper>) {
    let mut pause = limits::ORIGIN_WARM_PAUSE;
    while keeper.goes_on(Instant::now()) {
        pause = after(keeper.look().await, pause);
        sleep(pause.mul_f64(0.5 + share() / 2.0)).await;
    }
}

/// The next pause.
fn after(look: Look, pause: Duration) -> Duration {
    match look {
        Look::Done => limits::ORIGIN_WARM_PAUSE,
        Look::Failed => (pause * 2).min(limits::ORIGIN_WARM_PAUSE_MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_cannot_be_reached_is_asked_ever_more_seldom() {
        let mut pause = limits::ORIGIN_WARM_PAUSE;
        for _ in 0..20 {
            let next = after(Look::Failed, pause);
            assert!(next >= pause && next <= limits::ORIGIN_WARM_PAUSE_MOST);
            pause = next;
        }
        assert_eq!(pause, limits::ORIGIN_WARM_PAUSE_MOST);
        assert_eq!(after(Look::Done, pause), limits::ORIGIN_WARM_PAUSE);
    }
}
