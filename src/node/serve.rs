//! Starting a node: build, bind, serve on every core, stop in order.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use ::fleet::latency::{Collector, Store};
use admin::{Admin, Door};
use arc_swap::ArcSwapOption;
use certs::Certificates;
use config::{Config, Loaded, NodeId, Problem, limits};
use dns::KeptMap;
use dns::geo::World;
use listen::{Handler, Mount, Mounts, Server, Sharing, Stop, bind_tcp};
use telemetry::{Clients, Log, Metrics};

use super::answer::Answering;
use super::certificates::{self, Holding};
use super::ending::{End, Ending, take_leave};
use super::facts::NodeFacts;
use super::last_good::LastGood;
use super::listeners::Listeners;
use super::marker::Marker;
use super::peer::Peer;
use super::{
    Built, NameServer, Node, Roles, build_loaded, build_view, last_good, latency, load, reload, visits,
    with_other_faults,
};
use crate::directory;
use crate::exit::{Done, Exit, Failure};

/// Runs a node until it is told to stop.
pub(crate) fn serve(dir: &Path, id: &str, admin: Option<SocketAddr>) -> Done {
    let started = Instant::now();
    let id = NodeId::parse(id).map_err(|wrong| Failure::operator(wrong.message))?;
    let mut loaded = config::load(dir);
    // A network that cannot be read tells no state directory: where it is unless one is named.
    let network = match &loaded {
        Ok(loaded) => Some(&loaded.config.network),
        Err(refused) => refused.network.as_deref(),
    };
    let state = network.map_or_else(|| config::default_state(dir), |network| network.state.clone());
    if let Ok(Loaded { config, .. }) = &loaded {
        is_known(config, &id)?;
        if !state.exists() && std::fs::create_dir_all(&state).is_ok() {
            // The directory's own time is part of the version, and this may be within it.
            loaded = config::load(dir);
        }
    }
    let last_good = LastGood::new(&state.join(id.as_str()));
    let is_called_for = last_good.is_called_for(SystemTime::now());
    let loaded = if is_called_for { config::load_copy(&last_good.files(), dir) } else { loaded };
    let loaded = loaded.map_err(|refused| directory::refused(&with_other_faults(dir, Roles::BOTH, refused)))?;
    let config = &loaded.config;
    let node = is_known(config, &id)?;
    let roles = Roles::of(&node);
    let admin = admin.unwrap_or_else(|| config.network.admin_of(&node));
    let kept = KeptMap::new(&state.join(id.as_str()));
    // The last good config is not read again from the directory, which is what a kept map leads to.
    let kept = (!is_called_for).then_some(&kept);
    let built = build_started(loaded, roles, kept).map_err(|problems| directory::refused(&problems))?;
    directory::print(&built.warnings);
    let admin = bind_tcp(admin, Sharing::Alone).map_err(|error| Failure::operator(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::ours)?;
    let booted = if is_called_for { Booted::LastGood } else { Booted::Config };
    runtime.block_on(run(dir, id, built, admin, (started, booted)))
}

/// Builds what a node starts with. A new database can make the operator's round trips impossible, which must not keep
/// a node from starting: it starts without them.
/// A map that was kept spares reading databases first: they are read once the node serves.
fn build_started(loaded: Loaded, roles: Roles, kept: Option<&KeptMap>) -> Result<Built, Vec<Problem>> {
    // Who is let in by country is not known without databases.
    let needs_databases = roles.edge && edge::asks_for_countries(&loaded.config);
    let view = kept.filter(|_| roles.name_server && !needs_databases).and_then(|kept| kept.view(&loaded.config));
    if let Some(view) = view {
        tracing::info!("serving by the map that was kept; databases are read behind it");
        return build_loaded(loaded, roles, None, |_| Ok((view, World::unread())));
    }
    let again = loaded.clone();
    let is_round_trip =
        |problem: &Problem| problem.place.as_ref().is_some_and(|place| place.source.path.starts_with("latency"));
    match build_loaded(loaded, roles, None, |config| build_view(config, None)) {
        Err(problems) if problems.iter().all(is_round_trip) => {
            problems.iter().for_each(|problem| tracing::error!(%problem, "starting without any of latency/"));
            let config = Config { round_trips: Vec::new(), ..again.config };
            build_loaded(Loaded { config, ..again }, roles, None, |config| build_view(config, None))
        }
        built => built,
    }
}

/// The node of an id, or which ids there are.
fn is_known<'c>(config: &'c Config, id: &NodeId) -> Result<config::Node<'c>, Failure> {
    config.network.node(id).ok_or_else(|| {
        let known: Vec<String> = config.network.node_ids().iter().map(ToString::to_string).collect();
        Failure::operator(format!("there is no node `{id}` in {}; known: {}", config.dir.display(), known.join(", ")))
    })
}

