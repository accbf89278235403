//! What all cores of an edge share.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use caching::{ALONE_FOR, CacheKey, Word, is_same_representation};
use config::{NodeId, limits};
use fleet::Report;
use http::HeaderMap;
use moka::sync::Cache;
use serde_json::{Value, json};
use telemetry::{Clients, Log, Metrics};

use crate::clock::Clock;
use crate::flight::Flights;
use crate::head::Head;
use crate::object::Body;
use crate::purging::Purging;
use crate::room::Room;
use crate::sites::Sites;
use crate::sliced::Sliced;
use crate::store::{Found, Store};

/// What all cores of an edge share.
#[derive(Debug)]
pub struct Shared {
    pub(crate) id: NodeId,
    pub(crate) sites: ArcSwapOption<Sites>,
    pub(crate) store: Store,
    pub(crate) purging: Arc<Purging>,
    pub(crate) flights: Arc<Flights>,
    /// Hashes of keys (a collision costs a detour) whose responses may not be shared: requests for them do not wait for each other.
    pub(crate) alone: Cache<u128, ()>,
    /// Hashes of keys whose bodies do not fit the window: parts of them are asked for as parts at once.
    pub(crate) long: Cache<u128, ()>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Option<(Log, Clients)>,
    pub(crate) clock: Clock,
    /// Memory for bodies on their way.
    pub(crate) room: Arc<Room>,
    pub(crate) requests: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) bytes: AtomicU64,
    beats: Mutex<Vec<Arc<AtomicU64>>>,
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
    /// An edge of so many bytes of memory, without sites yet: three quarters store, the rest is for
    /// bodies on their way. What was purged is remembered in `home`.
    #[must_use]
    pub fn new(id: NodeId, memory: u64, home: &Path, metrics: Arc<Metrics>, log: Option<(Log, Clients)>) -> Arc<Self> {
        // Each process has random keys of its own.
        let seed = RandomState::new().hash_one(id.as_str());
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let clock = Clock::start();
        let identity = RandomState::new().hash_one("purges");
        let purging = Arc::new(Purging::open(&home.join("purges.redb"), memory, clock, identity));
        let room = Room::new(bytes((memory / WINDOW_SHARE).min(limits::FILL_WINDOW)), bytes(memory / 4));
        Arc::new(Self {
            id,
            sites: ArcSwapOption::empty(),
            store: Store::new(memory / 4 * 3, seed, Arc::clone(&purging)),
            purging,
            flights: Arc::new(Flights::new()),
            alone: Cache::builder().max_capacity(limits::UNSHARED_KEYS).time_to_live(ALONE_FOR).build(),
            long: Cache::builder().max_capacity(limits::UNSHARED_KEYS).time_to_live(LONG_FOR).build(),
            metrics,
            log,
            clock,
            room: Arc::new(room),
            requests: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            beats: Mutex::default(),
        })
    }

    /// Puts the sites of a new config in place of the old.
    pub fn swap(&self, sites: Sites) {
        sites.label(&self.metrics);
        let before = self.sites.swap(Some(Arc::new(sites)));
        if let (Some(before), Some(now)) = (before, self.sites.load().as_ref()) {
            before.unlabelled_in(now).for_each(|id| self.metrics.forget("site", id.as_str()));
        }
    }

    /// Whether a purge forbids a response whose head this is.
    pub(crate) fn is_purged(&self, key: &CacheKey, head: &Head) -> bool {
        self.purging.word(key, &head.tags, head.position) == Word::Gone
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
        Arc::new(Sliced::new(RandomState::new().hash_one(length), length))
    }

    /// Counts what is stored, for whoever reads the metrics next.
    pub fn note_store(&self) {
        let (bytes, objects) = self.store.size();
        self.metrics.store_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.metrics.store_objects.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// The edge's part of `hither status`.
    #[must_use]
    pub fn status(&self) -> Value {
        let (stored_bytes, stored_objects) = self.store.size();
        json!({
            "requests": self.requests.load(Ordering::Relaxed),
            "hits": self.hits.load(Ordering::Relaxed),
            "bytes": self.bytes.load(Ordering::Relaxed),
            "connections": self.metrics.connections.get(),
            "stored_bytes": stored_bytes,
            "stored_objects": stored_objects,
        })
    }

    /// What name servers are told.
    pub(crate) fn report(&self) -> Report {
        let sites = self.sites.load();
        Report {
            config_version: sites.as_ref().map_or(0, |sites| sites.version),
            sites: sites.as_ref().map_or_else(String::new, |sites| sites.digest.clone()),
            connections: u64::try_from(self.metrics.connections.get()).unwrap_or(0),
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
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
