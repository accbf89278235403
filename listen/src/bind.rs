//! Binding sockets, and saying who has the port when that fails.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::holder::holder;

/// Connections the kernel may queue before they are accepted.
const BACKLOG: i32 = 4_096;
/// Kernel buffer for queries that wait: one second of 30,000 a second.
const UDP_BUFFER: usize = 4 << 20;

/// Whether several sockets may be bound to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One socket alone.
    Alone,
    /// One a core (SO_REUSEPORT); the kernel spreads what comes in.
    Cores,
}

/// An address that cannot be bound: which, why, and what to do.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    protocol: &'static str,
    error: std::io::Error,
    holder: Option<String>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {} ({}): ", self.address, self.protocol)?;
        match (self.error.kind(), &self.holder) {
            (ErrorKind::AddrInUse, Some(holder)) => {
                write!(f, "{holder} has it; stop that, or choose another port in hither.toml")
            }
            (ErrorKind::AddrInUse, None) => {
                write!(f, "another program has it; stop that, or choose another port in hither.toml")
            }
            (ErrorKind::PermissionDenied, _) => {
                write!(
                    f,
                    "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one in hither.toml, or grant it"
                )
            }
            (ErrorKind::AddrNotAvailable, _) if self.address.ip().is_loopback() => {
                write!(
                    f,
                    "this system has no loopback address but 127.0.0.1; the demo's 127.0.1.x need Linux, or an alias each"
                )
            }
            (ErrorKind::AddrNotAvailable, _) => {
                write!(
                    f,
                    "this machine does not have that address; give it to an interface, or list the ones to listen on in hither.toml"
                )
            }
            _ => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for BindError {}

/// Binds a listening TCP socket.
///
/// # Errors
/// The address is taken, foreign or forbidden.
pub fn bind_tcp(address: SocketAddr, sharing: Sharing) -> Result<std::net::TcpListener, BindError> {
    let fail = |error| BindError::new(address, "TCP", error);
    let socket = open(address, Type::STREAM, Protocol::TCP, sharing).map_err(fail)?;
    socket.listen(BACKLOG).map_err(fail)?;
    Ok(socket.into())
}

/// Binds a UDP socket.
///
/// # Errors
/// As [`bind_tcp`].
pub fn bind_udp(address: SocketAddr, sharing: Sharing) -> Result<std::net::UdpSocket, BindError> {
    let fail = |error| BindError::new(address, "UDP", error);
    let socket = open(address, Type::DGRAM, Protocol::UDP, sharing).map_err(fail)?;
    // The kernel may give less; a smaller buffer only loses queries in bursts.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    Ok(socket.into())
}

/// Whether this machine has an address, or the kernel lets it be used as if it had.
#[must_use]
pub fn is_own(address: IpAddr) -> bool {
    // Any other failure is told by who binds it in earnest.
    let bound = open(SocketAddr::new(address, 0), Type::DGRAM, Protocol::UDP, Sharing::Alone);
    !bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol, sharing: Sharing) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    if sharing == Sharing::Cores {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl BindError {
    fn new(address: SocketAddr, protocol: &'static str, error: std::io::Error) -> Self {
        let holder = (error.kind() == ErrorKind::AddrInUse).then(|| holder(address, protocol)).flatten();
        Self { address, protocol, error, holder }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_own_where_it_can_be_bound() {
        // One of those that are for examples alone (RFC 5737).
        for (address, expected) in [("127.0.0.1", true), ("0.0.0.0", true), ("192.0.2.1", false)] {
            assert_eq!(is_own(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_taken_port_names_its_holder() {
        let first = bind_tcp("127.0.0.1:0".parse().unwrap(), Sharing::Alone).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind_tcp(address, Sharing::Alone).unwrap_err().to_string();
        let own = format!("pid {}", std::process::id());
        assert!(error.contains(&address.to_string()) && error.contains(&own), "{error}");
    }
}
