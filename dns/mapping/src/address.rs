//! Addresses as keys: IPv4 as its 32 bits, IPv6 as its upper 64, since nothing deeper is mapped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// An address family, with how its keys are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4: 32-bit keys, scopes to /24.
    V4,
    /// IPv6: 64-bit keys, scopes to /56.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Bits in a key.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 64,
        }
    }

    /// First and last keys of blocks whose addresses hold IPv4 ones: v4-mapped (RFC 4291 §2.5.5.2), NAT64 (RFC 6052
    /// §2.1) and 6to4 (RFC 3056 §2).
    #[must_use]
    pub fn embedding(self) -> &'static [(u64, u64)] {
        match self {
            Self::V4 => &[],
            Self::V6 => &[
                (0, 0xff),
                (0x0064_ff9b_0000_0000, 0x0064_ff9b_0000_00ff),
                (0x2002_0000_0000_0000, 0x2002_ffff_ffff_ffff),
            ],
        }
    }

    /// The longest scope handed out: the source lengths that resolvers send (RFC 7871 §11.1).
    #[must_use]
    pub fn longest_scope(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 56,
        }
    }

    /// The largest key.
    #[must_use]
    pub fn last(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    /// The key of an address.
    #[must_use]
    pub fn key(address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => u64::try_from(u128::from(v6) >> 64).unwrap_or(u64::MAX),
        }
    }

    /// The first address of a key.
    #[must_use]
    pub fn address(self, key: u64) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(key).unwrap_or(u32::MAX))),
            Self::V6 => IpAddr::V6(Ipv6Addr::from(u128::from(key) << 64)),
        }
    }

    /// Keys in one block of the longest scope.
    pub(crate) fn block(self) -> u64 {
        1 << (self.bits() - self.longest_scope())
    }
}
