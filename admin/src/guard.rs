//! Who may read, and who may change.

use std::net::{IpAddr, SocketAddr};

use config::{Secret, SiteId};
use fleet::{Credential, HEADER, wall_clock_ms};
use http::request::Parts;
use http::{StatusCode, header};

/// What requests have to show, as the config has it now.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The admin token: everything.
    pub admin: Option<Secret>,
    /// The fleet's key: what nodes sign their requests with.
    pub fleet: Option<Secret>,
    /// Tokens that purge one site.
    pub sites: Vec<(SiteId, Secret)>,
}

/// Which address a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The admin address: reading is free on loopback.
    Admin,
    /// The address where nodes reach each other: nothing is free.
    Peer,
}

/// Whom a change reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every site.
    All,
    /// One.
    Site(SiteId),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its Host is no address: a page of another site may be behind it.
    ForeignHost,
    /// It needs the token.
    NoToken,
    /// Nothing could allow it: the config has no token.
    NoChanges,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::NoChanges => StatusCode::FORBIDDEN,
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::ForeignHost => "use the address itself, or localhost, as Host\n",
            Self::NoToken => "send `Authorization: Bearer TOKEN` with the token of secrets/\n",
            Self::NoChanges => "the config has no `[admin] token`: nothing can be changed by HTTP\n",
        }
    }
}

/// Whether a request may read.
pub(crate) fn may_read(head: &Parts, peer: SocketAddr, door: Door, keys: &Keys) -> Result<(), Refusal> {
    has_own_host(head)?;
    let is_free = door == Door::Admin && peer.ip().to_canonical().is_loopback();
    let is_known = keys.admin.as_ref().is_some_and(|token| shows(head, token)) || is_signed(head, b"", keys);
    if is_free || is_known { Ok(()) } else { Err(Refusal::NoToken) }
}

/// What a request with this body may change.
pub(crate) fn may_change(head: &Parts, body: &[u8], keys: &Keys) -> Result<Reach, Refusal> {
    has_own_host(head)?;
    if keys.admin.as_ref().is_some_and(|token| shows(head, token)) || is_signed(head, body, keys) {
        return Ok(Reach::All);
    }
    // Every token is compared, so that the time tells nothing of which was near.
    let of_sites = keys.sites.iter().filter(|(_, token)| shows(head, token)).map(|(site, _)| site.clone());
    let mut of_sites: Vec<SiteId> = of_sites.collect();
    match of_sites.pop() {
        Some(site) => Ok(Reach::Site(site)),
        None if keys.admin.is_none() && keys.sites.is_empty() && keys.fleet.is_none() => Err(Refusal::NoChanges),
        None => Err(Refusal::NoToken),
    }
}

fn has_own_host(head: &Parts) -> Result<(), Refusal> {
    let host = head.uri.host().or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok()));
    if host.is_some_and(is_own_host) { Ok(()) } else { Err(Refusal::ForeignHost) }
}

/// Whether a request shows a token.
fn shows(head: &Parts, token: &Secret) -> bool {
    let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    shown.is_some_and(|shown| is_equal(token.as_bytes(), shown))
}

/// Whether a node of the fleet signed a request.
fn is_signed(head: &Parts, body: &[u8], keys: &Keys) -> bool {
    let shown = head.headers.get(HEADER).and_then(|value| value.to_str().ok());
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    keys.fleet
        .as_ref()
        .zip(shown)
        .is_some_and(|(key, shown)| Credential::holds(key, wall_clock_ms(), shown, head.method.as_str(), path, body))
}

/// An address or localhost, with or without a port.
fn is_own_host(host: &str) -> bool {
    let name = host.parse::<SocketAddr>().map(|_| "localhost").unwrap_or(host);
    let name = name.split_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(name, |(name, _)| name);
    name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Compares without telling by its time how much was right.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";
    const OF_SITE: &str = "a token of the shop";
    const KEY: &str = "the key of the fleet";

    fn keys() -> Keys {
        let sites = vec![(SiteId::parse("shop").unwrap(), Secret::new(OF_SITE))];
        Keys { admin: Some(Secret::new(TOKEN)), fleet: Some(Secret::new(KEY)), sites }
    }

    fn head(host: &str, name: &str, value: &str) -> Parts {
        http::Request::post("/purge").header("host", host).header(name, value).body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_loopback_or_the_token_reads() {
        let read = |host: &str, peer: &str, door, authorization: &str| {
            may_read(&head(host, "authorization", authorization), peer.parse().unwrap(), door, &keys())
        };
        let with_token = format!("Bearer {TOKEN}");
        assert_eq!(read("127.0.0.1:9300", "127.0.0.1:5", Door::Admin, ""), Ok(()));
        assert_eq!(read("localhost:9300", "[::1]:5", Door::Admin, ""), Ok(()));
        assert_eq!(read("127.0.0.1:8444", "127.0.0.1:5", Door::Peer, ""), Err(Refusal::NoToken));
        assert_eq!(read("192.0.2.1:9300", "192.0.2.9:5", Door::Admin, ""), Err(Refusal::NoToken));
        assert_eq!(
            read("192.0.2.1:9300", "192.0.2.9:5", Door::Admin, "Bearer 0123456789abcdeX"),
            Err(Refusal::NoToken)
        );
        assert_eq!(read("192.0.2.1:9300", "192.0.2.9:5", Door::Admin, &with_token), Ok(()));
        assert_eq!(read("192.0.2.1:8444", "192.0.2.9:5", Door::Peer, &with_token), Ok(()));
    }

    #[test]
    fn a_foreign_host_is_refused() {
        for host in ["evil.example", "evil.example:9300", "localhost.evil.example", ""] {
            let head = head(host, "authorization", &format!("Bearer {TOKEN}"));
            let peer = "127.0.0.1:5".parse().unwrap();
            assert_eq!(may_read(&head, peer, Door::Admin, &keys()), Err(Refusal::ForeignHost), "{host}");
            assert_eq!(may_change(&head, b"", &keys()), Err(Refusal::ForeignHost), "{host}");
        }
    }

    #[test]
    fn a_change_needs_a_token_or_the_fleets_signature_of_its_body() {
        let shop = SiteId::parse("shop").unwrap();
        let bearer =
            |token: &str| may_change(&head("127.0.0.1", "authorization", &format!("Bearer {token}")), b"", &keys());
        assert_eq!(bearer(TOKEN), Ok(Reach::All));
        assert_eq!(bearer(OF_SITE), Ok(Reach::Site(shop)));
        assert_eq!(bearer("a token of the other"), Err(Refusal::NoToken));
        assert_eq!(bearer(KEY), Err(Refusal::NoToken));
        let signed = Credential::sign(&Secret::new(KEY), wall_clock_ms(), 7, "POST", "/purge", b"body");
        assert_eq!(may_change(&head("127.0.0.1", HEADER, &signed), b"body", &keys()), Ok(Reach::All));
        assert_eq!(may_change(&head("127.0.0.1", HEADER, &signed), b"other", &keys()), Err(Refusal::NoToken));
        assert_eq!(may_change(&head("127.0.0.1", "x", ""), b"", &Keys::default()), Err(Refusal::NoChanges));
    }
}
