//! Resolving an origin's name, and refusing addresses inside the operator's network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::error::FetchError;

/// Which addresses an origin may have. Checked after resolution, so that no name can lead inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public ones.
    Public,
    /// Any.
    Anywhere,
}

/// The system's resolver behind the check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver(pub(crate) Reach);

impl Service<Name> for Resolver {
    type Response = IntoIter<SocketAddr>;
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| FetchError::DnsError)?;
            let all: Vec<SocketAddr> = found.collect();
            let allowed: Vec<SocketAddr> = all.iter().copied().filter(|address| reach.allows(address.ip())).collect();
            match (allowed.is_empty(), all.is_empty()) {
                (false, _) => Ok(allowed.into_iter()),
                (true, true) => Err(FetchError::DnsError),
                (true, false) => Err(FetchError::DestinationIpProhibited),
            }
        })
    }
}

impl Reach {
    /// Whether an address may be connected to.
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        self == Self::Anywhere || is_public(address)
    }
}

/// Not private, loopback, link-local, shared, reserved or for many (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_reserved = a == 0 || a >= 240 || (a == 100 && (64..128).contains(&b)) || (a, b, c) == (192, 0, 0);
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    !(address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast())
        && !(address.is_documentation() || is_reserved || is_benchmark)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let embedded = match a {
        // NAT64 and 6to4 lead to the IPv4 address inside.
        0x64 if b == 0xff9b => Some(u32::try_from(u128::from(address) & 0xffff_ffff).unwrap_or(0)),
        0x2002 => Some(u32::try_from((u128::from(address) >> 80) & 0xffff_ffff).unwrap_or(0)),
        _ => None,
    };
    // 2000::/3 is all that is handed out (RFC 4291 §2.4).
    let is_global = (a & 0xe000 == 0x2000 && (a, b) != (0x2001, 0xdb8)) || a == 0x64;
    is_global && embedded.is_none_or(|v4| is_public_v4(Ipv4Addr::from(v4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_refused_in_every_disguise() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!Reach::Public.allows(inside.parse().unwrap()), "{inside}");
            assert!(Reach::Anywhere.allows(inside.parse().unwrap()));
        }
        for outside in ["8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8", "2002:808:808::"] {
            assert!(Reach::Public.allows(outside.parse().unwrap()), "{outside}");
        }
    }
}
