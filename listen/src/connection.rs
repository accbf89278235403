//! The connection a request came on.

use std::net::SocketAddr;
use std::sync::Arc;

/// Clear or TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Clear HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// The connection a request came on.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client.
    pub peer: SocketAddr,
    /// The address it reached.
    pub local: SocketAddr,
    /// Clear or TLS.
    pub scheme: Scheme,
    /// The name the client asked a certificate for (RFC 6066 §3).
    pub sni: Option<Arc<str>>,
}
