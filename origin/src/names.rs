//! The addresses of origins' names, kept for all sites.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use config::limits;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::FetchError;
use crate::known::{Addresses, Answer, Asked, Change, Known};
use crate::system::System;

/// The process's own: one look-up is for all cores and sites, and what holds outlives a reload.
pub(crate) static NAMES: LazyLock<Arc<Names>> = LazyLock::new(|| {
    let system = Arc::new(System::default());
    Names::new(Box::new(move |name| Box::pin(Arc::clone(&system).ask(name))))
});

/// How a name is asked for.
type Ask = Box<dyn Fn(String) -> BoxFuture<'static, Asked> + Send + Sync>;

/// What is known of names. Its lock is taken for each new connection to a server that has one, and never for long.
pub(crate) struct Names {
    table: Mutex<HashMap<String, Entry>>,
    ask: Ask,
}

#[derive(Default)]
struct Entry {
    known: Known,
    looking: Option<Looking>,
}

/// A look-up that is under way.
struct Looking {
    began: Instant,
    /// Its other side is dropped when it ends.
    ended: watch::Receiver<()>,
}

/// What is to be done for one who asks.
enum Next {
    Use(Result<Addresses, FetchError>),
    /// Wait until it has ended; where older addresses can stand in, only until then.
    Wait {
        ended: watch::Receiver<()>,
        instead: Option<(Addresses, Instant)>,
    },
}

