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
        Self { transport: Transport::Tcp, ..Self::by_udp(resolver) }
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
