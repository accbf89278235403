//! Stored objects in RAM, by key and variant.

use std::sync::Arc;

use caching::{CacheKey, MOST_VARIANTS, Variant, choose};
use http::{HeaderMap, HeaderName};
use moka::ops::compute::Op;
use moka::sync::Cache;

use crate::object::Object;

/// Objects under one key, the newest first.
type Variants = Arc<Vec<Arc<Object>>>;

/// The store of one edge, shared by its cores.
#[derive(Debug)]
pub(crate) struct Store {
    objects: Cache<CacheKey, Variants>,
    seed: u64,
}

/// What the store has for a request.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// This object.
    Object(Arc<Object>),
    /// Other variants of the key, chosen by these fields.
    OtherVariants(Vec<HeaderName>),
    /// Nothing.
    Nothing,
}

/// From this weight on an insertion waits for the cache to make room: its write queue would let
/// hundreds of large objects past the limit.
const HEAVY_BYTES: usize = 16 << 10;

impl Store {
    /// An empty store of so many bytes. `seed` is this node's secret for hashing variants.
    pub(crate) fn new(bytes: u64, seed: u64) -> Self {
        let weigh = |key: &CacheKey, variants: &Variants| {
            let weight: usize = variants.iter().map(|object| object.weight()).sum();
            u32::try_from(weight + key.as_str().len()).unwrap_or(u32::MAX)
        };
        Self { objects: Cache::builder().max_capacity(bytes).weigher(weigh).build(), seed }
    }

    /// The newest object that may answer the request.
    pub(crate) fn find(&self, key: &CacheKey, request: &HeaderMap) -> Found {
        let Some(variants) = self.objects.get(key) else {
            return Found::Nothing;
        };
        let stored = variants.iter().map(|object| (&object.head.selector, object.head.date));
        match choose(stored, request, self.seed).and_then(|at| variants.get(at)) {
            Some(object) => Found::Object(Arc::clone(object)),
            None => {
                let newest = variants.first().map(|object| object.head.selector.nominated.clone());
                newest.map_or(Found::Nothing, Found::OtherVariants)
            }
        }
    }

    /// Puts an object in place of the one of its variant.
    pub(crate) fn put(&self, key: &CacheKey, object: Arc<Object>) {
        let heavy = object.weight() >= HEAVY_BYTES;
        self.objects.entry_by_ref(key).and_upsert_with(|before| {
            let variant = object.head.selector.variant;
            let others = before.iter().flat_map(|entry| entry.value().iter());
            let others = others.filter(|other| other.head.selector.variant != variant).cloned();
            Arc::new(std::iter::once(Arc::clone(&object)).chain(others).take(MOST_VARIANTS).collect())
        });
        if heavy {
            self.objects.run_pending_tasks();
        }
    }

    /// Removes one variant.
    pub(crate) fn remove_variant(&self, key: &CacheKey, variant: Variant) {
        self.objects.entry_by_ref(key).and_compute_with(|before| {
            let Some(before) = before else {
                return Op::Nop;
            };
            let others: Vec<Arc<Object>> =
                before.value().iter().filter(|object| object.head.selector.variant != variant).cloned().collect();
            if others.is_empty() { Op::Remove } else { Op::Put(Arc::new(others)) }
        });
    }

    /// Removes every variant.
    pub(crate) fn remove(&self, key: &CacheKey) {
        self.objects.invalidate(key);
    }

    /// Bytes and keys, as of now.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.objects.run_pending_tasks();
        (self.objects.weighted_size(), self.objects.entry_count())
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}
