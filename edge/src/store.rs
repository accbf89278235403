//! What is stored in RAM: objects by key and variant, and slices of bodies that are kept apart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use caching::{CacheKey, MOST_VARIANTS, Moment, Variant, Word};
use http::{HeaderMap, HeaderName};

use crate::disk::Disk;
use crate::object::{Body, Object};
use crate::purging::Purging;
use crate::ram::{Change, Ram};
use crate::sliced::{Sliced, Span, slice_of};
use crate::variants::{chosen, goes, is_failure};

/// Objects under one key, the newest first.
type Variants = Arc<Vec<Arc<Object>>>;

/// By which an entry is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    /// The objects of a key.
    Key(CacheKey),
    /// A slice of a body: the body's id, the slice's number.
    Slice(u64, u32),
}

/// What is stored under a name. One budget holds both kinds, so that what is asked for most stays.
#[derive(Clone, Debug)]
enum Entry {
    Objects(Variants),
    Slice(Span),
}

impl Entry {
    fn objects(&self) -> &[Arc<Object>] {
        match self {
            Self::Objects(variants) => variants,
            Self::Slice(_) => &[],
        }
    }
}

/// The store of one edge, shared by its cores.
#[derive(Debug)]
pub(crate) struct Store {
    entries: Ram<Name, Entry>,
    /// How often keys were emptied; keys share counters by their hash, which at worst keeps a fill
    /// out that could have been stored.
    generations: Vec<AtomicU64>,
    purging: Arc<Purging>,
    pub(crate) disk: Option<Arc<Disk>>,
    seed: u64,
}

/// A key's time in the store, from one emptying to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

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

/// Where an object stands under its key. It keeps nothing in the store.
#[derive(Debug)]
pub(crate) struct Place {
    variants: Weak<Vec<Arc<Object>>>,
    at: usize,
}

/// What a slice costs besides its bytes.
const SPAN_BYTES: usize = 256;

/// Counters of generations: with 1,000 fills under way and an emptying a second, one fill in four
/// thousand seconds is kept out for another's sake.
const GENERATIONS: usize = 4_096;

impl Store {
    /// An empty store of so many bytes. `seed` is this node's secret for hashing variants.
    pub(crate) fn new(bytes: u64, seed: u64, purging: Arc<Purging>, disk: Option<Arc<Disk>>) -> Self {
        let weigh = |name: &Name, entry: &Entry| {
            let name = if let Name::Key(key) = name { key.as_str().len() } else { 0 };
            let entry = match entry {
                Entry::Objects(variants) => variants.iter().map(|object| object.weight()).sum(),
                Entry::Slice(span) => span.bytes.len() + SPAN_BYTES,
            };
            u32::try_from(name + entry).unwrap_or(u32::MAX)
        };
        let generations = (0..GENERATIONS).map(|_| AtomicU64::new(0)).collect();
        Self { entries: Ram::new(bytes, weigh), generations, purging, disk, seed }
    }

    /// The newest object that may answer the request and was not purged.
    pub(crate) fn find(&self, key: &CacheKey, request: &HeaderMap) -> Found {
        loop {
            let found = self.look(key, request);
            let Found::Object(object) = &found else {
                return found;
            };
            // Read before the purges are: one that comes in between is looked at next time.
            let position = self.purging.position();
            if object.holds_at(position) {
                return found;
            }
            match self.purging.word(key, &object.head.tags, object.head.since) {
                Word::Holds => {
                    object.held_at(position);
                    return found;
                }
                Word::Stale(at) => self.exchange(key, object, Some(&Arc::new(object.stale_since(at, position)))),
                Word::Gone => self.exchange(key, object, None),
            }
        }
    }

