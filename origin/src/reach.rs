//! Which addresses an origin may have: none inside the operator's network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::{Origin, OriginServer};

/// Which addresses an origin may have. Checked after resolution, so that no name can lead inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public ones.
    Public,
    /// Any.
    Anywhere,
}

impl Reach {
    /// Whether an address may be connected to.
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        self == Self::Anywhere || is_public(address)
    }
}

/// Servers that a site names by an address it may not use: every fetch from one fails.
pub fn prohibited(origin: &Origin) -> impl Iterator<Item = &OriginServer> {
    let reach = if origin.allow_private { Reach::Anywhere } else { Reach::Public };
    let address = |server: &OriginServer| server.host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    origin.servers.iter().filter(move |server| address(server).is_some_and(|address| !reach.allows(address)))
}

/// Globally reachable by IANA's registries of special-purpose addresses (RFC 6890), and for one receiver.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    !SPECIAL_V4.into_iter().any(|(prefix, length)| (bits ^ u32::from(prefix)) >> (32 - length) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    let is_in = |(prefix, length): (Ipv6Addr, u32)| (bits ^ u128::from(prefix)) >> (128 - length) == 0;
    // NAT64 and 6to4 lead to the IPv4 address inside.
    if is_in(NAT64) {
        return is_public_v4(embedded(bits));
    }
    if is_in(SIX_TO_FOUR) {
        return is_public_v4(embedded(bits >> 80));
    }
    is_in(GLOBAL) && !SPECIAL_V6.into_iter().any(is_in)
}

/// The IPv4 address in the low bits.
fn embedded(bits: u128) -> Ipv4Addr {
    let [.., a, b, c, d] = bits.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// What of IPv4 is no place on the public Internet.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    // "This network" (RFC 791 §3.2).
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private (RFC 1918).
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Shared behind carriers' translators (RFC 6598).
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback (RFC 1122 §3.2.1.3).
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, where clouds keep their metadata (RFC 3927).
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Protocol assignments (RFC 6890 §2.1).
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation (RFC 5737).
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // 6to4 relays, deprecated (RFC 7526).
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Benchmarks (RFC 2544).
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    // Multicast (RFC 5771).
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, and broadcast (RFC 1112 §4, RFC 919 §7).
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// All that is handed out of IPv6 (RFC 4291 §2.4). Local, loopback, multicast, local-use NAT64 (RFC 8215)
/// and SRv6 (RFC 9602) lie outside.
const GLOBAL: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What of it is no place on the public Internet.
const SPECIAL_V6: [(Ipv6Addr, u32); 3] = [
    // Protocol assignments (RFC 2928), among them Teredo, benchmarks, ORCHID and drones' tags.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation (RFC 3849, RFC 9637).
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// RFC 6052 §2.1.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// RFC 3056.
const SIX_TO_FOUR: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_refused_in_every_disguise() {
        for inside in [
            "0.0.0.0",
            "0.255.255.255",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "64::1",
            "64:1::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::192.88.99.1",
            "64:ff9b:0:0:0:1:808:808",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:0:808:808::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:2f:ffff::1",
            "2001:30::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a01:203::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!Reach::Public.allows(inside.parse().unwrap()), "{inside}");
            assert!(Reach::Anywhere.allows(inside.parse().unwrap()), "{inside}");
        }
    }

    #[test]
    fn the_neighbours_of_special_addresses_are_public() {
        for outside in [
            "1.0.0.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "192.88.98.1",
            "192.88.100.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7::1",
            "2001:db9::1",
            "2002:808:808::",
            "2606:4700::1111",
            "3fff:1000::1",
        ] {
            assert!(Reach::Public.allows(outside.parse().unwrap()), "{outside}");
        }
    }
}
