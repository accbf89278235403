//! Compressing what is stored: which responses, as what, and how their fields change (RFC 9110 §8.4, §12.5.3).

use http::StatusCode;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, VARY,
};

use crate::encoding::weights;
use crate::field;
use crate::targeted::forbids_transform;
use crate::validator::is_strong;

/// A content coding that a cache can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// Brotli, RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

/// Sizes worth compressing, in bytes: below, it saves no packet; above, it takes a core for seconds. Those of
/// `CloudFront`.
pub const CODED_BYTES: std::ops::RangeInclusive<u64> = 1_000..=10_000_000;

impl Coding {
    /// The best first: zstd is read the fastest, brotli is the smallest, gzip is known to all.
    const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// As in Content-Encoding.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The one that a request narrowed by [`narrow_encoding`] wants.
    #[must_use]
    pub fn wanted(request: &HeaderMap) -> Option<Self> {
        let wanted = request.get(ACCEPT_ENCODING)?;
        Self::ALL.into_iter().find(|coding| wanted == coding.name())
    }
}

/// Rewrites Accept-Encoding to the one coding that the client likes best, so that there are four variants at most;
/// `identity` where it names none of ours, or nothing, or is malformed: each other text would be a variant of its own.
pub fn narrow_encoding(request: &mut HeaderMap) {
    let names = Coding::ALL.map(Coding::name);
    let weights = weights(request, &names).unwrap_or_default();
    // Of equals the first: `max_by_key` takes the last.
    let best = names.iter().zip(weights).rev().filter(|(_, weight)| *weight > 0).max_by_key(|(_, weight)| *weight);
    let best = best.map_or("identity", |(name, _)| name);
    request.insert(ACCEPT_ENCODING, HeaderValue::from_static(best));
}

/// Whether a whole response may be compressed: RFC 9110 §7.7, a proxy "MUST NOT transform the content … of a response
/// message that contains a no-transform cache directive".
#[must_use]
pub fn may_code(status: StatusCode, response: &HeaderMap) -> bool {
    status == StatusCode::OK
        && !response.contains_key(CONTENT_ENCODING)
        && !response.contains_key(CONTENT_RANGE)
        && !forbids_transform(response)
        && is_text(response)
}

/// Changes the fields of a response whose content was coded. Returns the entity tag that the origin knows, if it was a
/// strong one: RFC 9110 §8.8.3.3, another coding needs another, and what is left of it is weak.
pub fn set_coding(response: &mut HeaderMap, coding: Coding, length: u64) -> Option<HeaderValue> {
    response.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    response.insert(CONTENT_LENGTH, HeaderValue::from(length));
    set_unlike(response)
}

/// Takes from the fields of a response that was coded here what speaks of the bytes that the origin has. Returns its entity
/// tag, if that was a strong one.
pub fn set_unlike(response: &mut HeaderMap) -> Option<HeaderValue> {
    DIGESTS.iter().for_each(|name| drop(response.remove(name)));
    weaken_tag(response)
}

/// Makes a strong entity tag weak, and returns what it was.
fn weaken_tag(response: &mut HeaderMap) -> Option<HeaderValue> {
    let strong = response.get(ETAG).filter(|etag| is_strong(etag.as_bytes()))?.clone();
    let weak = HeaderValue::from_bytes(&[b"W/", strong.as_bytes()].concat()).ok()?;
    response.insert(ETAG, weak);
    Some(strong)
}

/// Says in a response that it could be compressed for another client, where it could.
pub fn vary_by_coding(response: &mut HeaderMap) {
    let says_so = |member: &[u8]| member == b"*" || member.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str().as_bytes());
    if is_text(response) && !field::members(response, &VARY).any(says_so) {
        response.append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    }
}

/// Fields that speak of the bytes sent (RFC 9530, RFC 3230, RFC 1864).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Whether the media type is one of those that compress: text in the widest sense. Pictures, films and archives are
/// compressed as they are.
pub(crate) fn is_text(response: &HeaderMap) -> bool {
    let line = response.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    kind.starts_with(b"text/") && kind != b"text/event-stream"
        || kind.ends_with(b"+json")
        || kind.ends_with(b"+xml")
        || TEXTS.iter().any(|text| text.as_bytes() == kind)
}

const TEXTS: [&str; 13] = [
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/wasm",
    "application/x-javascript",
    "application/xml",
    "application/vnd.ms-fontobject",
    "application/x-ndjson",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_client_gets_what_it_likes_best() {
        for (line, expected) in [
            (Some("gzip, deflate, br, zstd"), "zstd"),
            (Some("gzip, deflate, br"), "br"),
            (Some("gzip;q=1, br;q=0.5"), "gzip"),
            (Some("*"), "zstd"),
            (Some("zstd;q=0, *;q=0.1"), "br"),
            (Some("deflate"), "identity"),
            (Some("identity;q=0, gzip"), "identity"),
            (Some("gzip;level=9"), "identity"),
            (Some(""), "identity"),
            (None, "identity"),
        ] {
            let mut request = HeaderMap::new();
            line.iter().for_each(|line| _ = request.insert(ACCEPT_ENCODING, HeaderValue::from_static(line)));
            narrow_encoding(&mut request);
            assert_eq!(request[ACCEPT_ENCODING], expected, "{line:?}");
            let coding = Coding::wanted(&request).map(Coding::name);
            assert_eq!(coding, ["zstd", "br", "gzip"].into_iter().find(|name| *name == expected), "{line:?}");
        }
    }

    #[test]
    fn texts_are_compressed_unless_somebody_is_against_it() {
        for (lines, expected) in [
            (&[("content-type", "text/html; charset=utf-8")][..], true),
            (&[("content-type", "Application/JSON")], true),
            (&[("content-type", "image/svg+xml")], true),
            (&[("content-type", "image/png")], false),
            (&[("content-type", "text/event-stream")], false),
            (&[], false),
            (&[("content-type", "text/css"), ("content-encoding", "gzip")], false),
            (&[("content-type", "text/css"), ("cache-control", "max-age=9, No-Transform")], false),
            (&[("content-type", "text/css"), ("cdn-cache-control", "max-age=9, no-transform")], false),
            (&[("content-type", "text/css"), ("cache-control", "no-transform"), ("cdn-cache-control", "a=1")], false),
            (&[("content-type", "text/css"), ("content-range", "bytes 0-1/2")], false),
        ] {
            assert_eq!(may_code(StatusCode::OK, &fields(lines)), expected, "{lines:?}");
        }
        assert!(!may_code(StatusCode::NOT_FOUND, &fields(&[("content-type", "text/html")])));
    }

    #[test]
    fn the_fields_say_what_was_done() {
        let mut response = fields(&[
            ("content-type", "text/css"),
            ("etag", "\"a\""),
            ("repr-digest", "sha-256=:x:"),
            ("content-length", "9000"),
        ]);
        assert_eq!(set_coding(&mut response, Coding::Br, 7), Some(HeaderValue::from_static("\"a\"")));
        let expected =
            [("content-type", "text/css"), ("etag", "W/\"a\""), ("content-encoding", "br"), ("content-length", "7")];
        assert_eq!(response, fields(&expected));
        assert_eq!(weaken_tag(&mut response), None, "it is weak");
        vary_by_coding(&mut response);
        vary_by_coding(&mut response);
        assert_eq!(response.get_all(VARY).iter().collect::<Vec<_>>(), ["accept-encoding"]);
        let mut star = fields(&[("content-type", "text/css"), ("vary", "*")]);
        vary_by_coding(&mut star);
        assert_eq!(star[VARY], "*");
    }
}
