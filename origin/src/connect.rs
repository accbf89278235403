//! One new connection: resolve, check, connect, agree on TLS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::{Origin, OriginServer, Scheme, limits};
use http::uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::connection::{Connection, Many, One, Share};
use crate::dial::dial;
use crate::error::FetchError;
use crate::reach::Reach;
use crate::resolve::{Host, resolve};

/// What a connection to one server needs.
#[derive(Debug)]
pub(crate) struct Target {
    host: Host,
    port: u16,
    reach: Reach,
    /// For how long it may take nothing, as far as the kernel can tell.
    takes_nothing: Option<Duration>,
    tls: Option<Tls>,
    /// What it is to be spoken to by, if nothing forbids it.
    pub(crate) preferred: Protocol,
}

/// How TLS is spoken to a server.
#[derive(Debug)]
struct Tls {
    /// The name in the certificate.
    name: ServerName<'static>,
    plain: Arc<ClientConfig>,
    /// Offers HTTP/2.
    offering: Arc<ClientConfig>,
}

/// What a connection is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: in the clear by prior knowledge (RFC 9113 §3.3), over TLS if the server takes it.
    Http2,
}

impl Target {
    /// Reads a server of a config; none if its name can be in no certificate.
    pub(crate) fn new(origin: &Origin, server: &OriginServer, tls: &Arc<ClientConfig>) -> Option<Self> {
        let host = Host::read(&server.host);
        let tls = match server.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let mut offering = ClientConfig::clone(tls);
                offering.alpn_protocols = OFFERED.map(<[u8]>::to_vec).to_vec();
                Some(Tls { name: certified(origin, &host)?, plain: Arc::clone(tls), offering: Arc::new(offering) })
            }
        };
        let reach = if origin.allow_private { Reach::Anywhere } else { Reach::Public };
        let preferred = if origin.http2 { Protocol::Http2 } else { Protocol::Http1 };
        // What is slow on purpose is not cut sooner than the operator says.
        let takes_nothing = Some(origin.between_bytes_timeout.max(limits::ORIGIN_TAKES_NOTHING));
        let takes_nothing = takes_nothing.filter(|time| *time <= limits::ORIGIN_TAKES_NOTHING_MOST);
        Some(Self { host, port: server.port, reach, takes_nothing, tls, preferred })
    }

    /// Its name or address, and its port where that is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(IpAddr::V4(address)) => address.to_string(),
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        };
        let own = if self.tls.is_some() { 443 } else { 80 };
        if self.port == own { host } else { format!("{host}:{}", self.port) }
    }

    /// Connects within the time, name and TLS included. Nothing of a request has been sent when it fails.
    pub(crate) async fn connect(&self, protocol: Protocol, time: Duration) -> Result<Connection, FetchError> {
        let until = Instant::now() + time;
        let addresses = resolve(&self.host, self.port, self.reach, until).await?;
        let connect = async {
            let stream = dial(&addresses, until, self.takes_nothing).await?;
            let Some(tls) = &self.tls else {
                return match protocol {
                    Protocol::Http1 => One::begin(stream).await.map(Connection::One),
                    Protocol::Http2 => {
                        Many::begin(stream, uri::Scheme::HTTP).await.map(Share::of).map(Connection::Many)
                    }
                };
            };
            let config = match protocol {
                Protocol::Http1 => &tls.plain,
                Protocol::Http2 => &tls.offering,
            };
            let agreed = TlsConnector::from(Arc::clone(config)).connect(tls.name.clone(), stream).await;
            let stream = agreed.map_err(|error| FetchError::of_handshake(&error))?;
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Many::begin(stream, uri::Scheme::HTTPS).await.map(Share::of).map(Connection::Many),
                _ => One::begin(stream).await.map(Connection::One),
            }
        };
        timeout_at(until, connect).await.unwrap_or(Err(FetchError::ConnectionTimeout))
    }
}

/// The protocols that are offered where HTTP/2 may be spoken, the best first (RFC 7301).
const OFFERED: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The origin's own Host, else the server's name or address.
fn certified(origin: &Origin, host: &Host) -> Option<ServerName<'static>> {
    match (&origin.host, host) {
        (Some(name), _) => ServerName::try_from(name.to_string()).ok(),
        (None, Host::Name(name)) => ServerName::try_from(name.clone()).ok(),
        (None, Host::Address(address)) => Some(ServerName::from(*address)),
    }
}

#[cfg(test)]
mod tests {
    use config::DomainName;

    use super::*;

    #[test]
    fn the_certificate_is_for_the_origin_s_host_else_for_the_server() {
        let table = [
            (Some("www.shop.example"), "10.0.0.1", "www.shop.example"),
            (Some("www.shop.example"), "one.shop.example", "www.shop.example"),
            (None, "one.shop.example", "one.shop.example"),
            (None, "192.0.2.1", "192.0.2.1"),
            (None, "[2001:db8::1]", "2001:db8::1"),
        ];
        for (host, server, name) in table {
            let host = host.map(|host| DomainName::parse(host).unwrap());
            let origin = Origin { host, ..crate::fetch::tests::origin(&[], Scheme::Https) };
            assert_eq!(certified(&origin, &Host::read(server)).unwrap().to_str(), name);
        }
    }
}
