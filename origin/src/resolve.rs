//! Resolving an origin's name to the addresses it may have.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;

use crate::error::FetchError;
use crate::names::NAMES;
use crate::reach::Reach;

/// What a config calls a server: by its name or by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// To be resolved for each connection, or known already.
    Name(String),
    /// As it is.
    Address(IpAddr),
}

impl Host {
    /// Reads a config's word; an IPv6 address stands in brackets.
    pub(crate) fn read(word: &str) -> Self {
        word.trim_matches(['[', ']']).parse().map_or_else(|_| Self::Name(word.to_owned()), Self::Address)
    }
}

/// The addresses to try, in order; never none. Kept ones are checked like new ones: who may use them is the site's affair.
pub(crate) async fn resolve(
    host: &Host,
    port: u16,
    reach: Reach,
    until: Instant,
) -> Result<Vec<SocketAddr>, FetchError> {
    let found = match host {
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => {
            let found = NAMES.addresses(name, until).await?;
            found.iter().map(|address| SocketAddr::new(*address, port)).collect()
        }
    };
    allowed(&found, reach)
}

fn allowed(found: &[SocketAddr], reach: Reach) -> Result<Vec<SocketAddr>, FetchError> {
    let allowed: Vec<SocketAddr> = found.iter().copied().filter(|address| reach.allows(address.ip())).collect();
    match (allowed.is_empty(), found.is_empty()) {
        (false, _) => Ok(allowed),
        (true, true) => Err(FetchError::DnsError),
        (true, false) => Err(FetchError::DestinationIpProhibited),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_name_or_address() {
        let table = [
            ("www.shop.example", Host::Name("www.shop.example".into())),
            ("192.0.2.1", Host::Address("192.0.2.1".parse().unwrap())),
            ("[2001:db8::1]", Host::Address("2001:db8::1".parse().unwrap())),
        ];
        for (word, host) in table {
            assert_eq!(Host::read(word), host);
        }
    }

    #[test]
    fn only_allowed_addresses_are_tried_in_order() {
        let table = [
            ("[2606:4700::1111]:80 8.8.8.8:80", Ok("[2606:4700::1111]:80 8.8.8.8:80")),
            ("10.0.0.1:80 8.8.8.8:80 [::1]:80", Ok("8.8.8.8:80")),
            ("10.0.0.1:80 [::1]:80", Err(FetchError::DestinationIpProhibited)),
            ("", Err(FetchError::DnsError)),
        ];
        for (found, expected) in table {
            assert_eq!(allowed(&read(found), Reach::Public), expected.map(read), "{found}");
        }
    }

    fn read(addresses: &str) -> Vec<SocketAddr> {
        addresses.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }
}
