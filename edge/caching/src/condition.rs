//! A client's condition against a stored response (RFC 9110 §13, RFC 9111 §4.3.2).

use http::StatusCode;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, VARY,
};

use crate::date::read_date;
use crate::field;
use crate::targeted::{CDN_CACHE_CONTROL, HITHER_CDN_CACHE_CONTROL};
use crate::time::Moment;
use crate::validator::equal_weakly;

/// What a client's condition makes of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is none, or it is met: answer with the stored response.
    Proceed,
    /// Answer 304 with the fields of `not_modified`.
    NotModified,
}

/// Evaluates the condition of a GET or HEAD against a stored response that may be used, also one that
/// has just been validated.
///
/// RFC 9111 §4.3.2: "If-None-Match takes precedence over If-Modified-Since", and the other conditions
/// "are not applicable to a cache". RFC 9110 §13.2.1: conditions count only where the response
/// without them would be a success.
#[must_use]
pub fn evaluate(request: &HeaderMap, status: StatusCode, stored: &HeaderMap, now: Moment) -> Condition {
    let holds = if !status.is_success() {
        false
    } else if request.contains_key(IF_NONE_MATCH) {
        names_stored(request, stored)
    } else {
        is_unmodified(request, stored, now)
    };
    if holds { Condition::NotModified } else { Condition::Proceed }
}

/// The fields of a 304 made from a stored response, of those RFC 9110 §15.4.5 lists and whatever else
/// guides caches; Last-Modified where there is no entity tag to go by.
#[must_use]
pub fn not_modified(stored: &HeaderMap) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let last_modified = (!stored.contains_key(ETAG)).then_some(LAST_MODIFIED);
    for name in GUIDING.into_iter().chain(last_modified) {
        for value in stored.get_all(&name) {
            fields.append(&name, value.clone());
        }
    }
    fields
}

/// RFC 9110 §15.4.5: "The server generating a 304 response MUST generate any of the following header
/// fields that would have been sent in a 200 (OK) response to the same request". RFC 9111 §4 adds
/// Age, which is written last as on any answer from the store.
const GUIDING: [HeaderName; 9] =
    [DATE, AGE, CACHE_CONTROL, CDN_CACHE_CONTROL, HITHER_CDN_CACHE_CONTROL, CONTENT_LOCATION, ETAG, EXPIRES, VARY];

/// RFC 9110 §13.1.2: "A recipient MUST use the weak comparison function when comparing entity tags
/// for If-None-Match".
fn names_stored(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let etag = stored.get(ETAG).map(http::HeaderValue::as_bytes);
    let mut tags = request.get_all(IF_NONE_MATCH).into_iter().flat_map(|line| field::split_tags(line.as_bytes()));
    tags.any(|tag| tag == b"*" || etag.is_some_and(|etag| equal_weakly(tag, etag)))
}

/// RFC 9110 §13.1.3: "A recipient MUST ignore the If-Modified-Since header field if the received
/// field value is not a valid HTTP-date, the field value has more than one member". RFC 9111 §4.3.2:
/// where the stored response has no Last-Modified, its Date counts.
fn is_unmodified(request: &HeaderMap, stored: &HeaderMap, now: Moment) -> bool {
    let date = |headers, name| field::single(headers, name).and_then(|value| read_date(value, now));
    let changed = if stored.contains_key(LAST_MODIFIED) { &LAST_MODIFIED } else { &DATE };
    match (date(request, &IF_MODIFIED_SINCE), date(stored, changed)) {
        (Some(since), Some(changed)) => changed <= since,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const NOW: Moment = Moment::from_seconds(1_700_000_000);
    const EARLY: &str = "Mon, 13 Nov 2023 22:13:20 GMT";
    const LATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const LATE_RFC_850: &str = "Tuesday, 14-Nov-23 22:13:20 GMT";
    const LATE_ASCTIME: &str = "Tue Nov 14 22:13:20 2023";

    type Fields = &'static [(&'static str, &'static str)];

    fn headers(fields: Fields) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn if_none_match_goes_before_if_modified_since() {
        let table: [(Fields, Fields, bool); 17] = [
            (&[], &[("etag", "\"a\"")], false),
            (&[("if-none-match", "\"a\"")], &[("etag", "\"a\"")], true),
            (&[("if-none-match", "W/\"a\"")], &[("etag", "\"a\"")], true),
            (&[("if-none-match", "\"x\", \"b,c\" ,\"a\"")], &[("etag", "W/\"a\"")], true),
            (&[("if-none-match", "\"x\""), ("if-none-match", "\"a\"")], &[("etag", "\"a\"")], true),
            (&[("if-none-match", "*")], &[], true),
            (&[("if-none-match", "\"b\"")], &[("etag", "\"a\"")], false),
            (&[("if-none-match", "\"x,\"a\"")], &[("etag", "\"a\"")], false),
            (&[("if-none-match", "a")], &[("etag", "a")], true),
            (
                &[("if-none-match", "\"b\""), ("if-modified-since", LATE)],
                &[("etag", "\"a\""), ("last-modified", EARLY)],
                false,
            ),
            (&[("if-modified-since", LATE)], &[("last-modified", EARLY)], true),
            (&[("if-modified-since", LATE_RFC_850)], &[("last-modified", LATE)], true),
            (&[("if-modified-since", LATE_ASCTIME)], &[("last-modified", LATE)], true),
            (&[("if-modified-since", EARLY)], &[("last-modified", LATE)], false),
            (&[("if-modified-since", LATE)], &[("date", LATE)], true),
            (&[("if-modified-since", "soon")], &[("date", EARLY)], false),
            (&[("if-modified-since", LATE), ("if-modified-since", LATE)], &[("date", EARLY)], false),
        ];
        for (request, stored, holds) in table {
            let expected = if holds { Condition::NotModified } else { Condition::Proceed };
            let found = evaluate(&headers(request), StatusCode::OK, &headers(stored), NOW);
            assert_eq!(found, expected, "{request:?} {stored:?}");
            let missing = evaluate(&headers(request), StatusCode::NOT_FOUND, &headers(stored), NOW);
            assert_eq!(missing, Condition::Proceed);
        }
    }

    #[test]
    fn a_304_carries_what_guides_caches_and_nothing_about_a_body() {
        let stored = headers(&[
            ("date", LATE),
            ("etag", "\"a\""),
            ("last-modified", EARLY),
            ("content-type", "text/plain"),
            ("content-length", "3"),
            ("vary", "a"),
            ("vary", "b"),
            ("set-cookie", "a=b"),
        ]);
        assert_eq!(not_modified(&stored), headers(&[("date", LATE), ("etag", "\"a\""), ("vary", "a"), ("vary", "b")]));
        assert_eq!(not_modified(&headers(&[("last-modified", EARLY)])), headers(&[("last-modified", EARLY)]));
    }
}
