//! What a request may have of the store (RFC 9111 §3, §4).

use http::Method;
use http::header::HeaderMap;

use crate::control::Directives;

/// What a request may have of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Answered from the store, or fetched and judged.
    Cache,
    /// Answered from the store, else with 504 (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// Forwarded; what comes back may still be judged, and may invalidate.
    Pass,
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
        _ => Admission::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::CACHE_CONTROL;

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
}
