//! A disk that breaks in every way it can.

use std::io;
use std::sync::atomic::AtomicU8;

use caching::{Keep, Moment, Scheme, Selector, Since, Terms, Validation};
use http::{HeaderMap, StatusCode};

use super::*;
use crate::object::{Body, Object};
use crate::purging::Purging;
use crate::sliced::{Sliced, Span};
use crate::store::Store;

/// Files that fail on demand.
struct Faulty {
    files: Files,
    fault: Arc<AtomicU8>,
}

const SOUND: u8 = 0;
const WRITES_FAIL: u8 = 1;
const READS_FAIL: u8 = 2;
const READS_HANG: u8 = 3;
const WRITES_HANG: u8 = 4;

impl Faulty {
    fn has(&self, fault: u8) -> io::Result<()> {
        if self.fault.load(Ordering::SeqCst) == fault { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }
}

impl DiskStore for Faulty {
    fn write(&self, body: u64, number: u32, bytes: &[u8]) -> io::Result<()> {
        self.has(WRITES_FAIL)?;
        while self.has(WRITES_HANG).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.files.write(body, number, bytes)
    }

    fn read(&self, body: u64, number: u32, into: Buffer) -> io::Result<Option<Bytes>> {
        self.has(READS_FAIL)?;
        if self.has(READS_HANG).is_err() {
            std::thread::sleep(READ_TIME * 3);
        }
        self.files.read(body, number, into)
    }

    fn numbers(&self, body: u64, count: u32) -> Vec<u32> {
        self.files.numbers(body, count)
    }

    fn remove(&self, body: u64, count: u32) {
        self.files.remove(body, count);
    }

    fn prepare(&self) -> io::Result<()> {
        self.files.prepare()
    }

    fn sweep(&self, is_known: &dyn Fn(u64) -> bool) {
        self.files.sweep(is_known);
    }
}

struct Stage {
    dir: tempfile::TempDir,
    fault: Arc<AtomicU8>,
    metrics: Arc<Metrics>,
}

impl Stage {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), fault: Arc::new(AtomicU8::new(SOUND)), metrics }
    }

    fn open(&self) -> Disk {
        let setting = Setting {
            path: self.dir.path(),
            size: 64 << 20,
            requests: 1,
            memory: 16 << 20,
            identity: 1,
            seed: 7,
            clock: Clock::start(),
            metrics: Arc::clone(&self.metrics),
        };
        let files = Files::new(&self.dir.path().join("slices"));
        Disk::with_store(setting, Box::new(Faulty { files, fault: Arc::clone(&self.fault) })).unwrap()
    }

    fn set(&self, fault: u8) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    fn errors(&self, what: &str) -> u64 {
        self.metrics.disk_errors.with_label_values(&[what]).get()
    }
}

fn key(number: u32) -> CacheKey {
    CacheKey::new("shop", Scheme::Http, "h", &format!("/{number}"))
}

fn head(disk: &Disk) -> Head {
    let terms = Terms {
        lifetime: Duration::from_secs(60),
        initial_age: Duration::ZERO,
        received_at: disk.clocks().now,
        validation: Validation::WhenStale,
        grace: Duration::ZERO,
        on_unreachable: Duration::ZERO,
        on_error: Duration::ZERO,
    };
    let selector = Selector::new(Vec::new(), &HeaderMap::new(), &HeaderMap::new(), disk.seed);
    let kept =
        Keep { headers: HeaderMap::new(), terms, nominated: Vec::new(), tags: Vec::new(), for_asker: HeaderMap::new() };
    Head::new((StatusCode::OK, http::Version::HTTP_11), kept, selector, Since::fetch(0))
}

/// Keeps an object of two slices under a key.
fn keep(disk: &Disk, number: u32) -> Arc<Kept> {
    let head = head(disk);
    let kept = Arc::new(Kept::new());
    let slices = slices(number).into_iter().enumerate().map(|(at, bytes)| (u32::try_from(at).unwrap(), bytes));
    disk.keep(&key(number), &head, &kept, LENGTH, slices);
    kept
}

const LENGTH: u64 = config::limits::SLICE_BYTES as u64 + 10;

fn slices(number: u32) -> Vec<Bytes> {
    let byte = u8::try_from(number % 251).unwrap();
    vec![Bytes::from(vec![byte; config::limits::SLICE_BYTES]), Bytes::from(vec![byte; 10])]
}