/// Where a name server keeps round trips.
const LATENCY: &str = "latency.json";

/// What a node was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Booted {
    Config,
    LastGood,
}

async fn run(
    dir: &Path,
    id: NodeId,
    built: Built,
    admin: std::net::TcpListener,
    (started, booted): (Instant, Booted),
) -> Done {
    let config = built.config().clone();
    let home = config.network.state.join(id.as_str());
    std::fs::create_dir_all(&home)
        .map_err(|error| Failure::operator(format!("cannot write to {}: {error}", home.display())))?;
    let metrics = Arc::new(Metrics::new().map_err(Failure::ours)?);
    let node = Arc::new(make(dir, &id, &built, &home, &metrics, started)?);
    let log = open_log(&config, Lines::Queries, &home, &metrics)?;
    let listeners = Listeners::start(&node, Answering::new(Arc::clone(&node), log)).map_err(Failure::ours)?;
    let bound = listeners.bind(&config, &id).map_err(|error| Failure::operator(error.to_string()))?;
    let peer = Peer::default();
    let reached = peer.bind(&config, &id);
    let reached = reached.map_err(|error| Failure::operator(format!("`peer` of {id}: {error}")))?;
    node.apply(built);
    if booted == Booted::LastGood {
        let why = "the starts before died within a minute: this is the last good config, until a change is taken";
        tracing::error!("{why}");
        node.refused.store(Some(Arc::new(why.to_owned())));
    }
    // Before anybody is answered.
    latency::relearn(&node, latency::News::Moves).await;
    let watching = reload::Watching::begin(&node).map_err(Failure::ours)?;
    listeners.put(bound);
    let address = admin.local_addr().map_err(Failure::ours)?;
    let stop = Stop::new();
    tokio::spawn(admin_server(&node, admin, Door::Admin)?.serve(stop.clone()));
    peer.put(&node, reached);
    let mut ending = Ending::listen().map_err(Failure::ours)?;
    let marker_path = Marker::path(&config.network.state, &id);
    let marker = Marker { pid: std::process::id().cast_signed(), admin: address };
    if let Err(error) = marker.write(&marker_path) {
        // A full disk is no reason not to serve.
        tracing::error!(path = %marker_path.display(), %error, "cannot be written: `up` and `status` do not see this node");
    }
    tracing::info!(node = %id, admin = %address, "serving");
    let latency_path = home.join(LATENCY);
    let last_good = LastGood::new(&home);
    tend(&node, &latency_path, &last_good);
    let ended = tokio::select! {
        end = ending.told() => {
            last_good.forget_starts();
            Ok(end)
        }
        () = reload::follow(watching, &node, (&listeners, &peer), &config) => Ok(End::Gently),
        () = listeners.failed() => Err(Failure::ours("a listener has ended by a panic")),
    };
    let (end, ended) = match ended {
        Ok(End::Gently) => (take_leave(&node, &mut ending).await, Ok(Exit::Done)),
        Ok(End::Soon) => (End::Soon, Ok(Exit::Done)),
        Err(failure) => (End::Soon, Err(failure)),
    };
    tracing::info!(node = %id, "stopping");
    stop.stop();
    peer.end();
    marker.remove(&marker_path);
    latency::save(&node, &latency_path).await;
    let _ = tokio::task::spawn_blocking(move || listeners.end(end)).await;
    if let Some(edge) = &node.edge {
        edge.close();
    }
    ended
}

