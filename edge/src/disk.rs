//! The disk tier: what was asked for again stays over a restart and when RAM has no room.
//!
//! ```text
//! asked for again ── a queue ── the worker: slices to files, heads to a database ── the index, in RAM
//! not in RAM ── the index ── head and slices read, checked ── RAM
//! ```
//!
//! Nobody waits for it but who would else wait for an origin, and for no longer than that takes. What fails
//! is a miss; a disk that fails is left alone for a while.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use caching::{CacheKey, Variant};
use config::{Config, Problem, Severity};
use telemetry::Metrics;
use tokio::sync::Semaphore;

use crate::arena::Buffer;
use crate::clock::{Clock, today};
use crate::head::Head;
use crate::kept::Kept;
use crate::sliced::may_be_sliced;

mod admission;
mod files;
mod index;
mod record;
mod worker;

use admission::Admission;
use files::{DiskStore, Files};
use index::{Index, ROW_BYTES, Row};
use record::{Clocks, Record};
use worker::{Job, Worker};

/// The disk tier of one edge.
pub(crate) struct Disk {
    shared: Arc<Shared>,
    jobs: Mutex<Option<SyncSender<Job>>>,
    /// What goes is told apart: it must not get lost where the queue is full.
    removed: Mutex<Sender<Vec<Row>>>,
    worker: Mutex<Option<JoinHandle<Receiver<Vec<Row>>>>>,
    /// Where that is told of what goes, while there is no worker.
    gone: Mutex<Option<Receiver<Vec<Row>>>>,
    identity: u64,
    admission: Admission,
    /// Places of reads under way; those that hang keep theirs.
    reads: Arc<Semaphore>,
    /// With which request an object goes to disk.
    requests: u8,
    /// Bytes that wait to be written, at most.
    most_queued: usize,
    /// By which variants are hashed: the one of what is there already.
    pub(crate) seed: u64,
}

/// What callers and the worker share.
pub(crate) struct Shared {
    store: Box<dyn DiskStore>,
    index: Index,
    clock: Clock,
    metrics: Arc<Metrics>,
    queued_bytes: AtomicUsize,
    /// Milliseconds of the clock up to which the disk is left alone.
    failing_until: AtomicI64,
}

/// What a disk tier is made with.
pub(crate) struct Setting<'a> {
    pub(crate) path: &'a Path,
    /// Bytes of files.
    pub(crate) size: u64,
    pub(crate) requests: u8,
    /// The edge's memory: the index and the queue take shares of it.
    pub(crate) memory: u64,
    /// Of the log of purges.
    pub(crate) identity: u64,
    /// By which variants are hashed, unless there are some already.
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
}

/// A body as it is on disk.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) head: Head,
    pub(crate) body: u64,
    pub(crate) length: u64,
    pub(crate) slices: Found,
}

/// What was found of a body.
#[derive(Debug)]
pub(crate) enum Found {
    /// All of it, read.
    Whole(Vec<Bytes>),
    /// The numbers of slices that are there.
    Apart(Vec<u32>),
}

/// What was read of an object.
struct Read {
    row: Row,
    head: Option<Vec<u8>>,
    /// None where some of it is not there.
    slices: Option<Found>,
}

/// Jobs that wait for the worker.
const QUEUE: usize = 1_024;
/// The share of memory that may wait to be written.
const QUEUED_SHARE: u64 = 16;
/// The share of memory that the index may take.
const INDEX_SHARE: u64 = 8;
/// Reads under way, at most: each has a thread.
const MOST_READS: u64 = 32;
/// The share of memory for what is being read, up to 1 MiB at once.
const READS_SHARE: u64 = 16;
/// The share of memory for one key's place in the filters of admission, bytes.
const KEY_SHARE: u64 = 4_096;
/// How long a disk that failed is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// How long a read may take before the disk counts as failing: an origin would have answered.
const READ_TIME: Duration = Duration::from_secs(1);
/// How long the worker may take to write what waits at the end.
const CLOSING: Duration = Duration::from_secs(5);

/// Warns of a place for the disk tier that can be none: edges would go on with RAM.
#[must_use]
pub fn warn_of_disk(config: &Config) -> Option<Problem> {
    let path = &config.network.edge.disk.as_ref()?.path;
    let is_file = path.metadata().is_ok_and(|about| !about.is_dir());
    let message = format!("[edge.disk] path `{}` is no directory: nothing will outlive a restart", path.display());
    let problem = Problem::general(message).help("name a directory; one that is not there is made");
    is_file.then_some(Problem { severity: Severity::Warning, ..problem })
}