    /// As [`Self::find`], of these objects.
    pub(crate) fn choose_of(&self, key: &CacheKey, objects: &[Arc<Object>], request: &HeaderMap) -> Found {
        let position = self.purging.position();
        let judged = objects.iter().filter_map(|object| {
            // A position that this log has never reached is another log's.
            let is_known = object.head.since.validated <= position;
            match self.purging.word(key, &object.head.tags, object.head.since) {
                Word::Holds if is_known => Some(Arc::clone(object)),
                Word::Stale(at) if is_known => Some(Arc::new(object.stale_since(at, position))),
                _ => {
                    self.remove_body(key, object.body.kept().id);
                    None
                }
            }
        });
        self.found(&judged.collect::<Vec<_>>(), request)
    }

    fn look(&self, key: &CacheKey, request: &HeaderMap) -> Found {
        match self.entries.get(&Name::Key(key.clone())) {
            Some(Entry::Objects(variants)) => self.found(&variants, request),
            Some(Entry::Slice(_)) | None => Found::Nothing,
        }
    }

    fn found(&self, variants: &[Arc<Object>], request: &HeaderMap) -> Found {
        match chosen(variants, request, self.seed, || self.purging.now()) {
            Some(object) => Found::Object(Arc::clone(object)),
            None => {
                let newest = variants.first().map(|object| object.head.selector.nominated.clone());
                newest.map_or(Found::Nothing, Found::OtherVariants)
            }
        }
    }

    /// Where an object stands under its key, if it does.
    pub(crate) fn place_of(&self, key: &CacheKey, object: &Arc<Object>) -> Option<Place> {
        let Some(Entry::Objects(variants)) = self.entries.get(&Name::Key(key.clone())) else { return None };
        let at = variants.iter().position(|other| Arc::ptr_eq(other, object))?;
        Some(Place { variants: Arc::downgrade(&variants), at })
    }

    /// The object at a place, while nothing stored under its key has changed and no purge reaches it.
    pub(crate) fn find_at(&self, key: &CacheKey, place: &Place) -> Option<Arc<Object>> {
        let Some(Entry::Objects(variants)) = self.entries.get(&Name::Key(key.clone())) else { return None };
        let is_same = std::ptr::eq(Arc::as_ptr(&variants), place.variants.as_ptr());
        let object = variants.get(place.at).filter(|_| is_same)?;
        object.holds_at(self.purging.position()).then(|| Arc::clone(object))
    }

    /// The key's generation now: a fetch takes it along when it begins.
    pub(crate) fn generation(&self, key: &CacheKey) -> Generation {
        Generation(self.counter(key).map_or(0, |counter| counter.load(Ordering::Acquire)))
    }

    fn counter(&self, key: &CacheKey) -> Option<&AtomicU64> {
        let places = u64::try_from(self.generations.len()).unwrap_or(u64::MAX);
        self.generations.get(usize::try_from(key.hash() % u128::from(places)).unwrap_or(0))
    }

    /// Puts an object in place of the one of its variant, unless its key was emptied since this
    /// generation; an error before that one.
    pub(crate) fn put(&self, key: &CacheKey, object: Arc<Object>, generation: Generation) {
        let mut is_put = false;
        // An error is for seconds: the disk keeps what it comes before.
        let is_for_disk = !is_failure(&object);
        if !is_for_disk {
            object.body.kept().drop_it();
        }
        self.entries.update(Name::Key(key.clone()), |before| {
            if self.generation(key) != generation {
                return Change::Keep;
            }
            is_put = true;
            let before = before.map_or(&[][..], Entry::objects);
            let (replaced, others): (Vec<_>, Vec<_>) = before.iter().partition(|other| goes(other, &object));
            let body = object.body.kept().id;
            replaced.iter().filter(|other| !other.has_body(body)).for_each(|other| other.body.kept().drop_it());
            put(std::iter::once(&object).chain(others).take(MOST_VARIANTS).cloned())
        });
        if let Some(disk) = self.disk.as_ref().filter(|_| is_put && is_for_disk) {
            disk.replace(key, &object.head, object.body.kept().id, object.body.length());
        }
    }

