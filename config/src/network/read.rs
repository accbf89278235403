//! Reading `hither.toml`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::{
    Addresses, Admin, AdminState, Disk, Dns, Edge, EdgeNode, Geo, Health, Latency, Listen, Location, NameServer,
    Network, Pop,
};
use crate::acme;
use crate::congestion::Congestion;
use crate::host::DomainName;
use crate::id::{CountryCode, NodeId, PopId, SiteId};
use crate::limits;
use crate::log::{Clients, Log, LogFormat};
use crate::nearest::nearest;
use crate::prefix::Prefix;
use crate::problem::Problem;
use crate::register::Kind;
use crate::route::refer;
use crate::secret::Secret;
use crate::source::Place;
use crate::table::{Context, Table, Value};
use crate::tls;
use crate::transfer;
use crate::wrong::Wrong;

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
    let acme = table.table("acme", |table| acme::read(table, secret));
    let log = table.table("log", read_log);
    let name_servers = table.list("nameserver", |v| v.table(read_name_server));
    let transfers = table.list("transfer", |v| v.table(|table| transfer::read(table, secret)));
    let pops = table.list("pop", |v| v.table(read_pop));
    for key in ["nameserver", "pop"] {
        if table.is_empty(key) {
            let help = format!("add a [[{key}]] table");
            table.context().add(table.fault(format!("the network has no {key}")).help(help));
        }
    }
    if let Some(admin) = &admin {
        refuse_unknown_gatherers(&table, admin, (name_servers.as_slice(), pops.as_slice()));
    }
    if let Some(edge) = &edge {
        warn_of_probes(&table, edge, &name_servers);
    }
    table.finish();
    let zone = zone?;
    Some(Network {
        contact: contact.unwrap_or_else(|| format!("hostmaster@{zone}")),
        zone,
        nameservers,
        state: state.unwrap_or_else(default_state),
        admin: admin?,
        geo: geo?,
        latency: latency?,
        dns: dns?,
        edge: edge?,
        health: health?,
        acme: acme?,
        log: log?,
        name_servers,
        transfers,
        pops,
    })
}

