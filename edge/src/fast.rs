//! Hits that were answered before, answered again without the general way.
//!
//! ```text
//! general way ── a hit for any GET of this URL ──> learn ──> table
//! plain GET ── port, name, host, target, nominated fields ──> table ──> the object, if it still stands where
//!                                         it stood, no purge reaches it, and it is fresh ──> head and body
//! ```
//!
//! Nothing is decided here: [`Fast::learn`] keeps the head that the general way writes, with gaps for the two figures
//! that time changes. A table is one core's and holds for one config.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use caching::{CACHE_STATUS, CDN_LOOP, CacheKey, Handled, Moment, Reuse, age_seconds, reuse, ttl};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use httparse::Header;
use listen::{AtOnce, Body as ListenBody, Connection, Plain, Sent, empty};
use xxhash_rust::xxh3::Xxh3;

use crate::ask::Ask;
use crate::client::{FORWARDED_FOR, is_trusted};
use crate::counted::{Over, count, note_bytes};
use crate::effect::Effect;
use crate::fields::is_unkeyed;
use crate::object::{Body, Object};
use crate::respond::{answer_of, from_object};
use crate::shared::{Shared, TABLES_SHARE};
use crate::sites::{Answered, Site, Sites};
use crate::store::{Found, Place};

/// What one core may answer again.
#[derive(Debug)]
pub(crate) struct Fast {
    shared: Arc<Shared>,
    /// This core's own: the lock is never waited for.
    table: Mutex<Table>,
}

/// Answers that may be given again.
#[derive(Debug)]
struct Table {
    /// The config they hold for.
    sites: Weak<Sites>,
    sets: Vec<[Option<Arc<Entry>>; WAYS]>,
    seed: u64,
    /// Counts look-ups: of a full set the entry goes that was looked up longest ago.
    clock: u32,
}

/// An answer that may be given again.
#[derive(Debug)]
struct Entry {
    hash: u64,
    reached: Reached,
    /// As the client wrote them.
    host: HeaderValue,
    target: Box<str>,
    /// What a request must have in these fields, as the client wrote it: all that its variant is chosen by.
    nominated: Vec<(HeaderName, Option<HeaderValue>)>,
    site: Arc<Site>,
    key: CacheKey,
    place: Place,
    head: Head,
    used: AtomicU32,
}

/// By which way a request came: sites are found by it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reached {
    port: u16,
    scheme: listen::Scheme,
    sni: Option<Arc<str>>,
}

/// The bytes of a response's head, with gaps.
#[derive(Debug, Default)]
struct Head {
    bytes: Vec<u8>,
    /// Where figures go, and which.
    gaps: Vec<(usize, Figure)>,
}

/// What time changes in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    /// Seconds since the response was made, and so many more.
    Age(u64),
    /// Seconds it stays fresh.
    Ttl,
}

/// What a client wrote that [`Ask`] no longer has.
pub(crate) struct AsWritten {
    host: HeaderValue,
    target: Box<str>,
    accept_encoding: Option<HeaderValue>,
}

/// Fields of requests that an edge writes; those that it drops are [`is_unkeyed`].
const OURS: [HeaderName; 3] = [header::HOST, header::VIA, CDN_LOOP];
const LINE_END: &[u8] = b"\r\n";
/// Places in a set.
const WAYS: usize = 4;
/// An entry is of this size at most; those of browsers' pages take about 700 bytes.
const ENTRY_BYTES: usize = 2_048;
/// Entries of one core's table at least and at most.
const ENTRIES: std::ops::RangeInclusive<usize> = 64..=65_536;

/// Whether a field makes a request one for the general way: it asks for less than the whole, says what it would not
/// have, who asks, or by which way it came.
fn is_special(name: &[u8]) -> bool {
    let is = |special: &str| name.eq_ignore_ascii_case(special.as_bytes());
    let begins =
        |start: &str| name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()));
    match name.first().map(u8::to_ascii_lowercase) {
        Some(b'a') => is("authorization") || begins("access-control-"),
        Some(b'c') => is("cache-control") || is("cdn-loop"),
        Some(b'i') => begins("if-"),
        Some(b'm') => is("max-forwards"),
        Some(b'o') => is("origin"),
        Some(b'p') => is("pragma"),
        Some(b'r') => is("range"),
        _ => false,
    }
}

