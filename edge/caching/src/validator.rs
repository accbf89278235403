//! Validators: entity tags and times of change (RFC 9110 §8.8).

use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

use crate::field;

/// The validators of a stored response, as the origin wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// ETag, also where it is weak or lacks its quotes.
    pub etag: Option<HeaderValue>,
    /// Last-Modified.
    pub last_modified: Option<HeaderValue>,
}

impl Validators {
    /// The validators of a response.
    #[must_use]
    pub fn of(response: &HeaderMap) -> Self {
        Self { etag: response.get(ETAG).cloned(), last_modified: response.get(LAST_MODIFIED).cloned() }
    }

    /// Whether there is none, so that nothing can be validated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// Whether a response has a strong entity tag: only then can it be kept in parts.
#[must_use]
pub fn has_strong_tag(response: &HeaderMap) -> bool {
    response.get(ETAG).is_some_and(|etag| is_strong(etag.as_bytes()))
}

/// Whether two responses carry the same strong entity tag, so that parts of one fit the other:
/// RFC 9111 §3.4, parts may be combined if they "share the same strong validator".
#[must_use]
pub fn is_same_representation(one: &HeaderMap, other: &HeaderMap) -> bool {
    match (one.get(ETAG), other.get(ETAG)) {
        (Some(one), Some(other)) => equal_strongly(one.as_bytes(), other.as_bytes()),
        _ => false,
    }
}

/// Whether a 200 is all of a stored representation of so many bytes: beside the same strong entity tag (see
/// [`is_same_representation`]) its length, where it tells one, its content coding and its language have to agree. RFC
/// 9110 §8.8.1: a strong validator "changes value whenever a change occurs to the representation data that would be
/// observable in the content of a 200 (OK) response"; an origin that says otherwise is wrong about its tag.
#[must_use]
pub fn is_same_whole(stored: &HeaderMap, length: u64, answer: &HeaderMap) -> bool {
    let mut lengths = answer.get_all(CONTENT_LENGTH).iter();
    is_same_representation(stored, answer)
        && lengths.all(|told| field::number(told.as_bytes()) == Some(length))
        && [CONTENT_ENCODING, CONTENT_LANGUAGE].iter().all(|name| answer.get_all(name) == stored.get_all(name))
}

/// RFC 9110 §8.8.3.2: "two entity tags are equivalent if their opaque-tags match
/// character-by-character, regardless of either or both being tagged as "weak"".
pub(crate) fn equal_weakly(one: &[u8], other: &[u8]) -> bool {
    opaque(one) == opaque(other)
}

/// RFC 9110 §8.8.3.2: "two entity tags are equivalent if both are not weak and their opaque-tags
/// match character-by-character". One without quotes is none at all, hence never strong.
pub(crate) fn equal_strongly(one: &[u8], other: &[u8]) -> bool {
    is_strong(one) && one == other
}

/// Whether an entity tag is a well-formed strong one.
pub(crate) fn is_strong(tag: &[u8]) -> bool {
    matches!(tag, [b'"', inner @ .., b'"'] if !inner.contains(&b'"'))
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_compare_as_the_rfcs_table_says() {
        // One, other, strongly, weakly: the table of RFC 9110 §8.8.3.2, then malformed ones.
        let table = [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
            ("1", "1", false, true),
            ("1", r#""1""#, false, false),
            (r#"w/"1""#, r#""1""#, false, false),
        ];
        for (one, other, strongly, weakly) in table {
            let (one, other) = (one.as_bytes(), other.as_bytes());
            assert_eq!((equal_strongly(one, other), equal_weakly(one, other)), (strongly, weakly), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_200_is_all_of_what_is_stored_only_where_nothing_in_it_says_otherwise() {
        let stored = [("etag", "\"a\""), ("content-encoding", "gzip"), ("content-language", "de")];
        let [tag, gzip, german] = stored;
        let length = |length| [tag, gzip, german, ("content-length", length)].to_vec();
        let table = [
            (vec![tag, gzip, german], true),
            (vec![german, gzip, tag, ("content-type", "text/plain")], true),
            (length("20"), true),
            (length("19"), false),
            (length("21"), false),
            (length("x"), false),
            ([length("20"), length("21")].concat(), false),
            (vec![tag, german], false),
            (vec![tag, german, ("content-encoding", "br")], false),
            (vec![tag, gzip, german, ("content-encoding", "br")], false),
            (vec![tag, gzip], false),
            (vec![tag, gzip, ("content-language", "en")], false),
            (vec![("etag", "W/\"a\""), gzip, german], false),
            (vec![("etag", "\"b\""), gzip, german], false),
            (vec![gzip, german], false),
        ];
        let build = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            headers
        };
        for (answer, expected) in table {
            assert_eq!(is_same_whole(&build(&stored), 20, &build(&answer)), expected, "{answer:?}");
        }
        assert!(!is_same_whole(&build(&[tag]), 20, &build(&[tag, gzip])), "coded since");
    }
}
