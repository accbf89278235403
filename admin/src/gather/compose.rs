//! Puts together what nodes have told. Pure: times come in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use config::{EdgeNode, Network, NodeId, Pop};
use fleet::ConfigVersion;
use serde_json::Value;
use telemetry::{OfSite, hit_ratio};

use super::heard::{Memory, Remembered, clipped};
use super::history::History;
use super::overview::{
    CertificateSeen, ConfigSeen, EdgeSeen, NameServerSeen, NetworkSeen, OriginSeen, Overview, PopSeen, SiteSeen, State,
};
use super::rates::{Of, Rates};

/// What a config says of the fleet.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Who gathers: `up`, `status`, or a node's id.
    pub by: String,
    /// The config directory.
    pub directory: String,
    /// The network.
    pub network: Network,
    /// The sites, each with its hosts.
    pub sites: Vec<(String, Vec<String>)>,
}

impl Ground {
    /// Whether the config has this.
    pub(crate) fn knows(&self, of: &Of) -> bool {
        let network = &self.network;
        match of {
            Of::Fleet => true,
            Of::Pop(id) => network.pops.iter().any(|pop| pop.id.as_str() == id),
            Of::Node(id) => {
                network.edges().any(|(_, edge)| edge.id.as_str() == id)
                    || network.name_servers.iter().any(|node| node.id.as_str() == id)
            }
            Of::Site(id) => self.sites.iter().any(|(site, _)| site == id),
        }
    }
}

/// Since when each edge is seen as it is.
pub(crate) type Since = BTreeMap<String, (State, u64)>;

/// What a name server says of an edge.
struct Word<'w> {
    state: State,
    edge: &'w Value,
}

const SECONDS_OF_A_DAY: f64 = 86_400.0;
/// Certificates that are looked at of each node: what it tells is bounded, but not by this.
const MOST_TOLD: usize = 10_000;
/// Servers of one site's origin: a config has some.
const MOST_SERVERS: usize = 100;
/// A certificate's name is no longer than this.
const NAME_BYTES: usize = 255;

/// A fleet as it is seen now.
pub(crate) fn compose(ground: &Ground, memory: &Memory, history: &History, since: &Since, now_ms: u64) -> Overview {
    let network = &ground.network;
    let edges: Vec<EdgeSeen> =
        network.edges().map(|(pop, edge)| see_edge((pop, edge), (network, memory), history, since, now_ms)).collect();
    let mut of_pops: BTreeMap<&str, Vec<&EdgeSeen>> = BTreeMap::new();
    edges.iter().for_each(|edge| of_pops.entry(&edge.pop).or_default().push(edge));
    let own = |pop: &Pop| of_pops.get(pop.id.as_str()).map(Vec::as_slice).unwrap_or_default();
    let pops = network.pops.iter().map(|pop| see_pop(pop, own(pop), history)).collect();
    let configs = see_configs(network, memory);
    Overview {
        at_ms: now_ms,
        gathered_by: ground.by.clone(),
        directory: ground.directory.clone(),
        network: NetworkSeen {
            zone: network.zone.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_version: configs.first().map_or(0, |config| config.version),
        },
        totals: history.now(&Of::Fleet),
        pops,
        edges,
        name_servers: network.name_servers.iter().map(|node| see_name_server(node, memory, history, now_ms)).collect(),
        sites: see_sites(ground, memory, history),
        certificates: see_certificates(memory),
        configs,
        nodes: network.node_ids().iter().map(|id| memory.node(id.as_str(), now_ms)).collect(),
    }
}

/// How each edge is seen now, and since when.
pub(crate) fn follow_states(network: &Network, memory: &Memory, since: &mut Since, now_ms: u64) {
    let mut next = Since::new();
    for (_, edge) in network.edges() {
        let id = edge.id.as_str();
        let state = merge(words(network, memory, id).iter().map(|(_, word)| word.state));
        let began = since.get(id).filter(|(before, _)| *before == state).map_or(now_ms, |(_, began)| *began);
        next.insert(id.to_owned(), (state, began));
    }
    *since = next;
}

