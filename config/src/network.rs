//! `hither.toml`: the network and its nodes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;

use crate::host::DomainName;
use crate::id::{CountryCode, NodeId, PopId};
use crate::limits;
use crate::secret::Secret;

mod read;

pub(crate) use read::{default_state, read};

/// `hither.toml`: the network, its name servers, its PoPs and their edges.
#[derive(Clone, Debug, JsonSchema)]
pub struct Network {
    /// The zone under which every site is answered: site `shop` as `shop.<zone>`. Delegate it to
    /// the name servers. A change needs every customer's CNAME to change with it.
    pub zone: DomainName,
    /// The mail address in the zone's SOA. Default: `hostmaster@<zone>`.
    pub contact: String,
    /// The zone's NS names. Default: `<id>.<zone>` of every `[[nameserver]]`; list them to add
    /// secondaries elsewhere.
    pub nameservers: Option<Vec<DomainName>>,
    /// Where a node keeps what it must not forget: the health of edges, and its logs. Default:
    /// `$STATE_DIRECTORY`, else `.state` in the config directory. Read at start only.
    pub state: PathBuf,
    /// Status, metrics and changes by HTTP.
    pub admin: Admin,
    /// Where clients are.
    pub geo: Geo,
    /// What the name servers answer.
    pub dns: Dns,
    /// What every edge has.
    pub edge: Edge,
    /// How edges are judged.
    pub health: Health,
    /// What is written down.
    pub log: Log,
    /// The name servers.
    #[schemars(rename = "nameserver")]
    pub name_servers: Vec<NameServer>,
    /// The PoPs.
    #[schemars(rename = "pop")]
    pub pops: Vec<Pop>,
}

/// Status, metrics and changes by HTTP.
#[derive(Clone, Debug, JsonSchema)]
pub struct Admin {
    /// Where the admin address listens. On loopback it may be read without the token.
    /// Default: `127.0.0.1:9300`. Read at start only.
    pub listen: SocketAddr,
    /// The file under `secrets/` whose text every change by HTTP must show, as
    /// `{ file = "admin.token" }`. Default: no changes by HTTP.
    #[schemars(with = "Option<std::collections::BTreeMap<String, String>>")]
    pub token: Option<Secret>,
}

/// Where clients are.
#[derive(Clone, Debug, JsonSchema)]
pub struct Geo {
    /// mmdb files with countries or cities, in order: the first that knows an address counts. Both
    /// schemas are read, nested (`location.latitude`) and flat (`latitude`). Default: the built-in
    /// countries. A file that is replaced is read again; a broken one changes nothing.
    pub database: Vec<PathBuf>,
    /// An mmdb file with AS numbers; needed by routes that name an `asn`. Default: none.
    pub asn: Option<PathBuf>,
    /// Where private and loopback addresses are taken to be, `[latitude, longitude]`.
    /// Default: the first PoP.
    pub home: Option<Location>,
}

/// What the name servers answer.
#[derive(Clone, Debug, JsonSchema)]
pub struct Dns {
    /// How long resolvers keep a routed answer while everything it rests on is settled. Longer
    /// delays fail-over, shorter costs queries. Default: `20s`, what large CDNs hand out.
    #[schemars(with = "String")]
    pub ttl: Duration,
    /// The same while health or load is changing. Default: `5s`.
    #[schemars(with = "String")]
    pub ttl_changing: Duration,
    /// Addresses in a routed answer. More helps clients that try the next, fewer keeps a site's
    /// objects on fewer edges. Default: 2.
    pub answers: u8,
}

/// What every edge has.
#[derive(Clone, Debug, JsonSchema)]
pub struct Edge {
    /// Bytes of RAM for stored objects and fetches under way. Too little lowers the hit ratio, too
    /// much makes the system swap. Default: a quarter of RAM or of the cgroup's limit, `4GiB` at
    /// most. Read at start only.
    #[schemars(with = "String")]
    pub memory: Option<u64>,
    /// Clear HTTP: a port on the edge's own addresses, or a list of `"ip:port"`. Health is probed
    /// at this port. Default: 80. A reload opens the new addresses and closes the old.
    pub http: Listen,
    /// TLS, as `http`; bound only while a site has `tls`. Default: 443. A reload does as for `http`.
    pub https: Listen,
}

/// How edges are judged.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Health {
    /// Time between two probes of one address. Shorter finds faults sooner and costs requests.
    /// Default: `1s`.
    #[schemars(with = "String")]
    pub interval: Duration,
    /// A probe without an answer for this long has failed. Default: `1s`.
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Failures in a row that take an edge out. 1 reacts to a single lost packet. Default: 2.
    pub fall: u8,
    /// Successes in a row that bring it back. Few let a sick edge flap. Default: 5.
    pub rise: u8,
}

/// What is written down, as JSON lines in `<state>/<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub struct Log {
    /// Whether edges write a line for each request to `requests.jsonl`. Default: true. Read at
    /// start only.
    pub requests: bool,
    /// Whether name servers write a line for each query to `queries.jsonl`. Default: false. Read at
    /// start only.
    pub queries: bool,
    /// How much of a client's address is written: `full`, `prefix` (its /24 or /56) or `none`.
    /// Default: `prefix`. Read at start only.
    pub clients: Clients,
}

/// How much of a client's address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Clients {
    /// All of it.
    Full,
    /// Its /24 or /56.
    Prefix,
    /// Nothing.
    None,
}