impl AsWritten {
    /// Of a request that could be answered at once another time.
    pub(crate) fn of(head: &Parts) -> Option<Self> {
        let is_plain = head.method == Method::GET && head.version == Version::HTTP_11 && head.uri.authority().is_none();
        if !is_plain || head.headers.keys().any(|name| is_special(name.as_str().as_bytes())) {
            return None;
        }
        // What it names is not forwarded.
        let is_usual = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
        if !head.headers.get_all(header::CONNECTION).iter().all(is_usual) {
            return None;
        }
        let mut codings = head.headers.get_all(header::ACCEPT_ENCODING).into_iter();
        let accept_encoding = codings.next().cloned();
        let host = head.headers.get(header::HOST).filter(|_| codings.next().is_none())?.clone();
        let target = head.uri.path_and_query()?.as_str().into();
        Some(Self { host, target, accept_encoding })
    }
}

impl Table {
    /// An empty one for a core of this edge. Nobody can guess where an entry goes.
    fn of(shared: &Shared) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self::new(shared.memory, cores, RandomState::new().hash_one(shared.id.as_str()))
    }

    fn new(memory: u64, cores: usize, seed: u64) -> Self {
        let bytes = usize::try_from(memory / TABLES_SHARE).unwrap_or(usize::MAX) / cores.max(1);
        let entries = (bytes / ENTRY_BYTES).clamp(*ENTRIES.start(), *ENTRIES.end());
        let sets = (0..entries / WAYS).map(|_| Default::default()).collect();
        Self { sites: Weak::new(), sets, seed, clock: 0 }
    }

    fn hash(&self, reached: &Reached, host: &[u8], target: &str) -> u64 {
        let mut hash = Xxh3::with_seed(self.seed);
        hash.update(&reached.port.to_le_bytes());
        hash.update(&host.len().to_le_bytes());
        hash.update(host);
        hash.update(target.as_bytes());
        hash.digest()
    }

    fn set(&mut self, hash: u64) -> Option<&mut [Option<Arc<Entry>>; WAYS]> {
        let count = u64::try_from(self.sets.len()).ok()?;
        self.sets.get_mut(usize::try_from(hash % count).ok()?)
    }

    /// Empties itself if its entries were made by another config.
    fn hold_for(&mut self, sites: &Arc<Sites>) {
        if !std::ptr::eq(self.sites.as_ptr(), Arc::as_ptr(sites)) {
            self.sets.iter_mut().for_each(|set| *set = Default::default());
            self.sites = Arc::downgrade(sites);
        }
    }

    fn find(&mut self, plain: &Plain<'_>, host: &[u8], reached: &Reached) -> Option<Arc<Entry>> {
        let hash = self.hash(reached, host, plain.target);
        self.clock = self.clock.wrapping_add(1);
        let clock = self.clock;
        let mut entries = self.set(hash)?.iter().flatten();
        let entry = entries.find(|entry| entry.hash == hash && entry.is_for(plain, host, reached))?;
        entry.used.store(clock, Ordering::Relaxed);
        Some(Arc::clone(entry))
    }

    fn put(&mut self, entry: Entry) {
        let clock = self.clock;
        let Some(set) = self.set(entry.hash) else { return };
        let age = |place: &Option<Arc<Entry>>| match place {
            Some(other) if other.is_replaced_by(&entry) => u64::MAX,
            Some(other) => u64::from(clock.wrapping_sub(other.used.load(Ordering::Relaxed))),
            None => u64::MAX - 1,
        };
        if let Some(place) = set.iter_mut().max_by_key(|place| age(place)) {
            *place = Some(Arc::new(entry));
        }
    }
}

impl Entry {
    fn is_for(&self, plain: &Plain<'_>, host: &[u8], reached: &Reached) -> bool {
        *self.target == *plain.target
            && self.host == host
            && self.reached == *reached
            && self.nominated.iter().all(|(name, wanted)| {
                let is_it = |line: &&Header<'_>| line.name.eq_ignore_ascii_case(name.as_str());
                let mut lines = plain.fields.iter().filter(is_it);
                let first = lines.next().map(|line| line.value);
                first == wanted.as_ref().map(HeaderValue::as_bytes) && lines.next().is_none()
            })
    }

