//! What a request asks for, or why it cannot be taken.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

use caching::{CacheKey, Moment, Payload, hops, passage};
use http::request::Parts;
use http::{HeaderMap, Method, Version, header};
use listen::{Connection, Interim};
use origin::{FetchError, Fetched};

use crate::access::Said;
use crate::client::Caller;
use crate::clock::today;
use crate::effect::{Effect, Facts, told_field};
use crate::fields;
use crate::sites::{Site, Sites};
use crate::variables::Variables;

/// A request, as the driver needs it.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) site: Arc<Site>,
    pub(crate) key: CacheKey,
    /// Path and query as the client wrote them, where the key's are others.
    target: Option<Box<str>>,
    pub(crate) method: Method,
    /// The fields as an origin gets them, and the client's conditions and range: what is stored is
    /// chosen by what its origin saw.
    pub(crate) headers: HeaderMap,
    /// Whether the client sent content.
    pub(crate) payload: Payload,
    /// As the client wrote it.
    pub(crate) host: String,
    pub(crate) version: Version,
    /// The version of TLS.
    pub(crate) tls: Option<&'static str>,
    pub(crate) client: IpAddr,
    /// What it says of itself, for the log.
    pub(crate) said: Said,
    pub(crate) now: Moment,
    /// The port of the same URL over TLS, where it is to be asked for there.
    pub(crate) sent_to: Option<u16>,
    /// The body's length, where a response tells it.
    pub(crate) expected: OnceLock<u64>,
    /// The origin's server that first answered a fetch for it.
    pub(crate) answered_by: OnceLock<Arc<str>>,
    /// Where the origin's interim responses go.
    pub(crate) interim: Option<Interim>,
}

/// Why a request cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has no Host, or two that differ.
    NotOneHost,
    /// Its Host is none.
    OddHost,
    /// No site has its Host, or not the one whose certificate was shown.
    UnknownHost,
    /// It has been here before (RFC 8586).
    Loop,
}

