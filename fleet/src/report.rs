//! What an edge tells a name server that shows the fleet's credential.

use config::SiteId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::credential::hex;

/// The body of a credentialled health answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the config in use.
    pub config_version: u64,
    /// Digest of that config's files; edges of earlier releases tell none.
    #[serde(default)]
    pub config_digest: Option<String>,
    /// Digest of the sites it serves.
    pub sites: String,
    /// Open client connections.
    pub connections: u64,
    /// Requests answered since start.
    pub requests: u64,
    /// Bytes of bodies sent since start.
    pub bytes: u64,
    /// Of these, those that it could not serve; an origin's own 5xx is served.
    #[serde(default)]
    pub failed: u64,
    /// Milliseconds since start, on its own clock.
    #[serde(default)]
    pub uptime_ms: u64,
    /// Whether it asks for no new clients: its operator drains it, or it is about to end.
    #[serde(default)]
    pub draining: bool,
}

/// A digest of a set of sites: equal exactly when the sets are.
#[must_use]
pub fn site_digest<'a>(sites: impl Iterator<Item = &'a SiteId>) -> String {
    let mut ids: Vec<&str> = sites.map(SiteId::as_str).collect();
    ids.sort_unstable();
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.as_bytes());
        hash.update(b"\n");
    }
    let digest = hash.finalize();
    hex(digest.get(..16).unwrap_or_default())
}
