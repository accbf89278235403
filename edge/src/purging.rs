//! What was purged here: the marks that objects are judged by, and the log that keeps them.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use caching::{CacheKey, Manner, Moment, Position, Purge, Purges, Since, Tag, Word};
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
    writing: Mutex<Writing>,
    path: PathBuf,
    most: u64,
    clock: Clock,
    identity: u64,
}

/// Who writes purges down, and who hears of them.
#[derive(Debug)]
struct Writing {
    /// None while it cannot be opened: nothing can be purged then.
    log: Option<PurgeLog>,
    /// Another process of the node writes them.
    is_handed_over: bool,
    witness: Option<Box<dyn Witness>>,
}

/// Who hears of purges before they are acknowledged: a process of the same node that serves to its end what it has begun.
pub trait Witness: Send + std::fmt::Debug {
    /// Returns once that one serves nothing that these reach, the last of which has this position; whether there is any use
    /// in telling it of others.
    fn hears(&mut self, last: Position, entries: &[PurgeEntry]) -> bool;
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
        let writing = Mutex::new(Writing { log, is_handed_over: false, witness: None });
        Self { purges: RwLock::new(purges), position, writing, path: path.to_owned(), most, clock, identity }
    }

    /// Where the log stands: a fetch takes it along when it begins.
    pub(crate) fn position(&self) -> Position {
        self.position.load(Ordering::Acquire)
    }

    /// The time by which purges take effect.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// By which what was stored under this log is known.
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// What purges since then say of an object.
    pub(crate) fn word(&self, key: &CacheKey, tags: &[Tag], since: Since) -> Word {
        if since.fetched == self.position() {
            return Word::Holds;
        }
        self.purges.read().unwrap_or_else(PoisonError::into_inner).word(key, tags, since)
    }

    /// Purges. Waits for the disk: what it returns for is in force, and stays so over a crash.
    pub(crate) fn purge(&self, purges: &[Purge], manner: Manner) -> Result<Position, PurgeLogError> {
        let mut writing = self.writing();
        if writing.is_handed_over {
            return Err(PurgeLogError::handed_over(&self.path));
        }
        let log = match writing.log.take() {
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
        writing.log = Some(log);
        self.add(last, &entries, Some(floor));
        let is_heard = |witness: &mut Box<dyn Witness>| witness.hears(last, &entries);
        if !writing.witness.as_mut().is_none_or(is_heard) {
            writing.witness = None;
        }
        Ok(last)
    }

    /// Puts entries in force, the last of which has this position: those that are not already.
    fn add(&self, last: Position, entries: &[PurgeEntry], floor: Option<Position>) {
        let mut table = self.purges.write().unwrap_or_else(PoisonError::into_inner);
        let (known, count) = (table.position(), u64::try_from(entries.len()).unwrap_or(0));
        let first = (last + 1).saturating_sub(count);
        for (position, entry) in (first..).zip(entries).filter(|(position, _)| *position > known) {
            table.add(position, &entry.purge, entry.manner, self.clock.now());
        }
        if let Some(floor) = floor {
            table.forget(floor);
        }
        self.position.store(table.position(), Ordering::Release);
    }

    /// Lets go of the log, for another process of the node: nothing is purged from here on but what that one tells.
    pub(crate) fn release(&self) {
        let mut writing = self.writing();
        writing.is_handed_over = true;
        writing.log = None;
    }

    /// Takes the log up again, with what was written meanwhile.
    pub(crate) fn resume(&self) {
        let mut writing = self.writing();
        if !std::mem::take(&mut writing.is_handed_over) {
            return;
        }
        let end = Instant::now() + LET_GO;
        let new = NewLog { identity: self.identity, floor: self.position() };
        let opened = loop {
            match open_log(&self.path, self.most, new) {
                // The other has ended, and what it had open may still be.
                Err(error) if !error.is_damaged && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                opened => break opened,
            }
        };
        match opened {
            // The other has put ours aside, and begun one whose positions are not ours. The next purge begins another.
            Ok((log, before)) if before.identity != self.identity => {
                drop(log);
                let aside = self.path.with_extension("other");
                match std::fs::rename(&self.path, &aside) {
                    Ok(()) => tracing::error!(path = %aside.display(), "the log of purges is another's: put aside"),
                    Err(error) => {
                        tracing::error!(%error, "the log of purges is another's: a purge may not be in force");
                    }
                }
            }
            Ok((log, before)) => {
                writing.log = Some(log);
                for (position, entry) in before.entries {
                    self.add(position, std::slice::from_ref(&entry), None);
                }
            }
            Err(error) => tracing::error!(%error, "there is no log of purges: purging is refused"),
        }
    }

    /// Puts in force what another process of the node has written down; not where its positions are not ours, which tells
    /// that it writes another log.
    pub(crate) fn hear(&self, last: Position, entries: &[PurgeEntry]) -> bool {
        let _in_order = self.writing();
        let count = u64::try_from(entries.len()).unwrap_or(0);
        if last > self.position() + count || last + count < self.position() {
            return false;
        }
        self.add(last, entries, None);
        self.position() >= last
    }

    /// Has somebody hear of purges before they are acknowledged.
    pub(crate) fn tell_to(&self, witness: Box<dyn Witness>) {
        self.writing().witness = Some(witness);
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long another process may take to let go of the log.
const LET_GO: Duration = Duration::from_secs(2);

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Hears of purges, until it does not.
    #[derive(Clone, Debug, Default)]
    struct Heard(Arc<Mutex<Vec<(Position, usize)>>>);

    impl Witness for Heard {
        fn hears(&mut self, last: Position, entries: &[PurgeEntry]) -> bool {
            let mut heard = self.0.lock().unwrap();
            heard.push((last, entries.len()));
            heard.len() < 2
        }
    }

    fn purge(number: u8) -> Purge {
        Purge::of_url(&format!("http://h/{number}")).unwrap()
    }

    fn open(path: &Path) -> Purging {
        Purging::open(path, 1 << 20, Clock::start(), 7)
    }

    #[test]
    fn one_of_two_processes_writes_purges_and_the_other_hears_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let old = open(&path);
        assert_eq!(old.purge(&[purge(1)], Manner::Hard), Ok(1));
        old.release();
        assert!(old.purge(&[purge(2)], Manner::Hard).unwrap_err().to_string().contains("another process"));
        let new = open(&path);
        assert_eq!((new.position(), new.identity()), (1, old.identity()));
        let heard = Heard::default();
        new.tell_to(Box::new(heard.clone()));
        assert_eq!(new.purge(&[purge(2), purge(3)], Manner::Hard), Ok(3));
        let entry = |number| PurgeEntry { at_ms: 0, manner: Manner::Hard, purge: purge(number) };
        old.hear(3, &[entry(2), entry(3)]);
        old.hear(3, &[entry(2), entry(3)]);
        assert_eq!(old.position(), 3);
        for number in 4..=6 {
            new.purge(&[purge(number)], Manner::Hard).unwrap();
        }
        assert_eq!(*heard.0.lock().unwrap(), [(3, 2), (4, 1)], "who hears no more is told no more");
    }

    #[test]
    fn who_takes_the_log_up_again_has_what_was_written_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let old = open(&path);
        old.release();
        let new = open(&path);
        new.purge(&[purge(1)], Manner::Hard).unwrap();
        drop(new);
        old.resume();
        assert_eq!(old.position(), 1);
        assert_eq!(old.purge(&[purge(2)], Manner::Hard), Ok(2));
    }
}
