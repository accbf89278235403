//! What an unsafe request makes invalid (RFC 9111 §4.4).

use http::header::{CONTENT_LOCATION, HeaderMap, LOCATION};
use http::{Method, StatusCode};

use crate::key::CacheKey;
use crate::reference::pointed;

/// The keys that a response makes invalid, with all their variants: none for a safe method or an
/// error.
///
/// RFC 9111 §4.4: "A cache MUST invalidate the target URI … when it receives a non-error status code
/// in response to an unsafe request method (including methods whose safety is unknown)." It "MAY
/// invalidate other URIs", as those of Location and Content-Location, but "MUST NOT trigger an
/// invalidation" if their origin "differs from that of the target URI".
#[must_use]
pub fn invalidated(method: &Method, target: &CacheKey, status: StatusCode, response: &HeaderMap) -> Vec<CacheKey> {
    let is_error = !(status.is_success() || status.is_redirection());
    if is_error || is_safe(method) {
        return Vec::new();
    }
    let mut keys = vec![target.clone()];
    for key in [LOCATION, CONTENT_LOCATION].iter().filter_map(|name| pointed(response, name, target)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// RFC 9110 §9.2.1: "Of the request methods defined by this specification, the GET, HEAD, OPTIONS,
/// and TRACE methods are defined to be safe."
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Scheme;
    use http::HeaderValue;

    #[test]
    fn only_an_unsafe_success_invalidates() {
        let all: &[&str] = &["/a", "/b", "/c"];
        let table = [
            ("POST", 200, "/b", "c", all),
            ("PUT", 204, "/b", "/c", all),
            ("DELETE", 302, "http://h/b", "/b", &["/a", "/b"]),
            ("BREW", 200, "http://other/b", "/a", &["/a"]),
            ("POST", 404, "/b", "/c", &[]),
            ("POST", 500, "/b", "/c", &[]),
            ("POST", 103, "/b", "/c", &[]),
            ("GET", 200, "/b", "/c", &[]),
            ("HEAD", 200, "/b", "/c", &[]),
            ("OPTIONS", 200, "/b", "/c", &[]),
        ];
        let key = |path: &str| CacheKey::new("s", Scheme::Http, "h", path);
        for (method, status, location, content_location, expected) in table {
            let response = HeaderMap::from_iter([
                (LOCATION, HeaderValue::from_static(location)),
                (CONTENT_LOCATION, HeaderValue::from_static(content_location)),
            ]);
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = invalidated(&method, &key("/a"), StatusCode::from_u16(status).unwrap(), &response);
            assert_eq!(found, expected.iter().map(|path| key(path)).collect::<Vec<_>>(), "{method} {status}");
        }
    }
}
