//! `hither.toml`: the network and its nodes.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;

use crate::acme::Acme;
use crate::congestion::Congestion;
use crate::host::DomainName;
use crate::id::{CountryCode, NodeId, PopId, SiteId};
use crate::limits;
use crate::log::Log;
use crate::prefix::Prefix;
use crate::secret::Secret;
use crate::shape;
use crate::tls::DnsTls;
use crate::transfer::Transfer;

mod read;

pub use read::{contact as parse_contact, ip as parse_address};
pub(crate) use read::{default_state, read};

/// `hither.toml`: the network, its name servers, its PoPs and their edges.
#[derive(Clone, Debug, JsonSchema)]
pub struct Network {
    /// The zone under which every site is answered: site `shop` as `shop.<zone>`. Delegate it to
    /// the name servers. A change needs every customer's CNAME to change with it. A reload takes it.
    pub zone: DomainName,
    /// The mail address in the zone's SOA. Not used while `zones/<zone>` is a file, which then has its
    /// own. Default: `hostmaster@<zone>`. A reload takes it.
    #[schemars(transform = shape::text("mail address", r"^[^@]{1,63}@[A-Za-z0-9._-]+$"))]
    pub contact: String,
    /// The zone's NS names: list them all to add secondaries elsewhere, which must get the zone by
    /// other means than from here. Not used while `zones/<zone>` is a file. Default: `<id>.<zone>` of
    /// every `[[nameserver]]`. A reload takes it.
    pub nameservers: Option<Vec<DomainName>>,
    /// Where a node keeps, below its id, what it must not forget: the health of edges, the last config
    /// that served well, and its logs. Relative to the config directory. Default: `$STATE_DIRECTORY`, else `.state` in the config
    /// directory. Read at start only.
    #[schemars(transform = shape::path)]
    pub state: PathBuf,
    /// Status and metrics by HTTP, in `[admin]`. Default: that of each key.
    pub admin: Admin,
    /// Where clients are, in `[geo]`. Default: that of each key.
    pub geo: Geo,
    /// What is learned of round trips, in `[latency]`. Default: that of each key.
    pub latency: Latency,
    /// What the name servers answer, in `[dns]`. Default: that of each key.
    pub dns: Dns,
    /// What every edge has, in `[edge]`. Default: that of each key.
    pub edge: Edge,
    /// How edges are judged, in `[health]`. Default: that of each key.
    pub health: Health,
    /// Where certificates that get themselves come from, in `[acme]`. Default: that of each key.
    pub acme: Acme,
    /// What is written down, in `[log]`. Default: that of each key.
    pub log: Log,
    /// The name servers, each a `[[nameserver]]`. Two or more, on different networks, outlive one.
    #[schemars(rename = "nameserver", transform = shape::some(None))]
    pub name_servers: Vec<NameServer>,
    /// Secondaries that may take plain zones, each a `[[transfer]]`. Default: none, so that nobody may.
    #[schemars(rename = "transfer")]
    pub transfers: Vec<Transfer>,
    /// The PoPs, each a `[[pop]]` with its `[[pop.edge]]` below it.
    #[schemars(rename = "pop", transform = shape::some(Some(limits::POPS)))]
    pub pops: Vec<Pop>,
}

/// Status, metrics and purging by HTTP.
#[derive(Clone, Debug, JsonSchema)]
pub struct Admin {
    /// Where a node's admin address listens. A client on loopback may read it without the token; on
    /// any other address open it to those alone who monitor: it speaks clear HTTP, so that the token can be
    /// read on the way. Default: `127.0.0.1:9300`. Read at start
    /// only.
    #[schemars(transform = shape::socket)]
    pub listen: SocketAddr,
    /// The file under `secrets/` whose text a client that is not on loopback must show, as
    /// `Authorization: Bearer TEXT`; also one that is, to change anything, such as to purge. Default: none, so
    /// that only loopback reads and nobody changes anything by HTTP. A reload takes it.
    #[schemars(
        with = "Option<std::collections::BTreeMap<String, String>>",
        transform = shape::secret_file_table
    )]
    pub token: Option<Secret>,
    /// Nodes that gather, by id: each asks every other node at `peer` twice a second, and its own admin address tells of the
    /// whole fleet and shows the console. Needs `secrets/fleet.key`. `hither up` gathers anyway. Default: none. A reload takes
    /// it.
    pub gather: Vec<NodeId>,
}

