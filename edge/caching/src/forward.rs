//! What an intermediary removes from a message and adds to it (RFC 9110 §7.6, RFC 8586).

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS, TE, TRAILER, UPGRADE, VIA,
};
use http::{Method, Version, header};

use crate::field;

/// The loop guard of CDNs (RFC 8586).
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// What of the connection's own fields the next connection takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Nothing.
    Plain,
    /// Trailers, from HTTP/2 or 3 to the same: `TE: trailers` and Trailer stay, as gRPC needs.
    Trailers,
    /// An upgrade that the site lets through: Upgrade stays, with its connection option.
    Upgrade,
}

/// Removes from a request or response what belongs to one connection.
///
/// RFC 9110 §7.6.1: "Intermediaries MUST parse a received Connection header field before a message is
/// forwarded and, for each connection-option in this field, remove any header or trailer field(s)
/// from the message with the same name as the connection-option, and then remove the Connection
/// header field itself". A sender that nominates a field meant for every recipient is not obeyed.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // What most messages have goes whether they name it or not.
    let options = field::members(headers, &CONNECTION).filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"));
    let nominated = options.filter_map(|name| HeaderName::from_bytes(name).ok());
    let nominated: Vec<HeaderName> = nominated.filter(|name| !END_TO_END.contains(name)).collect();
    remove_where(headers, |name| is_hop_by_hop(name) || nominated.contains(name));
}

/// Removes the fields whose names are such. Most messages have none of those that are looked for: their names are then
/// gone through once, and nothing is looked up.
pub fn remove_where(headers: &mut HeaderMap, is_out: impl Fn(&HeaderName) -> bool) {
    let out: Vec<HeaderName> = headers.keys().filter(|name| is_out(name)).cloned().collect();
    out.iter().for_each(|name| drop(headers.remove(name)));
}

