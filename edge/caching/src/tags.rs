//! Names that an origin gives its responses, to purge them by.

use http::header::{HeaderMap, HeaderName};
use xxhash_rust::xxh3::xxh3_128;

use crate::field;

/// Tags, separated by commas: what Akamai's and Cloudflare's edges read.
pub const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// Tags, separated by spaces: what Fastly's and Varnish's read.
pub const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// The most tags of one object.
pub const MOST_TAGS: usize = 128;
/// The longest tag, bytes.
pub const LONGEST_TAG: usize = 1_024;

/// A tag, as its hash: case counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u128);

impl Tag {
    /// The tag of a text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Self(xxh3_128(text))
    }

    /// Its hash, the same on every node.
    #[must_use]
    pub fn hash(self) -> u128 {
        self.0
    }

    /// The tag of a hash.
    #[must_use]
    pub fn from_hash(hash: u128) -> Self {
        Self(hash)
    }
}

/// The tags of a response, each once; `None` if they are more or longer than can be kept: it could not be
/// purged by what it says, and must not be stored.
#[must_use]
pub fn tags(response: &HeaderMap) -> Option<Vec<Tag>> {
    let by_space = response
        .get_all(&SURROGATE_KEY)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| b" \t".contains(byte)));
    let by_comma =
        response.get_all(&CACHE_TAG).into_iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut tags = Vec::new();
    for text in by_space.chain(by_comma).map(field::trim).filter(|text| !text.is_empty()) {
        let tag = Tag::of(text);
        if tags.contains(&tag) {
            continue;
        }
        if text.len() > LONGEST_TAG || tags.len() == MOST_TAGS {
            return None;
        }
        tags.push(tag);
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(lines: &[(&HeaderName, &str)]) -> Option<Vec<Tag>> {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        tags(&lines.iter().map(|(name, text)| ((*name).clone(), value(text))).collect())
    }

    #[test]
    fn both_fields_give_tags_and_none_is_lost() {
        let all = |texts: &[&str]| Some(texts.iter().map(|text| Tag::of(text.as_bytes())).collect::<Vec<_>>());
        assert_eq!(read(&[]), all(&[]));
        assert_eq!(read(&[(&CACHE_TAG, "a, b c ,,a")]), all(&["a", "b c"]));
        assert_eq!(
            read(&[(&SURROGATE_KEY, " a  b,c\t"), (&SURROGATE_KEY, "a"), (&CACHE_TAG, "d")]),
            all(&["a", "b,c", "d"])
        );
        let many = |count: usize| (0..count).map(|number| format!("t{number}")).collect::<Vec<_>>().join(" ");
        assert_eq!(read(&[(&SURROGATE_KEY, &many(MOST_TAGS))]).map(|tags| tags.len()), Some(MOST_TAGS));
        assert_eq!(read(&[(&SURROGATE_KEY, &many(MOST_TAGS + 1))]), None);
        assert!(read(&[(&CACHE_TAG, &"x".repeat(LONGEST_TAG))]).is_some());
        assert_eq!(read(&[(&CACHE_TAG, &"x".repeat(LONGEST_TAG + 1))]), None);
    }
}