/// Where clients are.
#[derive(Clone, Debug, JsonSchema)]
pub struct Geo {
    /// mmdb files with countries or cities, in order: the first that knows an address counts. Both
    /// schemas are read, nested (`location.latitude`) and flat (`latitude`). Relative to the config
    /// directory. Default: the built-in countries. A reload takes them, also when a file is replaced;
    /// a broken one changes nothing.
    #[schemars(transform = shape::paths)]
    pub database: Vec<PathBuf>,
    /// An mmdb file with AS numbers; needed by routes that name an `asn`. Relative to the config
    /// directory. Default: none. A reload takes it, also when the file is replaced.
    #[schemars(transform = shape::path)]
    pub asn: Option<PathBuf>,
    /// CSV files of corrections to the databases (RFC 8805): networks with their country. A place in that country that a
    /// database knows holds. Relative to the config directory. Default: none. A reload takes them, also when a file is
    /// replaced.
    #[schemars(transform = shape::paths)]
    pub geofeed: Vec<PathBuf>,
    /// Where private and loopback addresses are taken to be, degrees north and east. Default: the
    /// first PoP. A reload takes it.
    pub home: Option<Location>,
}

impl Geo {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.database.iter().chain(&self.asn).chain(&self.geofeed)
    }
}

/// What the name servers answer.
#[derive(Clone, Debug, JsonSchema)]
pub struct Dns {
    /// How long resolvers keep a routed answer while everything it rests on is settled. Longer
    /// delays fail-over, shorter costs queries. Default: `20s`, what large CDNs hand out. A reload takes
    /// it; resolvers keep what they have.
    #[schemars(with = "String", transform = shape::duration(&limits::DNS_TTL))]
    pub ttl: Duration,
    /// The same while an edge's health is changing. Longer delays fail-over when it matters most,
    /// shorter costs queries for as long as an edge is unsteady. Default: `5s`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::DNS_TTL_CHANGING))]
    pub ttl_changing: Duration,
    /// Addresses in a routed answer. More helps clients that try the next, fewer keeps a site's
    /// objects on fewer edges. Default: 2. A reload takes it.
    #[schemars(transform = shape::integer(&limits::DNS_ANSWERS))]
    pub answers: u8,
    /// Whether answers are signed (DNSSEC): those of `zone` and of every zone under `zones/`. Each needs its keys, which
    /// `hither keys create` makes under `secrets/dnssec`, and its DS at the parent, which `hither keys` tells. Default:
    /// `false`. A reload takes it.
    pub dnssec: bool,
    /// How often in a second one network (/24, IPv6 /56) gets the same reply by UDP from one core of a name server: of what is more, every second
    /// one is cut, so that a resolver asks again over TCP, and the others are dropped. Who shows a DNS cookie of ours is
    /// not limited. Less keeps forged queries from flooding whom they name, too little slows large resolvers down; `0`
    /// is no limit. Default: 1000. A reload takes it.
    #[schemars(transform = shape::integer(&limits::DNS_RATE_LIMIT))]
    pub rate_limit: u32,
    /// Encrypted DNS, in `[dns.tls]`. Default: none.
    pub tls: Option<DnsTls>,
    /// Resolvers that may ask `TXT _why.NAME`: why a client is sent where it is. What they are told says how the network is
    /// built. Default: this machine, `["127.0.0.0/8", "::1/128"]`. A reload takes it.
    pub explain: Vec<Prefix>,
}

/// What is learned of round trips.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Latency {
    /// Up to one answer in a hundred tries another PoP where that promises most, to learn of it. Measuring is always on,
    /// and costs nothing; this costs a few clients a few milliseconds. Never against a route. Default: `false`. A reload
    /// takes it.
    pub explore: bool,
}

