//! Starting a node: build, bind or take over, serve on every core, stop in order or hand over.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use ::fleet::latency::{Collector, Store};
use admin::Door;
use arc_swap::ArcSwapOption;
use certs::Certificates;
use config::{Config, Loaded, NodeId, Problem, limits};
use dns::KeptMap;
use dns::geo::World;
use listen::{BindError, Sharing, available_cores, bind_tcp};
use telemetry::Metrics;
use tokio::task::JoinSet;

use super::answer::Answering;
use super::certificates::{self, Holding};
use super::doors::Doors;
use super::ending::{End, Ending, take_leave};
use super::flows::Noted;
use super::gate::Closed;
use super::handover::{Giver, Heir, NotGiven, Taken, ask, check, hand_over, is_anybody_there};
use super::last_good::LastGood;
use super::listeners::Listeners;
use super::logs::Logs;
use super::peer::{self, Peer};
use super::served::{Served, highest_served};
use super::sockets::{self, Reached, Sockets};
use super::supervisor::{Word, tell};
use super::{
    Built, NameServer, Node, Roles, build_loaded, build_view, gather, last_good, latency, load, lock, reload, visits,
    with_other_faults,
};
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::marker::Marker;
use crate::waiting::wait_for;

/// How a node begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With sockets of its own.
    Anew,
    /// With those of the process that serves, if there is one.
    TakeOver,
}

/// Runs a node until it is told to stop, or another process has taken over.
pub(crate) fn serve(dir: &Path, id: &str, admin: Option<SocketAddr>, begin: Begin) -> Done {
    let started = Instant::now();
    let id = NodeId::parse(id).map_err(Failure::wrong)?;
    let loaded = config::load(dir);
    // A network that cannot be read tells no state directory: where it is unless one is named.
    let network = match &loaded {
        Ok(loaded) => Some(&loaded.config.network),
        Err(refused) => refused.network.as_deref(),
    };
    let state = network.map_or_else(|| config::default_state(dir), |network| network.state.clone());
    if let Ok(Loaded { config, .. }) = &loaded {
        is_known(config, &id)?;
    }
    let home = state.join(id.as_str());
    let last_good = LastGood::new(&home);
    // Where it fails to take over the other serves on: that is no death.
    let takes_over = begin == Begin::TakeOver && is_anybody_there(&home);
    let is_called_for = !takes_over && last_good.is_called_for(SystemTime::now());
    let loaded = if is_called_for { config::load_copy(&last_good.files(), dir) } else { loaded };
    let mut loaded = loaded.map_err(|refused| directory::refused(&with_other_faults(dir, Roles::BOTH, refused)))?;
    // The last good config is served under its own version, which may be lower than the highest: secondaries keep what they
    // have until the next change.
    if !is_called_for && let Some(before) = highest_served(&home, dir, SystemTime::now()) {
        before.lead(&mut loaded.config);
    }
    let config = &loaded.config;
    let node = is_known(config, &id)?;
    let roles = Roles::of(&node);
    let admin = admin.unwrap_or_else(|| config.network.admin_of(&node));
    let kept = KeptMap::new(&home);
    let home = config.network.state.join(id.as_str());
    // The last good config is not read again from the directory, which is what a kept map leads to.
    let kept = (!is_called_for).then_some(&kept);
    let built = build_started(loaded, roles, kept).map_err(|problems| directory::refused(&problems))?;
    directory::print(&built.warnings);
    let booted = if is_called_for { Booted::LastGood } else { Booted::Config };
    let start = Start { dir, id, home, admin, begin, started, booted };
    wait_for(async { start.begin(built).await?.follow().await })?
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

/// With what a node starts.
struct Start<'a> {
    dir: &'a Path,
    id: NodeId,
    /// Its own directory.
    home: PathBuf,
    admin: SocketAddr,
    begin: Begin,
    started: Instant,
    booted: Booted,
}

/// Sockets that are not served yet, and the process that has handed some of them over.
struct Opened {
    admin: TcpListener,
    listeners: sockets::Bound,
    peer: peer::Bound,
    taken: Option<Taken>,
}

