//! What a client's connection may ask of the origin's: another protocol (RFC 9110 §7.8), or trailers.

use http::header::{CONNECTION, HeaderMap, TE, UPGRADE};
use http::{Method, Version};

use crate::field;
use crate::forward::Passage;
use crate::store::Payload;

/// What of a request's own fields goes on. A GET without content may ask for another protocol; not for one that would
/// hide requests from whoever is in between: HTTP/2 in the clear and TLS (RFC 9110 §7.8: "A server MAY ignore a received
/// Upgrade header field"). No client of HTTP/2 can write these fields (RFC 9113 §8.2.2): they stand for what it asks by
/// extended CONNECT (RFC 8441).
#[must_use]
pub fn passage(method: &Method, version: Version, request: &HeaderMap, payload: Payload) -> Passage {
    // A list of codings that are taken may say that trailers are (RFC 9110 §10.1.4), as gRPC does.
    if version >= Version::HTTP_2 && field::members(request, &TE).any(|one| one.eq_ignore_ascii_case(b"trailers")) {
        return Passage::Trailers;
    }
    let is_told = matches!(version, Version::HTTP_11 | Version::HTTP_2);
    if !is_told || *method != Method::GET || payload == Payload::Present {
        return Passage::Plain;
    }
    let is_named = field::members(request, &CONNECTION).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    let mut protocols = field::members(request, &UPGRADE).peekable();
    let is_asked = is_named && protocols.peek().is_some();
    if is_asked && protocols.all(may_pass) { Passage::Upgrade } else { Passage::Plain }
}

/// Whether a protocol is one that the origin alone has to know.
fn may_pass(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    !["http", "h2", "h2c", "tls"].iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_get_may_ask_for_another_protocol_that_hides_nothing() {
        let (get, one) = (Method::GET, Version::HTTP_11);
        let websocket = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        let to = |protocol| [("connection", "upgrade"), ("upgrade", protocol)];
        let table = [
            (&get, one, &websocket[..], Payload::Empty, Passage::Upgrade),
            (&get, one, &to("one/2, two"), Payload::Empty, Passage::Upgrade),
            (&get, one, &to("h2c"), Payload::Empty, Passage::Plain),
            (&get, one, &to("websocket, H2C"), Payload::Empty, Passage::Plain),
            (&get, one, &to("HTTP/2.0"), Payload::Empty, Passage::Plain),
            (&get, one, &to("TLS/1.0"), Payload::Empty, Passage::Plain),
            (&get, one, &to(""), Payload::Empty, Passage::Plain),
            (&get, one, &websocket[1..], Payload::Empty, Passage::Plain),
            (&get, one, &websocket[..1], Payload::Empty, Passage::Plain),
            (&get, one, &websocket, Payload::Present, Passage::Plain),
            (&Method::POST, one, &websocket, Payload::Empty, Passage::Plain),
            (&get, Version::HTTP_10, &websocket, Payload::Empty, Passage::Plain),
            (&get, Version::HTTP_2, &websocket, Payload::Empty, Passage::Upgrade),
            (&get, Version::HTTP_3, &websocket, Payload::Empty, Passage::Plain),
        ];
        for (method, version, fields, payload, expected) in table {
            let found = passage(method, version, &headers(fields), payload);
            assert_eq!(found, expected, "{method} {version:?} {fields:?} {payload:?}");
        }
    }
}
