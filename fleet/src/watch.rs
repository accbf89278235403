//! Probing every edge and keeping the fitness that name servers read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use config::{Config, NodeId, Secret, SiteId};
use mapping::{EdgeIndex, Family, Fitness};
use serde::Serialize;
use telemetry::Metrics;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::health::{Health, Outcome, Rules, Verdict};
use crate::probe::{Probed, probe};
use crate::report::{Report, site_digest};
use crate::saved;

/// Outcomes waiting for their judge: with 10,000 edges, a second's worth.
const WAITING: usize = 10_000;

/// Watches the edges of a config; a reload replaces it, keeping what it has learned.
#[derive(Debug)]
pub struct Watch {
    fitness: Arc<ArcSwap<Fitness>>,
    states: Arc<Mutex<BTreeMap<NodeId, EdgeState>>>,
    known: Arc<Mutex<Known>>,
    tasks: JoinSet<()>,
    path: PathBuf,
    metrics: Arc<Metrics>,
    start: Instant,
}

/// What is learned of addresses and edges, whatever the config.
#[derive(Debug, Default)]
struct Known {
    health: HashMap<IpAddr, Health>,
    /// The sites each edge was last seen to have.
    sites: HashMap<NodeId, Arc<HashSet<SiteId>>>,
}

/// An edge as a name server sees it.
#[derive(Clone, Debug, Serialize)]
pub struct EdgeState {
    /// Verdicts by address.
    pub addresses: BTreeMap<IpAddr, Verdict>,
    /// Whether a verdict may change soon.
    pub changing: bool,
    /// What it last reported of itself.
    pub report: Option<Report>,
    /// Why the last failed probe failed.
    pub failure: Option<String>,
}

/// One address to probe.
#[derive(Clone, Debug)]
struct Target {
    edge: EdgeIndex,
    id: NodeId,
    address: SocketAddr,
}

/// One probe's outcome on its way to the judge.
struct Found {
    target: Target,
    probed: Probed,
}

impl Watch {
    /// Starts from the verdicts saved in `path`; probes begin with [`Watch::follow`].
    #[must_use]
    pub fn new(path: PathBuf, metrics: Arc<Metrics>) -> Self {
        let health = saved::read(&path).into_iter().map(|(address, verdict)| (address, Health::new(verdict))).collect();
        Self {
            fitness: Arc::default(),
            states: Arc::default(),
            known: Arc::new(Mutex::new(Known { health, sites: HashMap::new() })),
            tasks: JoinSet::new(),
            path,
            metrics,
            start: Instant::now(),
        }
    }

    /// Probes the edges of this config instead of those before. The fitness returned numbers its
    /// edges as this config does; the one before is no longer written.
    pub fn follow(&mut self, config: &Config) -> Arc<ArcSwap<Fitness>> {
        self.tasks = JoinSet::new();
        self.fitness = Arc::default();
        let (sender, receiver) = channel(WAITING);
        let judge = Judge::new(self, config);
        judge.publish();
        self.tasks.spawn(judge.run(receiver));
        let interval = config.network.health.interval;
        let targets = targets(config);
        let count = u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1);
        for (number, target) in (0..).zip(targets) {
            // Spread over the interval, so that probes do not come in bursts.
            let delay = interval.mul_f64(f64::from(number) / f64::from(count));
            let asking =
                Asking { target, interval, limit: config.network.health.timeout, key: config.fleet_key.clone() };
            self.tasks.spawn(asking.run(delay, sender.clone()));
        }
        Arc::clone(&self.fitness)
    }

    /// Every edge as it is seen now.
    #[must_use]
    pub fn states(&self) -> BTreeMap<NodeId, EdgeState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn targets(config: &Config) -> Vec<Target> {
    let edges = config.network.edges().enumerate();
    let all = edges.flat_map(|(edge, (_, node))| {
        let port = config.network.probe_port(node);
        let addresses = node.addresses.all().iter();
        addresses.map(move |address| Target { edge, id: node.id.clone(), address: SocketAddr::new(*address, port) })
    });
    all.collect()
}

struct Asking {
    target: Target,
    interval: Duration,
    limit: Duration,
    key: Option<Secret>,
}

impl Asking {
    async fn run(self, delay: Duration, found: Sender<Found>) {
        tokio::time::sleep(delay).await;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
            let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
            let probed = probe(self.target.address, self.key.as_ref(), now_ms, self.limit).await;
            if found.send(Found { target: self.target.clone(), probed }).await.is_err() {
                return;
            }
        }
    }
}

/// Draws verdicts and publishes what follows from them.
struct Judge {
    targets: Vec<Target>,
    edges: Vec<NodeId>,
    sites: Vec<SiteId>,
    site_set: Arc<HashSet<SiteId>>,
    digest: String,
    rules: Rules,
    known: Arc<Mutex<Known>>,
    states: Arc<Mutex<BTreeMap<NodeId, EdgeState>>>,
    fitness: Arc<ArcSwap<Fitness>>,
    metrics: Arc<Metrics>,
    path: PathBuf,
    start: Instant,
}

