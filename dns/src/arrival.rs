//! How a message came.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::transport::Transport;

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
}
