//! What is kept in RAM: newcomers wait in a queue, and what is asked for there goes on to moka.
//!
//! ```text
//!   put -> queue, oldest first out (4/10) -- asked for while there, or moka has room --> moka (6/10)
//!                                         \- else dropped
//! ```
//!
//! Moka has no window: it weighs a newcomer by how often it was asked for, which is once, and turns
//! it away before it can show more. The queue is that window. Every `get` asks moka first, so its
//! sketch counts what is asked for in the queue as well.

use std::collections::BTreeMap;
use std::collections::hash_map::{HashMap, RandomState};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};

use moka::sync::Cache;

/// A cache bounded by weight, shared by threads.
///
/// A hit takes no lock but that of one shard in [`SHARDS`], for reading, and only for what is not
/// in moka. Changes of a key are in turn; those of others wait only where they share a shard.
/// The weight stays within the capacity but for what waits for moka's maintenance, 1/64 of the
/// capacity, and one entry a thread.
pub struct Ram<K, V> {
    main: Cache<K, V, RandomState>,
    main_capacity: u64,
    /// Weight put into moka since its last maintenance.
    unsettled: AtomicU64,
    shards: Vec<RwLock<Shard<K, V>>>,
    hasher: RandomState,
    /// Tickets of the newcomers in all shards. Taken while a shard's lock is held, never the other
    /// way round; hits don't take it.
    queue: Mutex<BTreeMap<u64, K>>,
    queue_capacity: u64,
    queue_weight: AtomicU64,
    next_ticket: AtomicU64,
    weigher: Arc<Weigher<K, V>>,
}

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<V> {
    /// Leave what is there, or nothing.
    Keep,
    /// Put this in its place.
    Put(V),
    /// Leave nothing.
    Remove,
}

type Weigher<K, V> = dyn Fn(&K, &V) -> u32 + Send + Sync;
type Shard<K, V> = HashMap<K, Newcomer<V>, RandomState>;

/// An entry that is not in moka yet.
struct Newcomer<V> {
    value: V,
    weight: u64,
    ticket: u64,
    /// Whether it was found since it came.
    asked_for: AtomicBool,
}

/// Shards of the newcomers: with 64 cores each finds its shard free of writers most times.
const SHARDS: usize = 64;
/// The queue's share of the capacity, in tenths. Shops' traces (web07, web12) gain alike by 3 and 4,
/// and with 3 web12 falls to LRU in a cache of 68 entries; plain Zipf wants less and gains 8.3 points
/// over LRU instead of 9 (2).
const QUEUE_TENTHS: u64 = 4;
/// Moka's maintenance runs when this part of the capacity was put into it. Left to itself it lets
/// hundreds of entries past the limit, however large.
const UNSETTLED_PART: u64 = 64;

