//! Whose a request is: that of who connects, or of whom a proxy names that is trusted.
//!
//! ```text
//! X-Forwarded-For: what anybody wrote, 192.0.2.1, 10.0.0.2   from 10.0.0.1
//!                                      client  <─ trusted <─ trusted
//! ```
//!
//! Each proxy adds at the end whom it heard from. So the list is read from there, for as long as whoever wrote an entry is
//! trusted.

use std::net::{IpAddr, SocketAddr};

use config::{Prefix, limits};
use http::{HeaderMap, HeaderName};

use crate::address::write_address;

/// Who asks, and through whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) client: IpAddr,
    /// The proxies on the way, from the client on.
    through: Vec<IpAddr>,
}

/// Where proxies say for whom they ask, and edges tell it to origins.
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What an address without proxies fits in.
const USUAL_BYTES: usize = "2001:db8:1111:2222:3333:4444:5555:6666".len();

impl Caller {
    /// Of a request that this peer has sent, with these fields.
    pub(crate) fn of(peer: IpAddr, trusted: &[Prefix], headers: &HeaderMap) -> Self {
        let (mut client, mut through) = (peer.to_canonical(), Vec::new());
        if !is_trusted(client, trusted) {
            return Self { client, through };
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        // One that names nobody is as good as the end of the list.
        let mut named = entries.filter(|entry| !entry.is_empty()).map_while(address);
        while through.len() < limits::FORWARDED_HOPS
            && is_trusted(client, trusted)
            && let Some(before) = named.next()
        {
            through.push(client);
            client = before;
        }
        through.reverse();
        Self { client, through }
    }

    /// What an origin is told: the client, then the proxies. What stands before the client is anybody's word, and left out.
    pub(crate) fn chain(&self) -> Vec<u8> {
        let mut chain = Vec::with_capacity(USUAL_BYTES);
        write_address(self.client, &mut chain);
        for proxy in &self.through {
            chain.extend_from_slice(b", ");
            write_address(*proxy, &mut chain);
        }
        chain
    }
}

/// Whether a peer is one of the proxies that are trusted.
pub(crate) fn is_trusted(peer: IpAddr, trusted: &[Prefix]) -> bool {
    trusted.iter().any(|prefix| prefix.contains(peer.to_canonical()))
}

/// An entry's address; some proxies write a port, too.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const OURS: &[&str] = &["10.0.0.0/24", "2001:db8:a::/48"];

    /// Whom an origin is told, with these proxies, of a request of this peer with these lines.
    fn told(peer: &str, trusted: &[&str], lines: &[&str]) -> String {
        let trusted: Vec<Prefix> = trusted.iter().map(|prefix| Prefix::parse(prefix).unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        String::from_utf8(Caller::of(peer.parse().unwrap(), &trusted, &headers).chain()).unwrap()
    }

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_is() {
        let rows: &[(&str, &[&str], &[&str], &str)] = &[
            // Nobody is trusted, or not this one.
            ("10.0.0.1", &[], &["192.0.2.1"], "10.0.0.1"),
            ("10.0.1.1", OURS, &["192.0.2.1"], "10.0.1.1"),
            ("192.0.2.9", OURS, &["192.0.2.1, 10.0.0.2"], "192.0.2.9"),
            ("::ffff:192.0.2.9", OURS, &["192.0.2.1"], "192.0.2.9"),
            // A trusted one says nothing, or nothing that says who.
            ("10.0.0.1", OURS, &[], "10.0.0.1"),
            ("10.0.0.1", OURS, &["", " , "], "10.0.0.1"),
            ("10.0.0.1", OURS, &["192.0.2.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", OURS, &["_hidden"], "10.0.0.1"),
            ("10.0.0.1", OURS, &["192.0.2.1\u{e9}"], "10.0.0.1"),
            // It names one.
            ("10.0.0.1", OURS, &["192.0.2.1"], "192.0.2.1, 10.0.0.1"),
            ("::ffff:10.0.0.1", OURS, &["::ffff:192.0.2.1"], "192.0.2.1, 10.0.0.1"),
            ("2001:db8:a::1", OURS, &["2001:db8::1"], "2001:db8::1, 2001:db8:a::1"),
            ("10.0.0.1", OURS, &["192.0.2.1,"], "192.0.2.1, 10.0.0.1"),
            // With a port.
            ("10.0.0.1", OURS, &["192.0.2.1:4711"], "192.0.2.1, 10.0.0.1"),
            ("10.0.0.1", OURS, &["[2001:db8::1]:4711"], "2001:db8::1, 10.0.0.1"),
            ("10.0.0.1", OURS, &["[2001:db8::1]"], "2001:db8::1, 10.0.0.1"),
            // What a client wrote itself stands before it, in the same line or another.
            ("10.0.0.1", OURS, &["203.0.113.7, 192.0.2.1"], "192.0.2.1, 10.0.0.1"),
            ("10.0.0.1", OURS, &["10.0.0.7, 192.0.2.1"], "192.0.2.1, 10.0.0.1"),
            ("10.0.0.1", OURS, &["203.0.113.7", "192.0.2.1"], "192.0.2.1, 10.0.0.1"),
            ("10.0.0.1", OURS, &["nobody, 192.0.2.1"], "192.0.2.1, 10.0.0.1"),
            // Through several.
            ("10.0.0.1", OURS, &["192.0.2.1, 10.0.0.2"], "192.0.2.1, 10.0.0.2, 10.0.0.1"),
            ("10.0.0.1", OURS, &["192.0.2.1", "10.0.0.3,10.0.0.2"], "192.0.2.1, 10.0.0.3, 10.0.0.2, 10.0.0.1"),
            ("10.0.0.1", OURS, &["x, 10.0.0.2"], "10.0.0.2, 10.0.0.1"),
            // A client inside.
            ("10.0.0.1", OURS, &["10.0.0.3, 10.0.0.2"], "10.0.0.3, 10.0.0.2, 10.0.0.1"),
            ("10.0.0.1", &["0.0.0.0/0"], &["203.0.113.7, 192.0.2.1"], "203.0.113.7, 192.0.2.1, 10.0.0.1"),
        ];
        for (peer, trusted, lines, expected) in rows {
            assert_eq!(told(peer, trusted, lines), *expected, "{peer} {trusted:?} {lines:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_read_only_so_far() {
        let told = told("10.0.0.1", OURS, &["10.0.0.2,".repeat(5_000).as_str()]);
        assert_eq!(told.split(", ").count(), limits::FORWARDED_HOPS + 1);
    }
}
