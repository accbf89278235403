//! Purging: what the operator takes back, whatever its lifetime says.
//!
//! A purge is a mark with a position in a log that only grows. Nothing is searched for: an object
//! remembers the log's positions at which its fetch and its last validation began, and is judged by the
//! marks that reach it when it is next looked at. So a purge costs the same however many objects it
//! reaches, and one that is still on its way in is reached too.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::key::CacheKey;
use crate::path::{decode_unreserved, encoded, is_ambiguous, is_unreserved};
use crate::tags::Tag;
use crate::time::Moment;

/// What a purge reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purge {
    /// Every variant under a URL, over both schemes; the query counts byte by byte.
    Url {
        /// Lower case. With a port as without one: clients write what they like there.
        host: String,
        /// As requested.
        path_and_query: String,
    },
    /// Everything at a path and below it, by segment: `/a` reaches `/a`, `/a?b` and `/a/c`, not `/ab`.
    Prefix {
        /// As of a URL.
        host: String,
        /// Without a slash at its end; empty for the whole host.
        path: String,
    },
    /// Everything with a tag.
    Tag {
        /// As the origin wrote it.
        tag: String,
        /// Of this site alone.
        site: Option<String>,
    },
    /// Everything of a site.
    Site {
        /// Its id.
        site: String,
    },
}

/// Whether what a purge reaches may be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// Not at all.
    Hard,
    /// As a stale response: validated first, or served in its grace or when its origin fails.
    Soft,
}

/// Why a text names nothing that can be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTarget {
    /// It is no `http://` or `https://` URL with a host.
    NotAUrl,
    /// A prefix ends before the query.
    PrefixWithQuery,
    /// It has more segments than [`MOST_SEGMENTS`].
    TooDeep,
    /// Its host has a star: none is a wildcard.
    Wildcard,
    /// It holds a space or a control character, which no request can.
    Space,
    /// An origin could take the path for another one (`/a/../b`): nothing is stored under it.
    DotSegments,
}

/// Paths are looked at so deep; none of a real site is deeper.
pub const MOST_SEGMENTS: usize = 64;

impl Purge {
    /// The purge of a URL.
    ///
    /// # Errors
    /// The text is no URL.
    pub fn of_url(url: &str) -> Result<Self, NoTarget> {
        let (host, path_and_query) = target(url)?;
        Ok(Self::Url { host, path_and_query })
    }

    /// The purge of all below a URL.
    ///
    /// # Errors
    /// The text is no URL, has a query, or is deeper than objects are looked at.
    pub fn of_prefix(url: &str) -> Result<Self, NoTarget> {
        let (host, path) = target(url)?;
        if path.contains('?') {
            return Err(NoTarget::PrefixWithQuery);
        }
        let path = path.trim_end_matches('/').to_owned();
        if path.matches('/').count() > MOST_SEGMENTS {
            return Err(NoTarget::TooDeep);
        }
        Ok(Self::Prefix { host, path })
    }

    /// The host it is about, if it is about one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Url { host, .. } | Self::Prefix { host, .. } => Some(host),
            Self::Tag { .. } | Self::Site { .. } => None,
        }
    }

    fn mark(&self) -> Mark {
        match self {
            Self::Url { host, path_and_query } => Mark::of_path("url", host, path_and_query),
            Self::Prefix { host, path } => Mark::of_path("prefix", host, path),
            Self::Tag { tag, site } => Mark::of_tag(Tag::of(tag.as_bytes()), site.as_deref().unwrap_or_default()),
            Self::Site { site } => Mark::of("site", site, ""),
        }
    }
}

/// Host and path of a URL, as a key has them.
fn target(url: &str) -> Result<(String, String), NoTarget> {
    let url = url.split('#').next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").ok_or(NoTarget::NotAUrl)?;
    let scheme = if scheme.eq_ignore_ascii_case("https") {
        crate::key::Scheme::Https
    } else if scheme.eq_ignore_ascii_case("http") {
        crate::key::Scheme::Http
    } else {
        return Err(NoTarget::NotAUrl);
    };
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if host.is_empty() || host.contains('@') {
        return Err(NoTarget::NotAUrl);
    }
    if host.contains('*') {
        return Err(NoTarget::Wildcard);
    }
    if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(NoTarget::Space);
    }
    if is_ambiguous(&decode_unreserved(path.split('?').next().unwrap_or_default())) {
        return Err(NoTarget::DotSegments);
    }
    let key = CacheKey::new("", scheme, host, path);
    if key.host().is_empty() {
        return Err(NoTarget::NotAUrl);
    }
    Ok((key.host().to_owned(), key.path_and_query().to_owned()))
}