impl Names {
    fn new(ask: Ask) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), ask })
    }

    /// A name's addresses, within the time.
    ///
    /// # Errors
    /// There are none, or nobody told them in time.
    pub(crate) async fn addresses(self: &Arc<Self>, name: &str, until: Instant) -> Result<Addresses, FetchError> {
        loop {
            let now = Instant::now();
            let (mut ended, instead) = match self.look(name, now) {
                Next::Use(answer) => return answer,
                Next::Wait { ended, instead } => (ended, instead),
            };
            // Half of what is left is for connecting.
            let half = now + until.saturating_duration_since(now) / 2;
            let wake = instead.as_ref().map_or(until, |(_, from)| half.min(*from));
            if timeout_at(wake, ended.changed()).await.is_err() {
                return instead.map(|(addresses, _)| addresses).ok_or(FetchError::DnsTimeout);
            }
        }
    }

    /// Looks what is known; begins a look-up where one is due.
    fn look(self: &Arc<Self>, name: &str, now: Instant) -> Next {
        let mut table = self.table();
        if !table.contains_key(name) {
            make_room(&mut table);
        }
        let entry = table.entry(name.to_owned()).or_default();
        let instead = match entry.known.answer(entry.looking.as_ref().map(|looking| looking.began), now) {
            Answer::Fresh(addresses) | Answer::Stale(addresses) => return Next::Use(Ok(addresses)),
            Answer::Failed(error) => return Next::Use(Err(error)),
            Answer::Wait(instead) => instead,
        };
        if let Some(looking) = &entry.looking {
            return Next::Wait { ended: looking.ended.clone(), instead };
        }
        let (running, ended) = watch::channel(());
        entry.looking = Some(Looking { began: now, ended: ended.clone() });
        let look = Look { names: Arc::clone(self), name: name.to_owned(), _running: running };
        // A task that is dropped at once takes the lock.
        drop(table);
        tokio::spawn(look.run());
        Next::Wait { ended, instead }
    }

    fn learn(&self, name: &str, asked: Asked) {
        let change = self.table().entry(name.to_owned()).or_default().known.learn(asked, Instant::now());
        match change {
            Change::Same => {}
            Change::Lost => tracing::warn!(name, "an origin's name cannot be resolved: its last addresses stand in"),
            Change::Again => tracing::info!(name, "the origin's name is resolved again"),
        }
    }

    /// What it guards is whole after a panic: every change is one assignment.
    fn table(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops one that nobody looks up, where there are as many as may be: more than a config's sites have servers.
fn make_room(table: &mut HashMap<String, Entry>) {
    if table.len() < limits::ORIGIN_NAMES {
        return;
    }
    let other = table.iter().find(|(_, entry)| entry.looking.is_none()).map(|(name, _)| name.clone());
    if let Some(name) = other {
        table.remove(&name);
    }
}

/// A look-up, which outlives those who wait for it.
struct Look {
    names: Arc<Names>,
    name: String,
    /// Dropped last: who is woken by that finds the table changed.
    _running: watch::Sender<()>,
}

impl Look {
    async fn run(self) {
        let asked = timeout(limits::ORIGIN_NAME_LOOK_UP, (self.names.ask)(self.name.clone())).await;
        self.names.learn(&self.name, asked.unwrap_or(Asked::Failed(FetchError::DnsTimeout)));
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        if let Some(entry) = self.names.table().get_mut(&self.name) {
            entry.looking = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Answers the first time at once, for ten seconds; then as it is told, each after its time.
    fn names(later: &'static [(u64, Option<u8>)]) -> (Arc<Names>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let names = Names::new(Box::new(move |_| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let (wait, last) = if number == 0 { (0, Some(1)) } else { later[(number - 1).min(later.len() - 1)] };
            Box::pin(async move {
                sleep(SECOND * u32::try_from(wait).unwrap()).await;
                let found = |last: u8| Asked::Found(vec![IpAddr::from([192, 0, 2, last])], SECOND * 10);
                last.map_or(Asked::Failed(FetchError::DnsError), found)
            })
        }));
        (names, asked)
    }

    async fn ask(names: &Arc<Names>) -> Result<u8, FetchError> {
        let found = names.addresses("origin.shop.example", Instant::now() + SECOND * 5).await?;
        match found.first() {
            Some(IpAddr::V4(address)) => Ok(address.octets()[3]),
            _ => Ok(0),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_one_look_up_and_its_answer_holds_for_its_ttl() {
        let (names, asked) = names(&[(0, Some(2))]);
        let crowd = futures_util::future::join_all((0..100).map(|_| ask(&names))).await;
        assert!(crowd.into_iter().all(|found| found == Ok(1)));
        advance(SECOND * 8).await;
        assert_eq!((ask(&names).await, asked.load(Ordering::Relaxed)), (Ok(1), 1));
        advance(SECOND * 3).await;
        assert_eq!((ask(&names).await, asked.load(Ordering::Relaxed)), (Ok(2), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_fails_or_takes_long_leaves_the_last_addresses() {
        let (names, asked) = names(&[(0, None), (8, Some(3))]);
        assert_eq!(ask(&names).await, Ok(1));
        advance(SECOND * 11).await;
        assert_eq!(ask(&names).await, Ok(1), "it fails");
        assert_eq!((ask(&names).await, asked.load(Ordering::Relaxed)), (Ok(1), 2), "it is not repeated at once");
        advance(limits::ORIGIN_NAME_FAILED).await;
        let began = Instant::now();
        assert_eq!((ask(&names).await, began.elapsed()), (Ok(1), limits::ORIGIN_NAME_PATIENCE), "it takes long");
        assert_eq!((ask(&names).await, began.elapsed()), (Ok(1), limits::ORIGIN_NAME_PATIENCE), "nobody else waits");
        sleep(SECOND * 8).await;
        assert_eq!((ask(&names).await, asked.load(Ordering::Relaxed)), (Ok(3), 3), "it went on behind");
    }

    #[tokio::test(start_paused = true)]
    async fn without_older_addresses_it_is_waited_for_as_long_as_one_may() {
        let names = Names::new(Box::new(|_| Box::pin(std::future::pending())));
        let began = Instant::now();
        assert_eq!((ask(&names).await, began.elapsed()), (Err(FetchError::DnsTimeout), SECOND * 5));
        sleep(limits::ORIGIN_NAME_LOOK_UP).await;
        assert!(names.table().values().all(|entry| entry.looking.is_none()));
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_as_may_be_are_kept() {
        let (names, _) = names(&[(0, Some(1))]);
        for number in 0..limits::ORIGIN_NAMES + 10 {
            let found = names.addresses(&format!("origin-{number}.example"), Instant::now() + SECOND).await;
            assert!(found.is_ok(), "{found:?}");
        }
        assert_eq!(names.table().len(), limits::ORIGIN_NAMES);
    }
}