/// A node that serves.
struct Serving {
    node: Arc<Node>,
    /// That it started with.
    config: Config,
    doors: Doors,
    watching: reload::Watching,
    ending: Ending,
    giver: Giver,
    tending: JoinSet<()>,
    last_good: LastGood,
    /// Where round trips are written down.
    round_trips: PathBuf,
    marker: (Marker, PathBuf),
}

/// Why a node serves no longer.
enum Left {
    Told(End),
    To(Heir),
    Failed,
}

impl Start<'_> {
    /// Opens what another process has handed over, and what is missing. That one serves on.
    async fn open(&self, config: &Config) -> Result<Opened, Failure> {
        let asked = match self.begin {
            Begin::Anew => Ok(None),
            Begin::TakeOver => ask(&self.home).await,
        };
        let mut taken = asked.map_err(|error| not_handed(&error))?;
        let (mut admin, mut handed, mut reached) = (None, Sockets::new(), Reached::new());
        if let Some(taken) = &mut taken {
            (admin, handed) = (taken.admin.take(), std::mem::take(&mut taken.listeners));
            reached = std::mem::take(&mut taken.peer);
        }
        let operator = |error: BindError| Failure::operator(error.to_string());
        let admin = bind_admin(self.admin, admin).map_err(|error| {
            // Two nodes on one machine are the usual reason.
            Failure::operator(format!("the admin address: {error}; or run this node with --admin IP:PORT"))
        })?;
        let wanted = sockets::wanted(config, &self.id);
        let listeners = sockets::bind(wanted, &BTreeSet::new(), handed, available_cores()).map_err(operator)?;
        let peer = Peer::default().bind(config, &self.id, reached);
        let peer = peer.map_err(|error| Failure::operator(format!("`peer` of {}: {error}", self.id)))?;
        Ok(Opened { admin, listeners, peer, taken })
    }

    async fn begin(self, built: Built) -> Result<Serving, Failure> {
        let (id, home, config) = (&self.id, &self.home, built.config().clone());
        std::fs::create_dir_all(home).map_err(|error| Failure::file("write to", home, &error, STATE))?;
        let mut opened = self.open(&config).await?;
        if let Some(taken) = &mut opened.taken {
            taken.release().await.map_err(|error| not_handed(&error))?;
        }
        let metrics = Arc::new(Metrics::new().map_err(Failure::ours)?);
        let node = Arc::new(make(&self, &built, &metrics));
        node.begin_logs(&config.network.log)?;
        let listeners = Listeners::start(&node, Answering::new(Arc::clone(&node))).map_err(Failure::ours)?;
        node.apply(built);
        node.keep_version();
        if self.booted == Booted::LastGood {
            let why = "the starts before died within a minute: this is the last good config, until a change is taken";
            tracing::error!("{why}");
            node.refused.store(Some(Arc::new(why.to_owned())));
        }
        // Before anybody is answered.
        latency::relearn(&node, latency::News::Moves).await;
        let watching = reload::Watching::begin(&node).map_err(Failure::ours)?;
        let ending = Ending::listen().map_err(Failure::ours)?;
        // Once the other has left, nothing may fail.
        let admin = Closed::new(&node, opened.admin, Door::Admin)?;
        listeners.put(opened.listeners);
        if let Some(taken) = opened.taken {
            step_in(&node, &config, taken).await?;
        }
        let admin = admin.open();
        let (address, peer) = (admin.address, Peer::default());
        peer.put(&node, opened.peer);
        let giver = Giver::listen(home);
        let marker_path = Marker::path(&config.network.state, id);
        let marker = Marker { pid: std::process::id().cast_signed(), admin: address };
        if let Err(error) = marker.write(&marker_path) {
            // A full disk is no reason not to serve.
            tracing::error!(path = %marker_path.display(), %error, "cannot be written: `up` and `status` do not see this node");
        }
        tracing::info!(node = %id, admin = %address, "serving");
        tell(Word::Serving(&node.in_a_line()));
        let (round_trips, last_good) = (home.join(LATENCY), LastGood::new(home));
        let tending = tend(&node, &round_trips, &last_good);
        let doors = Doors { listeners: Arc::new(listeners), peer, admin: tokio::sync::Mutex::new(admin) };
        let marker = (marker, marker_path);
        Ok(Serving { node, config, doors, watching, ending, giver, tending, last_good, round_trips, marker })
    }
}

