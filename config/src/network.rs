//! `hither.toml`: the network and its nodes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;

use crate::host::DomainName;
use crate::id::{CountryCode, NodeId, PopId};
use crate::limits;
use crate::problem::Problem;
use crate::register::Kind;
use crate::secret::Secret;
use crate::table::{Context, Table, Value, Wrong};

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
    /// Where a node keeps what it must not forget: health, the last good config, keys. Default:
    /// `$STATE_DIRECTORY`, else `.state` in the config directory. Read at start only.
    pub state: PathBuf,
    /// Status, metrics and changes by HTTP.
    pub admin: Admin,
    /// Where clients are.
    pub geo: Geo,
    /// Measured round trips.
    pub latency: Latency,
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

/// Measured round trips.
#[derive(Clone, Debug, JsonSchema)]
pub struct Latency {
    /// Whether up to 1 % of answers try other PoPs to learn how far they are. Default: false.
    pub explore: bool,
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
    /// at this port. Default: 80. Read at start only.
    pub http: Listen,
    /// TLS, as `http`; bound only while a site has `tls`. Default: 443. Read at start only.
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
#[derive(Clone, Copy, Debug, JsonSchema)]
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
    /// Where it listens, UDP and TCP, as `"ip:port"`. Default: port 53 on its addresses. Read at
    /// start only.
    pub listen: Vec<SocketAddr>,
    /// Its own admin address. Default: `[admin] listen`.
    pub admin: Option<SocketAddr>,
    /// Where other nodes reach it. Default: its first address, port 8444.
    pub peer: SocketAddr,
}

/// An edge node.
#[derive(Clone, Debug, JsonSchema)]
pub struct EdgeNode {
    /// Its id, unique among nodes.
    pub id: NodeId,
    /// What DNS hands out for it.
    pub addresses: Addresses,
    /// Where other nodes reach it. Default: its first address, port 8444.
    pub peer: SocketAddr,
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

/// Where other nodes reach a node that names no `peer`.
const PEER_PORT: u16 = 8444;

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

/// Reads `hither.toml`; `secret` fetches a file under `secrets/`.
pub(crate) fn read(mut table: Table<'_>, secret: &dyn Fn(Value<'_>) -> Option<Secret>) -> Option<Network> {
    let zone = table.required("zone", |v| v.parse(DomainName::parse));
    let contact = table.optional("contact", |v| v.parse(contact));
    let nameservers = table.optional("nameservers", |v| v.list(|v| v.parse(DomainName::parse)));
    let state = table.optional("state", |v| v.parse(|text| Ok(PathBuf::from(text))));
    let admin = table.table("admin", |table| read_admin(table, secret));
    let geo = table.table("geo", read_geo);
    let latency = table.table("latency", read_latency);
    let dns = table.table("dns", read_dns);
    let edge = table.table("edge", read_edge_settings);
    let health = table.table("health", read_health);
    let log = table.table("log", read_log);
    let name_servers = table.list("nameserver", |v| v.table(read_name_server));
    let pops = table.list("pop", |v| v.table(read_pop));
    for key in ["nameserver", "pop"] {
        if table.is_empty(key) {
            let help = format!("add a [[{key}]] table");
            table.context().add(table.fault(format!("the network has no {key}")).help(help));
        }
    }
    table.finish();
    let zone = zone?;
    Some(Network {
        contact: contact.unwrap_or_else(|| format!("hostmaster@{zone}")),
        zone,
        nameservers,
        state: state
            .or_else(|| std::env::var_os("STATE_DIRECTORY").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(".state")),
        admin: admin?,
        geo: geo?,
        latency: latency?,
        dns: dns?,
        edge: edge?,
        health: health?,
        log: log?,
        name_servers,
        pops,
    })
}

