//! What all cores of an edge share.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use caching::{ALONE_FOR, CacheKey, Word, is_same_representation};
use config::{NodeId, SiteId, limits};
use fleet::Report;
use http::HeaderMap;
use moka::sync::Cache;
use origin::Fares;
use serde_json::{Value, json};
use telemetry::{Metrics, let_go};

use crate::access::{Access, Said};
use crate::accounts::Accounts;
use crate::ask::Ask;
use crate::clock::Clock;
use crate::compress::Compressing;
use crate::disk::{self, Disk, Loaded, Setting};
use crate::draining::Draining;
use crate::flight::Flights;
use crate::head::Head;
use crate::kept::Kept;
use crate::object::{Body, Object};
use crate::purging::Purging;
use crate::rate::Rates;
use crate::room::Room;
use crate::sites::Sites;
use crate::sliced::Sliced;
use crate::slices::Slices;
use crate::store::{Found, Store};
use crate::variants::is_past_failure;

/// What all cores of an edge share.
#[derive(Debug)]
pub struct Shared {
    pub(crate) id: NodeId,
    pub(crate) sites: ArcSwapOption<Sites>,
    /// All that the edge may use, bytes.
    pub(crate) memory: u64,
    pub(crate) store: Store,
    pub(crate) purging: Arc<Purging>,
    /// Whether it asks for new clients.
    pub draining: Draining,
    pub(crate) flights: Arc<Flights>,
    /// Hashes of keys (a collision costs a detour) whose responses may not be shared: requests for them do not wait for each other.
    pub(crate) alone: Cache<u128, ()>,
    /// Hashes of keys whose bodies do not fit the window: parts of them are asked for as parts at once.
    pub(crate) long: Cache<u128, ()>,
    pub(crate) metrics: Arc<Metrics>,
    /// The log of requests, where they are written.
    pub(crate) access: ArcSwapOption<Access>,
    /// What sites take, by day.
    pub(crate) accounts: Accounts,
    pub(crate) clock: Clock,
    pub(crate) rates: Rates,
    pub(crate) compressing: Compressing,
    /// Memory for bodies on their way.
    pub(crate) room: Arc<Room>,
    pub(crate) requests: AtomicU64,
    pub(crate) hits: AtomicU64,
    /// Requests that the edge could not serve, for whatever reason; an origin's own 5xx is none.
    pub(crate) failed: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// What clients take, by prefix.
    pub demand: fleet::Meter,
    loads: Vec<tokio::sync::Mutex<()>>,
    beats: Mutex<Vec<Arc<AtomicU64>>>,
}

/// What the allocator holds besides what is in use: measured at 14 to 28 MiB, whatever is stored. Small edges set
/// aside a quarter.
const ALLOCATOR_BYTES: u64 = 24 << 20;
/// Tables of answers that may be given again take at most this share of an edge's memory.
pub(crate) const TABLES_SHARE: u64 = 64;
/// Locks under which objects are read from disk.
const LOADS: usize = 256;
/// Bodies larger than this are stored in slices apart from their heads, if parts of them can be fetched again.
pub(crate) const SLICED_FROM: u64 = 1 << 20;

/// Whether what was found answers without a look at the disk, where that may be which an error came before.
fn is_usable(found: &Found, ask: &Ask) -> bool {
    matches!(found, Found::Object(object) if !is_past_failure(object, ask.now))
}

fn object_of(loaded: Loaded) -> Object {
    let kept = Kept::on_disk(loaded.body);
    let body = match loaded.slices {
        disk::Found::Whole(list) => Body::Whole(Arc::new(Slices::new(list, kept))),
        disk::Found::Apart(numbers) => {
            let sliced = Sliced::new(kept, loaded.length);
            numbers.into_iter().for_each(|number| _ = sliced.note_on_disk(number, true));
            Body::Sliced(Arc::new(sliced))
        }
    };
    Object::new(loaded.head, body)
}

/// How long a key is remembered as too long: short enough to notice a smaller version.
const LONG_FOR: Duration = Duration::from_secs(300);
/// How often a core says that it runs.
const BEAT: Duration = Duration::from_millis(250);
/// A core silent for longer is stalled.
const STALLED_MS: u64 = 3_000;
/// One body takes at most this share of memory, and never more than the most.
const WINDOW_SHARE: u64 = 8;