/// Finds out what is asked, or refuses; the head's fields move into what is asked. The site is told as soon as it is found.
pub(crate) fn read<'s>(
    now: Moment,
    sites: &'s Sites,
    node: &str,
    (head, payload): (&mut Parts, Payload),
    (connection, caller): (&Connection, &Caller),
    asked: &OnceLock<Arc<Site>>,
) -> Result<(Ask, Effect<'s>), Refusal> {
    let host = host_of(head)?.to_owned();
    let port = connection.local.port();
    let site = sites.find(&host, port).ok_or(Refusal::UnknownHost)?;
    // RFC 9110 §7.4: a server that is not authoritative for the target over this connection answers
    // 421. Its certificate was another site's.
    let is_shown = || sites.shown(connection.sni.as_deref(), port).is_some_and(|shown| Arc::ptr_eq(shown, site));
    if connection.scheme == listen::Scheme::Https && !is_shown() {
        return Err(Refusal::UnknownHost);
    }
    let _ = asked.set(Arc::clone(site));
    if hops(&head.headers, &sites.loop_id) > 0 {
        return Err(Refusal::Loop);
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let scheme = match connection.scheme {
        listen::Scheme::Http => caching::Scheme::Http,
        listen::Scheme::Https => caching::Scheme::Https,
    };
    let mut headers = std::mem::take(&mut head.headers);
    let (client, site_id) = (caller.client, site.id.as_str());
    let variables = Variables { client, host: &host, scheme: scheme.as_str(), target, site: site_id, edge: node };
    let now_seconds = today().seconds();
    let country = sites.country_of(client);
    let effect = site.effect(&Facts { method: &head.method, headers: &headers, now_seconds, country, variables });
    let counted = effect.counted(target);
    let key = CacheKey::new(site_id, scheme, &host, &counted);
    let passage = passage(&head.method, head.version, &headers, payload);
    fields::prepare(&mut headers, &head.method, passage, &key, caller);
    site.key_parts().filter_map(told_field).for_each(|name| drop(headers.remove(name)));
    if site.origin.aws.is_some() {
        fields::remove_signed(&mut headers);
    }
    effect.edit_request(&mut headers, &variables);
    // Edges say it themselves, to the origin alone.
    site.origin.secret_headers.iter().for_each(|(name, _)| drop(headers.remove(name)));
    fields::sign(&mut headers, head.version, node, &sites.loop_id);
    // What an authority of certificates asks for is answered as it asks (RFC 8555 §8.3).
    let may_stay = scheme == caching::Scheme::Https || target.starts_with("/.well-known/acme-challenge/");
    let sent_to = site.sends_to.filter(|port| !may_stay && sites.is_there(site, &host, *port));
    let target = (counted != target).then(|| target.into());
    let ask = Ask {
        site: Arc::clone(site),
        key,
        target,
        method: head.method.clone(),
        headers,
        payload,
        host,
        version: head.version,
        tls: connection.tls,
        client,
        said: Said::default(),
        now,
        sent_to,
        expected: OnceLock::new(),
        answered_by: OnceLock::new(),
        interim: connection.interim.clone(),
    };
    Ok((ask, effect))
}

impl Ask {
    /// Path and query as the client wrote them.
    pub(crate) fn target(&self) -> &str {
        self.target.as_deref().unwrap_or_else(|| self.key.path_and_query())
    }

    /// Counts a fetch that was made for it, and notes who has answered.
    pub(crate) fn note_fetch(&self, fetched: &Result<Fetched, FetchError>) {
        self.site.count_fetch(fetched);
        if let Ok(response) = fetched {
            let _ = self.answered_by.set(Arc::clone(response.body().server()));
        }
    }

    /// Whether it asks for another protocol on its connection, as WebSocket does.
    pub(crate) fn wants_switch(&self) -> bool {
        self.headers.contains_key(header::UPGRADE)
    }

    /// What values of fields may say of it.
    pub(crate) fn variables<'a>(&'a self, edge: &'a str) -> Variables<'a> {
        let (client, scheme, target) = (self.client, self.key.scheme().as_str(), self.target());
        Variables { client, host: &self.host, scheme, target, site: self.site.id.as_str(), edge }
    }
}

/// The one host of a request, with or without a port.
fn host_of(head: &Parts) -> Result<&str, Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).into_iter();
    let named = hosts.next();
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
    // request message that lacks a Host header field and to any request message that contains more
    // than one Host header field line or a Host header field with an invalid field value."
    if hosts.next().is_some() || (named.is_none() && head.version == Version::HTTP_11) {
        return Err(Refusal::NotOneHost);
    }
    let named = named.map(|host| host.to_str().map_err(|_| Refusal::OddHost)).transpose()?;
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    // RFC 9113 §8.3.1: a Host that differs from `:authority` makes the request malformed.
    if head.version >= Version::HTTP_2
        && let (Some(named), Some(authority)) = (named, authority)
        && !named.eq_ignore_ascii_case(authority)
    {
        return Err(Refusal::NotOneHost);
    }
    let host = authority.or(named).unwrap_or_default();
    if is_host(host) { Ok(host) } else { Err(Refusal::OddHost) }
}

/// Whether a text is a name or address with or without a port, and nothing else: what it says becomes
/// part of the key and of the request to the origin.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            return address.parse::<Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &[u8]| {
        let lawful = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.iter().all(lawful)
    };
    name.len() <= 253 && name.as_bytes().split(|byte| *byte == b'.').all(is_label) && is_port(port)
}

/// RFC 3986 §3.2.3: a port may be empty.
fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        for good in ["a", "A.b-c.example", "a.example.", "a_b.example:8080", "a:", "192.0.2.1:80", "[::1]", "[::1]:80"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in [
            "", ".", "a..b", ".a", "a/b", "a?b", "a#b", "a b", "a\tb", "u@a", "a:b", "a:99999", "a:1:2", "[[a", "[a]",
            "[::1", "[::1]x", "\"a", "*.a", "a\\b",
        ] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
