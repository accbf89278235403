//! One running node: its roles, built whole from a config and swapped whole on a reload.

mod answer;
mod certificates;
mod challenges;
mod doh;
mod doors;
mod edges;
mod ending;
mod facts;
mod flows;
mod gate;
mod gather;
mod gauges;
mod handover;
mod issuer;
mod last_good;
mod latency;
mod listeners;
mod load;
mod logging;
mod logs;
mod notify;
mod peer;
mod proxies;
mod reload;
mod serve;
mod served;
mod sockets;
mod supervisor;
mod visits;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use admin::Gathering;
use arc_swap::{ArcSwap, ArcSwapOption};
use certs::{Certificates, Names};
use config::{Config, Loaded, NodeId, Problem, Refused, Severity};
use dns::geo::World;
use dns::{Cookies, Identity, KeptMap, View};
use fleet::latency::{Collector, Store};
use fleet::{ConfigVersion, Watch};
use telemetry::Metrics;

use answer::Answers;
use certificates::Holding;
use logs::{Logs, Queries};
use served::{Served, higher};

pub(crate) use facts::keys;
pub(crate) use last_good::LastGood;
pub(crate) use logging::start_logging;
pub(crate) use reload::{settled, watch};
pub(crate) use serve::{Begin, serve};

/// A running node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) dir: PathBuf,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) certificates: Arc<Certificates>,
    /// Certificates for encrypted DNS.
    dns_certificates: Arc<Certificates>,
    /// Certificates from files, of the config in use: for sites, and for encrypted DNS.
    names: Mutex<(Names, Names)>,
    /// Certificates that were got.
    holding: Holding,
    pub(crate) name_server: Option<NameServer>,
    pub(crate) edge: Option<Arc<edge::Shared>>,
    /// An edge's clients' round trips.
    collector: Option<Arc<Collector>>,
    started: Instant,
    /// The config in use; none before the first is applied.
    config: ArcSwapOption<Config>,
    /// Which that is.
    config_version: ArcSwapOption<ConfigVersion>,
    /// The highest version it has served, over its restarts.
    served: Served,
    /// Where clients are, as far as this node has to know.
    world: Mutex<World>,
    /// Why the last reload was refused, until one is taken.
    refused: ArcSwapOption<String>,
    /// Whether the config in use is so with all its zones: none of them was refused.
    is_whole: AtomicBool,
    /// How requests and queries are written down now.
    logs: Mutex<Logs>,
    /// What is known of the whole fleet, while the config has this node gather.
    gathering: ArcSwapOption<Gathering>,
}

/// The name server role.
pub(crate) struct NameServer {
    /// Set with the first config, before anything listens.
    answers: ArcSwapOption<Answers>,
    watch: Mutex<Watch>,
    /// All edges' round trips.
    latency: Arc<Mutex<Store>>,
    /// The key of DNS cookies where there is no fleet key: this process's own.
    cookie_key: [u8; 16],
    /// The last map on disk.
    kept: KeptMap,
    /// Where its queries come from.
    flows: flows::Noted,
    /// The log of queries, where they are written.
    queries: ArcSwapOption<Queries>,
}

impl NameServer {
    /// Writes the map down, for the next start, on a thread that may wait.
    fn keep_map(&self, config: &Config, view: &Arc<View>) {
        let (kept, config, view) = (self.kept.clone(), config.clone(), Arc::clone(view));
        tokio::task::spawn_blocking(move || {
            if let Err(error) = kept.write(&config, &view) {
                tracing::warn!(%error, "the map cannot be written down: the next start compiles it first");
            }
        });
    }
}

/// All that a config becomes, complete and checked, before anything is swapped.
pub(crate) struct Built {
    config: Config,
    version: ConfigVersion,
    names: Names,
    /// For encrypted DNS.
    dns_names: Names,
    sites: Option<edge::Sites>,
    view: Option<View>,
    /// Where clients are, if the node has to know: for its map, or for sites that ask for countries.
    world: Option<World>,
    pub(crate) warnings: Vec<Problem>,
}

