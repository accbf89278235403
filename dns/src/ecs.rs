//! Who is asking: the client subnet where it is told, else the resolver; IPv4 inside IPv6 as IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::query::Subnet;

/// Whom to map, and how scopes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The address to map.
    pub(crate) address: IpAddr,
    /// How many of its bits are known.
    pub(crate) known_bits: u8,
    /// Added to the map's scope: the length of what wraps an embedded IPv4 address.
    wrapper: u8,
    /// Whether a scope is due: only for a client subnet longer than /0.
    scoped: Scoped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scoped {
    Yes,
    No,
}

impl Asker {
    pub(crate) fn new(subnet: Option<&Subnet>, resolver: IpAddr) -> Self {
        Self::by(subnet.map(|subnet| (subnet.address, subnet.source)), resolver)
    }

    /// By a client subnet's address and source.
    pub(crate) fn by(subnet: Option<(IpAddr, u8)>, resolver: IpAddr) -> Self {
        match subnet {
            // RFC 7871 §7.1.2: a source of /0 asks not to use the client's address.
            Some((address, source)) if source > 0 => Self::of(address, source, Scoped::Yes),
            _ => Self::of(resolver, if resolver.is_ipv4() { 32 } else { 128 }, Scoped::No),
        }
    }

    fn of(address: IpAddr, known_bits: u8, scoped: Scoped) -> Self {
        match address {
            IpAddr::V6(v6) => match embedded(v6) {
                // A source too short to hold a part of the IPv4 address maps as IPv6.
                Some((v4, wrapper)) if known_bits > wrapper => {
                    Self { address: IpAddr::V4(v4), known_bits: (known_bits - wrapper).min(32), wrapper, scoped }
                }
                _ => Self { address, known_bits, wrapper: 0, scoped },
            },
            IpAddr::V4(_) => Self { address, known_bits, wrapper: 0, scoped },
        }
    }

    /// The scope to tell for the map's.
    pub(crate) fn scope(&self, scope: u8) -> u8 {
        match self.scoped {
            Scoped::Yes => self.wrapper + scope,
            Scoped::No => 0,
        }
    }
}

/// The IPv4 address in a v4-mapped (RFC 4291), NAT64 (RFC 6052) or 6to4 (RFC 3056) one, and the
/// length of the prefix before it.
fn embedded(address: Ipv6Addr) -> Option<(Ipv4Addr, u8)> {
    let [a, b, c, d, e, f, ..] = address.segments();
    let bits = u128::from(address);
    let low = |shift: u32| u32::try_from((bits >> shift) & 0xffff_ffff).map(Ipv4Addr::from).ok();
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some((low(0)?, 96)),
        (0x2002, ..) => Some((low(80)?, 16)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_addresses_map_as_their_ipv4() {
        for (address, source, mapped, known, scope_of_24) in [
            ("198.51.100.0", 24, "198.51.100.0", 24, 24),
            ("::ffff:198.51.100.0", 120, "198.51.100.0", 24, 120),
            ("64:ff9b::198.51.100.0", 120, "198.51.100.0", 24, 120),
            ("2002:c633:6400::", 48, "198.51.100.0", 32, 40),
            ("2002:c633:6400::", 40, "198.51.100.0", 24, 40),
            ("2002::", 16, "2002::", 16, 24),
            ("2001:db8::", 56, "2001:db8::", 56, 24),
        ] {
            let subnet = Subnet { address: address.parse().unwrap(), source, wire: Vec::new() };
            let asker = Asker::new(Some(&subnet), [192, 0, 2, 1].into());
            assert_eq!((asker.address, asker.known_bits), (mapped.parse().unwrap(), known), "{address}");
            assert_eq!(asker.scope(24), scope_of_24, "{address}");
        }
    }

    #[test]
    fn a_source_of_nothing_maps_by_resolver() {
        let subnet = Subnet { address: [0, 0, 0, 0].into(), source: 0, wire: Vec::new() };
        let asker = Asker::new(Some(&subnet), [192, 0, 2, 1].into());
        assert_eq!(asker.address, IpAddr::from([192, 0, 2, 1]));
        assert_eq!(asker.scope(24), 0);
    }
}