/// What a disk tier takes of an edge's memory, at most.
pub(crate) fn share_of(memory: u64) -> u64 {
    memory / INDEX_SHARE + memory / QUEUED_SHARE
}

impl Disk {
    /// Opens what is there, or begins anew where that cannot be read or belongs to another log of purges.
    pub(crate) fn open(setting: Setting<'_>) -> std::io::Result<Self> {
        let files = Files::new(&setting.path.join("slices"));
        Self::with_store(setting, Box::new(files))
    }

    fn with_store(setting: Setting<'_>, store: Box<dyn DiskStore>) -> std::io::Result<Self> {
        let Setting { path, size, requests, memory, identity, seed, clock, metrics } = setting;
        let (removed, gone) = channel();
        let most = (memory / INDEX_SHARE / ROW_BYTES).max(1_000);
        let index = Index::new(&path.join("heads.redb"), size, most, removed.clone());
        let (queued_bytes, failing_until) = (AtomicUsize::new(0), AtomicI64::new(i64::MIN));
        let shared = Arc::new(Shared { store, index, clock, metrics, queued_bytes, failing_until });
        // What customers' origins said is nobody else's on this machine.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        let ready = made.map_err(|error| error.to_string());
        let ready = ready.and_then(|()| shared.store.prepare().map_err(|error| error.to_string()));
        let seed = match ready.and_then(|()| open(&shared.index, path, identity, seed)) {
            Ok(seed) => seed,
            Err(error) => {
                shared.failed("open", &error);
                seed
            }
        };
        let (jobs, queue) = sync_channel(QUEUE);
        let worker = Worker { shared: Arc::clone(&shared), queue, gone, identity, seed };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let worker = thread("disk").spawn(move || worker.run())?;
        if !shared.is_failing() {
            let shared = Arc::clone(&shared);
            thread("disk-sweep").spawn(move || worker::sweep(&shared))?;
        }
        let reads = ((memory / READS_SHARE) >> 20).clamp(2, MOST_READS);
        let keys = usize::try_from(memory / KEY_SHARE).unwrap_or(usize::MAX);
        Ok(Self {
            shared,
            jobs: Mutex::new(Some(jobs)),
            removed: Mutex::new(removed),
            worker: Mutex::new(Some(worker)),
            gone: Mutex::default(),
            identity,
            admission: Admission::new(keys, clock.now()),
            reads: Arc::new(Semaphore::new(usize::try_from(reads).unwrap_or(1))),
            requests,
            most_queued: usize::try_from(memory / QUEUED_SHARE).unwrap_or(usize::MAX),
            seed,
        })
    }

    /// Whether an object that is asked for now is to be kept here.
    pub(crate) fn admits(&self, key: &CacheKey) -> bool {
        if self.shared.is_failing() {
            return false;
        }
        self.requests <= 1 || self.admission.was_asked(key.hash(), self.shared.clock.now())
    }

    /// Keeps an object: its head, and those of its slices that are at hand.
    pub(crate) fn keep(
        &self,
        key: &CacheKey,
        head: &Head,
        kept: &Arc<Kept>,
        length: u64,
        slices: impl Iterator<Item = (u32, Bytes)>,
    ) {
        if !kept.begin() {
            return;
        }
        let slices: Vec<(u32, Bytes)> = slices.collect();
        let bytes = slices.iter().map(|(_, bytes)| bytes.len()).sum();
        let record = Record::of(key, head, length, self.clocks());
        let row = row(key, head.selector.variant, kept.id, length, 0);
        if !self.send(Job::Keep { row, record, kept: Arc::clone(kept), slices }, bytes) {
            kept.give_up();
        }
    }

    /// Keeps one more slice of an object that is kept; whether it is on its way.
    pub(crate) fn keep_slice(&self, key: &CacheKey, kept: &Arc<Kept>, number: u32, bytes: &Bytes) -> bool {
        let job = Job::Slice { key: key.hash(), kept: Arc::clone(kept), number, bytes: bytes.clone() };
        !self.shared.is_failing() && self.send(job, bytes.len())
    }

    /// An object has come in place of those of its variant: on disk too.
    pub(crate) fn replace(&self, key: &CacheKey, head: &Head, body: u64, length: u64) {
        let variant = head.selector.variant;
        let Some(rows) = self.shared.index.rows(key.hash()) else {
            return;
        };
        if let Some(same) = rows.iter().find(|row| row.body == body) {
            let record = Record::of(key, head, length, self.clocks());
            let row = Row { variant, ..*same };
            self.shared.index.put(row);
            self.send(Job::Renew { row, record }, 0);
        }
        self.forget(key, |row_variant, row_body| *row_variant == variant && row_body != body);
    }

