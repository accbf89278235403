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
    /// A browser says that a page of another site is behind it.
    CrossSite,
    /// It comes from a browser, and a form of another site could send the same.
    NotJson,
    /// It needs the token.
    NoToken,
    /// It is signed, but not with this node's fleet key, or not now.
    WrongSignature,
    /// Nothing could allow it: the config has no token.
    NoChanges,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoToken | Self::WrongSignature => StatusCode::UNAUTHORIZED,
            Self::CrossSite | Self::NoChanges => StatusCode::FORBIDDEN,
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::ForeignHost => "use the address itself, or localhost, as Host\n",
            Self::CrossSite => "a page of another site asks for this; open the console at this address itself\n",
            Self::NotJson => "from a browser send `Content-Type: application/json`\n",
            Self::NoToken => "send `Authorization: Bearer TOKEN` with the token of secrets/\n",
            Self::WrongSignature => {
                "signed by another secrets/fleet.key than this node's, or by a clock that differs by more than five minutes\n"
            }
            Self::NoChanges => "the config has no `[admin] token`: nothing can be changed by HTTP\n",
        }
    }
}

/// Whether a request may see the page itself, which tells nothing of the fleet.
pub(crate) fn may_look(head: &Parts) -> Result<(), Refusal> {
    has_own_host(head)
}

/// Whether a request may read.
pub(crate) fn may_read(head: &Parts, peer: SocketAddr, door: Door, keys: &Keys) -> Result<(), Refusal> {
    has_own_host(head)?;
    // A page of another site could not read the answer, but may not even ask. To follow a link from there is fine.
    if is_of_another_site(head) && field(head, SEC_FETCH_MODE) != Some("navigate") {
        return Err(Refusal::CrossSite);
    }
    let is_free = door == Door::Admin && peer.ip().to_canonical().is_loopback();
    let is_known = keys.admin.as_ref().is_some_and(|token| shows(head, token)) || is_signed(head, b"", keys);
    if is_free || is_known { Ok(()) } else { Err(lacking(head)) }
}

/// What a request with this body may change.
pub(crate) fn may_change(head: &Parts, body: &[u8], keys: &Keys) -> Result<Reach, Refusal> {
    has_own_host(head)?;
    is_no_trick(head)?;
    if keys.admin.as_ref().is_some_and(|token| shows(head, token)) || is_signed(head, body, keys) {
        return Ok(Reach::All);
    }
    // Every token is compared, so that the time tells nothing of which was near.
    let of_sites = keys.sites.iter().filter(|(_, token)| shows(head, token)).map(|(site, _)| site.clone());
    let mut of_sites: Vec<SiteId> = of_sites.collect();
    match of_sites.pop() {
        Some(site) => Ok(Reach::Site(site)),
        None if keys.admin.is_none() && keys.sites.is_empty() && keys.fleet.is_none() => Err(Refusal::NoChanges),
        None => Err(lacking(head)),
    }
}

/// What is wrong with a request that shows nothing which is known here.
fn lacking(head: &Parts) -> Refusal {
    if head.headers.contains_key(HEADER) { Refusal::WrongSignature } else { Refusal::NoToken }
}

fn has_own_host(head: &Parts) -> Result<(), Refusal> {
    if host(head).is_some_and(is_own_host) { Ok(()) } else { Err(Refusal::ForeignHost) }
}

fn host(head: &Parts) -> Option<&str> {
    head.uri.authority().map(http::uri::Authority::as_str).or_else(|| field(head, header::HOST.as_str()))
}

fn field<'h>(head: &'h Parts, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

/// What browsers say of who is behind a request (Fetch Metadata, §2).
const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";

fn is_of_another_site(head: &Parts) -> bool {
    head.headers.contains_key(SEC_FETCH_SITE) && !matches!(field(head, SEC_FETCH_SITE), Some("same-origin" | "none"))
}