/// What every edge has.
#[derive(Clone, Debug, JsonSchema)]
pub struct Edge {
    /// RAM for stored objects (three quarters) and for bodies on their way (one), after a quarter, 24 MiB at
    /// most, that the allocator may hold back. What a disk
    /// needs in RAM, three sixteenths at most, is part of the three quarters. Too little lowers
    /// the hit ratio, too much makes the system swap. Default: a quarter of RAM or of the cgroup's
    /// limit, `4GiB` at most. Read at start only.
    #[schemars(with = "Option<String>", transform = shape::size(&limits::EDGE_MEMORY))]
    pub memory: Option<u64>,
    /// Disk for what was asked for again, as in `{ path = "/var/cache/hither", size = "500GiB" }`: it outlives a restart and what RAM
    /// has no room for. Default: none, RAM only. Read at start only.
    pub disk: Option<Disk>,
    /// Clear HTTP: a port on the edge's own addresses, or, where these are not the machine's (NAT), a
    /// list of those that are. Name servers probe an edge's `addresses` at this port, the first of a
    /// list, as soon as they have read it: an edge that cannot have the port, or reads the change later,
    /// is taken for down meanwhile. Default: 80. A reload opens the new and closes the old.
    pub http: Listen,
    /// TLS, as `http`, TCP and UDP (HTTP/3); bound only while a site has `tls`. Default: 443. A reload opens the new and closes
    /// the old.
    pub https: Listen,
    /// The site whose certificate clients get that name no host in the handshake, or one that no site has: some monitors, and
    /// browsers that are given an address. Default: none, and their handshakes are refused. A reload takes it.
    pub default_site: Option<SiteId>,
    /// Proxies and load balancers before the edges, as networks. Of a request that one of them sends the client is the last
    /// entry of `X-Forwarded-For` that is not itself in the list. Too little takes a proxy for the client, too much lets
    /// whoever is in it write what client it is. Default: none, so that the client is who connects. A reload takes them.
    pub trusted_proxies: Vec<Prefix>,
    /// Whether those of `trusted_proxies` begin every connection, clear and TLS, with a PROXY protocol header of version 2:
    /// then one without is closed, and the client is whom the header names. Who is not in the list needs none, and one of
    /// theirs is not believed. Default: `false`. A reload takes it, for new connections.
    pub proxy_protocol: bool,
    /// The congestion control by which edges send to clients over TCP: `bbr` goes by how fast a way is, most others by what
    /// is lost on it. It has to be one that the kernel of the edge has and lets the node choose, else the kernel's own
    /// is used, which `check` and the node's start warn of. Default: the kernel's own. A reload takes it, for new connections.
    pub congestion: Option<Congestion>,
}

/// The disk tier of every edge.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Disk {
    /// A directory on a file system of the machine's own, made if it is not there; each edge has a directory of
    /// its id in it. Relative to the config directory. Read at start only.
    #[schemars(transform = shape::path)]
    pub path: PathBuf,
    /// What an edge's files may take, without the tenth or so that a file system wants free. When it is full, what was not
    /// asked for longest goes. Read at start only.
    #[schemars(with = "String", transform = shape::size(&limits::DISK_SIZE))]
    pub size: u64,
    /// With which request within 12 to 24 hours an object goes to disk. 1 writes everything, also what is asked
    /// for once; 2 spares the disk that. Default: 2. Read at start only.
    #[schemars(transform = shape::integer(&limits::DISK_REQUESTS))]
    pub requests: u8,
}