fn contact(text: &str) -> Result<String, Wrong> {
    let wrong =
        || Wrong::new(format!("`{text}` is not a mail address")).help("write one such as \"hostmaster@cdn.example\"");
    let (person, domain) = text.split_once('@').ok_or_else(wrong)?;
    DomainName::parse(domain).map_err(|_| wrong())?;
    if person.is_empty() || person.len() > 63 || !person.is_ascii() {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

fn read_admin(mut table: Table<'_>, secret: &dyn Fn(Value<'_>) -> Option<Secret>) -> Option<Admin> {
    let default = SocketAddr::from(([127, 0, 0, 1], 9300));
    let listen = table.or("listen", default, socket);
    let token = table.optional("token", |v| {
        v.table(|mut table| {
            let token = table.required("file", secret);
            table.finish();
            token
        })
    });
    table.finish();
    Some(Admin { listen, token })
}

fn read_geo(mut table: Table<'_>) -> Option<Geo> {
    let database = table.list("database", |v| v.parse(|text| Ok(PathBuf::from(text))));
    let asn = table.optional("asn", |v| v.parse(|text| Ok(PathBuf::from(text))));
    let home = table.optional("home", location);
    table.finish();
    Some(Geo { database, asn, home })
}

fn read_latency(mut table: Table<'_>) -> Option<Latency> {
    let explore = table.or("explore", false, Value::boolean);
    table.finish();
    Some(Latency { explore })
}

fn read_dns(mut table: Table<'_>) -> Option<Dns> {
    let ttl = table.or("ttl", limits::DNS_TTL.default, |v| v.duration(&limits::DNS_TTL));
    let ttl_changing =
        table.or("ttl_changing", limits::DNS_TTL_CHANGING.default, |v| v.duration(&limits::DNS_TTL_CHANGING));
    let answers = table.or("answers", limits::DNS_ANSWERS.default, |v| v.integer(&limits::DNS_ANSWERS));
    if ttl_changing > ttl {
        let problem = Problem::warning(table.place_of("ttl_changing"), "`ttl_changing` is longer than `ttl`");
        table.context().add(problem.help("answers would be kept longer while things change"));
    }
    table.finish();
    Some(Dns { ttl, ttl_changing, answers })
}

fn read_edge_settings(mut table: Table<'_>) -> Option<Edge> {
    let memory = table.optional("memory", |v| v.size(&limits::EDGE_MEMORY));
    let http = table.or("http", Listen::Port(80), listen);
    let https = table.or("https", Listen::Port(443), listen);
    table.finish();
    Some(Edge { memory, http, https })
}

fn read_health(mut table: Table<'_>) -> Option<Health> {
    let interval = table.or("interval", limits::HEALTH_INTERVAL.default, |v| v.duration(&limits::HEALTH_INTERVAL));
    let timeout = table.or("timeout", limits::HEALTH_TIMEOUT.default, |v| v.duration(&limits::HEALTH_TIMEOUT));
    let fall = table.or("fall", limits::HEALTH_FALL.default, |v| v.integer(&limits::HEALTH_FALL));
    let rise = table.or("rise", limits::HEALTH_RISE.default, |v| v.integer(&limits::HEALTH_RISE));
    table.finish();
    Some(Health { interval, timeout, fall, rise })
}

fn read_log(mut table: Table<'_>) -> Option<Log> {
    let requests = table.or("requests", true, Value::boolean);
    let queries = table.or("queries", false, Value::boolean);
    let clients = table.or("clients", Clients::Prefix, |v| {
        v.parse(|text| match text {
            "full" => Ok(Clients::Full),
            "prefix" => Ok(Clients::Prefix),
            "none" => Ok(Clients::None),
            _ => Err(Wrong::new(format!("`{text}` is not known here")).help("one of \"full\", \"prefix\", \"none\"")),
        })
    });
    table.finish();
    Some(Log { requests, queries, clients })
}

fn read_name_server(mut table: Table<'_>) -> Option<NameServer> {
    let id = table.required("id", |v| define(v, Kind::NameServer, NodeId::parse));
    let addresses = table.required("addresses", |v| read_addresses(v, Kind::NameServer));
    let listen = table.optional("listen", |v| v.list(socket));
    let admin = table.optional("admin", socket);
    let peer = table.optional("peer", socket);
    table.finish();
    let addresses = addresses?;
    let on = |port| addresses.all().iter().map(|address| SocketAddr::new(*address, port)).collect();
    Some(NameServer {
        id: id?,
        listen: listen.unwrap_or_else(|| on(53)),
        admin,
        peer: peer.or_else(|| default_peer(&addresses))?,
        addresses,
    })
}

fn read_pop(mut table: Table<'_>) -> Option<Pop> {
    let id = table.required("id", |v| define(v, Kind::Pop, PopId::parse));
    let name = table.optional("name", |v| v.parse(|text| Ok(text.to_owned())));
    let country = table.optional("country", |v| v.parse(CountryCode::read));
    let location = table.required("location", location);
    let edges = table.list("edge", |v| v.table(read_edge_node));
    if table.is_empty("edge") {
        table.context().add(table.fault("this PoP has no edge").help("add a [[pop.edge]] table below it"));
    }
    table.finish();
    let id = id?;
    Some(Pop { name: name.unwrap_or_else(|| id.to_string()), id, country, location: location?, edges })
}

fn read_edge_node(mut table: Table<'_>) -> Option<EdgeNode> {
    let id = table.required("id", |v| define(v, Kind::Edge, NodeId::parse));
    let addresses = table.required("addresses", |v| read_addresses(v, Kind::Edge));
    let peer = table.optional("peer", socket);
    let capacity = table.or("capacity", limits::CAPACITY.default, |v| v.rate(&limits::CAPACITY));
    let http = table.optional("http", listen);
    let https = table.optional("https", listen);
    let admin = table.optional("admin", socket);
    table.finish();
    let addresses = addresses?;
    Some(EdgeNode {
        id: id?,
        peer: peer.or_else(|| default_peer(&addresses))?,
        addresses,
        capacity,
        http,
        https,
        admin,
    })
}

fn default_peer(addresses: &Addresses) -> Option<SocketAddr> {
    addresses.all().first().map(|address| SocketAddr::new(*address, PEER_PORT))
}

/// Reads a new thing's id and notes that it is taken.
fn define<T: ToString>(value: Value<'_>, kind: Kind, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
    let (context, place) = (value.context(), value.place());
    let id = value.parse(parse)?;
    context.register(|register| register.define(kind, &id.to_string(), place));
    Some(id)
}

fn read_addresses(value: Value<'_>, kind: Kind) -> Option<Addresses> {
    let (context, place, none) = (value.context(), value.place(), value.is_empty_list());
    let addresses = value.list(|value| {
        let (context, place) = (value.context(), value.place());
        let address = value.parse(ip)?;
        if kind == Kind::Edge {
            context.register(|register| register.define(Kind::Address, &address.to_string(), place));
        }
        Some(address)
    })?;
    if none {
        context.add(Problem::fault(place, "a node needs at least one address").help("as in [\"192.0.2.10\"]"));
    }
    (!addresses.is_empty()).then_some(Addresses(addresses))
}

fn ip(text: &str) -> Result<IpAddr, Wrong> {
    let wrong = Wrong::new(format!("`{text}` is not an address")).help("as in \"192.0.2.10\" or \"2001:db8::10\"");
    text.parse().map_err(|_| wrong)
}

fn socket(value: Value<'_>) -> Option<SocketAddr> {
    value.parse(|text| {
        let wrong = Wrong::new(format!("`{text}` is not an address with a port"));
        text.parse().map_err(|_| wrong.help("as in \"127.0.0.1:9300\" or \"[::1]:9300\""))
    })
}

fn listen(value: Value<'_>) -> Option<Listen> {
    if value.is_list() { value.list(socket).map(Listen::At) } else { value.integer(&limits::PORT).map(Listen::Port) }
}

fn location(value: Value<'_>) -> Option<Location> {
    let (context, place) = (value.context(), value.place());
    let mut at = 0;
    let numbers = value.list(|value| {
        at += 1;
        if at == 1 { value.number(-90.0, 90.0) } else { value.number(-180.0, 180.0) }
    })?;
    match (at, numbers.as_slice()) {
        (2, [latitude, longitude]) => Some(Location { latitude: *latitude, longitude: *longitude }),
        (2, _) => None,
        _ => note_location(context, place),
    }
}

fn note_location(context: &Context, place: crate::source::Place) -> Option<Location> {
    let problem = Problem::fault(place, "a location is two numbers");
    context.add(problem.help("degrees north, then degrees east: [50.11, 8.68]"));
    None
}