/// A config and its answers where no edge has been probed: by its files and the operator's word alone.
pub(crate) struct Unprobed {
    pub(crate) config: Config,
    pub(crate) view: View,
    pub(crate) world: World,
}

impl Unprobed {
    fn new(config: Config, view: View, world: World) -> Self {
        let fitness = ::fleet::unprobed_fitness(&config);
        Self { view: view.with_fitness(Arc::new(ArcSwap::from_pointee(fitness))), config, world }
    }
}

/// What a node has in use, to build the next from.
pub(crate) struct Before {
    /// The highest version there was.
    version: Option<ConfigVersion>,
    world: World,
    view: Option<Arc<View>>,
    latency: Arc<Mutex<Store>>,
}

/// Which parts a node needs built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) name_server: bool,
    pub(crate) edge: bool,
}

impl Roles {
    /// Everything a config can be built into.
    pub(crate) const BOTH: Self = Self { name_server: true, edge: true };

    /// What a config makes of a node.
    pub(crate) fn of(node: &config::Node<'_>) -> Self {
        Self { name_server: node.name_server.is_some(), edge: node.edge.is_some() }
    }
}

/// Builds the complete new state of a node, or says all that stands against it. `before` spares
/// reading databases and compiling a map that have not changed.
pub(crate) fn build(dir: &Path, roles: Roles, before: Option<&Before>) -> Result<Built, Vec<Problem>> {
    build_read(dir, config::load(dir), roles, before)
}

/// As [`build`], from what reading the directory came to.
fn build_read(
    dir: &Path,
    read: Result<Loaded, Refused>,
    roles: Roles,
    before: Option<&Before>,
) -> Result<Built, Vec<Problem>> {
    let mut loaded = read.map_err(|refused| with_other_faults(dir, roles, refused))?;
    if let Some(version) = before.and_then(|before| before.version.as_ref()) {
        version.lead(&mut loaded.config);
    }
    let world = before.map(|before| &before.world);
    build_loaded(loaded, roles, world, |config| build_view(config, before))
}

/// As [`build`], from what has been read, with the name server's part made by a function.
fn build_loaded(
    loaded: Loaded,
    roles: Roles,
    world_before: Option<&World>,
    view: impl FnOnce(&Config) -> Result<(View, World), Vec<Problem>>,
) -> Result<Built, Vec<Problem>> {
    let Loaded { config, mut warnings } = loaded;
    let mut problems = Vec::new();
    // Customers' keys are for edges alone.
    let names = roles.edge.then(|| Names::load(&config)).transpose();
    let names = names.map_err(|more| problems.extend(more)).unwrap_or_default().unwrap_or_default();
    if roles.edge {
        problems.extend(edge::check_origins(&config.sites));
    }
    let dns_names = roles.name_server.then(|| Names::of_name_servers(&config)).transpose();
    let dns_names = dns_names.map_err(|more| problems.extend(more)).unwrap_or_default().unwrap_or_default();
    if roles.name_server {
        problems.extend(certs::check_authorities(&config.network.acme));
    }
    let view = roles.name_server.then(|| view(&config)).transpose();
    let (view, mut world) = view.map_err(|more| problems.extend(more)).unwrap_or_default().unzip();
    let asks_for_countries = roles.edge && edge::asks_for_countries(&config);
    // Where a map was wanted and failed, it is told already.
    if asks_for_countries && problems.is_empty() && !world.as_ref().is_some_and(World::is_read) {
        let read = dns::geo::load(&config.network.geo, world_before, SystemTime::now());
        world = read.map_err(|problem| problems.push(problem)).ok();
    }
    let geography = world.as_ref().filter(|_| asks_for_countries).map(|world| Arc::clone(&world.geography));
    let sites = roles.edge.then(|| edge::Sites::build(&config, geography));
    if !problems.is_empty() {
        return Err(problems);
    }
    warnings.extend(handover::warn_of_path(&config.network));
    warnings.extend(view.iter().flat_map(|view| view.warnings.iter().cloned()));
    if let Some(world) = &world {
        warnings.extend(world.warnings.iter().cloned());
        if world.is_read() {
            warnings.extend(dns::geo::warn_of_places(&config.network, &world.regions));
        }
    }
    if roles.edge {
        warnings.extend(edge::warn_of_origins(&config));
        warnings.extend(edge::warn_of_keys(&config));
        warnings.extend(edge::warn_of_disk(&config));
        warnings.extend(listen::warn_of_congestion(&config));
        warnings.extend(certs::warn_of_names(&config, &names, SystemTime::now()));
    }
    warnings.extend(peer::warn_of_no_key(&config));
    let version = ConfigVersion::of(&config);
    Ok(Built { config, version, names, dns_names, sites, view, world, warnings })
}

