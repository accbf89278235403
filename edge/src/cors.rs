//! Whether a page of another host may read a response (CORS, the Fetch standard §3.2).

use config::Cors;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// What a site allows the page that a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct Permission<'s> {
    cors: &'s Cors,
    /// The origin that is allowed: the request's, or all; none, if the request's is not.
    origin: Option<HeaderValue>,
}

/// Every field that only this module writes, where a site has rules for it.
const OURS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

impl<'s> Permission<'s> {
    pub(crate) fn of(cors: &'s Cors, headers: &HeaderMap) -> Self {
        let is_known = |origin: &&HeaderValue| {
            cors.origins.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
        };
        let is_open = cors.origins.iter().any(|origin| origin == "*");
        let all = is_open.then(|| HeaderValue::from_static("*"));
        Self { cors, origin: all.or_else(|| headers.get(ORIGIN).filter(is_known).cloned()) }
    }

    /// Writes into a response what its page may read. Of a site whose answer depends on who asks, caches behind hear so.
    pub(crate) fn write(&self, headers: &mut HeaderMap, preflight: Preflight) {
        OURS.iter().for_each(|name| drop(headers.remove(name)));
        let cors = self.cors;
        if !cors.origins.iter().any(|origin| origin == "*") {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = &self.origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if cors.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let mut list = |field, items: Vec<&str>| {
            if let Some(value) = HeaderValue::try_from(items.join(", ")).ok().filter(|value| !value.is_empty()) {
                headers.insert(field, value);
            }
        };
        match preflight {
            Preflight::No => list(ACCESS_CONTROL_EXPOSE_HEADERS, cors.expose.iter().map(HeaderName::as_str).collect()),
            Preflight::Yes => {
                list(ACCESS_CONTROL_ALLOW_METHODS, cors.methods.iter().map(Method::as_str).collect());
                list(ACCESS_CONTROL_ALLOW_HEADERS, cors.headers.iter().map(HeaderName::as_str).collect());
                headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age.as_secs()));
            }
        }
    }
}

/// Whether a request only asks what it may ask (Fetch standard §3.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Preflight {
    /// It asks for something itself.
    #[default]
    No,
    /// It does.
    Yes,
}

impl Preflight {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let asks = headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if *method == Method::OPTIONS && asks { Self::Yes } else { Self::No }
    }
}