    /// Puts an object that was read from disk beside those that are here, unless they have its variant.
    pub(crate) fn put_back(&self, key: &CacheKey, object: &Arc<Object>, generation: Generation) {
        self.entries.update(Name::Key(key.clone()), |before| {
            let before = before.map_or(&[][..], Entry::objects);
            let is_there = before.iter().any(|other| goes(other, object) && !is_failure(other));
            if is_there || self.generation(key) != generation {
                return Change::Keep;
            }
            put(before.iter().chain([object]).take(MOST_VARIANTS).cloned())
        });
    }

    /// Puts another in place of an object, or nothing, if that is still there.
    pub(crate) fn exchange(&self, key: &CacheKey, old: &Arc<Object>, new: Option<&Arc<Object>>) {
        self.entries.update(Name::Key(key.clone()), |before| {
            let Some(before) = before else {
                return Change::Keep;
            };
            let in_place = |object: &Arc<Object>| {
                if Arc::ptr_eq(object, old) { new.cloned() } else { Some(Arc::clone(object)) }
            };
            put(before.objects().iter().filter_map(in_place))
        });
        if new.is_none() {
            let body = old.body.kept();
            body.drop_it();
            self.forget_on_disk(key, |_, id| id == body.id);
        }
    }

    /// Removes the objects of a key that are meant, on disk too: by variant, and by the body's id.
    fn remove(&self, key: &CacheKey, is_meant: impl Fn(&Variant, u64) -> bool) {
        self.entries.update(Name::Key(key.clone()), |before| {
            let Some(before) = before else {
                return Change::Keep;
            };
            put(before.objects().iter().filter_map(|object| {
                let body = object.body.kept();
                if is_meant(&object.head.selector.variant, body.id) {
                    body.drop_it();
                    return None;
                }
                Some(Arc::clone(object))
            }))
        });
        self.forget_on_disk(key, is_meant);
    }

    fn forget_on_disk(&self, key: &CacheKey, is_meant: impl Fn(&Variant, u64) -> bool) {
        if let Some(disk) = &self.disk {
            disk.forget(key, is_meant);
        }
    }

    /// What is there of a slice.
    pub(crate) fn span(&self, body: u64, number: u32) -> Option<Span> {
        match self.entries.get(&Name::Slice(body, number))? {
            Entry::Slice(span) => Some(span),
            Entry::Objects(_) => None,
        }
    }

    /// The bytes of a body from a place on, up to the end of the slice or of what is there of it.
    pub(crate) fn bytes_at(&self, body: u64, offset: u64) -> Option<Bytes> {
        let (number, within) = slice_of(offset);
        self.span(body, number)?.from(within)
    }

    /// Adds bytes of a slice to what is there of it; a slice that is whole by now goes to disk, if its object
    /// does.
    pub(crate) fn put_span(&self, key: &CacheKey, sliced: &Sliced, number: u32, span: &Span) {
        let mut all = Span { first: 0, bytes: Bytes::new() };
        self.entries.update(Name::Slice(sliced.id(), number), |before| {
            let both = match before {
                Some(Entry::Slice(before)) => before.with(span),
                Some(Entry::Objects(_)) | None => span.clone(),
            };
            all = both.clone();
            Change::Put(Entry::Slice(both))
        });
        if self.disk.is_some() {
            // Before it is looked whether its object goes to disk: one that begins to sees it here.
            sliced.note_come(number);
        }
        self.keep_slice(key, sliced, (number, all.first), &all.bytes);
    }

    /// Keeps a slice on disk if these bytes, which lie so far within it, are all of it and its object is there.
    pub(crate) fn keep_slice(&self, key: &CacheKey, sliced: &Sliced, (number, within): (u32, usize), bytes: &Bytes) {
        if let Some(disk) = self.disk.as_ref().filter(|_| sliced.kept.is_on_disk())
            && within == 0
            && bytes.len() == sliced.length_of(number)
            && sliced.note_on_disk(number, true)
            && !disk.keep_slice(key, &sliced.kept, number, bytes)
        {
            sliced.note_on_disk(number, false);
        }
    }