impl Shared {
    /// An edge of so many bytes of memory, without sites yet: of what the allocator leaves three quarters are for
    /// what is stored, with what a disk tier takes of them, the rest is for bodies on their way. What was purged is remembered in `home`.
    /// Requests are not written anywhere yet.
    #[must_use]
    pub fn new(
        id: NodeId,
        (memory, disk): (u64, Option<&config::Disk>),
        home: &Path,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        // Each process has random keys of its own.
        let seed = RandomState::new().hash_one(id.as_str());
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let clock = Clock::start();
        let identity = RandomState::new().hash_one("purges");
        let purging = Arc::new(Purging::open(&home.join("purges.redb"), memory, clock, identity));
        let disk = disk.and_then(|disk| {
            let path = disk.path.join(id.as_str());
            let (size, requests, identity, metrics) =
                (disk.size, disk.requests, purging.identity(), Arc::clone(&metrics));
            let setting = Setting { path: &path, size, requests, memory, identity, seed, clock, metrics };
            Disk::open(setting).map_err(|error| tracing::error!(%error, "there is no disk tier: RAM only")).ok()
        });
        let seed = disk.as_ref().map_or(seed, |disk| disk.seed);
        let memory = memory - (memory / 4).min(ALLOCATOR_BYTES);
        let stored = memory / 4 * 3 - memory / TABLES_SHARE - disk.as_ref().map_or(0, |_| disk::share_of(memory));
        let room = Arc::new(Room::new(bytes((memory / WINDOW_SHARE).min(limits::FILL_WINDOW)), bytes(memory / 4)));
        Arc::new(Self {
            id,
            sites: ArcSwapOption::empty(),
            memory,
            store: Store::new(stored, seed, Arc::clone(&purging), disk.map(Arc::new)),
            purging,
            draining: Draining::read(home),
            flights: Arc::new(Flights::new()),
            alone: Cache::builder().max_capacity(limits::UNSHARED_KEYS).time_to_live(ALONE_FOR).build(),
            long: Cache::builder().max_capacity(limits::UNSHARED_KEYS).time_to_live(LONG_FOR).build(),
            metrics,
            access: ArcSwapOption::empty(),
            accounts: Accounts::new(&home.join("report")),
            clock,
            rates: Rates::new(),
            compressing: Compressing::new(&room),
            room,
            requests: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            demand: fleet::Meter::default(),
            loads: (0..LOADS).map(|_| tokio::sync::Mutex::default()).collect(),
            beats: Mutex::default(),
        })
    }

    /// Writes what waits for the disk, and what was counted; call it when nothing is served any more.
    pub fn close(&self) {
        self.settle_accounts();
        self.store.disk.iter().for_each(|disk| _ = disk.close());
    }

    /// Has requests written to this log from the next line on, or to none. Waits until all lines of the one before are written.
    pub fn log_to(&self, access: Option<Access>) {
        self.access.swap(access.map(Arc::new)).into_iter().for_each(let_go);
    }

    /// Has the file of the access log opened anew, where there is one.
    pub fn reopen_log(&self) {
        self.access.load().iter().for_each(|access| access.reopen());
    }

    /// What a client says of itself, where lines have it; else nothing is copied.
    pub(crate) fn said(&self, copy: impl FnOnce(&Access) -> Said) -> Said {
        self.access.load().as_ref().map(|access| copy(access)).unwrap_or_default()
    }

    /// Puts the sites of a new config in place of the old.
    pub fn swap(&self, sites: Sites) {
        sites.label(&self.metrics, &self.accounts);
        let before = self.sites.rcu(|before| match before {
            Some(before) => {
                // What its bodies on their way take now they take after a reload too.
                sites.keep_rooms_of(before);
                Some(Arc::new(sites.clone().after(before)))
            }
            None => Some(Arc::new(sites.clone())),
        });
        if let (Some(before), Some(now)) = (before, self.sites.load().as_ref()) {
            before.unlabelled_in(now).for_each(|id| self.metrics.forget("site", id.as_str()));
        }
    }

    /// Whether a purge forbids a response whose head this is.
    pub(crate) fn is_purged(&self, key: &CacheKey, head: &Head) -> bool {
        self.purging.word(key, &head.tags, head.since) == Word::Gone
    }

    /// What is stored for a request, on disk too.
    pub(crate) async fn find(&self, ask: &Ask) -> Found {
        let found = self.store.find(&ask.key, &ask.headers);
        match &self.store.disk {
            Some(disk) if !is_usable(&found, ask) && disk.has(&ask.key) => {
                self.find_on_disk(ask, disk).await.unwrap_or(found)
            }
            _ => found,
        }
    }

    /// Reads the objects of a key from disk, one request at a time: the others find them in RAM.
    async fn find_on_disk(&self, ask: &Ask, disk: &Disk) -> Option<Found> {
        let shard = usize::try_from(ask.key.hash() % LOADS as u128).ok()?;
        let _turn = self.loads.get(shard)?.lock().await;
        let generation = self.store.generation(&ask.key);
        let found = self.store.find(&ask.key, &ask.headers);
        if is_usable(&found, ask) {
            return Some(found);
        }
        let loaded = disk.load(&ask.key, SLICED_FROM).await;
        let objects: Vec<Arc<Object>> = loaded.into_iter().map(|loaded| Arc::new(object_of(loaded))).collect();
        for object in &objects {
            self.store.put_back(&ask.key, object, generation);
        }
        // What RAM has no room for answers this request all the same.
        Some(self.store.choose_of(&ask.key, &objects, &ask.headers))
    }