/// Begins what a node does beside answering.
fn tend(node: &Arc<Node>, latency_path: &Path, last_good: &LastGood) {
    tokio::spawn(load::follow(Arc::clone(node)));
    if let Some(edge) = &node.edge {
        tokio::spawn(edge::watch_origins(Arc::clone(edge)));
    }
    tokio::spawn(visits::follow(Arc::clone(node)));
    tokio::spawn(certificates::follow(Arc::clone(node)));
    tokio::spawn(latency::follow(Arc::clone(node), latency_path.to_owned()));
    tokio::spawn(last_good::follow(Arc::clone(node), last_good.clone()));
}

/// The node before its first config is applied.
fn make(
    dir: &Path,
    id: &NodeId,
    built: &Built,
    home: &Path,
    metrics: &Arc<Metrics>,
    started: Instant,
) -> Result<Node, Failure> {
    let config = built.config();
    let name_server = match &built.view {
        Some(_) => {
            let watch = fleet::Watch::new(id.clone(), home.join("health.json"), Arc::clone(metrics));
            Some(NameServer {
                answers: ArcSwapOption::empty(),
                watch: Mutex::new(watch),
                latency: Arc::new(Mutex::new(Store::read(&home.join(LATENCY)))),
                cookie_key: random(),
                kept: KeptMap::new(home),
            })
        }
        None => None,
    };
    let edge = match &built.sites {
        Some(_) => {
            let log = open_log(config, Lines::Requests, home, metrics)?;
            let memory = config.network.edge.memory.unwrap_or_else(edge::default_memory);
            Some(edge::Shared::new(
                id.clone(),
                (memory, config.network.edge.disk.as_ref()),
                home,
                Arc::clone(metrics),
                log,
            ))
        }
        None => None,
    };
    Ok(Node {
        id: id.clone(),
        dir: dir.to_owned(),
        metrics: Arc::clone(metrics),
        certificates: Arc::new(Certificates::default()),
        dns_certificates: Arc::new(Certificates::default()),
        names: Mutex::default(),
        holding: Holding::read(home),
        name_server,
        collector: edge.is_some().then(|| Arc::new(Collector::new(RandomState::new().hash_one(started)))),
        edge,
        started,
        config: ArcSwapOption::empty(),
        world: Mutex::new(World::unread()),
        refused: ArcSwapOption::empty(),
    })
}

/// A key that nobody can guess: of the system's randomness, by which hash tables are keyed.
fn random() -> [u8; 16] {
    let half = |part: u8| u128::from(RandomState::new().hash_one(part));
    (half(0) << 64 | half(1)).to_be_bytes()
}

/// What a log has a line for.
#[derive(Clone, Copy, Debug)]
enum Lines {
    Requests,
    Queries,
}

/// Opens a log, if the config wants it.
fn open_log(config: &Config, lines: Lines, home: &Path, metrics: &Metrics) -> Result<Option<(Log, Clients)>, Failure> {
    let wanted = config.network.log;
    let name = match lines {
        Lines::Requests if wanted.requests => "requests",
        Lines::Queries if wanted.queries => "queries",
        Lines::Requests | Lines::Queries => return Ok(None),
    };
    let path = home.join(format!("{name}.jsonl"));
    let dropped = metrics.log_dropped.with_label_values(&[name]);
    let log = Log::start(&path, limits::LOG_QUEUE, dropped);
    let log = log.map_err(|error| Failure::operator(format!("cannot write {}: {error}", path.display())))?;
    let clients = match config.network.log.clients {
        config::Clients::Full => Clients::Full,
        config::Clients::Prefix => Clients::Prefix,
        config::Clients::None => Clients::None,
    };
    Ok(Some((log, clients)))
}

pub(super) fn admin_server(node: &Arc<Node>, socket: std::net::TcpListener, door: Door) -> Result<Server, Failure> {
    let api: Arc<dyn Handler> = Arc::new(Admin::new(Arc::new(NodeFacts(Arc::clone(node))), door));
    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler: api }]));
    // No series shows who reads the series.
    let connections = prometheus::IntGauge::new("admin_connections", "Open connections.").map_err(Failure::ours)?;
    Server::new(socket, mounts, None, connections).map_err(Failure::ours)
}