fn see_edge(
    (pop, edge): (&Pop, &EdgeNode),
    (network, memory): (&Network, &Memory),
    history: &History,
    since: &Since,
    now_ms: u64,
) -> EdgeSeen {
    let id = edge.id.as_str();
    let words = words(network, memory, id);
    let state = merge(words.iter().map(|(_, word)| word.state));
    let hearing = memory.hearing(id, now_ms);
    let none = Remembered::default();
    let own = memory.of(id).unwrap_or(&none);
    // What it last told a name server, where it is not heard itself.
    let report = words.iter().find_map(|(_, word)| word.edge.get("report").filter(|report| !report.is_null()));
    let reported = |key: &str| report.and_then(|report| report.get(key)?.as_u64());
    let number = |key: &str| own.number(&["edge", key]).or_else(|| reported(key));
    let rates = rates_of(history, id, hearing.unreachable);
    let is_so = |key: &str| words.iter().any(|(_, word)| word.edge.get(key).and_then(Value::as_bool) == Some(true));
    let held = words.iter().filter_map(|(_, word)| word.edge.get("held_s")?.as_u64()).max();
    EdgeSeen {
        id: id.to_owned(),
        pop: pop.id.to_string(),
        addresses: edge.addresses.all().iter().map(ToString::to_string).collect(),
        state,
        since_ms: since.get(id).map_or(now_ms, |(_, began)| *began),
        reason: reason(state, &words),
        changing: is_so("changing"),
        held_s: held.unwrap_or(0),
        draining: is_so("draining") || (!hearing.unreachable && own.is_so(&["edge", "draining"])),
        admin_state: edge.admin_state.as_str(),
        by: words.iter().map(|(name_server, word)| ((*name_server).to_owned(), word.state)).collect(),
        hearing,
        capacity_bps: edge.capacity,
        load: used(rates.bytes_s, edge.capacity),
        connections: number("connections"),
        requests: number("requests"),
        hits: own.number(&["edge", "hits"]),
        bytes: number("bytes"),
        stored_bytes: own.number(&["edge", "stored_bytes"]),
        stored_objects: own.number(&["edge", "stored_objects"]),
        purge_position: own.number(&["edge", "purge_position"]),
        config_version: own.number(&["config_version"]).or_else(|| reported("config_version")),
        sites_digest: report.and_then(|report| report.get("sites")?.as_str()).map(clipped),
        refused: own.text(&["refused"]),
        uptime_s: own.number(&["uptime_s"]),
        rates,
    }
}

/// How much goes on at a node: of one that cannot be reached nothing is known.
fn rates_of(history: &History, node: &str, is_unreachable: bool) -> Rates {
    if is_unreachable { Rates::default() } else { history.now(&Of::Node(node.to_owned())) }
}

/// The share of a capacity in bits per second.
fn used(bytes_s: Option<f64>, capacity: u64) -> Option<f64> {
    Some(8.0 * bytes_s? / capacity.max(1) as f64)
}

/// What the name servers that are heard say of an edge. Nobody else has a word in that.
fn words<'m>(network: &'m Network, memory: &'m Memory, edge: &str) -> Vec<(&'m str, Word<'m>)> {
    let word = |name_server: &'m config::NameServer| {
        let id = name_server.id.as_str();
        let told = memory.word(id)?.status.get("edges")?.get(edge)?;
        Some((id, Word { state: state_of(told), edge: told }))
    };
    network.name_servers.iter().filter_map(word).collect()
}

/// A name server's word on an edge.
fn state_of(told: &Value) -> State {
    let is_so = |key: &str| told.get(key).and_then(Value::as_bool) == Some(true);
    let addresses = || told.get("addresses").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::values);
    let up = addresses().filter(|verdict| *verdict == "up").count();
    match (up, addresses().count() - up) {
        // That it is down says more than that nobody is sent there anyway.
        (0, _) => State::Down,
        _ if is_so("draining") || told.get("admin_state").and_then(Value::as_str) == Some("drained") => State::Drained,
        _ if is_so("failing") => State::Failing,
        (_, 0) => State::Up,
        _ => State::Partly,
    }
}

/// What several words come to.
fn merge(words: impl Iterator<Item = State>) -> State {
    let said: BTreeSet<State> = words.collect();
    let (best, worst) = (said.first().copied(), said.last().copied());
    match (best, worst) {
        (Some(best), Some(worst)) if best == worst => best,
        (Some(State::Up | State::Partly), Some(_)) => State::Partly,
        // Nobody sends clients there: the worst is why.
        (Some(_), Some(worst)) => worst,
        _ => State::Unknown,
    }
}