    /// Keeps an object on disk if it was asked for before; call it whenever it is asked for.
    pub(crate) fn keep(&self, key: &CacheKey, object: &Object, now: Moment) {
        let Some(disk) = &self.disk else {
            return;
        };
        let kept = object.body.kept();
        if kept.is_on_disk() {
            // It may have been evicted there.
            if object.is_touched_after_a_while(now) && !disk.touch(key, kept.id) {
                kept.give_up();
            }
            return;
        }
        if kept.is_dropped() || !disk.admits(key) {
            return;
        }
        match &object.body {
            Body::Whole(slices) => {
                disk.keep(key, &object.head, kept, slices.length(), (0..).zip(slices.list().iter().cloned()));
            }
            Body::Sliced(sliced) => {
                disk.keep(key, &object.head, kept, sliced.length, std::iter::empty());
                // What is there, not what its length would make: that is only what an origin claims.
                let come = if kept.is_on_disk() { sliced.come() } else { Vec::new() };
                for number in come {
                    match self.span(kept.id, number) {
                        Some(span) => self.keep_slice(key, sliced, (number, span.first), &span.bytes),
                        None => sliced.note_gone(number),
                    }
                }
            }
        }
    }

    /// Reads a slice from disk, if it is there.
    pub(crate) async fn read_slice(&self, sliced: &Sliced, number: u32) -> Option<Bytes> {
        let disk = self.disk.as_ref().filter(|_| sliced.is_on_disk(number))?;
        let bytes = disk.read(sliced.id(), number, sliced.length_of(number)).await;
        match bytes {
            Some(bytes) => {
                let span = Span { first: 0, bytes: bytes.clone() };
                let name = Name::Slice(sliced.id(), number);
                self.entries.update(name, |_| Change::Put(Entry::Slice(span)));
                Some(bytes)
            }
            None => {
                sliced.note_on_disk(number, false);
                None
            }
        }
    }

    /// Removes one variant.
    pub(crate) fn remove_variant(&self, key: &CacheKey, variant: Variant) {
        self.remove(key, |other, _| *other == variant);
    }

    /// Whether an object with this body is stored under a key.
    pub(crate) fn has_body(&self, key: &CacheKey, body: u64) -> bool {
        let entry = self.entries.get(&Name::Key(key.clone()));
        entry.is_some_and(|entry| entry.objects().iter().any(|object| object.has_body(body)))
    }

    /// Removes the objects with a body whose slices are stored apart: it is no longer what the origin has.
    pub(crate) fn remove_body(&self, key: &CacheKey, body: u64) {
        self.remove(key, |_, id| id == body);
    }

    /// Empties a key: every variant goes, and what is on its way is not stored.
    pub(crate) fn empty(&self, key: &CacheKey) {
        if let Some(counter) = self.counter(key) {
            counter.fetch_add(1, Ordering::AcqRel);
        }
        // In turn with the puts of this key, unlike an invalidation.
        self.remove(key, |_, _| true);
    }

    /// Bytes and entries, as of now.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.entries.weight(), self.entries.count())
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}

