//! What a HEAD's answer says about a stored GET (RFC 9111 §4.3.5).

use http::StatusCode;
use http::header::{CONTENT_LENGTH, ETAG, HeaderMap, LAST_MODIFIED};

/// What a HEAD's answer says about a stored GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadWord {
    /// It describes the stored response: merge it and judge the result anew.
    Agrees,
    /// It describes another: expire the stored response.
    Differs,
    /// It says nothing of it, being no 200.
    Silent,
}

/// Compares a HEAD's answer with the stored GET of its variant.
///
/// RFC 9111 §4.3.5: if they "have matching values for any received validator fields (ETag and
/// Last-Modified) and, if the HEAD response has a Content-Length header field, the value of
/// Content-Length matches that of the stored response, the cache SHOULD update the stored response
/// …; otherwise, the cache SHOULD consider the stored response to be stale."
#[must_use]
pub fn compare_head(stored: &HeaderMap, status: StatusCode, head: &HeaderMap) -> HeadWord {
    if status != StatusCode::OK {
        return HeadWord::Silent;
    }
    let agrees = [ETAG, LAST_MODIFIED, CONTENT_LENGTH]
        .iter()
        .all(|name| head.get(name).is_none_or(|value| stored.get(name) == Some(value)));
    if agrees { HeadWord::Agrees } else { HeadWord::Differs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_head_agrees_unless_a_field_it_has_differs() {
        let stored = [(ETAG, "\"a\""), (CONTENT_LENGTH, "10")];
        let table: [(u16, &[_], HeadWord); 7] = [
            (200, &[], HeadWord::Agrees),
            (200, &[(ETAG, "\"a\""), (CONTENT_LENGTH, "10")], HeadWord::Agrees),
            (200, &[(ETAG, "\"b\"")], HeadWord::Differs),
            (200, &[(ETAG, "\"a\""), (CONTENT_LENGTH, "11")], HeadWord::Differs),
            (200, &[(LAST_MODIFIED, "0")], HeadWord::Differs),
            (404, &[(ETAG, "\"b\"")], HeadWord::Silent),
            (304, &[], HeadWord::Silent),
        ];
        let build = |fields: &[(http::HeaderName, &'static str)]| {
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        for (status, head, expected) in table {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(compare_head(&build(&stored), status, &build(head)), expected, "{status} {head:?}");
        }
    }
}
