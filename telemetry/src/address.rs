//! How much of a client's address a record keeps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How much of a client's address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// All of it.
    Full,
    /// Its /24 or /56: enough for a network, too little for a person.
    Prefix,
    /// Nothing.
    None,
}

impl Clients {
    /// The address as it may be written.
    #[must_use]
    pub fn show(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address) {
            (Self::Full, address) => Some(address),
            (Self::Prefix, IpAddr::V4(v4)) => Some(IpAddr::V4(Ipv4Addr::from(u32::from(v4) & 0xffff_ff00))),
            (Self::Prefix, IpAddr::V6(v6)) => Some(IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 72 << 72))),
            (Self::None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_hides_the_host() {
        let show =
            |clients: Clients, text: &str| clients.show(text.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(show(Clients::Prefix, "192.0.2.77").as_deref(), Some("192.0.2.0"));
        assert_eq!(show(Clients::Prefix, "2001:db8:1:2ff::7").as_deref(), Some("2001:db8:1:200::"));
        assert_eq!(show(Clients::Full, "192.0.2.77").as_deref(), Some("192.0.2.77"));
        assert_eq!(show(Clients::None, "192.0.2.77"), None);
    }
}
