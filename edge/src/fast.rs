//! Hits that were answered before, answered again without the general way.
//!
//! ```text
//! general way ── a hit for any GET of this URL ──> learn ──> table
//! plain GET ── version, port, name, host, target, nominated fields ──> table ──> the object, if it still stands
//!                                         where it stood, no purge reaches it, and it is fresh ──> head and body
//! ```
//!
//! Nothing is decided here: [`Fast::learn`] keeps the head that the general way writes, with gaps for the two figures
//! that time changes: of HTTP/1.1 its bytes, of HTTP/2 and 3 its fields. A table is one core's and holds for one config.

mod head;
mod sending;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use caching::{CDN_LOOP, CacheKey, Handled, Reuse, reuse};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Version, header};
use httparse::Header;
use listen::{AtOnce, Connection, Plain, Sent, Whole, empty};

use self::head::{Fields, Lines};
use self::sending::Sending;
use xxhash_rust::xxh3::Xxh3;

use crate::access::Said;
use crate::answered::Answered;
use crate::ask::Ask;
use crate::client::{FORWARDED_FOR, is_trusted};
use crate::counted::{count, scheme, version_name};
use crate::effect::Effect;
use crate::fields::is_unkeyed;
use crate::object::{Body, Object};
use crate::respond::{answer_of, from_object};
use crate::shared::{Shared, TABLES_SHARE};
use crate::sites::{Site, Sites};
use crate::slices::Slices;
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
    host: Box<[u8]>,
    target: Box<str>,
    /// What a request must have in these fields, as the client wrote it: all that its variant is chosen by.
    nominated: Vec<(HeaderName, Option<HeaderValue>)>,
    site: Arc<Site>,
    key: CacheKey,
    place: Place,
    head: Head,
    used: AtomicU32,
}

/// A head, as its version of HTTP has it.
#[derive(Debug)]
enum Head {
    /// HTTP/1.1.
    Lines(Lines),
    /// HTTP/2 and 3.
    Fields(Fields),
}

/// By which way a request came: sites are found by it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reached {
    version: Version,
    port: u16,
    scheme: listen::Scheme,
    sni: Option<Arc<str>>,
}

/// A request that is looked for.
struct Asked<'a> {
    reached: Reached,
    host: &'a [u8],
    target: &'a str,
    /// Whether a field has this value, in one line, or is not there.
    has: &'a dyn Fn(&HeaderName, Option<&[u8]>) -> bool,
}

/// An answer that was given before, and still is the answer.
struct Again {
    entry: Arc<Entry>,
    object: Arc<Object>,
    slices: Arc<Slices>,
    started: Instant,
}

/// What a client wrote that [`Ask`] no longer has.
pub(crate) struct AsWritten {
    version: Version,
    host: Box<[u8]>,
    target: Box<str>,
    accept_encoding: Option<HeaderValue>,
}

/// Fields of requests that an edge writes; those that it drops are [`is_unkeyed`].
const OURS: [HeaderName; 3] = [header::HOST, header::VIA, CDN_LOOP];
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

/// Whether a field frames a body, or is about the connection, where no such field is usual.
fn is_about_framing(name: &HeaderName) -> bool {
    const SUCH: [HeaderName; 9] = [
        header::TE,
        header::HOST,
        header::EXPECT,
        header::UPGRADE,
        header::TRAILER,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        HeaderName::from_static("proxy-connection"),
    ];
    SUCH.contains(name)
}

/// Whose a plain request of HTTP/2 or 3 is, and what it asks for; nothing where it is for the general way.
fn plain_framed<'h>(head: &'h Parts, connection: &Connection) -> Option<(&'h [u8], &'h str)> {
    let is_plain = head.method == Method::GET && head.uri.scheme_str() == Some(scheme(connection.scheme));
    let is_odd = |name: &HeaderName| is_special(name.as_str().as_bytes()) || is_about_framing(name);
    if !is_plain || head.headers.keys().any(is_odd) {
        return None;
    }
    Some((head.uri.authority()?.as_str().as_bytes(), head.uri.path_and_query()?.as_str()))
}

/// The same of HTTP/1.1, whose framing was looked at before.
fn plain_http1(head: &Parts) -> Option<(&[u8], &str)> {
    let is_plain = head.method == Method::GET && head.uri.authority().is_none();
    if !is_plain || head.headers.keys().any(|name| is_special(name.as_str().as_bytes())) {
        return None;
    }
    // What it names is not forwarded.
    let is_usual = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    if !head.headers.get_all(header::CONNECTION).iter().all(is_usual) {
        return None;
    }
    Some((head.headers.get(header::HOST)?.as_bytes(), head.uri.path_and_query()?.as_str()))
}