    /// The body of an object that comes in: the one that is stored, where it is of the same version, so that
    /// parts add up.
    pub(crate) fn sliced(&self, key: &CacheKey, request: &HeaderMap, head: &Head, length: u64) -> Arc<Sliced> {
        if let Found::Object(object) = self.store.find(key, request)
            && let Body::Sliced(sliced) = &object.body
            && sliced.length == length
            && is_same_representation(&object.head.headers, &head.headers)
        {
            return Arc::clone(sliced);
        }
        Arc::new(Sliced::new(Kept::new(), length))
    }

    /// Counts what is stored, for whoever reads the metrics next.
    pub fn note_store(&self) {
        let (bytes, objects) = self.store.size();
        self.metrics.store_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.metrics.store_objects.set(i64::try_from(objects).unwrap_or(i64::MAX));
        let position = i64::try_from(self.purging.position()).unwrap_or(i64::MAX);
        self.metrics.purge_position.with_label_values(&[self.id.as_str()]).set(position);
        self.note_received();
        if let Some(disk) = &self.store.disk {
            let (bytes, objects, is_failing) = disk.size();
            self.metrics.disk_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            self.metrics.disk_objects.set(i64::try_from(objects).unwrap_or(i64::MAX));
            self.metrics.disk_failing.set(i64::from(is_failing));
        }
    }

    /// Counts what has come from origins, for whoever reads the counters next.
    pub fn note_received(&self) {
        self.sites.load().iter().for_each(|sites| sites.note_received());
    }

    /// The edge's part of `hither status`.
    #[must_use]
    pub fn status(&self) -> Value {
        let (stored_bytes, stored_objects) = self.store.size();
        let disk = self.store.disk.as_ref().map(|disk| {
            let (bytes, objects, is_failing) = disk.size();
            json!({ "bytes": bytes, "objects": objects, "failing": is_failing })
        });
        json!({
            "requests": self.requests.load(Ordering::Relaxed),
            "hits": self.hits.load(Ordering::Relaxed),
            "bytes": self.bytes.load(Ordering::Relaxed),
            "connections": self.metrics.connections.get(),
            "stored_bytes": stored_bytes,
            "stored_objects": stored_objects,
            "disk": disk,
            "fallen_back": self.sites.load().as_ref().map(|sites| sites.fallen_back().map(SiteId::as_str).map(str::to_owned).collect::<Vec<_>>()),
            "origins": self.origins(),
            "purge_position": self.purging.position(),
            "draining": self.draining.is_on(),
            "told_of_draining": self.draining.told().iter().map(NodeId::as_str).collect::<Vec<_>>(),
        })
    }

    /// Servers of origins that take no fetches, by site.
    fn origins(&self) -> Value {
        let sites = self.sites.load();
        let unwell = sites.iter().flat_map(|sites| sites.unwell());
        let of = |(id, fares): (&SiteId, Vec<Fares>)| {
            let list = fares
                .iter()
                .map(|one| json!({ "server": one.server, "down": one.is_down, "left_alone": one.is_left_alone }));
            (id.to_string(), Value::Array(list.collect()))
        };
        Value::Object(unwell.map(of).collect())
    }

    /// What name servers are told.
    pub(crate) fn report(&self) -> Report {
        let sites = self.sites.load();
        Report {
            config_version: sites.as_ref().map_or(0, |sites| sites.version.number),
            config_digest: sites.as_ref().and_then(|sites| sites.version.digest.clone()),
            sites: sites.as_ref().map_or_else(String::new, |sites| sites.digest.clone()),
            connections: u64::try_from(self.metrics.connections.get()).unwrap_or(0),
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            uptime_ms: self.now_ms(),
            draining: self.draining.is_on(),
        }
    }

    /// Starts telling that this core runs; call it on the core.
    pub(crate) fn beat(self: &Arc<Self>) {
        let beat = Arc::new(AtomicU64::new(self.now_ms()));
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&beat));
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(shared) = shared.upgrade() {
                beat.store(shared.now_ms(), Ordering::Relaxed);
                drop(shared);
                tokio::time::sleep(BEAT).await;
            }
        });
    }

    /// Whether every core runs and there are sites to serve.
    pub(crate) fn is_well(&self) -> bool {
        let now = self.now_ms();
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let running = beats.iter().all(|beat| now.saturating_sub(beat.load(Ordering::Relaxed)) < STALLED_MS);
        running && self.sites.load().is_some()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().millis()).unwrap_or(0)
    }
}
