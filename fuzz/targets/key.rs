//! A key is read back as it was, and a purge reaches the keys it names and no other.

#![no_main]

use caching::{
    CacheKey, MOST_SEGMENTS, Manner, Moment, Purge, Purges, Scheme, Since, Word, decode_unreserved, is_ambiguous,
};
use http::uri::{Authority, PathAndQuery};
use input::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let scheme = input.one_of(&[Scheme::Http, Scheme::Https]);
    let (host, target, other, text) = (input.text(), input.text(), input.text(), input.text());

    if let Some(key) = CacheKey::parse(text) {
        assert_eq!(key.as_str(), text);
        is_itself(&key);
    }
    let (Some(key), Some(other)) = (requested(scheme, host, target), requested(scheme, host, other)) else {
        return;
    };
    is_itself(&key);
    // Case of the host and the scheme's own port make no difference (RFC 9110 §4.2.3).
    let loud = CacheKey::new("shop", scheme, &host.to_ascii_uppercase(), key.path_and_query());
    assert_eq!(loud, key, "`{host}`");
    purges_a_url(&key, &other);
    purges_below(&key, &other);
});

/// The key of a request as it comes through HTTP, which lets no other host and target pass, and is stored.
fn requested(scheme: Scheme, host: &str, target: &str) -> Option<CacheKey> {
    let authority: Authority = host.parse().ok().filter(|_| !host.contains('@'))?;
    let target: PathAndQuery = target.parse().ok()?;
    let is_path =
        target.as_str().starts_with('/') && !authority.host().trim_end_matches('.').is_empty() && !host.contains('*');
    let is_stored = !is_ambiguous(&decode_unreserved(target.path()));
    (is_path && is_stored).then(|| CacheKey::new("shop", scheme, host, target.as_str()))
}

/// Read back and built anew from its parts, it is the same key.
fn is_itself(key: &CacheKey) {
    let read = CacheKey::parse(key.as_str()).unwrap_or_else(|| panic!("{key:?} cannot be read back"));
    let built = CacheKey::new(key.site(), key.scheme(), key.host(), key.path_and_query());
    for same in [&read, &built] {
        assert_eq!((same, same.hash()), (key, key.hash()));
    }
    let uri = format!("{}://{}{}", key.scheme().as_str(), key.host(), key.path_and_query());
    assert_eq!((key.uri(), key.as_str()), (uri.as_str(), format!("{} {uri}", key.site()).as_str()));
}

/// The purge of a key's URI reaches the key, and of others those with the same host and target.
fn purges_a_url(key: &CacheKey, other: &CacheKey) {
    let purge = Purge::of_url(key.uri()).unwrap_or_else(|why| panic!("{key:?} cannot be purged: {why:?}"));
    let expected = Purge::Url { host: key.host().to_owned(), path_and_query: key.path_and_query().to_owned() };
    assert_eq!(purge, expected, "of {key:?}");
    assert!(reaches(&purge, key), "{purge:?} does not reach {key:?}");
    let is_same = (name(key), asked(key)) == (name(other), asked(other));
    assert_eq!(reaches(&purge, other), is_same, "{purge:?} of {other:?}");
}

/// The purge of a prefix reaches what is at it or below it by segment.
fn purges_below(key: &CacheKey, other: &CacheKey) {
    let below = key.path_and_query();
    let has_query = below.contains('?');
    let purge = match Purge::of_prefix(key.uri()) {
        Ok(purge) => purge,
        Err(why) => {
            let is_deep = below.trim_end_matches('/').matches('/').count() > MOST_SEGMENTS;
            assert!(has_query || is_deep, "{key:?} is no prefix: {why:?}");
            return;
        }
    };
    let Purge::Prefix { host, path } = &purge else {
        panic!("{purge:?} is no prefix");
    };
    let again = Purge::of_prefix(&format!("{}://{host}{path}", key.scheme().as_str()));
    assert_eq!(again.as_ref(), Ok(&purge), "of {key:?}");
    for object in [key, other] {
        let asked = letters(object.path_and_query().split('?').next().unwrap_or_default());
        let rest = asked.strip_prefix(letters(path).as_slice());
        let is_below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(&[Letter::Plain(b'/')]));
        assert_eq!(reaches(&purge, object), is_below && name(object) == name(key), "{purge:?} of {object:?}");
    }
}

/// Its host without the port.
fn name(key: &CacheKey) -> String {
    key.host().parse::<Authority>().map_or_else(|_| key.host().to_owned(), |host| host.host().to_owned())
}

/// Its path and query as equal ones are: escapes of unreserved letters undone, other letters as bytes.
fn asked(key: &CacheKey) -> Vec<Letter> {
    letters(key.path_and_query())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Letter {
    Plain(u8),
    Escaped(u8),
}

fn letters(text: &str) -> Vec<Letter> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut at, mut out) = (0, Vec::new());
    while let Some(byte) = bytes.get(at) {
        let octet =
            digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'%').map(|(high, low)| (high * 16 + low) as u8);
        let letter = match octet {
            Some(octet) if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => Letter::Plain(octet),
            Some(octet) => Letter::Escaped(octet),
            None if byte.is_ascii() => Letter::Plain(*byte),
            None => Letter::Escaped(*byte),
        };
        out.push(letter);
        at += if octet.is_some() { 3 } else { 1 };
    }
    out
}

fn reaches(purge: &Purge, key: &CacheKey) -> bool {
    let mut purges = Purges::default();
    purges.add(1, purge, Manner::Hard, Moment::default());
    purges.word(key, &[], Since::fetch(0)) == Word::Gone
}