/// Why an edge is not up.
fn reason(state: State, words: &[(&str, Word<'_>)]) -> Option<String> {
    let failure = || {
        let ill = words.iter().filter(|(_, word)| matches!(word.state, State::Down | State::Partly));
        ill.filter_map(|(_, word)| word.edge.get("failure")?.as_str()).next().map(clipped)
    };
    let by_itself = words.iter().any(|(_, word)| word.edge.get("draining").and_then(Value::as_bool) == Some(true));
    match state {
        State::Up => None,
        State::Partly => failure().or_else(|| Some("name servers do not agree".to_owned())),
        State::Down => failure().or_else(|| Some("its probes fail".to_owned())),
        State::Failing => Some("its probes pass, its answers fail".to_owned()),
        State::Drained if by_itself => Some("it is drained by the operator, or about to end".to_owned()),
        State::Drained => Some("the config drains it".to_owned()),
        State::Unknown => Some("no name server was heard".to_owned()),
    }
}

fn see_pop(pop: &Pop, edges: &[&EdgeSeen], history: &History) -> PopSeen {
    let own = || edges.iter().copied();
    let is_fit = |edge: &&EdgeSeen| matches!(edge.state, State::Up | State::Partly);
    let fit = own().filter(is_fit).count();
    let is_all = |state: State| own().all(|edge| edge.state == state);
    let state = match () {
        () if is_all(State::Up) => State::Up,
        () if is_all(State::Unknown) => State::Unknown,
        () if fit > 0 => State::Partly,
        () if is_all(State::Drained) => State::Drained,
        () => State::Down,
    };
    let rates = history.now(&Of::Pop(pop.id.to_string()));
    let capacity: u64 = own().filter(is_fit).map(|edge| edge.capacity_bps).fold(0, u64::saturating_add);
    PopSeen {
        id: pop.id.to_string(),
        name: pop.name.clone(),
        country: pop.country.map(|country| country.to_string()),
        latitude: pop.location.latitude,
        longitude: pop.location.longitude,
        state,
        fit,
        edges: own().map(|edge| edge.id.clone()).collect(),
        load: used(rates.bytes_s, capacity).filter(|_| capacity > 0),
        connections: own().filter_map(|edge| edge.connections).reduce(u64::saturating_add),
        rates,
    }
}

fn see_name_server(node: &config::NameServer, memory: &Memory, history: &History, now_ms: u64) -> NameServerSeen {
    let id = node.id.as_str();
    let hearing = memory.hearing(id, now_ms);
    let none = Remembered::default();
    let own = memory.of(id).unwrap_or(&none);
    NameServerSeen {
        id: id.to_owned(),
        addresses: node.addresses.all().iter().map(ToString::to_string).collect(),
        hearing,
        config_version: own.number(&["config_version"]),
        refused: own.text(&["refused"]),
        uptime_s: own.number(&["uptime_s"]),
        rates: rates_of(history, id, hearing.unreachable),
    }
}

fn see_sites(ground: &Ground, memory: &Memory, history: &History) -> Vec<SiteSeen> {
    let mut counted: BTreeMap<&str, OfSite> = BTreeMap::new();
    for (site, counts) in memory.samples().flat_map(|(_, sample)| &sample.counted.sites) {
        counted.entry(site).or_default().add(counts);
    }
    let mut origins = see_origins(memory);
    let site = |(id, hosts): &(String, Vec<String>)| {
        let sum = counted.get(id.as_str()).copied().unwrap_or_default();
        SiteSeen {
            id: id.clone(),
            hosts: hosts.clone(),
            requests: sum.requests,
            bytes: sum.bytes,
            origin_bytes: sum.origin_bytes,
            fetches: sum.fetches,
            hit_ratio: hit_ratio(sum.requests, sum.hits),
            byte_offload: sum.byte_offload(),
            origins: origins.remove(id.as_str()).map(|servers| servers.into_values().collect()).unwrap_or_default(),
            rates: history.now(&Of::Site(id.clone())),
        }
    };
    ground.sites.iter().map(site).collect()
}

/// By site the servers of its origin that some edge takes nothing from: every node is looked at once, however many sites
/// there are.
fn see_origins(memory: &Memory) -> BTreeMap<&str, BTreeMap<&str, OriginSeen>> {
    let mut all: BTreeMap<&str, BTreeMap<&str, OriginSeen>> = BTreeMap::new();
    for (edge, sample) in memory.reached() {
        let sites = sample.status.get("edge").and_then(|edge| edge.get("origins")?.as_object());
        for (site, servers) in sites.into_iter().flatten() {
            for one in servers.as_array().into_iter().flatten().take(MOST_SERVERS) {
                see_server(all.entry(site).or_default(), edge, one);
            }
        }
    }
    all
}

/// Adds an edge's word on a server, where it takes nothing from it.
fn see_server<'m>(seen: &mut BTreeMap<&'m str, OriginSeen>, edge: &str, one: &'m Value) {
    let is_so = |key: &str| one.get(key).and_then(Value::as_bool) == Some(true);
    let (is_down, is_left_alone) = (is_so("down"), is_so("left_alone"));
    let Some(server) = one.get("server").and_then(Value::as_str).filter(|_| is_down || is_left_alone) else { return };
    if seen.len() >= MOST_SERVERS && !seen.contains_key(server) {
        return;
    }
    let seen = seen.entry(server).or_insert_with(|| OriginSeen { server: clipped(server), ..OriginSeen::default() });
    if is_down {
        seen.down.push(edge.to_owned());
    }
    if is_left_alone {
        seen.left_alone.push(edge.to_owned());
    }
}

fn see_certificates(memory: &Memory) -> Vec<CertificateSeen> {
    let mut by_name: BTreeMap<&str, CertificateSeen> = BTreeMap::new();
    for (node, sample) in memory.samples() {
        let told = sample.status.get("certificates").and_then(Value::as_object);
        for (name, one) in told.into_iter().flatten().filter(|(name, _)| name.len() <= NAME_BYTES).take(MOST_TOLD) {
            let days_left = one.get("left_s").and_then(Value::as_f64).map(|left| left / SECONDS_OF_A_DAY);
            let alarming = one.get("alarming").and_then(Value::as_bool) == Some(true);
            let fails = one.get("fails").and_then(Value::as_str).map(clipped);
            let node = node.to_owned();
            match by_name.get_mut(name.as_str()) {
                Some(seen) => {
                    // Lacking is worse than any time.
                    seen.days_left = seen.days_left.zip(days_left).map(|(a, b)| a.min(b));
                    seen.alarming |= alarming;
                    seen.fails = seen.fails.take().or(fails);
                    seen.nodes.push(node);
                }
                None => {
                    let seen = CertificateSeen { name: name.clone(), days_left, alarming, fails, nodes: vec![node] };
                    by_name.insert(name, seen);
                }
            }
        }
    }
    by_name.into_values().collect()
}

fn see_configs(network: &Network, memory: &Memory) -> Vec<ConfigSeen> {
    let of = |id: NodeId| Some((version_of(network, memory, id.as_str())?, id.to_string()));
    let mut told: Vec<(ConfigVersion, String)> = network.node_ids().into_iter().filter_map(of).collect();
    // Who tells no digest joins those of its number.
    told.sort_by_key(|(version, _)| Reverse((version.number, version.digest.is_some())));
    let mut configs: Vec<(ConfigVersion, Vec<String>)> = Vec::new();
    for (version, id) in told {
        match configs.iter_mut().find(|(known, _)| known.is_same(&version)) {
            Some((_, nodes)) => nodes.push(id),
            None => configs.push((version, vec![id])),
        }
    }
    configs.into_iter().map(|(version, nodes)| ConfigSeen { version: version.number, nodes }).collect()
}

/// Which config a node told last that it has, itself or to a name server.
fn version_of(network: &Network, memory: &Memory, id: &str) -> Option<ConfigVersion> {
    let own = memory.of(id).and_then(|known| ConfigVersion::told(&known.sample.as_ref()?.status));
    let told = || words(network, memory, id).iter().find_map(|(_, word)| ConfigVersion::told(word.edge.get("report")?));
    own.or_else(told)
}
