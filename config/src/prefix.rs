//! An address prefix.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;

use crate::shape;
use crate::wrong::Wrong;

/// An IPv4 or IPv6 prefix without bits beyond its length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String", transform = shape::text("prefix `\"ip/length\"`", "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"))]
pub struct Prefix(IpNet);

impl Prefix {
    /// Reads `address/length`; an address alone is a whole-length prefix.
    ///
    /// # Errors
    /// Says what is wrong; bits beyond the length are refused, with the prefix that was likely meant.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let net = match text.parse::<IpNet>() {
            Ok(net) => net,
            Err(_) => match text.parse::<IpAddr>() {
                Ok(address) => IpNet::from(address),
                Err(_) => {
                    return Err(Wrong::new(format!("`{text}` is not an address prefix"))
                        .help("write an address and a length, as in \"198.51.100.0/24\""));
                }
            },
        };
        if net.trunc() != net {
            return Err(Wrong::new(format!("`{text}` has bits beyond its length"))
                .help(format!("did you mean \"{}\"?", net.trunc())));
        }
        Ok(Self(net))
    }

    /// The prefix of `length` bits around an address; a length past the family's is the family's.
    #[must_use]
    pub fn around(address: IpAddr, length: u8) -> Self {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let net = IpNet::new(address, length.min(most)).unwrap_or_else(|_| IpNet::from(address));
        Self(net.trunc())
    }

    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether all of another lies in it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    /// How many leading bits are fixed.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.0.prefix_len()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_beyond_the_length_are_refused_with_what_was_meant() {
        assert_eq!(Prefix::parse("198.51.100.0/24").unwrap().length(), 24);
        assert_eq!(Prefix::parse("2001:db8::1").unwrap().length(), 128);
        let wrong = Prefix::parse("198.51.100.7/24").unwrap_err();
        assert_eq!(wrong.help.as_deref(), Some("did you mean \"198.51.100.0/24\"?"));
        for bad in ["", "1.2.3/8", "1.2.3.4/33", "::/129", "x"] {
            assert!(Prefix::parse(bad).is_err(), "{bad}");
        }
    }
}