fn not_handed(error: &std::io::Error) -> Failure {
    Failure::operator(format!("the process that serves hands nothing over, and serves on: {error}"))
}

/// The admin socket: the one handed over where it is at the address that is wanted, or where that cannot be had, since a node
/// of `hither up` has another than the config's.
fn bind_admin(wanted: SocketAddr, handed: Option<TcpListener>) -> Result<TcpListener, BindError> {
    let Some(handed) = handed else { return bind_tcp(wanted, Sharing::Alone) };
    let is_any = |at: SocketAddr| wanted.port() == 0 && at.ip() == wanted.ip();
    match handed.local_addr() {
        Ok(at) if at == wanted || is_any(at) => Ok(handed),
        _ => Ok(bind_tcp(wanted, Sharing::Alone).unwrap_or(handed)),
    }
}

/// Looks whether this process serves, and tells the one before, which hears from here on what is purged.
async fn step_in(node: &Arc<Node>, config: &Config, taken: Taken) -> Result<(), Failure> {
    check(node, config).await.map_err(|why| Failure::ours(format!("this process does not serve: {why}")))?;
    let before = taken.serving().await.map_err(|error| not_handed(&error))?;
    tell(Word::Main);
    match &node.edge {
        Some(edge) => edge.tell_purges(Box::new(before)),
        // Nobody purges here any more: the other finishes what it has begun for as long as it does not hear an end.
        None => drop(tokio::spawn(async move {
            tokio::time::sleep(limits::HTTP_DRAIN * 2).await;
            drop(before);
        })),
    }
    tracing::info!("taken over");
    Ok(())
}

impl Serving {
    async fn follow(mut self) -> Done {
        let left = {
            let mut failed = pin!(self.doors.listeners.failed());
            let doors = (&*self.doors.listeners, &self.doors.peer);
            // One that is under way goes on where nothing is handed over.
            let mut reloads = pin!(reload::follow(&mut self.watching, &self.node, doors, &self.config));
            loop {
                let stream = tokio::select! {
                    end = self.ending.told() => break Left::Told(end),
                    () = &mut reloads => break Left::Told(End::Gently),
                    () = &mut failed => break Left::Failed,
                    stream = self.giver.asked() => stream,
                };
                let handed = tokio::select! {
                    // Nothing is let go of yet: who asks is told by the end that it is not handed over.
                    end = self.ending.told() => break Left::Told(end),
                    handed = hand_over(stream, &self.doors) => handed,
                };
                let given = match handed {
                    // From here on one of both has to serve: who is told to end by now is so in a moment.
                    Ok(handed) => handed.release(&self.node, &self.doors, &self.round_trips).await,
                    Err(why) => Err(why),
                };
                match given {
                    Ok(heir) => break Left::To(heir),
                    Err(NotGiven::Unasked) => {}
                    Err(NotGiven::Early(why)) => {
                        tracing::error!(%why, "another process was to take over, and has not; this one serves on");
                    }
                    Err(NotGiven::Late(why)) => {
                        tracing::error!(%why, "another process was taking over, and has failed; this one has taken everything up again");
                    }
                }
            }
        };
        match left {
            Left::Told(end) => {
                tell(Word::Stopping);
                self.last_good.forget_starts();
                let end = match end {
                    End::Gently => take_leave(&self.node, &mut self.ending).await,
                    End::Soon => End::Soon,
                };
                self.end(end).await;
                Ok(Exit::Done)
            }
            Left::To(heir) => {
                self.leave_to(heir).await;
                Ok(Exit::Done)
            }
            Left::Failed => {
                tell(Word::Stopping);
                self.end(End::Soon).await;
                Err(Failure::ours("a listener has ended by a panic"))
            }
        }
    }

    async fn end(self, end: End) {
        tracing::info!(node = %self.node.id, "stopping");
        self.giver.end();
        let (marker, path) = &self.marker;
        marker.remove(path);
        latency::save(&self.node, &self.round_trips).await;
        self.doors.end(end).await;
        if let Some(edge) = &self.node.edge {
            edge.close();
        }
        self.node.end_logs();
    }

