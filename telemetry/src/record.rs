//! One line of a log, as JSON.

use std::net::IpAddr;

use serde::Serialize;

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