/// That no page of another site has a browser change something. Who shows a token can hardly be tricked, since a browser adds
/// none by itself; this holds where somebody pastes it into the wrong page, too.
fn is_no_trick(head: &Parts) -> Result<(), Refusal> {
    let is_of_browser = head.headers.contains_key(header::ORIGIN) || head.headers.contains_key(SEC_FETCH_SITE);
    let is_own_origin = || {
        let origin = field(head, header::ORIGIN.as_str())?;
        let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
        Some(host(head)?.eq_ignore_ascii_case(origin))
    };
    let is_foreign = head.headers.contains_key(header::ORIGIN) && is_own_origin() != Some(true);
    if is_of_another_site(head) || is_foreign {
        return Err(Refusal::CrossSite);
    }
    let kind = field(head, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if is_of_browser && !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::NotJson);
    }
    Ok(())
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
        assert_eq!(may_change(&head("127.0.0.1", HEADER, &signed), b"other", &keys()), Err(Refusal::WrongSignature));
        let of_others =
            Credential::sign(&Secret::new("the key of another fleet"), wall_clock_ms(), 7, "POST", "/purge", b"");
        let by_peer =
            may_read(&head("192.0.2.1", HEADER, &of_others), "192.0.2.9:5".parse().unwrap(), Door::Peer, &keys());
        assert_eq!(by_peer, Err(Refusal::WrongSignature));
        assert_eq!(may_change(&head("127.0.0.1", "x", ""), b"", &Keys::default()), Err(Refusal::NoChanges));
    }
    #[test]
    fn no_page_of_another_site_changes_anything() {
        let own = "http://127.0.0.1:9300";
        // What a browser says: origin, site, type of the body.
        for (fields, expected) in [
            (
                vec![("origin", own), ("sec-fetch-site", "same-origin"), ("content-type", "application/json")],
                Ok(Reach::All),
            ),
            (vec![("origin", own), ("content-type", "application/json; charset=utf-8")], Ok(Reach::All)),
            (vec![("origin", own), ("content-type", "text/plain")], Err(Refusal::NotJson)),
            (vec![("origin", own)], Err(Refusal::NotJson)),
            (vec![("origin", "http://127.0.0.1:9301"), ("content-type", "application/json")], Err(Refusal::CrossSite)),
            (vec![("origin", "http://evil.example"), ("content-type", "application/json")], Err(Refusal::CrossSite)),
            (vec![("origin", "null"), ("content-type", "application/json")], Err(Refusal::CrossSite)),
            (vec![("sec-fetch-site", "cross-site"), ("content-type", "application/json")], Err(Refusal::CrossSite)),
            (vec![("sec-fetch-site", "same-site"), ("content-type", "application/json")], Err(Refusal::CrossSite)),
            // No browser.
            (vec![], Ok(Reach::All)),
            (vec![("content-type", "application/x-www-form-urlencoded")], Ok(Reach::All)),
        ] {
            let request = http::Request::post("/purge").header("host", "127.0.0.1:9300");
            let request = request.header("authorization", format!("Bearer {TOKEN}"));
            let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let head = request.body(()).unwrap().into_parts().0;
            assert_eq!(may_change(&head, b"", &keys()), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_page_of_another_site_may_link_here_and_read_nothing() {
        let peer = "127.0.0.1:5".parse().unwrap();
        for (site, mode, expected) in [
            ("cross-site", "no-cors", Err(Refusal::CrossSite)),
            ("cross-site", "navigate", Ok(())),
            ("same-origin", "cors", Ok(())),
            ("none", "navigate", Ok(())),
        ] {
            let request = http::Request::get("/status").header("host", "localhost:9300");
            let request = request.header("sec-fetch-site", site).header("sec-fetch-mode", mode);
            let head = request.body(()).unwrap().into_parts().0;
            assert_eq!(may_read(&head, peer, Door::Admin, &keys()), expected, "{site} {mode}");
            assert_eq!(may_look(&head), Ok(()));
        }
    }
}