    /// Forgets objects of a key, by variant and body.
    pub(crate) fn forget(&self, key: &CacheKey, is_meant: impl Fn(&Variant, u64) -> bool) {
        let gone = self.shared.index.take(key.hash(), |row| is_meant(&row.variant, row.body));
        if !gone.is_empty() {
            let _ = lock(&self.removed).send(gone);
        }
    }

    /// Whether an object of a key may be here.
    pub(crate) fn has(&self, key: &CacheKey) -> bool {
        self.shared.index.rows(key.hash()).is_some() && !self.shared.is_failing()
    }

    /// Notes that an object was asked for; whether it is still here.
    pub(crate) fn touch(&self, key: &CacheKey, body: u64) -> bool {
        self.shared.index.rows(key.hash()).is_some_and(|rows| rows.iter().any(|row| row.body == body))
    }

    /// Reads the objects of a key; small bodies with them.
    pub(crate) async fn load(&self, key: &CacheKey, small: u64) -> Vec<Loaded> {
        let rows = self.shared.index.rows(key.hash()).unwrap_or_default();
        let memory = || rows.iter().map(|row| (*row, (row.length <= small).then(|| row.buffers()))).collect();
        let read = |shared: &Shared, wanted: Vec<(Row, Option<Vec<Buffer>>)>| -> Vec<Read> {
            wanted.into_iter().map(|(row, into)| shared.read_object(row, into)).collect()
        };
        let read = self.ask(memory, read).await.unwrap_or_default();
        let clocks = self.clocks();
        read.into_iter().filter_map(|read| self.shared.loaded(key, read, clocks)).collect()
    }

    /// Reads one slice of so many bytes.
    pub(crate) async fn read(&self, body: u64, number: u32, length: usize) -> Option<Bytes> {
        let memory = || Buffer::with_capacity(length);
        self.ask(memory, move |shared, into| shared.read(body, number, into)).await.flatten()
    }

    /// Reads on a thread that may wait for the disk; for so long that the caller may. Such threads are many, and what
    /// one allocates stays with it: `memory` is taken here, as soon as there is a place.
    async fn ask<M: Send + 'static, T: Send + 'static>(
        &self,
        memory: impl FnOnce() -> M,
        read: impl FnOnce(&Shared, M) -> T + Send + 'static,
    ) -> Option<T> {
        if self.shared.is_failing() {
            return None;
        }
        let (shared, reads) = (Arc::clone(&self.shared), Arc::clone(&self.reads));
        let reading = async {
            let place = reads.acquire_owned().await.ok()?;
            let memory = memory();
            let reading = tokio::task::spawn_blocking(move || {
                let read = read(&shared, memory);
                drop(place);
                read
            });
            reading.await.ok()
        };
        match tokio::time::timeout(READ_TIME, reading).await {
            Ok(read) => read,
            Err(_) => {
                self.shared.failed("read", &"no answer in time");
                None
            }
        }
    }

    /// Bytes and objects here, as of now, and whether the disk is left alone.
    pub(crate) fn size(&self) -> (u64, u64, bool) {
        let (bytes, objects) = self.shared.index.size();
        (bytes, objects, self.shared.is_failing())
    }

    /// Writes what waits, for a while at most, and lets go of the files; whether it has. What is read of them goes on.
    pub(crate) fn close(&self) -> bool {
        self.close_within(CLOSING)
    }

    fn close_within(&self, time: Duration) -> bool {
        drop(lock(&self.jobs).take());
        let Some(worker) = lock(&self.worker).take() else {
            return !self.shared.index.is_open();
        };
        let end = Instant::now() + time;
        while !worker.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        if !worker.is_finished() {
            *lock(&self.worker) = Some(worker);
            return false;
        }
        *lock(&self.gone) = worker.join().ok();
        self.shared.index.close(end)
    }

    /// Goes on after it was closed. Another process may have changed what is there: that is read anew, by the worker.
    pub(crate) fn reopen(&self) {
        // One that was too slow to close has come to its end by now, or goes on with that: a slow disk is RAM only meanwhile.
        let slow = lock(&self.worker).take_if(|worker| worker.is_finished());
        if let Some(gone) = slow.and_then(|worker| worker.join().ok()) {
            *lock(&self.gone) = Some(gone);
        }
        let Some(gone) = lock(&self.gone).take() else {
            if lock(&self.jobs).is_none() {
                tracing::error!("the disk tier is slow to come to its end: RAM only until the next start");
            }
            return;
        };
        let (jobs, queue) = sync_channel(QUEUE);
        let shared = Arc::clone(&self.shared);
        let worker = Worker { shared, queue, gone, identity: self.identity, seed: self.seed };
        match std::thread::Builder::new().name("disk".to_owned()).spawn(move || worker.run()) {
            Ok(worker) => {
                *lock(&self.worker) = Some(worker);
                *lock(&self.jobs) = Some(jobs);
            }
            Err(error) => tracing::error!(%error, "there is no disk tier any more: RAM only"),
        }
    }