/// Puts objects under their key, or nothing where there are none.
fn put(objects: impl Iterator<Item = Arc<Object>>) -> Change<Entry> {
    let objects: Vec<Arc<Object>> = objects.collect();
    if objects.is_empty() { Change::Remove } else { Change::Put(Entry::Objects(Arc::new(objects))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caching::{Keep, Manner, Moment, Position, Purge, Scheme, Selector, Since, Tag, Terms, Validation, reuse};
    use http::StatusCode;
    use std::time::Duration;

    fn object(position: Position) -> Arc<Object> {
        object_of(Since::fetch(position), Moment::from_seconds(0))
    }

    fn object_of(since: Since, received_at: Moment) -> Arc<Object> {
        let selector = Selector::new(Vec::new(), &HeaderMap::new(), &HeaderMap::new(), 1);
        let terms = Terms {
            lifetime: Duration::from_secs(60),
            initial_age: Duration::ZERO,
            received_at,
            validation: Validation::WhenStale,
            grace: Duration::ZERO,
            on_unreachable: Duration::ZERO,
            on_error: Duration::ZERO,
        };
        let (headers, for_asker) = Default::default();
        let keep = Keep { headers, terms, nominated: Vec::new(), tags: vec![Tag::of(b"news")], for_asker };
        let head = crate::head::Head::new((StatusCode::OK, http::Version::HTTP_11), keep, selector, since);
        Arc::new(Object::new(head, Body::Whole(Arc::new(crate::slices::Slices::gather(&[])))))
    }

    fn store(dir: &std::path::Path) -> Store {
        let purging = Purging::open(&dir.join("purges.redb"), 1 << 20, crate::clock::Clock::start(), 1);
        Store::new(1 << 20, 1, Arc::new(purging), None)
    }

    #[test]
    fn what_was_purged_is_never_found_and_what_was_fetched_after_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let key = CacheKey::new("shop", Scheme::Http, "h", "/a");
        let find = || store.find(&key, &HeaderMap::new());
        let tag = |tag: &str| Purge::Tag { tag: tag.to_owned(), site: None };
        store.put(&key, object(0), store.generation(&key));
        assert_eq!(store.purging.purge(&[tag("sport")], Manner::Hard), Ok(1));
        assert!(matches!(find(), Found::Object(_)), "another tag");
        assert_eq!(store.purging.purge(&[tag("news")], Manner::Soft), Ok(2));
        let Found::Object(stale) = find() else { panic!("a soft purge leaves it") };
        assert_ne!(reuse(&stale.head.terms, store.purging.now()), caching::Reuse::Fresh);
        assert_eq!(store.purging.purge(&[tag("news")], Manner::Hard), Ok(3));
        assert!(matches!(find(), Found::Nothing));
        assert_eq!(store.entries.count(), 0, "what was found purged is gone");
        store.put(&key, object(2), store.generation(&key));
        assert!(matches!(find(), Found::Nothing), "it was on its way in");
        store.put(&key, object(3), store.generation(&key));
        assert!(matches!(find(), Found::Object(_)));
    }

    #[test]
    fn what_was_validated_after_a_soft_purge_is_fresh_until_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let key = CacheKey::new("shop", Scheme::Http, "h", "/a");
        let is_fresh = || match store.find(&key, &HeaderMap::new()) {
            Found::Object(object) => reuse(&object.head.terms, store.purging.now()) == caching::Reuse::Fresh,
            found => panic!("{found:?}"),
        };
        let purge = |manner| store.purging.purge(&[Purge::Tag { tag: "news".to_owned(), site: None }], manner);
        let put = |fetched, validated| {
            let object = object_of(Since { fetched, validated }, store.purging.now());
            store.put(&key, object, store.generation(&key));
        };
        put(0, 0);
        assert_eq!(purge(Manner::Soft), Ok(1));
        put(0, 0);
        assert!(!is_fresh(), "its validation began before the purge");
        put(0, 1);
        assert!(is_fresh() && is_fresh());
        assert_eq!(purge(Manner::Soft), Ok(2));
        assert!(!is_fresh());
        put(0, 2);
        assert!(is_fresh());
        assert_eq!(purge(Manner::Hard), Ok(3));
        assert!(matches!(store.find(&key, &HeaderMap::new()), Found::Nothing), "its body is of before");
        put(0, 3);
        assert!(matches!(store.find(&key, &HeaderMap::new()), Found::Nothing), "however late it was validated");
    }

    #[test]
    fn what_was_fetched_before_a_key_was_emptied_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let key = CacheKey::new("shop", Scheme::Http, "h", "/a");
        let before = store.generation(&key);
        store.put(&key, object(0), before);
        assert!(matches!(store.find(&key, &HeaderMap::new()), Found::Object(_)));
        store.empty(&key);
        store.put(&key, object(0), before);
        assert!(matches!(store.find(&key, &HeaderMap::new()), Found::Nothing));
        store.put(&key, object(0), store.generation(&key));
        assert!(matches!(store.find(&key, &HeaderMap::new()), Found::Object(_)));
    }
}