/// A config's answers where no edge has been probed.
pub(crate) fn unprobed(loaded: Loaded) -> Result<Unprobed, Vec<Problem>> {
    let (view, world) = build_view(&loaded.config, None)?;
    Ok(Unprobed::new(loaded.config, view, world))
}

/// What stands against a config besides what reading it has found: all faults are told at once.
fn with_other_faults(dir: &Path, roles: Roles, refused: Refused) -> Vec<Problem> {
    let mut problems = refused.problems;
    if roles.edge {
        problems.extend(certs::check(dir, &refused.sites));
        problems.extend(edge::check_origins(&refused.sites));
    }
    if roles.name_server {
        problems.extend(dns::check_zones(&refused.zones));
        problems.extend(refused.network.iter().filter_map(|network| certs::check_authorities(&network.acme)));
    }
    problems
}

fn build_view(config: &Config, before: Option<&Before>) -> Result<(View, World), Vec<Problem>> {
    let world = before.map(|before| &before.world);
    let world = dns::geo::load(&config.network.geo, world, SystemTime::now()).map_err(|problem| vec![problem])?;
    let impossible = dns::impossible_round_trips(config, &world);
    if !impossible.is_empty() {
        return Err(impossible);
    }
    let view = before.and_then(|before| before.view.as_deref());
    let none = Arc::default();
    let samples = before.map_or(&none, |before| &before.latency);
    let learned = latency::learn(config, &world, samples, view);
    let view = View::build(config, (&world.geography, &world.regions), &Arc::new(learned), view)?;
    Ok((view, world))
}

impl Built {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Which config it is of.
    pub(crate) fn version(&self) -> &ConfigVersion {
        &self.version
    }

    /// What is wrong with zones that stay as they were.
    pub(crate) fn kept(&self) -> Vec<Problem> {
        self.view.as_ref().map_or_else(Vec::new, |view| view.refused.clone())
    }

    /// As [`unprobed`]; `None` where no name server was built.
    pub(crate) fn into_unprobed(self) -> Option<Unprobed> {
        self.view.zip(self.world).map(|(view, world)| Unprobed::new(self.config, view, world))
    }

    /// The config, and what the next can be built from without anything measured.
    pub(crate) fn into_parts(self) -> (Config, Option<Before>) {
        let view = self.view.map(Arc::new);
        let version = Some(self.version);
        let before = self.world.map(|world| Before { version, world, view, latency: Arc::default() });
        (self.config, before)
    }
}

