//! What a request asks for, or why it cannot be taken.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use caching::{CacheKey, Moment, hops, normalise_encoding};
use http::request::Parts;
use http::{HeaderMap, Method, Version, header};
use listen::Connection;

use crate::sites::{Site, Sites};

/// A request, as the driver needs it.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) site: Arc<Site>,
    pub(crate) key: CacheKey,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// As the client wrote it.
    pub(crate) host: String,
    /// Path and query as received.
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) peer: IpAddr,
    pub(crate) now: Moment,
    /// The body's length, where a response tells it.
    pub(crate) expected: OnceLock<u64>,
}

/// Why a request cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has no Host, or two.
    NotOneHost,
    /// Its Host names a user.
    HostWithUser,
    /// No site has its Host.
    UnknownHost,
    /// It has been here before (RFC 8586).
    Loop,
}

/// Codings worth a variant of their own; other wishes for compression are one.
const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// Finds out what is asked, or refuses; the head's fields move into what is asked.
pub(crate) fn read(now: Moment, sites: &Sites, head: &mut Parts, connection: Connection) -> Result<Ask, Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).into_iter();
    let named = hosts.next().and_then(|host| host.to_str().ok());
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
    // request message that lacks a Host header field and to any request message that contains more
    // than one Host header field line".
    if hosts.next().is_some() || (named.is_none() && head.version == Version::HTTP_11) {
        return Err(Refusal::NotOneHost);
    }
    let host = head.uri.authority().map(http::uri::Authority::as_str).or(named).unwrap_or_default().to_owned();
    if host.contains('@') {
        return Err(Refusal::HostWithUser);
    }
    let Some(site) = sites.find(&host, connection.local.port()) else {
        return Err(Refusal::UnknownHost);
    };
    if hops(&head.headers, &sites.loop_id) > 0 {
        return Err(Refusal::Loop);
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let scheme = match connection.scheme {
        listen::Scheme::Http => caching::Scheme::Http,
        listen::Scheme::Https => caching::Scheme::Https,
    };
    let mut headers = std::mem::take(&mut head.headers);
    normalise_encoding(&mut headers, &CODINGS);
    Ok(Ask {
        key: CacheKey::new(site.id.as_str(), scheme, &host, &target),
        site: Arc::clone(site),
        method: head.method.clone(),
        headers,
        host,
        target,
        version: head.version,
        peer: connection.peer.ip(),
        now,
        expected: OnceLock::new(),
    })
}
