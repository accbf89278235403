//! What is known of a fleet, as it is told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::rates::Rates;

/// A fleet as it was last seen.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Overview {
    /// When this was put together, Unix milliseconds.
    pub at_ms: u64,
    /// Who gathered it: `up`, `status`, or the id of a node.
    pub gathered_by: String,
    /// The config directory of who gathered it.
    pub directory: String,
    /// The network.
    pub network: NetworkSeen,
    /// How much goes on in the whole fleet.
    pub totals: Rates,
    /// The PoPs, in the config's order.
    pub pops: Vec<PopSeen>,
    /// The edges, in the config's order.
    pub edges: Vec<EdgeSeen>,
    /// The name servers, in the config's order.
    pub name_servers: Vec<NameServerSeen>,
    /// The sites.
    pub sites: Vec<SiteSeen>,
    /// Certificates by name, the worst of what nodes have.
    pub certificates: Vec<CertificateSeen>,
    /// Which configs nodes have, the newest first.
    pub configs: Vec<ConfigSeen>,
    /// What every node tells of itself, with `heard_ms`, `unreachable` and `stale` beside.
    pub nodes: Vec<Value>,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NetworkSeen {
    /// Its zone.
    pub zone: String,
    /// The version of the program that gathers.
    pub version: String,
    /// The newest config that a node has: Unix milliseconds.
    pub config_version: u64,
}

/// How an edge, or a PoP, fares in the word of name servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Clients are sent there.
    Up,
    /// Some are: not by every name server, to not every address, or to not every edge.
    Partly,
    /// The operator takes it out.
    Drained,
    /// Its probes pass, its answers fail.
    Failing,
    /// Nobody is.
    Down,
    /// No name server was heard.
    Unknown,
}

impl State {
    /// As it is told.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Partly => "partly",
            Self::Drained => "drained",
            Self::Failing => "failing",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// A PoP.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PopSeen {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its country, where the config says it.
    pub country: Option<String>,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// How it fares: `up` where every edge is.
    pub state: State,
    /// Edges that clients are sent to.
    pub fit: usize,
    /// Its edges' ids.
    pub edges: Vec<String>,
    /// The share of its fit edges' capacity that is used.
    pub load: Option<f64>,
    /// Open connections of clients.
    pub connections: Option<u64>,
    /// How much goes on there.
    pub rates: Rates,
}

/// When a node was last heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hearing {
    /// Whether it cannot be reached now.
    pub unreachable: bool,
    /// How long ago it was last heard, milliseconds; none where it never was.
    pub heard_ms: Option<u64>,
    /// Whether what is told of it is old: it was heard, and cannot be reached now.
    pub stale: bool,
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EdgeSeen {
    /// Its id.
    pub id: String,
    /// Its PoP.
    pub pop: String,
    /// Its public addresses.
    pub addresses: Vec<String>,
    /// How it fares.
    pub state: State,
    /// Since when it was seen so, Unix milliseconds.
    pub since_ms: u64,
    /// Why it is not up.
    pub reason: Option<String>,
    /// Whether that may change soon.
    pub changing: bool,
    /// For how many seconds it is kept out since it has fallen often.
    pub held_s: u64,
    /// Whether it says itself that it takes no new clients.
    pub draining: bool,
    /// The operator's word in the config: `judged`, `drained` or `forced`.
    pub admin_state: &'static str,
    /// Each name server's word.
    pub by: BTreeMap<String, State>,
    /// When it was heard.
    #[serde(flatten)]
    pub hearing: Hearing,
    /// What it can send, bits per second.
    pub capacity_bps: u64,
    /// The share of that which it sends.
    pub load: Option<f64>,
    /// Open connections of clients.
    pub connections: Option<u64>,
    /// Requests since its start.
    pub requests: Option<u64>,
    /// Of these, those answered from its store.
    pub hits: Option<u64>,
    /// Bytes of bodies since its start.
    pub bytes: Option<u64>,
    /// Bytes of objects in its RAM.
    pub stored_bytes: Option<u64>,
    /// Objects in its RAM.
    pub stored_objects: Option<u64>,
    /// How far in its log of purges it is.
    pub purge_position: Option<u64>,
    /// The config it has: Unix milliseconds.
    pub config_version: Option<u64>,
    /// The digest of the sites it serves.
    pub sites_digest: Option<String>,
    /// Why it has refused the newest config.
    pub refused: Option<String>,
    /// Seconds since its start.
    pub uptime_s: Option<u64>,
    /// How much goes on there.
    pub rates: Rates,
}

/// A name server.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct NameServerSeen {
    /// Its id.
    pub id: String,
    /// Its public addresses.
    pub addresses: Vec<String>,
    /// When it was heard.
    #[serde(flatten)]
    pub hearing: Hearing,
    /// The config it has: Unix milliseconds.
    pub config_version: Option<u64>,
    /// Why it has refused the newest config.
    pub refused: Option<String>,
    /// Seconds since its start.
    pub uptime_s: Option<u64>,
    /// How much goes on there.
    pub rates: Rates,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SiteSeen {
    /// Its id.
    pub id: String,
    /// The names it answers to.
    pub hosts: Vec<String>,
    /// Requests since the nodes' start.
    pub requests: u64,
    /// Bytes of bodies sent.
    pub bytes: u64,
    /// Bytes of bodies that came from its origin; none where a node of an earlier release does not tell.
    pub origin_bytes: Option<u64>,
    /// Fetches from its origin.
    pub fetches: u64,
    /// Which share of the requests was answered from the store, 0 to 1.
    pub hit_ratio: Option<f64>,
    /// Which share of the bytes sent its origin did not have to send, at most 1; less than 0 where it sent more, none where
    /// nothing was sent, or that is not known.
    pub byte_offload: Option<f64>,
    /// Servers of its origin that some edge takes nothing from.
    pub origins: Vec<OriginSeen>,
    /// How much goes on.
    pub rates: Rates,
}

/// A server of an origin that some edge takes nothing from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OriginSeen {
    /// The server.
    pub server: String,
    /// Edges whose probes of it fail.
    pub down: Vec<String>,
    /// Edges that leave it alone since fetches have failed.
    pub left_alone: Vec<String>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CertificateSeen {
    /// The name it is for.
    pub name: String,
    /// For how many days it is good; none where it is lacking.
    pub days_left: Option<f64>,
    /// Whether somebody has to look at it.
    pub alarming: bool,
    /// Why there is no new one.
    pub fails: Option<String>,
    /// The nodes that tell of it.
    pub nodes: Vec<String>,
}

/// A config, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigSeen {
    /// Its version, the highest where nodes with the same files have several: Unix milliseconds.
    pub version: u64,
    /// The nodes that have it.
    pub nodes: Vec<String>,
}
