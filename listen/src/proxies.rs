//! Proxies in front of a listener, and whom they connect for: the PROXY protocol, version 2.
//!
//! ```text
//! accept ─┬─ a client's ──────────────────────────────┬─> (TLS) -> HTTP
//!         └─ a proxy's ──> header: for whom it connects ┘   as if that client had come itself
//! ```
//!
//! A header is read to its last byte and no further: what follows is the client's own. Section numbers are those of the
//! specification (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use config::limits;
use proxy_header::{Error, ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Which addresses are those of proxies that may say for whom they connect.
pub trait Proxies: Send + Sync {
    /// How the proxy at an address names clients; `None` where there is none that is trusted. Called on the core that
    /// accepts, for each connection: it must not wait.
    fn at(&self, address: IpAddr) -> Option<Naming>;
}

/// Where a trusted proxy names its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// In a header before all else, which every connection begins with.
    InHeader,
    /// In fields of requests, for whoever answers them to read, or nowhere.
    InRequests,
}

/// Why it is not known whom a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nameless {
    /// It ended before, as those do by which a proxy looks whether anybody listens.
    Ended,
    /// Its header did not come in time.
    Late,
    /// Its header is longer than any is read.
    TooLong,
    /// It begins with something else, or its header is not as it should be.
    Malformed,
}

impl fmt::Display for Nameless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "it ended before",
            Self::Late => "it did not come in time",
            Self::TooLong => "it is too long",
            Self::Malformed => "this is none of version 2",
        })
    }
}

/// Signature, version and command, family and protocol, and the length of the rest (§2.2).
const FIXED_BYTES: usize = 16;
/// Where version and command stand, behind the signature.
const COMMAND_AT: usize = 12;
/// What a header begins with (§2.2).
const SIGNATURE: &[u8; COMMAND_AT] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the command of a connection that the proxy makes for itself.
const LOCAL: u8 = 0x20;
/// What else a header says is for others.
const READ: ParseConfig = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };

/// Reads whom a proxy connects for; nobody, where it does for itself or cannot say.
///
/// # Errors
/// There is no header that says it.
pub(crate) async fn read_client(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Nameless> {
    timeout(limits::PROXY_HEADER_TIME, read_header(stream)).await.unwrap_or(Err(Nameless::Late))
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Nameless> {
    let mut fixed = [0; FIXED_BYTES];
    stream.read_exact(&mut fixed).await.map_err(|_| Nameless::Ended)?;
    // What is no header has no length either.
    if matches!(ProxyHeader::parse(&fixed, READ), Err(error) if error != Error::BufferTooShort) && !is_local(&fixed) {
        return Err(Nameless::Malformed);
    }
    let [.., high, low] = fixed;
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > limits::PROXY_HEADER_BYTES {
        return Err(Nameless::TooLong);
    }
    let mut header = fixed.to_vec();
    header.resize(length, 0);
    let rest = header.get_mut(FIXED_BYTES..).unwrap_or_default();
    stream.read_exact(rest).await.map_err(|_| Nameless::Ended)?;
    client_of(&header)
}

/// Whom a whole header names.
fn client_of(header: &[u8]) -> Result<Option<SocketAddr>, Nameless> {
    // §2.2, of the command LOCAL: "The receiver must accept this connection as valid and must use the real connection
    // endpoints and discard the protocol block including the family which is ignored."
    if is_local(header) {
        return Ok(None);
    }
    let (header, _) = ProxyHeader::parse(header, READ).map_err(|_| Nameless::Malformed)?;
    match header.proxied_address() {
        Some(address) if address.protocol == Protocol::Stream => Ok(Some(address.source)),
        // A connection has no datagrams.
        Some(_) => Err(Nameless::Malformed),
        // Of a family that is not the Internet's.
        None => Ok(None),
    }
}

/// Whether a header says that the proxy connects for itself.
fn is_local(header: &[u8]) -> bool {
    header.starts_with(SIGNATURE) && header.get(COMMAND_AT) == Some(&LOCAL)
}

#[cfg(test)]
mod tests;
