//! What was purged here: the marks that objects are judged by, and the log that keeps them.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use caching::{CacheKey, Manner, Moment, Position, Purge, Purges, Tag, Word};
use fleet::{NewLog, PurgeEntry, PurgeLog, PurgeLogError, PurgesBefore, wall_clock_ms};

use crate::clock::Clock;

/// The purges of one edge.
#[derive(Debug)]
pub(crate) struct Purging {
    purges: RwLock<Purges>,
    /// That of `purges`, read by every hit.
    position: AtomicU64,
    /// Held from a purge's writing down until it is in force: positions come into force in order, so that
    /// a fetch that begins at one has seen all before.
    /// None while it cannot be opened: nothing can be purged then.
    log: Mutex<Option<PurgeLog>>,
    path: PathBuf,
    most: u64,
    clock: Clock,
    identity: u64,
}

/// Purges kept for each MiB of memory: they take about 6 % of it at most.
const PER_MIB: u64 = 1_000;
const MOST: u64 = 1_000_000;
const LEAST: u64 = 10_000;

impl Purging {
    /// Opens the log of an edge with so much memory. Where none can be opened, the edge serves, and purging is
    /// refused until one can.
    pub(crate) fn open(path: &Path, memory: u64, clock: Clock, identity: u64) -> Self {
        let most = (memory >> 20).saturating_mul(PER_MIB).clamp(LEAST, MOST);
        let (log, before) = match open_log(path, most, NewLog { identity, floor: 0 }) {
            Ok((log, before)) => (Some(log), before),
            Err(error) => {
                tracing::error!(%error, "there is no log of purges: purging is refused");
                (None, PurgesBefore { identity, ..PurgesBefore::default() })
            }
        };
        let PurgesBefore { identity, floor, entries } = before;
        let mut purges = Purges::default();
        purges.forget(floor);
        // Times of day become times of this process's clock.
        let (now, today_ms) = (clock.now(), wall_clock_ms());
        for (position, entry) in entries {
            let ago = i64::try_from(today_ms.saturating_sub(entry.at_ms)).unwrap_or(i64::MAX);
            let at = Moment::from_millis(now.millis().saturating_sub(ago));
            purges.add(position, &entry.purge, entry.manner, at);
        }
        let position = AtomicU64::new(purges.position());
        let (log, path) = (Mutex::new(log), path.to_owned());
        Self { purges: RwLock::new(purges), position, log, path, most, clock, identity }
    }

    /// Where the log stands: a fetch takes it along when it begins.
    pub(crate) fn position(&self) -> Position {
        self.position.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// By which what was stored under this log is known.
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// What purges since a position say of an object.
    pub(crate) fn word(&self, key: &CacheKey, tags: &[Tag], since: Position) -> Word {
        if since == self.position() {
            return Word::Holds;
        }
        self.purges.read().unwrap_or_else(PoisonError::into_inner).word(key, tags, since)
    }

    /// Purges. Waits for the disk: what it returns for is in force, and stays so over a crash.
    pub(crate) fn purge(&self, purges: &[Purge], manner: Manner) -> Result<Position, PurgeLogError> {
        let mut held = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let log = match held.take() {
            Some(log) => log,
            // After a failed write. One that begins now begins after all that is in force.
            None => {
                let identity = RandomState::new().hash_one("purges");
                open_log(&self.path, self.most, NewLog { identity, floor: self.position() })?.0
            }
        };
        let at_ms = wall_clock_ms();
        let entries: Vec<PurgeEntry> =
            purges.iter().map(|purge| PurgeEntry { at_ms, manner, purge: purge.clone() }).collect();
        let (log, last, floor) = log.append(&entries)?;
        *held = Some(log);
        let mut table = self.purges.write().unwrap_or_else(PoisonError::into_inner);
        let count = u64::try_from(purges.len()).unwrap_or(0);
        for (position, purge) in (last + 1 - count..).zip(purges) {
            table.add(position, purge, manner, self.clock.now());
        }
        table.forget(floor);
        self.position.store(table.position(), Ordering::Release);
        Ok(last)
    }
}

/// Opens a log, or begins one. One that is damaged is put aside: what a disk kept under it is told by its identity
/// to be useless.
fn open_log(path: &Path, most: u64, new: NewLog) -> Result<(PurgeLog, PurgesBefore), PurgeLogError> {
    PurgeLog::open(path, most, new).or_else(|error| {
        if !error.is_damaged {
            return Err(error);
        }
        let aside = PurgeLog::put_aside(path).map_err(|_| error.clone())?;
        tracing::error!(
            %error, kept = %aside.display(),
            "the log of purges is damaged; a new one begins, and what a disk tier kept before is not used"
        );
        PurgeLog::open(path, most, new)
    })
}