/// A host as purges compare it. A port in it is what the client wrote, of which there are many.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A path as purges compare it: clients and people encode the same letters differently. RFC 3986 §6.2.2 takes these for
/// equal: hex digits of either case, unreserved letters encoded or not; and §2.1 wants others encoded.
fn normalise(path: &str) -> Cow<'_, str> {
    if path.is_ascii() && !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        push_in_ascii(&mut out, before);
        match encoded(after) {
            Some(byte) if is_unreserved(byte) => out.push(char::from(byte)),
            Some(byte) => out.push_str(&format!("%{byte:02X}")),
            None => out.push('%'),
        }
        rest = if encoded(after).is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    push_in_ascii(&mut out, rest);
    Cow::Owned(out)
}

fn push_in_ascii(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii() { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
}

/// What objects and purges are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mark(u128);

impl Mark {
    fn of_path(kind: &str, host: &str, path: &str) -> Self {
        Self::of(kind, without_port(host), &normalise(path))
    }

    fn of(kind: &str, first: &str, second: &str) -> Self {
        // No part can hold a NUL: neither a host nor a path as HTTP takes them.
        Self(xxh3_128(format!("{kind}\0{first}\0{second}").as_bytes()))
    }

    fn of_tag(tag: Tag, site: &str) -> Self {
        Self::of("tag", site, &format!("{:032x}", tag.hash()))
    }
}

/// Every mark that reaches an object.
fn marks(key: &CacheKey, tags: &[Tag]) -> impl Iterator<Item = Mark> {
    let (site, host, target) = (key.site(), key.host(), key.path_and_query());
    let path = target.split('?').next().unwrap_or_default();
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]).take(MOST_SEGMENTS + 1);
    let prefixes = ends.filter_map(move |end| path.get(..end)).map(move |path| Mark::of_path("prefix", host, path));
    let tags = tags.iter().flat_map(move |tag| [Mark::of_tag(*tag, ""), Mark::of_tag(*tag, site)]);
    [Mark::of("site", site, ""), Mark::of_path("url", host, target)].into_iter().chain(prefixes).chain(tags)
}

/// A place in the log of purges: 0 before the first.
pub type Position = u64;

/// Where the log of purges stood for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// When the fetch of its body began: hard purges after that reach it, whatever was validated since.
    pub fetched: Position,
    /// When its last validation began, else as [`Since::fetched`]: soft purges after that reach it.
    pub validated: Position,
}

impl Since {
    /// That of an object which was never validated.
    #[must_use]
    pub fn fetch(position: Position) -> Self {
        Self { fetched: position, validated: position }
    }
}

/// What purges say of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing: it may be used.
    Holds,
    /// It is stale since then.
    Stale(Moment),
    /// It must not be used.
    Gone,
}

/// The purges that objects are judged by, the latest for each mark.
#[derive(Clone, Debug, Default)]
pub struct Purges {
    latest: HashMap<Mark, Latest>,
    /// Purges before are forgotten: what is older counts as purged.
    floor: Position,
    position: Position,
}

#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    hard: Position,
    soft: Soft,
    /// The soft one before that; of those before it, the first's time. What outlived them is stale since then.
    earlier: Soft,
}

#[derive(Clone, Copy, Debug, Default)]
struct Soft {
    position: Position,
    at: Moment,
}

impl Purges {
    /// Takes a purge in, the next of the log.
    pub fn add(&mut self, position: Position, purge: &Purge, manner: Manner, at: Moment) {
        let latest = self.latest.entry(purge.mark()).or_default();
        match manner {
            Manner::Hard => latest.hard = position,
            Manner::Soft => {
                let first = if latest.earlier.position > 0 { latest.earlier.at } else { latest.soft.at };
                latest.earlier = Soft { position: latest.soft.position, at: first };
                latest.soft = Soft { position, at };
            }
        }
        self.position = self.position.max(position);
    }

    /// Where the log stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many marks are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// Forgets the purges up to a position, and takes all objects fetched before it for purged.
    pub fn forget(&mut self, up_to: Position) {
        self.floor = self.floor.max(up_to);
        self.position = self.position.max(up_to);
        self.latest.retain(|_, latest| latest.hard.max(latest.soft.position) > up_to);
    }

