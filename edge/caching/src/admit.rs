//! What a request may have of the store (RFC 9111 §3, §4).

use http::Method;
use http::header::HeaderMap;

use crate::control::Directives;
use crate::forward::forwards_left;

/// What a request may have of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Answered from the store, or fetched and judged.
    Cache,
    /// Answered from the store, else with 504 (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// Forwarded; what comes back may still be judged, and may invalidate.
    Pass,
    /// Answered here, with what methods there are: it may go no further (RFC 9110 §7.6.2).
    Last,
    /// Forwarded nowhere: its method is not served (405).
    Refuse,
}

/// Decides what a request may have of the store.
///
/// Query, Cookie, Authorization, `no-store` and `no-cache` keep no request from it: the last would
/// let any client drive the origin, and RFC 9111 §5.2.1 says of request directives that they "are
/// advisory; caches MAY implement them"; the others matter when the response is judged.
#[must_use]
pub fn admit(method: &Method, headers: &HeaderMap) -> Admission {
    match *method {
        Method::GET | Method::HEAD if Directives::of(headers).only_if_cached => Admission::OnlyIfCached,
        Method::GET | Method::HEAD => Admission::Cache,
        // A proxy has no use for the first two here; the third is other caches' purge, which has a
        // way of its own.
        Method::CONNECT | Method::TRACE => Admission::Refuse,
        _ if method.as_str() == "PURGE" => Admission::Refuse,
        Method::OPTIONS if forwards_left(headers) == Some(0) => Admission::Last,
        _ => Admission::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::{CACHE_CONTROL, MAX_FORWARDS};

    #[test]
    fn only_get_and_head_look_into_the_store() {
        let table = [
            ("GET", "", Admission::Cache),
            ("HEAD", "no-store, no-cache, max-age=0", Admission::Cache),
            ("GET", "foo, Only-If-Cached", Admission::OnlyIfCached),
            ("POST", "only-if-cached", Admission::Pass),
            ("get", "", Admission::Pass),
            ("BREW", "", Admission::Pass),
            ("OPTIONS", "", Admission::Pass),
            ("TRACE", "", Admission::Refuse),
            ("CONNECT", "", Admission::Refuse),
            ("PURGE", "", Admission::Refuse),
        ];
        for (method, control, expected) in table {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(control))]);
            assert_eq!(
                admit(&Method::from_bytes(method.as_bytes()).unwrap(), &headers),
                expected,
                "{method} {control}"
            );
        }
    }

    #[test]
    fn options_go_as_far_as_they_may() {
        let table = [
            ("OPTIONS", "0", Admission::Last),
            ("OPTIONS", "00", Admission::Last),
            ("OPTIONS", "1", Admission::Pass),
            ("OPTIONS", "-1", Admission::Pass),
            ("OPTIONS", "zero", Admission::Pass),
            ("GET", "0", Admission::Cache),
            ("POST", "0", Admission::Pass),
        ];
        for (method, left, expected) in table {
            let headers = HeaderMap::from_iter([(MAX_FORWARDS, HeaderValue::from_static(left))]);
            assert_eq!(admit(&method.parse().unwrap(), &headers), expected, "{method} {left}");
        }
    }
}