    /// Finishes what is begun. Marker and socket are the other's by now, or will be in a moment.
    async fn leave_to(self, heir: Heir) {
        tracing::info!(node = %self.node.id, "another process has taken over; this one finishes what it has begun");
        self.last_good.forget_starts();
        drop(self.tending);
        if let Some(name_server) = &self.node.name_server {
            lock(&name_server.watch).rest();
        }
        // Who watches over processes has to hear first that this one no longer counts.
        let ends = async {
            _ = tokio::join!(self.doors.end(End::Gently), tokio::time::sleep(limits::HANDOVER_KNOWN));
        };
        let Some(edge) = self.node.edge.clone() else {
            ends.await;
            return self.node.end_logs();
        };
        // What sites took is no longer written down each minute: what is owed is now, the rest at the end.
        let settled = Arc::clone(&edge);
        drop(tokio::task::spawn_blocking(move || settled.settle_accounts()));
        tokio::select! {
            () = ends => {}
            () = heir.follow(Arc::clone(&self.node)) => {
                tracing::error!("it is no longer known what the other process purges: what is under way here is cut");
                edge.settle_accounts();
                // Threads that still serve would be waited for.
                std::process::exit(0);
            }
        }
        // Who purges waits for no word of this process any more: it may wait for the disk.
        edge.settle_accounts();
        self.node.end_logs();
    }
}

/// Begins what a node does beside answering, until that is dropped.
fn tend(node: &Arc<Node>, latency_path: &Path, last_good: &LastGood) -> JoinSet<()> {
    let mut tending = JoinSet::new();
    tending.spawn(load::follow(Arc::clone(node)));
    if let Some(edge) = &node.edge {
        tending.spawn(edge::watch_origins(Arc::clone(edge)));
        tending.spawn(edge::keep_accounts(Arc::clone(edge)));
    }
    tending.spawn(visits::follow(Arc::clone(node)));
    tending.spawn(gather::follow(Arc::clone(node)));
    tending.spawn(certificates::follow(Arc::clone(node)));
    tending.spawn(latency::follow(Arc::clone(node), latency_path.to_owned()));
    tending.spawn(last_good::follow(Arc::clone(node), last_good.clone()));
    tending
}

/// The node before its first config is applied.
fn make(start: &Start<'_>, built: &Built, metrics: &Arc<Metrics>) -> Node {
    let Start { dir, id, home, started, .. } = start;
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
                flows: Noted::default(),
                queries: ArcSwapOption::empty(),
            })
        }
        None => None,
    };
    let edge = match &built.sites {
        Some(_) => {
            let memory = config.network.edge.memory.unwrap_or_else(edge::default_memory);
            Some(edge::Shared::new(id.clone(), (memory, config.network.edge.disk.as_ref()), home, Arc::clone(metrics)))
        }
        None => None,
    };
    let holding = Holding::read(home);
    Node {
        id: id.clone(),
        dir: dir.to_path_buf(),
        metrics: Arc::clone(metrics),
        certificates: Arc::new(Certificates::answering(Arc::clone(&holding.challenges))),
        dns_certificates: Arc::new(Certificates::default()),
        names: Mutex::default(),
        holding,
        name_server,
        collector: edge.is_some().then(|| Arc::new(Collector::new(RandomState::new().hash_one(started)))),
        edge,
        started: *started,
        config: ArcSwapOption::empty(),
        config_version: ArcSwapOption::empty(),
        served: Served::new(home),
        world: Mutex::new(World::unread()),
        refused: ArcSwapOption::empty(),
        is_whole: AtomicBool::new(true),
        logs: Mutex::new(Logs::new(home)),
        gathering: ArcSwapOption::empty(),
    }
}

/// A key that nobody can guess: of the system's randomness, by which hash tables are keyed.
fn random() -> [u8; 16] {
    let half = |part: u8| u128::from(RandomState::new().hash_one(part));
    (half(0) << 64 | half(1)).to_be_bytes()
}

/// What to do where state cannot be written.
pub(super) const STATE: &str =
    "name a directory that this user may write to by `state` in hither.toml, or run it as who may";
