//! How a message came.

use std::net::IpAddr;
use std::time::SystemTime;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// Length-prefixed over a connection.
    Tcp,
    /// As over TCP, encrypted (RFC 7858).
    Tls,
    /// A QUIC stream for each query (RFC 9250).
    Quic,
    /// An HTTP request for each query (RFC 8484).
    Https,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Quic, Self::Https];

    /// As logs and metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Https => "https",
        }
    }

    /// Whether the asker is where it says: it has answered us.
    pub(crate) fn is_connection(self) -> bool {
        self != Self::Udp
    }

    /// Whether nobody on the way reads it: how long it is may still tell what it is.
    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Quic | Self::Https)
    }
}

/// From whom a message came, how, and when.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Who sent it.
    pub resolver: IpAddr,
    /// By what.
    pub transport: Transport,
    /// When.
    pub at: SystemTime,
}

impl Arrival {
    /// A datagram's, now.
    #[must_use]
    pub fn by_udp(resolver: IpAddr) -> Self {
        Self { resolver, transport: Transport::Udp, at: SystemTime::now() }
    }

    /// A connection's, now.
    #[must_use]
    pub fn by_tcp(resolver: IpAddr) -> Self {
        Self::by(Transport::Tcp, resolver)
    }

    /// By this transport, now.
    #[must_use]
    pub fn by(transport: Transport, resolver: IpAddr) -> Self {
        Self { transport, ..Self::by_udp(resolver) }
    }

    /// When it came, in seconds since 1970.
    pub(crate) fn seconds(&self) -> u32 {
        seconds(self.at)
    }
}

/// Seconds since 1970, as a serial number (RFC 1982).
pub(crate) fn seconds(at: SystemTime) -> u32 {
    let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since_1970.as_secs() & u64::from(u32::MAX)).unwrap_or(0)
}