    /// What purges since then say of an object.
    #[must_use]
    pub fn word(&self, key: &CacheKey, tags: &[Tag], since: Since) -> Word {
        if since.fetched < self.floor {
            return Word::Gone;
        }
        if since.fetched >= self.position {
            return Word::Holds;
        }
        let mut word = Word::Holds;
        for latest in marks(key, tags).filter_map(|mark| self.latest.get(&mark)) {
            if latest.hard > since.fetched {
                return Word::Gone;
            }
            for soft in [latest.soft, latest.earlier] {
                if soft.position > since.validated {
                    word = Word::Stale(if let Word::Stale(at) = word { at.min(soft.at) } else { soft.at });
                }
            }
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Scheme;
    use proptest::prelude::*;

    fn key(site: &str, scheme: Scheme, target: &str) -> CacheKey {
        CacheKey::new(site, scheme, "www.shop.example", target)
    }

    fn word(purge: &Purge, key: &CacheKey, tags: &[Tag]) -> Word {
        let mut purges = Purges::default();
        purges.add(1, purge, Manner::Hard, Moment::default());
        purges.word(key, tags, Since::fetch(0))
    }

    #[test]
    fn what_was_stale_does_not_become_so_later_by_another_soft_purge() {
        let site = Purge::Site { site: "shop".to_owned() };
        let mut purges = Purges::default();
        let at = Moment::from_millis;
        for (position, when) in [(1, 100), (2, 200), (5, 500)] {
            purges.add(position, &site, Manner::Soft, at(when));
        }
        let word = |since| purges.word(&key("shop", Scheme::Http, "/"), &[], Since::fetch(since));
        for (since, expected) in
            [(0, Word::Stale(at(100))), (1, Word::Stale(at(100))), (2, Word::Stale(at(500))), (5, Word::Holds)]
        {
            assert_eq!(word(since), expected, "fetched at {since}");
        }
    }

    #[test]
    fn a_purge_reaches_what_it_names_and_nothing_else() {
        let url = |url| Purge::of_url(url).unwrap();
        let prefix = |url| Purge::of_prefix(url).unwrap();
        let tag = |tag: &str, site: Option<&str>| Purge::Tag { tag: tag.to_owned(), site: site.map(str::to_owned) };
        let table = [
            (url("https://www.shop.example/a?b"), "/a?b", true),
            (url("http://WWW.shop.example:80/a?b#c"), "/a?b", true),
            (url("https://www.shop.example:443/a?b"), "/a?b", true),
            (url("https://www.shop.example/a?b"), "/a", false),
            (url("https://www.shop.example/a?b"), "/a?b&c", false),
            // A port is what a client wrote.
            (url("https://www.shop.example:8080/a?b"), "/a?b", true),
            (prefix("http://www.shop.example:8080/a"), "/a/c", true),
            (url("http://www.shop.example/ü"), "/%C3%BC", true),
            (url("http://www.shop.example/%C3%BC"), "/ü", true),
            (prefix("http://www.shop.example/ü"), "/ü/a", true),
            (url("http://www.shop.example/ü"), "/%c3%bc", true),
            (url("http://www.shop.example/a%2fb"), "/a%2Fb", true),
            (url("http://www.shop.example/a%2fb"), "/a/b", false),
            (prefix("http://www.shop.example/~me"), "/%7eme/x", true),
            (url("http://www.shop.example/%61B"), "/aB", true),
            (url("http://www.shop.example/%61B"), "/ab", false),
            (url("https://shop.example/a?b"), "/a?b", false),
            (url("http://www.shop.example"), "/", true),
            (prefix("http://www.shop.example/"), "/", true),
            (prefix("http://www.shop.example"), "/any/thing?x", true),
            (prefix("http://www.shop.example/a"), "/a", true),
            (prefix("http://www.shop.example/a"), "/a?b=/c", true),
            (prefix("http://www.shop.example/a/"), "/a/b/c", true),
            (prefix("http://www.shop.example/a/b"), "/a/b/", true),
            (prefix("http://www.shop.example/a"), "/ab", false),
            (prefix("http://www.shop.example/a/b"), "/a/bc", false),
            (prefix("http://www.shop.example/a/b"), "/a", false),
            (prefix("http://www.shop.example/b"), "/a?/b", false),
            (tag("news", None), "/a", true),
            (tag("news", Some("shop")), "/a", true),
            (tag("news", Some("other")), "/a", false),
            (tag("New", None), "/a", false),
            (Purge::Site { site: "shop".to_owned() }, "/a", true),
            (Purge::Site { site: "sho".to_owned() }, "/a", false),
        ];
        let tags = [Tag::of(b"sport"), Tag::of(b"news")];
        for (purge, target, reaches) in table {
            for scheme in [Scheme::Http, Scheme::Https] {
                let found = word(&purge, &key("shop", scheme, target), &tags);
                assert_eq!(found == Word::Gone, reaches, "{purge:?} {target}");
            }
        }
    }

    #[test]
    fn only_what_was_fetched_before_is_reached() {
        let mut purges = Purges::default();
        let (key, other) = (key("shop", Scheme::Http, "/a"), key("shop", Scheme::Http, "/b"));
        let at = Moment::from_seconds;
        purges.add(5, &Purge::of_url("http://www.shop.example/a").unwrap(), Manner::Soft, at(50));
        purges.add(6, &Purge::of_prefix("http://www.shop.example/").unwrap(), Manner::Soft, at(60));
        let word = |purges: &Purges, key, since| purges.word(key, &[], Since::fetch(since));
        assert_eq!(word(&purges, &key, 4), Word::Stale(at(50)));
        assert_eq!(word(&purges, &key, 5), Word::Stale(at(60)));
        assert_eq!(word(&purges, &other, 4), Word::Stale(at(60)));
        assert_eq!(word(&purges, &key, 6), Word::Holds);
        purges.add(7, &Purge::of_url("http://www.shop.example/a").unwrap(), Manner::Hard, at(70));
        assert_eq!(word(&purges, &key, 6), Word::Gone);
        assert_eq!(word(&purges, &key, 7), Word::Holds);
        purges.forget(6);
        assert_eq!((purges.len(), word(&purges, &other, 5), word(&purges, &other, 6)), (1, Word::Gone, Word::Holds));
    }

    #[test]
    fn a_validation_outlives_soft_purges_before_it_and_no_hard_one() {
        let site = Purge::Site { site: "shop".to_owned() };
        let (mut purges, key) = (Purges::default(), key("shop", Scheme::Http, "/"));
        purges.add(1, &site, Manner::Soft, Moment::from_seconds(10));
        let word = |purges: &Purges, fetched, validated| purges.word(&key, &[], Since { fetched, validated });
        assert_eq!(word(&purges, 0, 0), Word::Stale(Moment::from_seconds(10)), "its validation began before");
        assert_eq!(word(&purges, 0, 1), Word::Holds);
        purges.add(2, &site, Manner::Soft, Moment::from_seconds(20));
        assert_eq!(word(&purges, 0, 1), Word::Stale(Moment::from_seconds(20)));
        assert_eq!(word(&purges, 0, 2), Word::Holds);
        purges.add(3, &site, Manner::Hard, Moment::from_seconds(30));
        for validated in 2..=4 {
            assert_eq!(word(&purges, 2, validated), Word::Gone, "validated at {validated}");
        }
        assert_eq!(word(&purges, 3, 3), Word::Holds);
        purges.forget(4);
        assert_eq!(word(&purges, 3, 4), Word::Gone, "what was forgotten may have reached it");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", "/a", "www.shop.example/a", "ftp://h/a", "http://", "http:///a", "http://u@h/"] {
            assert_eq!(Purge::of_url(text), Err(NoTarget::NotAUrl), "{text}");
        }
        assert_eq!(Purge::of_url("http://h/a b"), Err(NoTarget::Space));
        assert_eq!(Purge::of_url("http://*.h/a"), Err(NoTarget::Wildcard));
        assert_eq!(Purge::of_prefix("http://h/a/%2e%2E/b"), Err(NoTarget::DotSegments));
        assert_eq!(Purge::of_prefix("http://h/a?b"), Err(NoTarget::PrefixWithQuery));
        let deep = |depth: usize| format!("http://h{}", "/a".repeat(depth));
        assert!(Purge::of_prefix(&deep(MOST_SEGMENTS)).is_ok());
        assert_eq!(Purge::of_prefix(&deep(MOST_SEGMENTS + 1)), Err(NoTarget::TooDeep));
    }

    proptest! {
        #[test]
        fn a_prefix_reaches_exactly_what_lies_at_or_below_it(
            prefix in "(/[ab]{0,2}){0,4}", target in "(/[ab]{0,2}){1,5}(\\?[ab/]{0,3})?",
        ) {
            let purge = Purge::of_prefix(&format!("http://www.shop.example{prefix}")).unwrap();
            let path = target.split('?').next().unwrap();
            let prefix = prefix.trim_end_matches('/');
            let below = path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
            prop_assert_eq!(word(&purge, &key("shop", Scheme::Http, &target), &[]) == Word::Gone, below);
        }
    }
}