impl AsWritten {
    /// Of a request that could be answered at once another time.
    pub(crate) fn of(head: &Parts, connection: &Connection) -> Option<Self> {
        let (host, target) = match head.version {
            Version::HTTP_11 => plain_http1(head)?,
            Version::HTTP_2 | Version::HTTP_3 => plain_framed(head, connection)?,
            _ => return None,
        };
        let mut codings = head.headers.get_all(header::ACCEPT_ENCODING).into_iter();
        let accept_encoding = codings.next().cloned();
        if codings.next().is_some() {
            return None;
        }
        Some(Self { version: head.version, host: host.into(), target: target.into(), accept_encoding })
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
        hash.update(version_name(reached.version).as_bytes());
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

    fn find(&mut self, asked: &Asked<'_>) -> Option<Arc<Entry>> {
        let hash = self.hash(&asked.reached, asked.host, asked.target);
        self.clock = self.clock.wrapping_add(1);
        let clock = self.clock;
        let mut entries = self.set(hash)?.iter().flatten();
        let entry = entries.find(|entry| entry.hash == hash && entry.is_for(asked))?;
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
    fn is_for(&self, asked: &Asked<'_>) -> bool {
        *self.target == *asked.target
            && *self.host == *asked.host
            && self.reached == asked.reached
            && self.nominated.iter().all(|(name, wanted)| (asked.has)(name, wanted.as_ref().map(HeaderValue::as_bytes)))
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
        let head = match &self.head {
            Head::Lines(lines) => lines.size(),
            Head::Fields(fields) => fields.size(),
        };
        std::mem::size_of::<Self>() + text + head + nominated.sum::<usize>()
    }
}

impl Fast {
    /// Knows nothing yet.
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), table: Mutex::new(Table::of(shared)) }
    }

    /// Answers a request of HTTP/1.1 as one before it was, if that is still the answer.
    pub(crate) fn at_once(&self, plain: &Plain<'_>, connection: &Connection, out: &mut Vec<u8>) -> Option<AtOnce> {
        let mut host = None;
        for line in plain.fields {
            if is_special(line.name.as_bytes()) {
                return None;
            }
            if line.name.eq_ignore_ascii_case("host") && host.replace(line.value).is_some() {
                return None;
            }
        }
        let has = |name: &HeaderName, wanted: Option<&[u8]>| {
            let is_it = |line: &&Header<'_>| line.name.eq_ignore_ascii_case(name.as_str());
            let mut lines = plain.fields.iter().filter(is_it);
            lines.next().map(|line| line.value) == wanted && lines.next().is_none()
        };
        let reached = Reached::of(connection, Version::HTTP_11);
        let again = self.again(connection, &Asked { reached, host: host?, target: plain.target, has: &has })?;
        let Head::Lines(lines) = &again.entry.head else { return None };
        lines.write(&again.object, self.shared.clock.at(again.started), out);
        let said = self.shared.said(|access| access.said_as_written(plain.fields));
        Some(AtOnce { body: again.slices.list().into(), sent: self.give(again, connection, said) })
    }

    /// The same of a request of HTTP/2 or 3 without a body.
    pub(crate) fn whole_at_once(&self, head: &Parts, connection: &Connection) -> Option<Whole> {
        let (host, target) = plain_framed(head, connection)?;
        let has = |name: &HeaderName, wanted: Option<&[u8]>| {
            let mut lines = head.headers.get_all(name).iter();
            lines.next().map(HeaderValue::as_bytes) == wanted && lines.next().is_none()
        };
        let reached = Reached::of(connection, head.version);
        let again = self.again(connection, &Asked { reached, host, target, has: &has })?;
        let Head::Fields(fields) = &again.entry.head else { return None };
        // One piece: a longer body takes longer than its head.
        let body = match again.slices.list() {
            [] => Bytes::new(),
            [body] => body.clone(),
            _ => return None,
        };
        let fields = fields.now(&again.object, self.shared.clock.at(again.started))?;
        let said = self.shared.said(|access| access.said(&head.headers));
        Some(Whole { fields, body, sent: self.give(again, connection, said) })
    }

    /// What answered such a request before, if it still is the answer.
    fn again(&self, connection: &Connection, asked: &Asked<'_>) -> Option<Again> {
        let started = Instant::now();
        let entry = {
            let sites = self.shared.sites.load();
            let sites = sites.as_ref()?;
            // Whose it is the general way finds out.
            if is_trusted(connection.peer.ip(), &sites.proxies) && !(asked.has)(&FORWARDED_FOR, None) {
                return None;
            }
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.hold_for(sites);
            table.find(asked)?
        };
        let now = self.shared.clock.at(started);
        let object = self.shared.store.find_at(&entry.key, &entry.place)?;
        let Body::Whole(slices) = &object.body else { return None };
        if reuse(&object.head.terms, now) != Reuse::Fresh {
            return None;
        }
        self.shared.store.keep(&entry.key, &object, now);
        let slices = Arc::clone(slices);
        Some(Again { entry, object, slices, started })
    }

    /// Counts an answer that is being given; who is told what of it has gone.
    fn give(&self, again: Again, connection: &Connection, said: Said) -> Box<dyn Sent> {
        let Again { entry, slices, started, .. } = again;
        count(&self.shared, &entry.site, Answered::Hit);
        let (shared, client, length) = (Arc::clone(&self.shared), connection.peer.ip(), slices.length());
        Box::new(Sending { shared, entry, client, tls: connection.tls, said, length, started, noted: 0 })
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
        let answer = answer.sign(node);
        let AsWritten { version, host, target, .. } = written;
        let head = match version {
            Version::HTTP_2 | Version::HTTP_3 => Head::Fields(Fields::of(&answer, &object, browser_seconds, ask.now)?),
            _ => Head::Lines(Lines::of(&answer, &object, browser_seconds, ask.now)?),
        };
        let reached = Reached::of(connection, version);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = table.hash(&reached, &host, &target);
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
    fn of(connection: &Connection, version: Version) -> Self {
        Self { version, port: connection.local.port(), scheme: connection.scheme, sni: connection.sni.clone() }
    }
}

#[cfg(test)]
mod tests;