/// Refuses nodes that are to gather and are not there.
fn refuse_unknown_gatherers(table: &Table<'_>, admin: &Admin, (name_servers, pops): (&[NameServer], &[Pop])) {
    let edges = pops.iter().flat_map(|pop| &pop.edges).map(|edge| &edge.id);
    let known: Vec<&NodeId> = name_servers.iter().map(|node| &node.id).chain(edges).collect();
    for id in admin.gather.iter().filter(|id| !known.contains(id)) {
        let message = format!("`gather` of [admin] names `{id}`, and there is no such node");
        let help = match nearest(id.as_str(), known.iter().map(|id| id.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name a name server or an edge by its id".to_owned(),
        };
        table.context().add(Problem::fault(table.place_of("admin"), message).help(help));
    }
}

/// Warns of name servers that are taken for proxies which say for whom they connect: their probes do not.
fn warn_of_probes(table: &Table<'_>, edge: &Edge, name_servers: &[NameServer]) {
    let is_trusted = |address: &IpAddr| edge.trusted_proxies.iter().any(|prefix| prefix.contains(*address));
    let probing = name_servers.iter().filter(|node| edge.proxy_protocol && node.addresses.all().iter().any(is_trusted));
    for node in probing {
        let message = format!("name server `{}` is in `trusted_proxies` of [edge]: edges close its probes", node.id);
        let problem = Problem::warning(table.place_of("edge"), message);
        table.context().add(problem.help("leave its address out: with `proxy_protocol` those begin with a header"));
    }
}

/// Reads a mail address.
///
/// # Errors
/// It has no `@`, or what follows that is no domain name.
pub fn contact(text: &str) -> Result<String, Wrong> {
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
    let token = table.optional("token", |v| v.secret_file(secret));
    let gather = table.list("gather", |v| v.parse(NodeId::parse));
    table.finish();
    Some(Admin { listen, token, gather })
}

fn read_geo(mut table: Table<'_>) -> Option<Geo> {
    let database = table.list("database", |v| v.parse(|text| Ok(PathBuf::from(text))));
    let asn = table.optional("asn", |v| v.parse(|text| Ok(PathBuf::from(text))));
    let geofeed = table.list("geofeed", |v| v.parse(|text| Ok(PathBuf::from(text))));
    let home = table.optional("home", location);
    table.finish();
    Some(Geo { database, asn, geofeed, home })
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
    let dnssec = table.or("dnssec", false, Value::boolean);
    let tls = table.optional("tls", |v| v.table(tls::read_of_dns));
    let rate_limit = table.or("rate_limit", limits::DNS_RATE_LIMIT.default, |v| v.integer(&limits::DNS_RATE_LIMIT));
    let here = || [[127, 0, 0, 0].into(), Ipv6Addr::LOCALHOST.into()].map(|address: IpAddr| local(address)).to_vec();
    let explain = table.optional("explain", |v| v.list(|v| v.parse(Prefix::parse))).unwrap_or_else(here);
    table.finish();
    Some(Dns { ttl, ttl_changing, answers, dnssec, rate_limit, tls, explain })
}

/// The loopback addresses of a family.
fn local(address: IpAddr) -> Prefix {
    Prefix::around(address, if address.is_ipv4() { 8 } else { 128 })
}

fn read_edge_settings(mut table: Table<'_>) -> Option<Edge> {
    let memory = table.optional("memory", |v| v.size(&limits::EDGE_MEMORY));
    let disk = table.optional("disk", |v| v.table(read_disk));
    let http = table.or("http", Listen::Port(80), listen);
    let https = table.or("https", Listen::Port(443), listen);
    let default_site = table.optional("default_site", |v| refer(v, Kind::Site, SiteId::parse));
    let trusted_proxies = table.list("trusted_proxies", |v| v.parse(Prefix::parse));
    let proxy_protocol = table.or("proxy_protocol", false, Value::boolean);
    let congestion = table.optional("congestion", |v| v.parse(Congestion::parse));
    if proxy_protocol && table.is_empty("trusted_proxies") {
        let problem = Problem::fault(table.place_of("proxy_protocol"), "`proxy_protocol` without `trusted_proxies`");
        let help = "say whose headers are believed, as in `trusted_proxies = [\"192.0.2.0/24\"]`";
        table.context().add(problem.help(help));
    }
    if trusted_proxies.iter().any(|prefix| prefix.length() == 0) {
        let problem = Problem::warning(table.place_of("trusted_proxies"), "`trusted_proxies` holds everybody");
        table.context().add(problem.help("name your proxies alone: whoever is in it can write what client it is"));
    }
    table.finish();
    Some(Edge { memory, disk, http, https, default_site, trusted_proxies, proxy_protocol, congestion })
}

fn read_disk(mut table: Table<'_>) -> Option<Disk> {
    let path = table.required("path", |v| v.parse(|text| Ok(PathBuf::from(text))));
    let size = table.required("size", |v| v.size(&limits::DISK_SIZE));
    let requests = table.or("requests", limits::DISK_REQUESTS.default, |v| v.integer(&limits::DISK_REQUESTS));
    table.finish();
    Some(Disk { path: path?, size: size?, requests })
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
    let format = table.optional("format", |v| v.parse(LogFormat::parse)).unwrap_or_default();
    table.finish();
    Some(Log { requests, format, queries, clients })
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
    Some(NameServer { id: id?, listen: listen.unwrap_or_else(|| on(53)), admin, peer, addresses })
}

fn read_pop(mut table: Table<'_>) -> Option<Pop> {
    let id = table.required("id", |v| define(v, Kind::Pop, PopId::parse));
    let name = table.optional("name", |v| v.parse(|text| Ok(text.to_owned())));
    let country = table.optional("country", |v| v.parse(CountryCode::read));
    let location = table.required("location", location);
    let admin_state = table.or("admin_state", AdminState::Judged, admin_state);
    let edges = table.list("edge", |v| v.table(|table| read_edge_node(table, admin_state)));
    if table.is_empty("edge") {
        table.context().add(table.fault("this PoP has no edge").help("add a [[pop.edge]] table below it"));
    }
    table.finish();
    let id = id?;
    Some(Pop { name: name.unwrap_or_else(|| id.to_string()), id, country, location: location?, admin_state, edges })
}

fn admin_state(value: Value<'_>) -> Option<AdminState> {
    value.parse(|text| match text {
        "judged" => Ok(AdminState::Judged),
        "drained" => Ok(AdminState::Drained),
        "forced" => Ok(AdminState::Forced),
        _ => Err(Wrong::new(format!("`{text}` is not known here")).help("one of \"judged\", \"drained\", \"forced\"")),
    })
}

fn read_edge_node(mut table: Table<'_>, of_pop: AdminState) -> Option<EdgeNode> {
    let id = table.required("id", |v| define(v, Kind::Edge, NodeId::parse));
    let addresses = table.required("addresses", |v| read_addresses(v, Kind::Edge));
    let capacity = table.or("capacity", limits::CAPACITY.default, |v| v.rate(&limits::CAPACITY));
    let admin_state = table.or("admin_state", of_pop, admin_state);
    let http = table.optional("http", listen);
    let https = table.optional("https", listen);
    let admin = table.optional("admin", socket);
    let peer = table.optional("peer", socket);
    table.finish();
    let addresses = addresses?;
    Some(EdgeNode { id: id?, peer, addresses, capacity, admin_state, http, https, admin })
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

/// Reads an address that a node may have.
///
/// # Errors
/// It is none, or stands for every address or for a group of machines.
pub fn ip(text: &str) -> Result<IpAddr, Wrong> {
    let wrong = Wrong::new(format!("`{text}` is not an address")).help("as in \"192.0.2.10\" or \"2001:db8::10\"");
    let address: IpAddr = text.parse().map_err(|_| wrong)?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(
            Wrong::new(format!("`{text}` is no node's address")).help("as in \"192.0.2.10\" or \"2001:db8::10\"")
        );
    }
    Ok(address)
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
    if !value.is_list() {
        return note_location(context, place);
    }
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

fn note_location(context: &Context, place: Place) -> Option<Location> {
    let problem = Problem::fault(place, "a location is two numbers");
    context.add(problem.help("degrees north, then degrees east: [50.11, 8.68]"));
    None
}

impl Location {
    /// Reads degrees north, then degrees east, as `50.11,8.68`.
    ///
    /// # Errors
    /// These are not two numbers, or one is beyond a pole or the date line.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |help: &str| Wrong::new(format!("`{text}` is not a location")).help(help);
        let degrees = |text: &str| text.trim().parse::<f64>().ok();
        let two = text.split_once(',').and_then(|(north, east)| Some((degrees(north)?, degrees(east)?)));
        let (latitude, longitude) = two.ok_or_else(|| wrong("degrees north, then degrees east, as in 50.11,8.68"))?;
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return Err(wrong("latitude, -90 to 90, comes first, then longitude, -180 to 180"));
        }
        Ok(Self { latitude, longitude })
    }
}

/// Where state is unless `state` says: what systemd hands over, else beside the config.
pub(crate) fn default_state() -> PathBuf {
    std::env::var_os("STATE_DIRECTORY").map_or_else(|| PathBuf::from(".state"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use crate::load;

    #[test]
    fn who_gathers_is_a_node() {
        let dir = tempfile::tempdir().unwrap();
        for (gather, expected) in [
            ("[\"ns1\", \"fra-1\"]", None),
            ("[]", None),
            ("[\"fra-2\"]", Some("`gather` of [admin] names `fra-2`, and there is no such node")),
        ] {
            let text = format!(
                "zone = \"cdn.example\"\n[admin]\ngather = {gather}\n\
                 [[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
                 [[pop]]\nid = \"fra\"\nlocation = [50, 8]\n[[pop.edge]]\nid = \"fra-1\"\naddresses = [\"192.0.2.1\"]\n"
            );
            std::fs::write(dir.path().join("hither.toml"), text).unwrap();
            let found = match load(dir.path()) {
                Ok(_) => None,
                Err(refused) => refused.problems.first().map(|problem| problem.message.clone()),
            };
            assert_eq!(found.as_deref(), expected, "{gather}");
        }
    }
}
