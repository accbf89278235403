//! Validators: entity tags and times of change (RFC 9110 §8.8).

use http::header::{ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

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
}