/// As `remove_hop_by_hop`, but keeps what the next connection takes over.
pub fn forward(headers: &mut HeaderMap, passage: Passage) {
    match passage {
        Passage::Plain => remove_hop_by_hop(headers),
        Passage::Trailers => {
            let trailers = field::members(headers, &TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            let announced = headers.get(TRAILER).cloned();
            remove_hop_by_hop(headers);
            if trailers {
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
            if let Some(announced) = announced {
                headers.insert(TRAILER, announced);
            }
        }
        Passage::Upgrade => {
            let upgrade = headers.get(UPGRADE).cloned();
            remove_hop_by_hop(headers);
            if let Some(upgrade) = upgrade {
                headers.insert(UPGRADE, upgrade);
                // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option".
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
        }
    }
}

/// How often an OPTIONS may be forwarded, if it says so in digits.
#[must_use]
pub(crate) fn forwards_left(request: &HeaderMap) -> Option<u64> {
    let value = request.get(MAX_FORWARDS)?.to_str().ok()?;
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    value.parse().ok()
}

/// RFC 9110 §7.6.2: "Each intermediary that receives a TRACE or OPTIONS request containing a Max-Forwards header field
/// MUST check and update its value prior to forwarding the request". One with none left is not forwarded.
pub fn count_forward(method: &Method, request: &mut HeaderMap) {
    if *method != Method::OPTIONS {
        return;
    }
    if let Some(left) = forwards_left(request) {
        request.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

/// Adds our member to Via: the version the message came in by, and the name we go by.
///
/// RFC 9110 §7.6.3: "A proxy MUST send an appropriate Via header field … in each message that it
/// forwards."
pub fn add_via(headers: &mut HeaderMap, version: Version, pseudonym: &str) {
    let version = match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    if let Ok(value) = HeaderValue::try_from([version, " ", pseudonym].concat()) {
        headers.append(VIA, value);
    }
}

/// Adds our id to a request's CDN-Loop: RFC 8586 §2, "Conforming Content Delivery Networks SHOULD add
/// a cdn-info to this header field in all requests they generate or forward".
pub fn add_cdn_loop(request: &mut HeaderMap, id: &HeaderValue) {
    request.append(CDN_LOOP, id.clone());
}

/// How often a request has already passed us, by its CDN-Loop (RFC 8586 §2). Ids compare without
/// regard to case, and parameters do not count: `id` has none.
#[must_use]
pub fn hops(request: &HeaderMap, id: &HeaderValue) -> usize {
    let is_ours = |member: &&[u8]| {
        let name = member.split(|byte| *byte == b';').next().unwrap_or_default();
        field::trim(name).eq_ignore_ascii_case(id.as_bytes())
    };
    field::members(request, &CDN_LOOP).filter(is_ours).count()
}

/// Fields that belong to one connection, nominated or not (RFC 9110 §7.6.1; the proxy's credentials
/// are for us alone, §11.7).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// RFC 9110 §7.6.1: "A sender MUST NOT send a connection option corresponding to a field that is
/// intended for all recipients of the content", nor may one disarm framing, routing or the guards
/// against loops.
const END_TO_END: [HeaderName; 5] = [HOST, CONTENT_LENGTH, VIA, CDN_LOOP, header::CACHE_CONTROL];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_forwarded_may_go_one_step_less() {
        let table = [
            ("OPTIONS", "5", "4"),
            ("OPTIONS", "1", "0"),
            ("OPTIONS", "x", "x"),
            ("OPTIONS", "99999999999999999999", "99999999999999999999"),
            ("GET", "5", "5"),
        ];
        for (method, before, after) in table {
            let mut request = headers(&[("max-forwards", before)]);
            count_forward(&method.parse().unwrap(), &mut request);
            assert_eq!(request["max-forwards"], after, "{method} {before}");
        }
    }

    const MESSAGE: [(&str, &str); 17] = [
        ("connection", "X-One, Keep-Alive, close"),
        ("connection", ", x-two,, host, Cache-Control, upgrade"),
        ("x-one", "1"),
        ("x-one", "2"),
        ("x-two", "1"),
        ("host", "h"),
        ("cache-control", "no-store"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip, Trailers"),
        ("trailer", "x-sum"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("x-end", "1"),
    ];

    #[test]
    fn nothing_of_one_connection_reaches_the_next_but_what_may_pass() {
        let kept = [("host", "h"), ("cache-control", "no-store"), ("x-end", "1")];
        let table: [(Passage, &[(&str, &str)]); 3] = [
            (Passage::Plain, &[]),
            (Passage::Trailers, &[("te", "trailers"), ("trailer", "x-sum")]),
            (Passage::Upgrade, &[("upgrade", "websocket"), ("connection", "upgrade")]),
        ];
        for (passage, more) in table {
            let mut message = headers(&MESSAGE);
            forward(&mut message, passage);
            let mut expected = headers(&kept);
            expected.extend(headers(more));
            assert_eq!(message, expected, "{passage:?}");
        }
    }

    #[test]
    fn what_is_named_goes_and_what_is_not_stays() {
        type Fields = &'static [(&'static str, &'static str)];
        let table: [(Fields, Fields); 6] = [
            (&[("connection", "keep-alive"), ("keep-alive", "timeout=5"), ("x", "1")], &[("x", "1")]),
            (&[("connection", "close"), ("close", "1"), ("keep-alive", "timeout=5"), ("x", "1")], &[("x", "1")]),
            (&[("connection", "keep-alive, x"), ("x", "1"), ("x", "2"), ("y", "1")], &[("y", "1")]),
            (&[("keep-alive", "timeout=5"), ("x", "1")], &[("x", "1")]),
            (&[("connection", "\"a\", x"), ("x", "1"), ("y", "1")], &[("y", "1")]),
            (&[("x", "1"), ("x", "2")], &[("x", "1"), ("x", "2")]),
        ];
        for (before, after) in table {
            let mut message = headers(before);
            remove_hop_by_hop(&mut message);
            assert_eq!(message, headers(after), "{before:?}");
        }
    }

    #[test]
    fn via_and_cdn_loop_are_lines_of_our_own() {
        let mut message = headers(&[("via", "1.0 other"), ("cdn-loop", "other.example;a=\"b, hither\"")]);
        add_via(&mut message, Version::HTTP_11, "hither");
        add_via(&mut message, Version::HTTP_2, "hither");
        let id = HeaderValue::from_static("hither-1");
        assert_eq!(hops(&message, &id), 0);
        add_cdn_loop(&mut message, &id);
        message.append(CDN_LOOP, HeaderValue::from_static("x, HITHER-1 ; v=2"));
        assert_eq!(hops(&message, &id), 2);
        let via: Vec<_> = message.get_all(VIA).into_iter().collect();
        assert_eq!(via, ["1.0 other", "1.1 hither", "2 hither"]);
    }
}
