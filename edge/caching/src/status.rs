//! Cache-Status: how a cache handled a request (RFC 9211).

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use sfv::{ItemSerializer, RefBareItem, StringRef, TokenRef};

/// Where each cache on the way tells how it handled the request.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How this cache handled a request (RFC 9211 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// The name this cache goes by.
    pub cache: &'a str,
    /// From the store, or not.
    pub handled: Handled,
    /// The remaining lifetime in seconds; negative if stale (§2.4).
    pub ttl: Option<i64>,
    /// The key, told only to those who ask by a way the operator opened (§2.7).
    pub key: Option<&'a str>,
    /// Whatever else helps a person (§2.8).
    pub detail: Option<&'a str>,
}

/// Whether the next hop was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Answered from the store alone (§2.1).
    Hit,
    /// Answered here, neither from the store nor by the next hop: a refusal or a redirect.
    Own,
    /// The next hop was asked.
    Forwarded {
        /// Why (§2.2).
        reason: ForwardReason,
        /// What it answered, if it did (§2.3).
        status: Option<StatusCode>,
        /// Whether its answer was stored (§2.5).
        stored: bool,
        /// Whether it was asked by another's request at the same time (§2.6).
        collapsed: bool,
    },
}

/// Why the next hop was asked (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardReason {
    /// The site is not to be cached.
    Bypass,
    /// The method is not answered from the store.
    Method,
    /// Nothing is stored under the key.
    UriMiss,
    /// Something is, but for other values of the fields it varies by.
    VaryMiss,
    /// Nothing usable is stored; which of the two isn't known.
    Miss,
    /// The request's own directives forbade it.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is a part without the bytes asked for.
    Partial,
}

impl ForwardReason {
    /// The registered token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// Appends our member, in a line of its own: RFC 9211 §2, "Each member of the list represents a
/// cache that has handled the request. The first member represents the cache closest to the origin
/// server".
pub fn append_status(response: &mut HeaderMap, status: &CacheStatus<'_>) {
    if let Some(value) = compose(status).and_then(|text| HeaderValue::try_from(text).ok()) {
        response.append(CACHE_STATUS, value);
    }
}

/// The member; what cannot be written in a structured field (RFC 9651) is left out.
fn compose(status: &CacheStatus<'_>) -> Option<String> {
    let mut text = String::with_capacity(USUAL_BYTES);
    push(&mut text, token(status.cache).or_else(|| string(status.cache))?);
    match status.handled {
        Handled::Hit => text.push_str(";hit"),
        Handled::Own => {}
        Handled::Forwarded { reason, status, stored, collapsed } => {
            text.push_str(";fwd=");
            text.push_str(reason.as_str());
            if let Some(status) = status {
                text.push_str(";fwd-status=");
                text.push_str(status.as_str());
            }
            if stored {
                text.push_str(";stored");
            }
            if collapsed {
                text.push_str(";collapsed");
            }
        }
    }
    if let Some(ttl) = status.ttl.and_then(|ttl| sfv::Integer::try_from(ttl).ok()) {
        text.push_str(";ttl=");
        push(&mut text, RefBareItem::Integer(ttl));
    }
    for (name, value) in [(";key=", status.key), (";detail=", status.detail)] {
        if let Some(value) = value.and_then(string) {
            text.push_str(name);
            push(&mut text, value);
        }
    }
    Some(text)
}

/// Writes what has to be escaped, or is no text.
fn push(text: &mut String, item: RefBareItem<'_>) {
    ItemSerializer::with_buffer(text).bare_item(item);
}

/// What most members fit in.
const USUAL_BYTES: usize = 96;

fn token(text: &str) -> Option<RefBareItem<'_>> {
    TokenRef::from_str(text).ok().map(RefBareItem::from)
}

fn string(text: &str) -> Option<RefBareItem<'_>> {
    StringRef::from_str(text).ok().map(RefBareItem::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_tells_hit_or_why_not() {
        let hit = CacheStatus { cache: "hither", handled: Handled::Hit, ttl: Some(-5), key: None, detail: None };
        let forwarded = |reason, status: Option<u16>, stored, collapsed| Handled::Forwarded {
            reason,
            status: status.and_then(|status| StatusCode::from_u16(status).ok()),
            stored,
            collapsed,
        };
        let table = [
            (hit, "hither;hit;ttl=-5"),
            (CacheStatus { cache: "a b", ttl: None, ..hit }, "\"a b\";hit"),
            (CacheStatus { ttl: None, key: Some("s http://h/\"x\""), ..hit }, r#"hither;hit;key="s http://h/\"x\"""#),
            (CacheStatus { detail: Some("grüße"), ..hit }, "hither;hit;ttl=-5"),
            (
                CacheStatus { ttl: Some(i64::MAX), key: Some("k"), detail: Some("d"), ..hit },
                r#"hither;hit;key="k";detail="d""#,
            ),
            (CacheStatus { handled: Handled::Own, ttl: None, ..hit }, "hither"),
            (
                CacheStatus { handled: forwarded(ForwardReason::Stale, Some(304), true, true), ttl: Some(60), ..hit },
                "hither;fwd=stale;fwd-status=304;stored;collapsed;ttl=60",
            ),
            (
                CacheStatus { handled: forwarded(ForwardReason::UriMiss, None, false, false), ttl: None, ..hit },
                "hither;fwd=uri-miss",
            ),
        ];
        for (status, expected) in table {
            let mut response = HeaderMap::from_iter([(CACHE_STATUS, HeaderValue::from_static("parent;hit"))]);
            append_status(&mut response, &status);
            let lines: Vec<_> = response.get_all(CACHE_STATUS).into_iter().collect();
            assert_eq!(lines, ["parent;hit", expected]);
        }
    }
}
