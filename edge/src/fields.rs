//! The fields an origin gets: written anew from the client's, never passed through.

use caching::{CacheKey, Passage, add_cdn_loop, add_via, forward, remove_where};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use crate::client::{Caller, FORWARDED_FOR};

/// Begins the names of fields that hold a cookie of the key.
pub(crate) const COOKIE_KEY: &str = "hither-cookie-";

/// Makes a client's fields into those an origin gets.
pub(crate) fn prepare(headers: &mut HeaderMap, method: &Method, passage: Passage, key: &CacheKey, caller: &Caller) {
    forward(headers, passage);
    remove_where(headers, is_unkeyed);
    if *method == Method::GET || *method == Method::HEAD {
        remove_where(headers, is_of_body);
    }
    join_cookies(headers);
    // Once for all that is added, `sign`'s too.
    headers.reserve(ADDED);
    if let Ok(chain) = HeaderValue::try_from(caller.chain()) {
        headers.insert(FORWARDED_FOR, chain);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(key.scheme().as_str()));
    // As in the key: an origin never sees another host than what it answers is stored under.
    if headers.get(header::HOST).is_none_or(|host| host != key.host())
        && let Ok(host) = HeaderValue::from_str(key.host())
    {
        headers.insert(header::HOST, host);
    }
}

/// Whether a client's field of this name goes no further.
pub(crate) fn is_unkeyed(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Gateways to CGI and WSGI take an underscore for a hyphen: such a name is another's twin.
    UNKEYED.contains(&name) || name.starts_with("x-forwarded") || name.starts_with(COOKIE_KEY) || name.contains('_')
}

/// Removes what an edge that signs says itself: what a client says would be refused, or signed along.
pub(crate) fn remove_signed(headers: &mut HeaderMap) {
    remove_where(headers, |name| *name == header::AUTHORIZATION || name.as_str().starts_with("x-amz-"));
}

/// Adds by whom the request has come.
pub(crate) fn sign(headers: &mut HeaderMap, version: Version, node: &str, loop_id: &HeaderValue) {
    add_via(headers, version, node);
    add_cdn_loop(headers, loop_id);
}

/// Whether a field describes a body: where none goes out it does not either.
pub(crate) fn is_of_body(name: &HeaderName) -> bool {
    matches!(*name, header::CONTENT_LENGTH | header::CONTENT_TYPE | header::EXPECT)
}

/// Fields by which a client could make an origin answer what other clients then get from the store,
/// since they are no part of the key: where frameworks look for another host, path, scheme, method or
/// client. Ours replace two of them; those that begin as `x-forwarded` are not repeated here.
const UNKEYED: [&str; 25] = [
    "forwarded",
    "forwarded-for",
    "client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-override-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-http-path-override",
    "x-scheme",
    "x-url-scheme",
    "x-proto",
    "front-end-https",
    "x-middleware-subrequest",
    "proxy",
    fleet::HEADER,
];

/// The fields that an edge adds to a request.
const ADDED: usize = 5;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

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

#[cfg(test)]
mod tests {
    use super::*;
    use caching::Scheme;

    #[test]
    fn an_origin_gets_the_host_of_the_key_whatever_the_client_wrote() {
        for (written, told) in [
            (Some("www.shop.example"), "www.shop.example"),
            (Some("WWW.Shop.example:80"), "www.shop.example"),
            (Some("www.shop.example:8080"), "www.shop.example:8080"),
            // HTTP/2 has it in `:authority`.
            (None, "www.shop.example"),
        ] {
            let mut headers = HeaderMap::new();
            written.into_iter().for_each(|host| _ = headers.insert(header::HOST, HeaderValue::from_static(host)));
            let key = CacheKey::new("shop", Scheme::Http, written.unwrap_or("www.shop.example"), "/");
            let caller = Caller::of([192, 0, 2, 1].into(), &[], &headers);
            prepare(&mut headers, &Method::GET, Passage::Plain, &key, &caller);
            let hosts: Vec<&HeaderValue> = headers.get_all(header::HOST).into_iter().collect();
            assert_eq!(hosts, [told], "{written:?}");
        }
    }

    #[test]
    fn an_origin_gets_nothing_by_which_one_client_answers_for_another() {
        let mut headers = HeaderMap::new();
        for name in UNKEYED.into_iter().chain([
            "x-forwarded-for",
            "x-forwarded-prefix",
            "x-forwarded",
            "x_forwarded_host",
            "content_length",
            "x-tenant",
            "content-type",
            "transfer-encoding",
        ]) {
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("attack"));
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("x-tenant"));
        headers.insert(header::HOST, HeaderValue::from_static("WWW.Shop.example:80"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
        let key = CacheKey::new("shop", Scheme::Http, "WWW.Shop.example:80", "/");
        let caller = Caller::of([192, 0, 2, 1].into(), &[], &headers);
        prepare(&mut headers, &Method::GET, Passage::Plain, &key, &caller);
        let mut left: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        let expected = [
            ("accept", "text/html"),
            ("host", "www.shop.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(left, expected);
    }
}
