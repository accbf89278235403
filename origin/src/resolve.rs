//! Resolving an origin's name to the addresses it may have.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use crate::error::FetchError;
use crate::reach::Reach;

/// What a config calls a server: by its name or by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// To be resolved for each connection, by the system.
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

/// The addresses to try, in order; never none.
pub(crate) async fn resolve(
    host: &Host,
    port: u16,
    reach: Reach,
    until: Instant,
) -> Result<Vec<SocketAddr>, FetchError> {
    let found = match host {
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => within(lookup_host((name.as_str(), port)), until).await?,
    };
    allowed(&found, reach)
}

async fn within<A: Iterator<Item = SocketAddr>>(
    lookup: impl Future<Output = io::Result<A>>,
    until: Instant,
) -> Result<Vec<SocketAddr>, FetchError> {
    let found = timeout_at(until, lookup).await.map_err(|_| FetchError::DnsTimeout)?;
    Ok(found.map_err(|_| FetchError::DnsError)?.collect())
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
    use std::time::Duration;

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

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_is_silent_is_a_dns_timeout() {
        let lookup = std::future::pending::<io::Result<std::vec::IntoIter<SocketAddr>>>();
        let until = Instant::now() + Duration::from_secs(5);
        assert_eq!(within(lookup, until).await, Err(FetchError::DnsTimeout));
        assert_eq!(Instant::now(), until);
    }

    #[tokio::test]
    async fn a_resolver_that_fails_is_a_dns_error() {
        let lookup = async { Err::<std::vec::IntoIter<SocketAddr>, _>(io::Error::other("no such host")) };
        let until = Instant::now() + Duration::from_secs(5);
        assert_eq!(within(lookup, until).await, Err(FetchError::DnsError));
    }

    fn read(addresses: &str) -> Vec<SocketAddr> {
        addresses.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }
}
