//! Who may read.

use std::net::{IpAddr, SocketAddr};

use config::Secret;
use http::request::Parts;
use http::{StatusCode, header};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its Host is no address: a page of another site may be behind it.
    ForeignHost,
    /// It needs the token.
    NoToken,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NoToken => StatusCode::UNAUTHORIZED,
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::ForeignHost => "use the address itself, or localhost, as Host\n",
            Self::NoToken => "send `Authorization: Bearer TOKEN` with the token of secrets/\n",
        }
    }
}

/// Whether a request may read.
pub(crate) fn may_read(head: &Parts, peer: SocketAddr, token: Option<&Secret>) -> Result<(), Refusal> {
    let host = head.uri.host().or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok()));
    if !host.is_some_and(is_own_host) {
        return Err(Refusal::ForeignHost);
    }
    let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    match (token, shown) {
        (Some(token), Some(shown)) if is_equal(token.as_bytes(), shown) => Ok(()),
        _ if peer.ip().to_canonical().is_loopback() => Ok(()),
        _ => Err(Refusal::NoToken),
    }
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

    fn read(host: &str, peer: &str, authorization: &str) -> Result<(), Refusal> {
        let request = http::Request::get("/status").header("host", host).header("authorization", authorization);
        let (head, ()) = request.body(()).unwrap().into_parts();
        may_read(&head, peer.parse().unwrap(), Some(&Secret::new("0123456789abcdef")))
    }

    #[test]
    fn only_loopback_or_the_token_reads() {
        assert_eq!(read("127.0.0.1:9300", "127.0.0.1:5", ""), Ok(()));
        assert_eq!(read("localhost:9300", "[::1]:5", ""), Ok(()));
        assert_eq!(read("192.0.2.1:9300", "192.0.2.9:5", ""), Err(Refusal::NoToken));
        assert_eq!(read("192.0.2.1:9300", "192.0.2.9:5", "Bearer 0123456789abcdeX"), Err(Refusal::NoToken));
        assert_eq!(read("192.0.2.1:9300", "192.0.2.9:5", "Bearer 0123456789abcdef"), Ok(()));
    }

    #[test]
    fn a_foreign_host_is_refused() {
        for host in ["evil.example", "evil.example:9300", "localhost.evil.example", ""] {
            assert_eq!(read(host, "127.0.0.1:5", ""), Err(Refusal::ForeignHost), "{host}");
        }
    }
}