    fn is_replaced_by(&self, new: &Self) -> bool {
        self.hash == new.hash
            && self.target == new.target
            && self.host == new.host
            && self.reached == new.reached
            && self.nominated == new.nominated
    }

    /// About what it takes.
    fn size(&self) -> usize {
        let nominated = self.nominated.iter().map(|(_, value)| 64 + value.as_ref().map_or(0, HeaderValue::len));
        let text = self.host.len() + self.target.len() + self.key.as_str().len();
        std::mem::size_of::<Self>() + text + self.head.bytes.len() + nominated.sum::<usize>()
    }
}

impl Head {
    /// The head of a response as hyper would write it, if what time changes can be told from the rest.
    fn of(response: &Response<ListenBody>, object: &Object, browser_ttl: Option<u64>, now: Moment) -> Option<Self> {
        let headers = response.headers();
        // Without a Date hyper writes the time of day.
        if response.status() != StatusCode::OK || !headers.contains_key(header::DATE) {
            return None;
        }
        let (age, ttl) = (age_seconds(&object.head.terms, now), ttl(&object.head.terms, now));
        let ours = headers.get_all(CACHE_STATUS).iter().next_back()?;
        let mut head = Self { bytes: b"HTTP/1.1 200 OK\r\n".to_vec(), gaps: Vec::new() };
        for (name, value) in headers {
            let (figure, written) = match (name, browser_ttl) {
                (&header::AGE, _) => (Figure::Age(0), age.to_string()),
                (&header::CACHE_CONTROL, Some(more)) if *value == format!("max-age={}", age + more) => {
                    (Figure::Age(more), (age + more).to_string())
                }
                (name, _) if *name == CACHE_STATUS && std::ptr::eq(value, ours) => (Figure::Ttl, ttl.to_string()),
                _ => {
                    head.line(name, value.as_bytes());
                    continue;
                }
            };
            // It stands at the end of its line, or this is none of ours.
            head.line(name, value.as_bytes().strip_suffix(written.as_bytes())?);
            head.gaps.push((head.bytes.len() - LINE_END.len(), figure));
        }
        head.bytes.extend_from_slice(LINE_END);
        Some(head)
    }