/// How edges are judged.
#[derive(Clone, Copy, Debug, JsonSchema)]
pub struct Health {
    /// Time between two probes of one address. Shorter finds faults sooner and costs requests.
    /// Default: `1s`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::HEALTH_INTERVAL))]
    pub interval: Duration,
    /// A probe without an answer for this long has failed. Too short takes a far or busy edge for
    /// dead, too long finds a dead one late. Default: `1s`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::HEALTH_TIMEOUT))]
    pub timeout: Duration,
    /// Failures in a row that take an edge out. 1 reacts to a single lost packet, many find a fault
    /// late. Default: 2. A reload takes it.
    #[schemars(transform = shape::integer(&limits::HEALTH_FALL))]
    pub fall: u8,
    /// Successes in a row that bring it back; after a second fall within five minutes they count only
    /// when 10 s have passed, after a third 20 s, and so on up to 300 s. Few let a sick edge flap, many
    /// keep a well one out. Default: 5. A reload takes it.
    #[schemars(transform = shape::integer(&limits::HEALTH_RISE))]
    pub rise: u8,
}

/// A place with edges.
#[derive(Clone, Debug, JsonSchema)]
pub struct Pop {
    /// Its id, 1 to 63 lower-case letters, digits and inner hyphens, unique among PoPs. A reload takes it.
    pub id: PopId,
    /// Its name for people. Default: the id. A reload takes it.
    pub name: String,
    /// Its country; `check` warns where the location is outside it. Default: unknown. A reload takes it.
    pub country: Option<CountryCode>,
    /// Where it is, degrees north and east: clients go to the nearest PoP. A reload takes it.
    pub location: Location,
    /// The operator's word on all its edges, where none has one of its own. Default: `judged`. A reload takes it.
    pub admin_state: AdminState,
    /// Its edges, each a `[[pop.edge]]`.
    #[schemars(rename = "edge", transform = shape::some(None))]
    pub edges: Vec<EdgeNode>,
}

/// The operator's word on whether an edge is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum AdminState {
    /// Its health decides.
    Judged,
    /// It is not, unless nothing else is fit anywhere.
    Drained,
    /// It is, whatever its health and load.
    Forced,
}

impl AdminState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Judged => "judged",
            Self::Drained => "drained",
            Self::Forced => "forced",
        }
    }
}

/// A name server node.
#[derive(Clone, Debug, JsonSchema)]
pub struct NameServer {
    /// Its id, 1 to 63 lower-case letters, digits and inner hyphens, unique among name servers; the
    /// same id at an edge means one node with both roles. A reload takes it; a node whose own id goes
    /// listens no longer.
    pub id: NodeId,
    /// The addresses in its A and AAAA records, and of the glue at the registrar. A reload takes them.
    pub addresses: Addresses,
    /// Where it listens, UDP and TCP: addresses of the machine, or `0.0.0.0:53` and `[::]:53` for all of them; a reply leaves
    /// from the address that was asked. Default: port 53 on its addresses. A reload opens the new and closes the old.
    #[schemars(transform = shape::sockets)]
    pub listen: Vec<SocketAddr>,
    /// Its own admin address; needed where two nodes share a machine. Default: `[admin] listen`. Read
    /// at start only.
    #[schemars(transform = shape::socket)]
    pub admin: Option<SocketAddr>,
    /// Where other nodes reach it, as `peer` of an edge; bound only while a site has `tls = "auto"`, or a node gathers. Default:
    /// port 8444 on the first of its addresses, or that of the edge with the same id. A reload opens the new and closes the old.
    #[schemars(transform = shape::socket)]
    pub peer: Option<SocketAddr>,
}