/// Waits until the worker has written an object, and the committer its head.
async fn written(disk: &Disk, number: u32) {
    for _ in 0..500 {
        let rows = disk.shared.index.rows(key(number).hash());
        if rows.is_some_and(|rows| rows.iter().all(|row| disk.shared.index.head(row.body).is_some())) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("object {number} is not written");
}

async fn load(disk: &Disk, number: u32) -> Option<Vec<Bytes>> {
    let loaded = disk.load(&key(number), 1 << 20).await;
    loaded.into_iter().find_map(|loaded| match loaded.slices {
        Found::Whole(slices) => Some(slices),
        Found::Apart(_) => None,
    })
}

#[tokio::test]
async fn what_is_kept_is_read_back_also_by_the_next_start() {
    let stage = Stage::new();
    let disk = stage.open();
    keep(&disk, 1);
    written(&disk, 1).await;
    assert_eq!(load(&disk, 1).await, Some(slices(1)));
    assert_eq!(load(&disk, 2).await, None);
    drop(disk);
    assert_eq!(load(&stage.open(), 1).await, Some(slices(1)));
}

#[tokio::test]
async fn a_write_that_fails_is_an_alarm_and_the_object_may_try_again() {
    let stage = Stage::new();
    let disk = stage.open();
    stage.set(WRITES_FAIL);
    let kept = keep(&disk, 1);
    for _ in 0..500 {
        if stage.errors("write") > 0 && !kept.is_on_disk() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((stage.errors("write"), kept.is_on_disk()), (1, false));
    assert!(disk.size().2, "it is left alone");
    assert!(!disk.admits(&key(1)) && !disk.has(&key(1)));
    assert_eq!(load(&disk, 1).await, None);
}

#[tokio::test]
async fn a_read_that_fails_is_a_miss_and_forgets_the_object() {
    let stage = Stage::new();
    let disk = stage.open();
    keep(&disk, 1);
    written(&disk, 1).await;
    stage.set(READS_FAIL);
    assert_eq!(load(&disk, 1).await, None);
    assert_eq!((stage.errors("read"), stage.errors("lost")), (1, 1));
    stage.set(SOUND);
    assert!(!disk.has(&key(1)), "the next request does not try it again");
    keep(&disk, 1);
    written(&disk, 1).await;
    assert_eq!(load(&disk, 1).await, Some(slices(1)));
}

#[tokio::test]
async fn a_disk_that_hangs_holds_nobody_for_long_and_few_threads() {
    let stage = Stage::new();
    let disk = Arc::new(stage.open());
    keep(&disk, 1);
    written(&disk, 1).await;
    stage.set(READS_HANG);
    let began = std::time::Instant::now();
    let readers = (0..200).map(|_| {
        let disk = Arc::clone(&disk);
        tokio::spawn(async move { load(&disk, 1).await })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.await.unwrap(), None);
    }
    assert!(began.elapsed() < READ_TIME * 2, "{:?}", began.elapsed());
    assert_eq!(disk.reads.available_permits(), 0, "what hangs counts on");
    assert!(disk.size().2, "it is left alone");
    let began = std::time::Instant::now();
    assert_eq!(load(&disk, 1).await, None);
    assert!(began.elapsed() < READ_TIME / 2, "nobody waits for it any more");
    assert!(stage.errors("read") > 0);
}

#[tokio::test]
async fn a_disk_that_is_slow_to_close_is_not_let_go_of_and_comes_back() {
    let stage = Stage::new();
    let disk = stage.open();
    stage.set(WRITES_HANG);
    keep(&disk, 1);
    assert!(!disk.close_within(Duration::from_millis(200)), "nobody else may have it");
    disk.reopen();
    keep(&disk, 2);
    assert_eq!(load(&disk, 2).await, None, "RAM only");
    stage.set(SOUND);
    for _ in 0..500 {
        disk.reopen();
        if lock(&disk.jobs).is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    written(&disk, 1).await;
    keep(&disk, 3);
    written(&disk, 3).await;
    assert_eq!((load(&disk, 1).await, load(&disk, 3).await), (Some(slices(1)), Some(slices(3))));
    assert!(disk.close_within(CLOSING));
}

#[tokio::test]
async fn another_log_of_purges_empties_the_disk() {
    let stage = Stage::new();
    let disk = stage.open();
    keep(&disk, 1);
    written(&disk, 1).await;
    drop(disk);
    let setting = |identity| Setting {
        path: stage.dir.path(),
        size: 64 << 20,
        requests: 1,
        memory: 16 << 20,
        identity,
        seed: 9,
        clock: Clock::start(),
        metrics: Arc::clone(&stage.metrics),
    };
    let disk = Disk::open(setting(1)).unwrap();
    assert_eq!((load(&disk, 1).await, disk.seed), (Some(slices(1)), 7), "the seed stays with what it hashed");
    drop(disk);
    let disk = Disk::open(setting(2)).unwrap();
    assert_eq!((load(&disk, 1).await, disk.seed), (None, 9));
}

/// Whichever page of the database is damaged: the disk goes on, and the next start has what came after.
#[tokio::test]
async fn a_damaged_index_begins_anew() {
    let stage = Stage::new();
    let path = stage.dir.path().join("heads.redb");
    let disk = stage.open();
    keep(&disk, 1);
    written(&disk, 1).await;
    drop(disk);
    let sound = std::fs::read(&path).unwrap();
    let pages = sound.chunks(4_096).enumerate().skip(1).filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    let mut lost = 0;
    for (page, _) in pages {
        let mut damaged = sound.clone();
        damaged[page * 4_096..][..64].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&path, damaged).unwrap();
        let disk = stage.open();
        lost += usize::from(load(&disk, 1).await.is_none());
        keep(&disk, 2);
        // Written, or met by the commit.
        drop(disk);
        let disk = stage.open();
        assert!(load(&disk, 2).await.is_none_or(|bytes| bytes == slices(2)), "page {page}");
        keep(&disk, 3);
        written(&disk, 3).await;
        assert_eq!(load(&disk, 3).await, Some(slices(3)), "page {page}");
    }
    assert!(lost > 0, "some page counts");
}

#[tokio::test]
async fn a_commit_that_meets_damage_is_an_alarm_and_the_index_begins_anew() {
    let stage = Stage::new();
    let disk = stage.open();
    keep(&disk, 1);
    written(&disk, 1).await;
    let committer = worker::Committer { shared: Arc::clone(&disk.shared), identity: 1, seed: 7 };
    committer.attempt("commit", || panic!("a bit has flipped"));
    assert_eq!((stage.errors("commit"), disk.size().2), (1, true));
    assert!(stage.dir.path().join("heads.broken").exists());
    disk.shared.failing_until.store(i64::MIN, Ordering::Relaxed);
    while !disk.shared.index.is_open() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(load(&disk, 1).await, None);
    keep(&disk, 2);
    written(&disk, 2).await;
    drop((disk, committer));
    assert_eq!(load(&stage.open(), 2).await, Some(slices(2)));
}

#[tokio::test]
async fn keeping_a_body_that_claims_to_be_huge_touches_only_what_is_there() {
    let stage = Stage::new();
    let disk = Arc::new(stage.open());
    let purging = Arc::new(Purging::open(&stage.dir.path().join("purges.redb"), 1 << 20, Clock::start(), 1));
    let store = Arc::new(Store::new(8 << 20, disk.seed, purging, Some(Arc::clone(&disk))));
    // The last slice of the longest body that there may be; a longer one is none that comes in.
    let far = 4_194_303;
    for (number, length) in [(1, 1_u64 << 50), (2, config::limits::SLICED_MOST)] {
        let sliced = Arc::new(Sliced::new(Kept::new(), length));
        let span = |byte: u8| Span { first: 0, bytes: Bytes::from(vec![byte; config::limits::SLICE_BYTES]) };
        for (slice, byte) in [(0, 1), (7, 2), (far, 3)] {
            store.put_span(&key(number), &sliced, slice, &span(byte));
        }
        let object = Object::new(head(&disk), Body::Sliced(Arc::clone(&sliced)));
        let (end, ended) = std::sync::mpsc::channel();
        let keeping = Arc::clone(&store);
        std::thread::spawn(move || {
            keeping.keep(&key(number), &object, Moment::from_seconds(0));
            let _ = end.send(());
        });
        assert_eq!(
            ended.recv_timeout(Duration::from_secs(20)),
            Ok(()),
            "{length}: it looks at every slice there may be"
        );
        assert_eq!([0, 1, 7, far].map(|slice| sliced.is_on_disk(slice)), [true, false, true, true], "{length}");
        written(&disk, number).await;
        // Its slices come after its head.
        while disk.shared.queued_bytes.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let found = disk.load(&key(2), 1 << 20).await.pop().map(|loaded| loaded.slices);
    assert!(matches!(&found, Some(Found::Apart(numbers)) if numbers[..] == [0, 7, far]), "{found:?}");
    assert!(disk.load(&key(1), 1 << 20).await.is_empty(), "what is longer than may be is not there");
}
