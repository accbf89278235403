//! The request that goes to the origin: written anew, never passed through.

use std::net::IpAddr;

use caching::{Passage, add_cdn_loop, add_via, forward};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};

use crate::ask::Ask;

/// Fields by which a client could make an origin answer what other clients then get from the store,
/// since they are no part of the key. Ours replace two of them.
const UNKEYED: [&str; 12] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-host",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "proxy",
    "x-real-ip",
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether the request takes a body along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// None: one that came is dropped (RFC 9110 §9.3.1 gives it no meaning).
    Empty,
    /// The client's.
    Body,
}

/// Writes the request for an origin.
pub(crate) fn compose(ask: &Ask, load: Load, node: &str, loop_id: &HeaderValue) -> Option<Parts> {
    let mut headers = ask.headers.clone();
    forward(&mut headers, Passage::Plain);
    for name in UNKEYED {
        headers.remove(name);
    }
    if load == Load::Empty {
        for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::EXPECT] {
            headers.remove(name);
        }
    }
    join_cookies(&mut headers);
    set(&mut headers, FORWARDED_FOR, &show(ask.peer));
    set(&mut headers, FORWARDED_PROTO, ask.key.scheme().as_str());
    set(&mut headers, header::HOST, &ask.host);
    add_via(&mut headers, ask.version, node);
    add_cdn_loop(&mut headers, loop_id);
    let uri: Uri = ask.target.parse().ok()?;
    let mut request = Request::new(());
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Some(request.into_parts().0)
}

/// As [`compose`], for the store: a GET without the client's conditions.
pub(crate) fn compose_for_store(ask: &Ask, node: &str, loop_id: &HeaderValue) -> Option<Parts> {
    let mut head = compose(ask, Load::Empty, node, loop_id)?;
    head.method = Method::GET;
    caching::remove_conditions(&mut head.headers);
    Some(head)
}

/// RFC 9113 §8.2.3: split cookies "MUST be concatenated into a single octet string using the
/// two-octet delimiter of 0x3b, 0x20" before they are passed to HTTP/1.1.
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn show(address: IpAddr) -> String {
    address.to_canonical().to_string()
}
