//! What writes: one thread, in the order of what it is told.
//!
//! Slices go before the head that leads to them. Heads are committed together, twice a second: what is lost by a
//! crash is at most what came since.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Shared;
use super::index::{Change, Row};
use super::record::Record;
use crate::kept::Kept;

/// Removes files that no head leads to: what a crash left.
pub(crate) fn sweep(shared: &Shared) {
    let known = shared.index.bodies();
    shared.store.sweep(&|body| known.contains(&body));
}

/// Something to be written.
pub(crate) enum Job {
    /// An object, and those of its slices that are at hand.
    Keep { row: Row, record: Record, kept: Arc<Kept>, slices: Vec<(u32, Bytes)> },
    /// One more slice of an object.
    Slice { key: u128, kept: Arc<Kept>, number: u32, bytes: Bytes },
    /// An object has a new head.
    Renew { row: Row, record: Record },
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Receiver<Job>,
    /// Objects that were evicted, replaced or removed.
    pub(crate) gone: Receiver<Vec<Row>>,
    pub(crate) identity: u64,
    pub(crate) seed: u64,
}

/// How often heads are committed.
const COMMIT: Duration = Duration::from_millis(500);
/// Changes that wait for a slow commit, at most: some 64 MiB of heads.
const MOST_CHANGES: usize = 65_536;

type Changes = HashMap<u64, Change>;

impl Worker {
    /// Works until nobody has a job for it any more, and gives back where it is told of what goes.
    pub(crate) fn run(self) -> Receiver<Vec<Row>> {
        let (commits, batches) = sync_channel(1);
        let committer = Committer { shared: Arc::clone(&self.shared), identity: self.identity, seed: self.seed };
        // A commit waits for the medium, slices go on meanwhile.
        let committing =
            std::thread::Builder::new().name("disk-commit".to_owned()).spawn(move || committer.run(&batches));
        let mut changes = Changes::new();
        let mut committed = Instant::now();
        loop {
            let is_over = match self.queue.recv_timeout(COMMIT) {
                Ok(job) => {
                    self.take(job, &mut changes);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            for gone in self.gone.try_iter().flatten() {
                self.remove(&gone, &mut changes);
            }
            if is_over || changes.len() >= MOST_CHANGES {
                let _ = commits.send(std::mem::take(&mut changes));
            } else if committed.elapsed() >= COMMIT {
                committed = Instant::now();
                if let Err(TrySendError::Full(back)) = commits.try_send(std::mem::take(&mut changes)) {
                    changes = back;
                }
            }
            if is_over {
                drop(commits);
                let _ = committing.map(std::thread::JoinHandle::join);
                return self.gone;
            }
        }
    }

    fn take(&self, job: Job, changes: &mut Changes) {
        match job {
            Job::Keep { mut row, record, kept, slices } => {
                let bytes = slices.iter().map(|(_, bytes)| bytes.len()).sum();
                let written = slices.iter().try_for_each(|(number, bytes)| self.write(&kept, *number, bytes));
                self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                let record = record.write();
                let (Ok(()), Some(record)) = (written, record) else {
                    kept.give_up();
                    return;
                };
                row.kept = u64::try_from(bytes).unwrap_or(u64::MAX);
                self.shared.index.put(row);
                changes.insert(row.body, Change::Put(row, record));
                self.drop_if_dropped(&kept, row, changes);
            }
            Job::Slice { key, kept, number, bytes } => {
                let written = self.write(&kept, number, &bytes);
                self.shared.queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
                let rows = self.shared.index.rows(key).unwrap_or_default();
                let row = rows.iter().find(|row| row.body == kept.id);
                match (written, row) {
                    (Ok(()), Some(row)) => {
                        let kept_bytes = row.kept.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
                        let row = Row { kept: kept_bytes.min(row.length), ..*row };
                        self.shared.index.put(row);
                        grow(changes, row);
                        self.drop_if_dropped(&kept, row, changes);
                    }
                    // Its object was evicted: nothing leads to it.
                    (Ok(()), None) => {
                        self.shared.store.remove(kept.id, number.saturating_add(1));
                        kept.give_up();
                    }
                    (Err(()), _) => {}
                }
            }
            Job::Renew { row, record } => {
                let rows = self.shared.index.rows(row.key).unwrap_or_default();
                let is_there = rows.iter().any(|other| other.body == row.body);
                if let Some(record) = record.write().filter(|_| is_there) {
                    changes.insert(row.body, Change::Put(row, record));
                }
            }
        }
    }

    /// An object may have been replaced while it was on its way here.
    fn drop_if_dropped(&self, kept: &Kept, row: Row, changes: &mut Changes) {
        if kept.is_dropped() {
            self.shared.index.take(row.key, |other| other.body == row.body);
            self.remove(&row, changes);
        }
    }

    fn remove(&self, row: &Row, changes: &mut Changes) {
        self.shared.store.remove(row.body, row.slices());
        changes.insert(row.body, Change::Remove);
    }

    /// Writes a slice; where that fails the disk is left alone for a while.
    fn write(&self, kept: &Kept, number: u32, bytes: &Bytes) -> Result<(), ()> {
        if kept.is_dropped() || self.shared.is_failing() {
            return Err(());
        }
        self.shared.store.write(kept.id, number, bytes).map_err(|error| {
            self.shared.failed("write", &error);
            // Where the directory has gone it is made anew, for the next.
            let _ = self.shared.store.prepare();
        })
    }
}

/// Writes changes down.
pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) identity: u64,
    pub(super) seed: u64,
}

impl Committer {
    fn run(&self, batches: &Receiver<Changes>) {
        batches.iter().for_each(|changes| self.commit(changes));
    }

    /// While the disk is left alone what changes is lost: what leads nowhere then is a miss.
    fn commit(&self, changes: Changes) {
        let Shared { store, index, .. } = self.shared.as_ref();
        if self.shared.is_failing() {
            return;
        }
        if !index.is_open() {
            index.clear();
            let open = || store.prepare().map_err(redb::Error::Io).and_then(|()| index.open(self.identity, self.seed));
            self.attempt("open", || open().map(drop));
        } else if !changes.is_empty() {
            self.attempt("commit", || index.commit(changes.into_iter()));
        }
    }

    /// Does something with the database; one that is damaged is put aside. Its pages are not checked as they are read: a
    /// bit that has flipped may be met by a panic.
    pub(super) fn attempt(&self, what: &str, work: impl FnOnce() -> Result<(), redb::Error>) {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.shared.failed(what, &error),
            Err(_) => {
                self.shared.index.abandon();
                self.shared.failed(what, &"its index is damaged, and begins anew");
            }
        }
    }
}

/// Notes that more of an object is there, beside what else has changed of it.
fn grow(changes: &mut Changes, row: Row) {
    match changes.get_mut(&row.body) {
        Some(Change::Put(before, _)) => *before = row,
        Some(Change::Remove) => {}
        Some(Change::Grown(before)) => *before = row,
        None => {
            changes.insert(row.body, Change::Grown(row));
        }
    }
}