/// An edge node.
#[derive(Clone, Debug, JsonSchema)]
pub struct EdgeNode {
    /// Its id, 1 to 63 lower-case letters, digits and inner hyphens, unique among edges; the same id at
    /// a name server means one node with both roles. A reload takes it; a node whose own id goes
    /// listens no longer.
    pub id: NodeId,
    /// What DNS hands out for it, each the address of one edge only. A reload takes them.
    pub addresses: Addresses,
    /// What it can send; edges of a PoP share sites in proportion. Default: `10Gbps`. A reload takes it.
    #[schemars(with = "String", transform = shape::rate(&limits::CAPACITY))]
    pub capacity: u64,
    /// The operator's word on whether it is named: `judged` by its health, `drained` (never, unless nothing else is
    /// fit anywhere: take it out before work on it, and wait for a TTL), or `forced` (always, whatever probes say and however full it is).
    /// Default: its PoP's. A reload takes it.
    pub admin_state: AdminState,
    /// Its own clear HTTP. Default: `[edge] http`. A reload opens the new and closes the old.
    pub http: Option<Listen>,
    /// Its own TLS. Default: `[edge] https`. A reload opens the new and closes the old.
    pub https: Option<Listen>,
    /// Its own admin address; needed where two nodes share a machine. Default: `[admin] listen`. Read
    /// at start only.
    #[schemars(transform = shape::socket)]
    pub admin: Option<SocketAddr>,
    /// Where other nodes reach it, with the credential that `secrets/fleet.key` gives them; without that file it
    /// is not bound. An address of the machine that no client can reach is best: it speaks clear HTTP. Where the machine does
    /// not have it (NAT), the same port is bound on those addresses of `listen`, `http` and `https` that are not among
    /// `addresses`. Default: port 8444 on the first of its addresses. A reload opens the new and closes the old.
    #[schemars(transform = shape::socket)]
    pub peer: Option<SocketAddr>,
}

/// Public addresses of a node, at least one.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "Vec<IpAddr>", transform = shape::addresses)]
pub struct Addresses(Vec<IpAddr>);

/// A point on the earth.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
#[schemars(with = "[f64; 2]", transform = shape::location)]
pub struct Location {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged, transform = shape::listen)]
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

impl Node<'_> {
    /// Whether an address is among its `addresses`: clients are told of those.
    #[must_use]
    pub fn has_address(&self, ip: IpAddr) -> bool {
        let of_edge = self.edge.is_some_and(|(_, edge)| edge.addresses.all().contains(&ip));
        of_edge || self.name_server.is_some_and(|node| node.addresses.all().contains(&ip))
    }
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
        // Who gathers asks again and again, of ten thousand nodes.
        let mut known: HashSet<&NodeId> = self.name_servers.iter().map(|node| &node.id).collect();
        let edges = self.edges().filter(|(_, edge)| known.insert(&edge.id));
        ids.extend(edges.map(|(_, edge)| edge.id.clone()));
        ids
    }

    /// Where a node's admin address is.
    #[must_use]
    pub fn admin_of(&self, node: &Node<'_>) -> SocketAddr {
        let edge = node.edge.and_then(|(_, edge)| edge.admin);
        edge.or_else(|| node.name_server.and_then(|node| node.admin)).unwrap_or(self.admin.listen)
    }

    /// Where other nodes reach an edge.
    #[must_use]
    pub fn peer_of(&self, edge: &EdgeNode) -> Option<SocketAddr> {
        let own = edge.addresses.all().first().map(|address| SocketAddr::new(*address, limits::PEER_PORT));
        let name_server = self.name_servers.iter().find(|node| node.id == edge.id).and_then(|node| node.peer);
        edge.peer.or(name_server).or(own)
    }

    /// Where other nodes reach a name server.
    #[must_use]
    pub fn peer_of_name_server(&self, node: &NameServer) -> Option<SocketAddr> {
        let edge = self.node(&node.id).and_then(|node| node.edge).and_then(|(_, edge)| self.peer_of(edge));
        let own = node.addresses.all().first().map(|address| SocketAddr::new(*address, limits::PEER_PORT));
        edge.or(node.peer).or(own)
    }

    /// The keys in which this network differs from the one a node started with, and which the node
    /// takes only at its next start.
    #[must_use]
    pub fn waiting_for_start(&self, started: &Self) -> Vec<&'static str> {
        let differing = [
            ("state", self.state != started.state),
            ("[admin] listen", self.admin.listen != started.admin.listen),
            ("[edge] memory", self.edge.memory != started.edge.memory),
            ("[edge] disk", self.edge.disk != started.edge.disk),
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

    /// The port at which clients find TLS.
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        match &self.edge.https {
            Listen::Port(port) => *port,
            Listen::At(list) => list.first().map_or(443, SocketAddr::port),
        }
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