impl Judge {
    fn new(watch: &Watch, config: &Config) -> Self {
        let health = config.network.health;
        let sites: Vec<SiteId> = config.sites.iter().map(|site| site.id.clone()).collect();
        Self {
            targets: targets(config),
            edges: config.network.edges().map(|(_, edge)| edge.id.clone()).collect(),
            digest: site_digest(sites.iter()),
            site_set: Arc::new(sites.iter().cloned().collect()),
            sites,
            rules: Rules { fall: health.fall, rise: health.rise },
            known: Arc::clone(&watch.known),
            states: Arc::clone(&watch.states),
            fitness: Arc::clone(&watch.fitness),
            metrics: Arc::clone(&watch.metrics),
            path: watch.path.clone(),
            start: watch.start,
        }
    }

    /// Judges for as long as probes come. Verdicts are saved beside, the latest only: a slow disk must
    /// not hold up the next verdict.
    async fn run(self, mut found: Receiver<Found>) {
        let (changed, mut unsaved) = tokio::sync::watch::channel(());
        let this = Arc::new(self);
        let saver = Arc::clone(&this);
        let saving = tokio::spawn(async move {
            while unsaved.changed().await.is_ok() {
                saver.save().await;
            }
        });
        this.judge_all(&mut found, &changed).await;
        drop(changed);
        let _ = saving.await;
    }

    async fn judge_all(&self, found: &mut Receiver<Found>, unsaved: &tokio::sync::watch::Sender<()>) {
        while let Some(Found { target, probed }) = found.recv().await {
            self.metrics.probes.with_label_values(&[probed.name()]).inc();
            let changed = self.judge(&target, &probed);
            if changed != Changed::Nothing {
                self.publish();
            }
            if changed == Changed::Verdict {
                unsaved.send_replace(());
            }
        }
    }

    fn judge(&self, target: &Target, probed: &Probed) -> Changed {
        let now = self.start.elapsed();
        let outcome = if matches!(probed, Probed::Well(_)) { Outcome::Success } else { Outcome::Failure };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.health.remove(&target.address.ip()).unwrap_or_else(|| Health::new(Verdict::Up));
        let (verdict, changing) = (before.verdict(), before.is_changing());
        let after = before.judge(outcome, now, self.rules);
        let mut changed = match (after.verdict() == verdict, after.is_changing() == changing) {
            (false, _) => Changed::Verdict,
            (true, false) => Changed::Other,
            (true, true) => Changed::Nothing,
        };
        if changed == Changed::Verdict {
            let to = if after.verdict() == Verdict::Up { "up" } else { "down" };
            tracing::warn!(edge = %target.id, address = %target.address, probe = probed.name(), "edge is {to}");
            self.metrics.edge_changes.with_label_values(&[target.id.as_str(), to]).inc();
        }
        known.health.insert(target.address.ip(), after);
        if let Probed::Well(Some(report)) = probed
            && report.sites == self.digest
            && known.sites.get(&target.id).is_none_or(|sites| *sites != self.site_set)
        {
            known.sites.insert(target.id.clone(), Arc::clone(&self.site_set));
            changed = if changed == Changed::Nothing { Changed::Other } else { changed };
        }
        drop(known);
        self.note(target, probed);
        changed
    }

    /// Keeps what the edge said of itself, for `status`.
    fn note(&self, target: &Target, probed: &Probed) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = states.get_mut(&target.id) else {
            return;
        };
        match probed {
            Probed::Well(report) => state.report.clone_from(report),
            Probed::Status(status) => state.failure = Some(format!("{} answered {status}", target.address)),
            _ => state.failure = Some(format!("{}: {}", target.address, probed.name())),
        }
    }

    /// Computes fitness anew and swaps it in.
    fn publish(&self) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fitness = Fitness::all_up(self.edges.len());
        let mut states = BTreeMap::new();
        for target in &self.targets {
            let health = known.health.get(&target.address.ip());
            let verdict = health.map_or(Verdict::Up, Health::verdict);
            let changing = health.is_some_and(Health::is_changing);
            if verdict == Verdict::Down {
                fitness.set_up(target.edge, Family::of(target.address.ip()), false);
            }
            if changing {
                fitness.set_changing(target.edge, true);
            }
            let fresh = || EdgeState { addresses: BTreeMap::new(), changing: false, report: None, failure: None };
            let state: &mut EdgeState = states.entry(target.id.clone()).or_insert_with(fresh);
            state.addresses.insert(target.address.ip(), verdict);
            state.changing |= changing;
        }
        for (edge, id) in self.edges.iter().enumerate() {
            // Without a report nothing is known against the edge.
            let Some(sites) = known.sites.get(id).filter(|sites| **sites != self.site_set) else {
                continue;
            };
            for (index, site) in self.sites.iter().enumerate() {
                if !sites.contains(site) {
                    fitness.set_missing(edge, index);
                }
            }
        }
        drop(known);
        for (id, state) in &states {
            let up = state.addresses.values().any(|verdict| *verdict == Verdict::Up);
            self.metrics.edge_up.with_label_values(&[id.as_str()]).set(i64::from(up));
        }
        let mut shown = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, state) in &mut states {
            if let Some(before) = shown.get(id) {
                state.report.clone_from(&before.report);
                state.failure.clone_from(&before.failure);
            }
        }
        *shown = states;
        self.fitness.store(Arc::new(fitness));
    }

    async fn save(&self) {
        let verdicts: saved::Saved = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            self.targets
                .iter()
                .filter_map(|target| {
                    let address = target.address.ip();
                    known.health.get(&address).map(|health| (address, health.verdict()))
                })
                .collect()
        };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || saved::write(&path, &verdicts)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::error!(path = %self.path.display(), "verdicts cannot be saved");
        }
    }
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changed {
    Verdict,
    Other,
    Nothing,
}
