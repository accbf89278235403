//! What an edge hands to a name server.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Up to where a name server has an edge's round trips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// Which start of the edge: after another one, positions begin anew.
    pub boot: u64,
    /// The last batch that it has.
    pub position: u64,
}

/// Round trips since then, by prefix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// What to ask from the next time.
    pub until: Since,
    /// A prefix (/24, /48) by its first address, and how many round trips fell into which bucket.
    pub prefixes: Vec<(IpAddr, Counts)>,
}

/// Bucket numbers, and how often each was seen.
pub type Counts = Vec<(u8, u16)>;
