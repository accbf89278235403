//! One line of a log, as JSON.

use std::net::IpAddr;

use serde::Serialize;

/// A request that an edge has answered.
#[derive(Debug, Serialize)]
pub struct RequestRecord<'a> {
    /// When it began, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The site.
    pub site: &'a str,
    /// The client, as far as it may be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The method.
    pub method: &'a str,
    /// The Host asked for.
    pub host: &'a str,
    /// Path and query as received.
    pub target: &'a str,
    /// The HTTP version.
    pub version: &'a str,
    /// The status answered.
    pub status: u16,
    /// Bytes of body sent.
    pub bytes: u64,
    /// Milliseconds from the request until the last byte was handed to the connection.
    pub duration_ms: u64,
    /// What the cache did, as in Cache-Status.
    pub cache: &'a str,
    /// Whether the whole body was sent.
    pub complete: bool,
}

/// A query that a name server has answered.
#[derive(Debug, Serialize)]
pub struct QueryRecord<'a> {
    /// When it came, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The resolver, as far as it may be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolver: Option<IpAddr>,
    /// The client subnet it sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The name asked for.
    pub name: &'a str,
    /// The type asked for.
    pub kind: &'a str,
    /// The response code.
    pub rcode: &'a str,
    /// The PoP answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop: Option<&'a str>,
    /// The scope answered.
    pub scope: u8,
    /// `udp` or `tcp`.
    pub transport: &'a str,
}