    /// Hands a job to the worker, if it has room for it.
    fn send(&self, job: Job, bytes: usize) -> bool {
        let queued = &self.shared.queued_bytes;
        if queued.fetch_add(bytes, Ordering::Relaxed) + bytes > self.most_queued.max(bytes) {
            queued.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.metrics.disk_dropped.inc();
            return false;
        }
        let jobs = lock(&self.jobs);
        let sent = jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        if !sent {
            self.shared.metrics.disk_dropped.inc();
            queued.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent
    }

    fn clocks(&self) -> Clocks {
        Clocks { now: self.shared.clock.now(), today: today() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn row(key: &CacheKey, variant: Variant, body: u64, length: u64, kept: u64) -> Row {
    Row { key: key.hash(), variant, body, length, kept }
}

/// Opens the database; one that is broken is put aside, what it was about is swept away.
fn open(index: &Index, path: &Path, identity: u64, seed: u64) -> Result<u64, String> {
    // Its pages are not checked as they are read: a bit that has flipped may be met by a panic.
    let attempt = || match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| index.open(identity, seed))) {
        Ok(opened) => opened.map_err(|error| (matches!(error, redb::Error::DatabaseAlreadyOpen), error.to_string())),
        Err(_) => Err((false, "it is damaged".to_owned())),
    };
    attempt().or_else(|(is_anothers, error)| {
        if is_anothers {
            return Err(error);
        }
        tracing::error!(%error, path = %path.display(), "the disk tier's index cannot be read; it begins anew");
        index.clear();
        let file = path.join("heads.redb");
        std::fs::rename(&file, file.with_extension("broken")).map_err(|_| error)?;
        attempt().map_err(|(_, error)| error)
    })
}

impl Shared {
    fn is_failing(&self) -> bool {
        self.failing_until.load(Ordering::Relaxed) > self.clock.now().millis()
    }

    /// Leaves the disk alone for a while, and says so once.
    fn failed(&self, what: &str, error: &dyn std::fmt::Display) {
        self.metrics.disk_errors.with_label_values(&[what]).inc();
        let until = self.clock.now().after(LEFT_ALONE).millis();
        let before = self.failing_until.swap(until, Ordering::Relaxed);
        if before <= self.clock.now().millis() {
            tracing::error!(%error, "the disk tier fails ({what}): it is left alone for {} s", LEFT_ALONE.as_secs());
        }
    }

    /// An object as it is on disk; its body too where there is memory for it.
    fn read_object(&self, row: Row, into: Option<Vec<Buffer>>) -> Read {
        let head = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.index.head(row.body)));
        let slices = if let Some(into) = into {
            let read = (0..).zip(into).map(|(number, into)| self.read(row.body, number, into));
            read.collect::<Option<Vec<Bytes>>>().map(Found::Whole)
        } else {
            Some(Found::Apart(self.store.numbers(row.body, row.slices())))
        };
        Read { row, head: head.ok().flatten(), slices }
    }

    /// An object as it was read; what could not be is forgotten.
    fn loaded(&self, key: &CacheKey, read: Read, clocks: Clocks) -> Option<Loaded> {
        let Read { row, head, slices } = read;
        let is_sound = |record: &Record| record.length == row.length && may_be_sliced(row.length);
        let record = head.and_then(|head| Record::read(&head)).filter(is_sound);
        let head = record.and_then(|record| record.head(key, clocks));
        let Some((head, slices)) = head.zip(slices) else {
            self.metrics.disk_errors.with_label_values(&["lost"]).inc();
            // The files go with the next sweep, or when the name is used again.
            self.index.take(row.key, |other| other.body == row.body);
            return None;
        };
        Some(Loaded { head, body: row.body, length: row.length, slices })
    }

    fn read(&self, body: u64, number: u32, into: Buffer) -> Option<Bytes> {
        match self.store.read(body, number, into) {
            Ok(Some(bytes)) => Some(bytes),
            Ok(None) => None,
            Err(error) => {
                self.metrics.disk_errors.with_label_values(&["read"]).inc();
                tracing::debug!(%error, "a slice cannot be read");
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("index", &self.shared.index).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
