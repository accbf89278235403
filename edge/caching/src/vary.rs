//! Several objects under one key: Vary (RFC 9110 §12.5.5, RFC 9111 §4.1).

use http::HeaderName;
use http::header::{ACCEPT_LANGUAGE, HeaderMap, HeaderValue, VARY};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::field;
use crate::language;
use crate::time::Moment;

/// At most so many objects under one key: beyond, the oldest go. Bounds what a client can make a
/// site keep by varying a nominated field.
pub const MOST_VARIANTS: usize = 64;

/// A Vary with more names matches nothing: browsers and origins send a handful, and each costs every
/// lookup of the key.
const MOST_NAMES: usize = 32;

/// What a response's Vary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// The request fields it nominates, sorted; none, if there is no Vary.
    Fields(Vec<HeaderName>),
    /// No request matches: RFC 9111 §4.1, "A stored response with a Vary header field value
    /// containing a member "*" always fails to match." So does one with a member that is no name, or
    /// with too many.
    Never,
}

impl Vary {
    /// Reads all Vary lines of a response.
    #[must_use]
    pub fn of(response: &HeaderMap) -> Self {
        let mut names = Vec::new();
        for member in field::members(response, &VARY) {
            match HeaderName::from_bytes(member) {
                // `*` is a token and would pass as a name.
                Ok(name) if member != b"*" && names.len() < MOST_NAMES => names.push(name),
                _ => return Self::Never,
            }
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self::Fields(names)
    }
}

/// What a request says in the nominated fields, as hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Of every nominated field but Accept-Language.
    pub others: u128,
    /// Of Accept-Language, if nominated; else 0.
    pub language: u128,
}

impl Variant {
    /// Works out the variant that a request asks for by fields in the order of `Vary`.
    ///
    /// `seed` should be the node's secret, kept for as long as its store: nobody can then craft a
    /// value that stands in for another.
    #[must_use]
    pub fn of(nominated: &[HeaderName], request: &HeaderMap, seed: u64) -> Self {
        let mut others = Vec::new();
        let mut language = 0;
        for name in nominated {
            let value = normalised(request, name);
            if name == ACCEPT_LANGUAGE {
                let value = value.map(language::normalise);
                language = xxh3_128_with_seed(value.as_deref().unwrap_or(ABSENT), seed);
            } else {
                let value = value.as_deref().unwrap_or(ABSENT);
                // The lengths keep neighbouring fields apart.
                others.extend(name.as_str().len().to_le_bytes());
                others.extend(name.as_str().as_bytes());
                others.extend(value.len().to_le_bytes());
                others.extend(value);
            }
        }
        Self { others: xxh3_128_with_seed(&others, seed), language }
    }
}

/// How a stored object is chosen among those of its key. Plain values: a store may write them to disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The fields it is chosen by.
    pub nominated: Vec<HeaderName>,
    /// The variant it was fetched as.
    pub variant: Variant,
    /// The one language it is in, in lower case, if it varies by language.
    pub spoken: Option<Vec<u8>>,
}

impl Selector {
    /// The selector of a response that nominates these fields and answered this request.
    #[must_use]
    pub fn new(nominated: Vec<HeaderName>, request: &HeaderMap, response: &HeaderMap, seed: u64) -> Self {
        let variant = Variant::of(&nominated, request, seed);
        let spoken = if nominated.contains(&ACCEPT_LANGUAGE) { language::spoken(response) } else { None };
        Self { nominated, variant, spoken }
    }

    /// Whether the object may answer this request.
    ///
    /// RFC 9111 §4.1: "the cache MUST NOT use that stored response without revalidation unless all the
    /// presented request header fields nominated by that Vary field value match those fields in the
    /// original request". Beyond that, an object in the one language that the request prefers to every
    /// other matches as well, since no answer could be ranked above it (RFC 9110 §12.5.4).
    #[must_use]
    pub fn matches(&self, request: &HeaderMap, seed: u64) -> bool {
        if self.nominated.is_empty() {
            return true;
        }
        let wanted = Variant::of(&self.nominated, request, seed);
        let speaks = || self.spoken.is_some() && self.spoken == language::preferred(request);
        wanted.others == self.variant.others && (wanted.language == self.variant.language || speaks())
    }
}

/// Chooses among the objects of a key, each with its Date: the index of the one to use.
///
/// RFC 9111 §4: "When more than one suitable response is stored, a cache MUST use the most recent one
/// (as determined by the Date header field)." §4.1: of objects with and without Vary, it SHOULD take
/// one with.
#[must_use]
pub fn choose<'a>(
    stored: impl IntoIterator<Item = (&'a Selector, Moment)>,
    request: &HeaderMap,
    seed: u64,
) -> Option<usize> {
    let matching = stored.into_iter().enumerate().filter(|(_, (selector, _))| selector.matches(request, seed));
    let best = matching.max_by_key(|(_, (selector, date))| (!selector.nominated.is_empty(), *date));
    best.map(|(index, _)| index)
}

/// RFC 9111 §4.1: if a field is absent from a request, "it can only match another request if it is
/// also absent there." Stands for an absent field: a byte that no field value may have (RFC 9110 §5.5).
const ABSENT: &[u8] = b"\0";

/// The field's lines joined, without optional space around commas and at the ends; `None` if absent.
fn normalised(request: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = request.get_all(name).into_iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() { None } else { Some(normalise(&lines.join(&b','))) }
}

fn normalise(value: &[u8]) -> Vec<u8> {
    let members: Vec<&[u8]> = field::split(value, b',').map(field::trim).collect();
    members.join(&b',')
}

#[cfg(test)]
mod tests;