impl<K, V> Ram<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty cache. The weigher counts an entry's own bytes and what it costs to hold it, about
    /// 200 bytes; its answer must not change while the value is stored.
    pub fn new(capacity_bytes: u64, weigher: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Self {
        let weigher: Arc<Weigher<K, V>> = Arc::new(weigher);
        let queue_capacity = capacity_bytes / 10 * QUEUE_TENTHS + capacity_bytes % 10 * QUEUE_TENTHS / 10;
        let main_capacity = capacity_bytes - queue_capacity;
        let hasher = RandomState::new();
        let weigh = Arc::clone(&weigher);
        let main = Cache::builder()
            .max_capacity(main_capacity)
            .weigher(move |key: &K, value: &V| weigh(key, value))
            .build_with_hasher(hasher.clone());
        Self {
            main,
            main_capacity,
            unsettled: AtomicU64::new(0),
            shards: (0..SHARDS).map(|_| RwLock::new(HashMap::with_hasher(hasher.clone()))).collect(),
            hasher,
            queue: Mutex::new(BTreeMap::new()),
            queue_capacity,
            queue_weight: AtomicU64::new(0),
            next_ticket: AtomicU64::new(0),
            weigher,
        }
    }

    /// What is stored under a key. This counts as asking for it.
    pub fn get(&self, key: &K) -> Option<V> {
        if let Some(value) = self.main.get(key) {
            return Some(value);
        }
        let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        if let Some(newcomer) = shard.get(key) {
            // Most finds see it set: the line stays shared by the cores.
            if !newcomer.asked_for.load(Ordering::Relaxed) {
                newcomer.asked_for.store(true, Ordering::Relaxed);
            }
            return Some(newcomer.value.clone());
        }
        drop(shard);
        // It may have gone on to moka between the two looks. A second `get` would count twice.
        if self.main.contains_key(key) { self.main.get(key) } else { None }
    }

    /// Changes what is stored under a key; changes of one key come one after another, each seeing
    /// the one before.
    ///
    /// `change` must not use this cache: it runs while a shard is locked.
    pub fn update(&self, key: K, change: impl FnOnce(Option<&V>) -> Change<V>) {
        let mut shard = self.lock(&key);
        if let Some(newcomer) = shard.get_mut(&key) {
            match change(Some(&newcomer.value)) {
                Change::Keep => return,
                Change::Put(value) => self.replace(&mut shard, key, value),
                Change::Remove => drop(self.leave(&mut shard, &key)),
            }
        } else {
            let stored = if self.main.contains_key(&key) { self.main.get(&key) } else { None };
            match change(stored.as_ref()) {
                Change::Keep => return,
                Change::Put(value) if stored.is_some() => self.put_main(key, value),
                Change::Put(value) => self.enter(&mut shard, key, value),
                // Unseen, it may be on its way in or out of moka: gone is gone.
                Change::Remove => self.main.invalidate(&key),
            }
        }
        drop(shard);
        self.make_room();
    }

    /// The weight of all entries, after maintenance.
    pub fn weight(&self) -> u64 {
        self.main.run_pending_tasks();
        self.main.weighted_size().saturating_add(self.queue_weight.load(Ordering::Acquire))
    }

    /// How many entries there are, after maintenance.
    pub fn count(&self) -> u64 {
        self.main.run_pending_tasks();
        let waiting = self.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.main.entry_count().saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX))
    }

    fn shard(&self, key: &K) -> &RwLock<Shard<K, V>> {
        // Not the bits by which a shard's own table places it: those would leave most places empty.
        let (before, from) = self.shards.split_at((self.hasher.hash_one(key) >> 40) as usize % SHARDS);
        from.first().or(before.first()).expect("there are SHARDS of them, more than none")
    }

    fn lock(&self, key: &K) -> RwLockWriteGuard<'_, Shard<K, V>> {
        // What panicked was a `change`, before anything was changed.
        self.shard(key).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn weigh(&self, key: &K, value: &V) -> u64 {
        u64::from((self.weigher)(key, value))
    }

    /// A newcomer joins the queue; what would fill all of it goes to moka at once.
    fn enter(&self, shard: &mut Shard<K, V>, key: K, value: V) {
        let weight = self.weigh(&key, &value);
        if weight > self.queue_capacity {
            return self.put_main(key, value);
        }
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        self.queue_weight.fetch_add(weight, Ordering::AcqRel);
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, key.clone());
        shard.insert(key, Newcomer { value, weight, ticket, asked_for: AtomicBool::new(false) });
    }

    /// A newcomer's value changes; its place in the queue does not.
    fn replace(&self, shard: &mut Shard<K, V>, key: K, value: V) {
        let weight = self.weigh(&key, &value);
        if weight > self.queue_capacity {
            // Moka has it before the queue lets go: a `get` finds it in one of them.
            self.put_main(key.clone(), value);
            drop(self.leave(shard, &key));
        } else if let Some(newcomer) = shard.get_mut(&key) {
            self.queue_weight.fetch_add(weight, Ordering::AcqRel);
            self.queue_weight.fetch_sub(newcomer.weight, Ordering::AcqRel);
            newcomer.weight = weight;
            newcomer.value = value;
        }
    }

    fn leave(&self, shard: &mut Shard<K, V>, key: &K) -> Option<Newcomer<V>> {
        let newcomer = shard.remove(key)?;
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).remove(&newcomer.ticket);
        self.queue_weight.fetch_sub(newcomer.weight, Ordering::AcqRel);
        Some(newcomer)
    }

    fn put_main(&self, key: K, value: V) {
        self.unsettled.fetch_add(self.weigh(&key, &value), Ordering::AcqRel);
        self.main.insert(key, value);
    }

    /// Lets the oldest newcomers go until the rest fit, and moka do its maintenance if it is due.
    /// No lock is held when this is called.
    fn make_room(&self) {
        while self.queue_weight.load(Ordering::Acquire) > self.queue_capacity {
            let oldest = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            let Some((ticket, key)) = oldest else {
                break;
            };
            let mut shard = self.lock(&key);
            // Another may have left and come back since: it has a ticket of its own.
            if let Some(newcomer) = shard.get(&key).filter(|newcomer| newcomer.ticket == ticket) {
                if newcomer.asked_for.load(Ordering::Relaxed) || self.main_has_room(newcomer.weight) {
                    self.put_main(key.clone(), newcomer.value.clone());
                }
                drop(self.leave(&mut shard, &key));
            }
            drop(shard);
            self.settle();
        }
        self.settle();
    }

    fn main_has_room(&self, weight: u64) -> bool {
        let stored = self.main.weighted_size() + self.unsettled.load(Ordering::Acquire);
        stored + weight <= self.main_capacity
    }

    fn settle(&self) {
        if self.unsettled.load(Ordering::Acquire) > self.main_capacity / UNSETTLED_PART {
            self.unsettled.store(0, Ordering::Release);
            self.main.run_pending_tasks();
        }
    }
}

impl<K, V> fmt::Debug for Ram<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ram")
            .field("main_capacity", &self.main_capacity)
            .field("queue_capacity", &self.queue_capacity)
            .field("queue_weight", &self.queue_weight)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