impl Node {
    /// Puts a built config in place of the one before. Call it on the control runtime.
    pub(crate) fn apply(&self, built: Built) {
        let is_whole = built.kept().iter().all(|problem| problem.severity != Severity::Fault);
        let Built { config, version, names, dns_names, sites, view, world, .. } = built;
        *lock(&self.names) = (names, dns_names);
        certificates::show(self, &config);
        if let (Some(edge), Some(sites)) = (&self.edge, sites) {
            edge.swap(sites.with_certificates(Arc::clone(&self.certificates)));
        }
        let is_world_read = world.as_ref().is_some_and(World::is_read);
        *lock(&self.world) = world.unwrap_or_else(World::unread);
        if let (Some(name_server), Some(view)) = (&self.name_server, view) {
            let fitness = lock(&name_server.watch).follow(&config);
            self.note_size(&view);
            let cookie_key = config.fleet_key.as_ref().map_or(name_server.cookie_key, fleet::cookie_key);
            let identity = Identity { id: self.id.to_string(), cookies: Cookies::new(cookie_key) };
            let view = view.with_fitness(fitness).with_identity(identity);
            let view = self.with_tls(view.with_challenges(Arc::clone(&self.holding.challenges)), &config);
            let before = name_server.answers.load();
            let own = config.network.node(&self.id).and_then(|node| node.name_server);
            let notices = view.notices(before.as_ref().map(|answers| &*answers.view));
            notify::notify(notices, own.map_or(&[], |own| own.listen.as_slice()));
            let is_new = before.as_ref().is_none_or(|before| !before.view.shares_map(&view));
            let is_to_be_kept = is_new && is_world_read;
            let answers = Answers::new(view, &self.metrics);
            if is_to_be_kept {
                name_server.keep_map(&config, &answers.view);
            }
            name_server.answers.store(Some(Arc::new(answers)));
            self.forget_pops(&config);
        }
        self.metrics.config_version.set(i64::try_from(config.version).unwrap_or(i64::MAX));
        self.metrics.config_digest.set(version.digest_in_short());
        self.metrics.reloads.with_label_values(&["ok"]).inc();
        self.refused.store(None);
        self.is_whole.store(is_whole, Ordering::Relaxed);
        self.config_version.store(Some(Arc::new(version)));
        self.config.store(Some(Arc::new(config)));
    }

    /// Writes down which version is served, for the next start. Call it where it may wait.
    fn keep_version(&self) {
        let version = self.config_version.load();
        let kept = version.as_deref().map_or(Ok(()), |version| self.served.keep(version, SystemTime::now()));
        if let Err(error) = kept {
            tracing::error!(%error, "the config's version cannot be written down: after a restart it may be a lower one");
        }
    }

    /// Has a view of a config tell of TLS only where there is a certificate by now.
    fn with_tls(&self, view: View, config: &Config) -> View {
        view.with_tls(|site, name| {
            let tls = config.sites.get(site).and_then(|site| site.tls.as_ref());
            tls.is_some_and(|tls| !tls.auto || self.holding.covers(name))
        })
    }

    /// Ends the series of PoPs that a config no longer has.
    fn forget_pops(&self, config: &Config) {
        let Some(before) = self.config.load_full() else {
            return;
        };
        let pops = &config.network.pops;
        let gone = before.network.pops.iter().filter(|pop| !pops.iter().any(|other| other.id == pop.id));
        gone.for_each(|pop| self.metrics.forget("pop", pop.id.as_str()));
    }

    /// The database files that this node reads where a config names them.
    fn databases(&self, config: &Config) -> Vec<PathBuf> {
        let Roles { name_server, edge } = self.roles();
        let are_read = name_server || (edge && edge::asks_for_countries(config));
        if are_read { config.network.geo.files().cloned().collect() } else { Vec::new() }
    }

    fn note_size(&self, view: &View) {
        let (units, bytes) = view.size();
        self.metrics.map_units.set(i64::try_from(units).unwrap_or(i64::MAX));
        self.metrics.map_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The version of the config in use; 0 before the first.
    fn version(&self) -> u64 {
        self.config_version.load().as_ref().map_or(0, |version| version.number)
    }

    /// What a person is told of it in one line.
    fn in_a_line(&self) -> String {
        let version = self.version();
        match self.refused.load().as_deref() {
            Some(why) => format!("{} serves config {version}, and a change is refused: {why}", self.id),
            None => format!("{} serves config {version}", self.id),
        }
    }

    pub(crate) fn roles(&self) -> Roles {
        Roles { name_server: self.name_server.is_some(), edge: self.edge.is_some() }
    }

    /// What is in use. Call it where it may wait: a part is on disk.
    fn before(&self) -> Before {
        let view = |name_server: &NameServer| Some(Arc::clone(&name_server.answers.load().as_ref()?.view));
        let latency = self.name_server.as_ref().map(|name_server| Arc::clone(&name_server.latency));
        Before {
            version: higher(self.served.read(SystemTime::now()), self.config_version.load().as_deref().cloned()),
            world: lock(&self.world).clone(),
            view: self.name_server.as_ref().and_then(view),
            latency: latency.unwrap_or_default(),
        }
    }
}

/// A panic elsewhere leaves the data whole: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