/// A place with edges.
#[derive(Clone, Debug, JsonSchema)]
pub struct Pop {
    /// Its id, unique among PoPs.
    pub id: PopId,
    /// Its name for people. Default: the id.
    pub name: String,
    /// Its country, two letters; `check` warns where the location is outside it. Default: unknown.
    pub country: Option<CountryCode>,
    /// `[latitude, longitude]` in degrees.
    pub location: Location,
    /// Its edges.
    #[schemars(rename = "edge")]
    pub edges: Vec<EdgeNode>,
}

/// A name server node.
#[derive(Clone, Debug, JsonSchema)]
pub struct NameServer {
    /// Its id, unique among nodes; the same id at an edge means one node with both roles.
    pub id: NodeId,
    /// The addresses in its A and AAAA records.
    pub addresses: Addresses,
    /// Where it listens, UDP and TCP, as `"ip:port"`. Default: port 53 on its addresses. A reload
    /// opens the new addresses and closes the old.
    pub listen: Vec<SocketAddr>,
    /// Its own admin address. Default: `[admin] listen`.
    pub admin: Option<SocketAddr>,
}

/// An edge node.
#[derive(Clone, Debug, JsonSchema)]
pub struct EdgeNode {
    /// Its id, unique among nodes.
    pub id: NodeId,
    /// What DNS hands out for it.
    pub addresses: Addresses,
    /// What it can send, bits per second; edges of a PoP share sites by it. Default: `10Gbps`.
    #[schemars(with = "String")]
    pub capacity: u64,
    /// Its own clear HTTP. Default: `[edge] http`.
    pub http: Option<Listen>,
    /// Its own TLS. Default: `[edge] https`.
    pub https: Option<Listen>,
    /// Its own admin address. Default: `[admin] listen`.
    pub admin: Option<SocketAddr>,
}

/// Public addresses of a node, at least one.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "Vec<IpAddr>")]
pub struct Addresses(Vec<IpAddr>);

/// A point on the earth.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
#[schemars(with = "[f64; 2]")]
pub struct Location {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Listen {
    /// This port on the node's own addresses.
    Port(u16),
    /// These addresses, as behind NAT.
    At(Vec<SocketAddr>),
}

/// What one node is: its roles under one id.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Its name server role.
    pub name_server: Option<&'a NameServer>,
    /// Its edge role and the PoP it is in.
    pub edge: Option<(&'a Pop, &'a EdgeNode)>,
}

impl Network {
    /// Every edge with its PoP, in the order written.
    pub fn edges(&self) -> impl Iterator<Item = (&Pop, &EdgeNode)> {
        self.pops.iter().flat_map(|pop| pop.edges.iter().map(move |edge| (pop, edge)))
    }

    /// The roles of an id, if it is a node's.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<Node<'_>> {
        let name_server = self.name_servers.iter().find(|node| node.id == *id);
        let edge = self.edges().find(|(_, edge)| edge.id == *id);
        (name_server.is_some() || edge.is_some()).then_some(Node { name_server, edge })
    }

    /// The ids of all nodes, name servers first, each once.
    #[must_use]
    pub fn node_ids(&self) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> = self.name_servers.iter().map(|node| node.id.clone()).collect();
        for (_, edge) in self.edges() {
            if !ids.contains(&edge.id) {
                ids.push(edge.id.clone());
            }
        }
        ids
    }

    /// Where a node's admin address is.
    #[must_use]
    pub fn admin_of(&self, node: &Node<'_>) -> SocketAddr {
        let edge = node.edge.and_then(|(_, edge)| edge.admin);
        edge.or_else(|| node.name_server.and_then(|node| node.admin)).unwrap_or(self.admin.listen)
    }

    /// The keys in which this network differs from the one a node started with, and which the node
    /// takes only at its next start.
    #[must_use]
    pub fn waiting_for_start(&self, started: &Self) -> Vec<&'static str> {
        let differing = [
            ("state", self.state != started.state),
            ("[admin] listen", self.admin.listen != started.admin.listen),
            ("[edge] memory", self.edge.memory != started.edge.memory),
            ("[log]", self.log != started.log),
        ];
        differing.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// Where an edge takes clear HTTP.
    #[must_use]
    pub fn http_of(&self, edge: &EdgeNode) -> Vec<SocketAddr> {
        edge.http.as_ref().unwrap_or(&self.edge.http).on(&edge.addresses)
    }

    /// Where an edge takes TLS.
    #[must_use]
    pub fn https_of(&self, edge: &EdgeNode) -> Vec<SocketAddr> {
        edge.https.as_ref().unwrap_or(&self.edge.https).on(&edge.addresses)
    }

    /// The port at which an edge's public addresses are probed: that of the first clear HTTP listener.
    #[must_use]
    pub fn probe_port(&self, edge: &EdgeNode) -> u16 {
        match edge.http.as_ref().unwrap_or(&self.edge.http) {
            Listen::Port(port) => *port,
            Listen::At(list) => list.first().map_or(limits::PORT.default, SocketAddr::port),
        }
    }
}

impl Addresses {
    /// All of them, in the order written.
    #[must_use]
    pub fn all(&self) -> &[IpAddr] {
        &self.0
    }
}

impl Listen {
    fn on(&self, addresses: &Addresses) -> Vec<SocketAddr> {
        match self {
            Self::Port(port) => addresses.all().iter().map(|address| SocketAddr::new(*address, *port)).collect(),
            Self::At(list) => list.clone(),
        }
    }
}
