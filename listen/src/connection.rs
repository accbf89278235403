//! The connection a request came on.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::interim::Interim;

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
    /// Whether the peer hands on what others write, and has not said for whom: what requests say of that is anybody's.
    pub is_relayed: bool,
    /// The address it reached.
    pub local: SocketAddr,
    /// Clear or TLS.
    pub scheme: Scheme,
    /// The name the client asked a certificate for (RFC 6066 §3).
    pub sni: Option<Arc<str>>,
    /// The version of TLS, as it is called in logs: `TLSv1.3`.
    pub tls: Option<&'static str>,
    /// Where interim responses to the request go; nowhere for HTTP/1.0, which has none.
    pub interim: Option<Interim>,
}