    fn line(&mut self, name: &HeaderName, value: &[u8]) {
        for part in [name.as_str().as_bytes(), b": ", value, LINE_END] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Writes it as of now.
    fn write(&self, object: &Object, now: Moment, out: &mut Vec<u8>) {
        let mut written = 0;
        let mut text = itoa::Buffer::new();
        for (at, figure) in &self.gaps {
            out.extend_from_slice(self.bytes.get(written..*at).unwrap_or_default());
            written = *at;
            let figure = match figure {
                Figure::Age(more) => text.format(age_seconds(&object.head.terms, now).saturating_add(*more)),
                Figure::Ttl => text.format(ttl(&object.head.terms, now)),
            };
            out.extend_from_slice(figure.as_bytes());
        }
        out.extend_from_slice(self.bytes.get(written..).unwrap_or_default());
    }
}

impl Fast {
    /// Knows nothing yet.
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), table: Mutex::new(Table::of(shared)) }
    }

    /// Answers a request as one before it was, if that is still the answer.
    pub(crate) fn at_once(&self, plain: &Plain<'_>, connection: &Connection, out: &mut Vec<u8>) -> Option<AtOnce> {
        let started = Instant::now();
        let mut host = None;
        for line in plain.fields {
            if is_special(line.name.as_bytes()) {
                return None;
            }
            if line.name.eq_ignore_ascii_case("host") && host.replace(line.value).is_some() {
                return None;
            }
        }
        let reached = Reached::of(connection);
        let entry = {
            let sites = self.shared.sites.load();
            let sites = sites.as_ref()?;
            // Whose it is the general way finds out.
            let names_it = |line: &Header<'_>| line.name.eq_ignore_ascii_case(FORWARDED_FOR.as_str());
            if is_trusted(connection.peer.ip(), &sites.proxies) && plain.fields.iter().any(names_it) {
                return None;
            }
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.hold_for(sites);
            table.find(plain, host?, &reached)?
        };
        let now = self.shared.clock.at(started);
        let object = self.shared.store.find_at(&entry.key, &entry.place)?;
        let Body::Whole(slices) = &object.body else { return None };
        if reuse(&object.head.terms, now) != Reuse::Fresh {
            return None;
        }
        self.shared.store.keep(&entry.key, &object, now);
        entry.head.write(&object, now, out);
        count(&self.shared, &entry.site, Answered::Hit);
        let (shared, client, body) = (Arc::clone(&self.shared), connection.peer.ip(), slices.list().into());
        let length = slices.length();
        Some(AtOnce { body, sent: Box::new(Sending { shared, entry, client, length, started }) })
    }

    /// Keeps the answer to a request that was a hit, to be given again.
    pub(crate) fn learn(
        &self,
        written: AsWritten,
        (ask, effect): (&Ask, &Effect<'_>),
        connection: &Connection,
        sites: &Arc<Sites>,
    ) {
        let _ = self.try_to_learn(written, (ask, effect), connection, sites);
    }

    fn try_to_learn(
        &self,
        written: AsWritten,
        (ask, effect): (&Ask, &Effect<'_>),
        connection: &Connection,
        sites: &Arc<Sites>,
    ) -> Option<()> {
        let node = self.shared.id.as_str();
        // Sent to TLS as soon as there is a certificate.
        let may_be_sent = ask.site.sends_to.is_some() && ask.key.scheme() == caching::Scheme::Http;
        if may_be_sent || effect.is_particular || effect.edits_any(&[header::AGE, header::CACHE_CONTROL, header::DATE])
        {
            return None;
        }
        let Found::Object(object) = self.shared.store.find(&ask.key, &ask.headers) else { return None };
        let place = self.shared.store.place_of(&ask.key, &object)?;
        if reuse(&object.head.terms, ask.now) != Reuse::Fresh || !matches!(object.body, Body::Whole(_)) {
            return None;
        }
        let mut nominated = Vec::new();
        for name in &object.head.selector.nominated {
            let wanted = match name {
                &header::ACCEPT_ENCODING => written.accept_encoding.clone(),
                // What an edge writes, or drops, is not what the client wrote.
                name if is_unkeyed(name) || OURS.contains(name) => return None,
                // A variant is of all lines.
                name if ask.headers.get_all(name).iter().nth(1).is_some() => return None,
                name => ask.headers.get(name).cloned(),
            };
            nominated.push((name.clone(), wanted));
        }
        // Composed again: what was sent may have been another object's.
        let mut answer = from_object(ask, &object, answer_of(ask, &object), empty(), Handled::Hit);
        let variables = ask.variables(node);
        let browser_seconds = effect.browser_seconds(answer.response.status(), answer.response.headers());
        effect.edit(answer.response.status(), answer.response.headers_mut(), &variables);
        let head = Head::of(&answer.sign(node), &object, browser_seconds, ask.now)?;
        let reached = Reached::of(connection);
        let AsWritten { host, target, .. } = written;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = table.hash(&reached, host.as_bytes(), &target);
        let (site, key, used) = (Arc::clone(&ask.site), ask.key.clone(), AtomicU32::new(table.clock));
        let entry = Entry { hash, reached, host, target, nominated, site, key, place, head, used };
        let now = self.shared.sites.load();
        let is_current = now.as_ref().is_some_and(|now| Arc::ptr_eq(now, sites));
        if is_current && entry.size() <= ENTRY_BYTES {
            table.hold_for(sites);
            table.put(entry);
        }
        Some(())
    }
}

impl Reached {
    fn of(connection: &Connection) -> Self {
        Self { port: connection.local.port(), scheme: connection.scheme, sni: connection.sni.clone() }
    }
}

/// An answer on its way.
struct Sending {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    client: IpAddr,
    length: u64,
    started: Instant,
}

impl Sent for Sending {
    fn sent(&mut self, bytes: u64) {
        let now = Instant::now();
        note_bytes(&self.shared, self.client, bytes, now);
        let Entry { site, host, target, .. } = &*self.entry;
        let over = Over {
            site,
            client: self.client,
            method: "GET",
            host: host.to_str().unwrap_or_default(),
            target,
            version: "1.1",
            status: 200,
            answered: Answered::Hit,
            sent: bytes,
            started: self.started,
            complete: bytes == self.length,
        };
        over.tell(&self.shared, now);
    }
}

#[cfg(test)]
mod tests;
