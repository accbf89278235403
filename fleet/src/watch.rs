//! Probing every edge, and keeping the fitness that name servers read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use config::{Config, NodeId, Secret, limits};
use mapping::Fitness;
use telemetry::Metrics;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::credential::wall_clock_ms;
use crate::health::Verdict;
use crate::judge::{Changed, EdgeState, Finding, Judge, Known, Target};
use crate::probe::{Probed, probe};
use crate::saved;

/// Watches the edges of a config; a reload replaces it, keeping what it has learned.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    judge: Option<Arc<Judge>>,
    tasks: JoinSet<()>,
}

/// What outlives a config.
#[derive(Debug)]
struct Shared {
    /// Who watches.
    id: NodeId,
    known: Mutex<Known>,
    path: PathBuf,
    metrics: Arc<Metrics>,
    start: Instant,
}

/// One probe's outcome on its way to the judge.
struct Found {
    target: Target,
    probed: Probed,
}

impl Watch {
    /// What a node begins with: the verdicts saved in `path`; probes begin with [`Watch::follow`].
    #[must_use]
    pub fn new(id: NodeId, path: PathBuf, metrics: Arc<Metrics>) -> Self {
        let known = Mutex::new(Known::from_saved(saved::read(&path)));
        let shared = Arc::new(Shared { id, known, path, metrics, start: Instant::now() });
        Self { shared, judge: None, tasks: JoinSet::new() }
    }

    /// Probes the edges of this config instead of those before. The fitness returned numbers its
    /// edges as this config does; the one before is no longer written.
    pub fn follow(&mut self, config: &Config) -> Arc<ArcSwap<Fitness>> {
        self.tasks = JoinSet::new();
        let judge = Arc::new(Judge::new(config));
        self.forget_series_of_all_but(&judge);
        let (sender, receiver) = channel(limits::PROBES_WAITING);
        let court = Court { shared: Arc::clone(&self.shared), judge: Arc::clone(&judge), fitness: Arc::default() };
        court.publish();
        let fitness = Arc::clone(&court.fitness);
        self.tasks.spawn(court.run(receiver));
        let interval = config.network.health.interval;
        let count = u32::try_from(judge.targets().len()).unwrap_or(u32::MAX).max(1);
        for (number, target) in (0..).zip(judge.targets().iter().cloned()) {
            // Spread over the interval, so that probes do not come in bursts.
            let delay = interval.mul_f64(f64::from(number) / f64::from(count));
            let (limit, by) = (config.network.health.timeout, self.shared.id.clone());
            let asking = Asking { target, interval, limit, key: config.fleet_key.clone(), by };
            self.tasks.spawn(asking.run(delay, sender.clone()));
        }
        self.judge = Some(judge);
        fitness
    }

    /// Probes nobody any more: another process does. The fitness stays as it is.
    pub fn rest(&mut self) {
        self.tasks = JoinSet::new();
    }

    /// Every edge as it is seen now.
    #[must_use]
    pub fn states(&self) -> BTreeMap<NodeId, EdgeState> {
        let known = self.shared.known();
        self.judge.as_ref().map(|judge| judge.states(&known, self.shared.start.elapsed())).unwrap_or_default()
    }

    /// Series of edges that the config no longer has end.
    fn forget_series_of_all_but(&self, judge: &Judge) {
        let stays = |id: &NodeId| judge.targets().iter().any(|target| target.id == *id);
        let before = self.judge.iter().flat_map(|before| before.targets());
        for gone in before.filter(|target| !stays(&target.id)) {
            self.shared.metrics.forget("edge", gone.id.as_str());
        }
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Asking {
    target: Target,
    interval: Duration,
    limit: Duration,
    key: Option<Secret>,
    by: NodeId,
}

impl Asking {
    async fn run(self, delay: Duration, found: Sender<Found>) {
        tokio::time::sleep(delay).await;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now_ms = wall_clock_ms();
            let shown = self.key.as_ref().map(|key| (key, &self.by));
            let probed = probe(self.target.address, shown, now_ms, self.limit).await;
            if found.send(Found { target: self.target.clone(), probed }).await.is_err() {
                return;
            }
        }
    }
}

/// Hears what probes found, and publishes what follows.
struct Court {
    shared: Arc<Shared>,
    judge: Arc<Judge>,
    fitness: Arc<ArcSwap<Fitness>>,
}

impl Court {
    /// Judges for as long as probes come. Verdicts are saved beside, the latest only: a slow disk must
    /// not hold up the next verdict.
    async fn run(self, mut found: Receiver<Found>) {
        let (changed, mut unsaved) = tokio::sync::watch::channel(());
        let (shared, judge) = (Arc::clone(&self.shared), Arc::clone(&self.judge));
        let saving = tokio::spawn(async move {
            while unsaved.changed().await.is_ok() {
                save(&shared, &judge).await;
            }
        });
        while let Some(Found { target, probed }) = found.recv().await {
            match self.hear(&target, probed) {
                Changed::Verdict(_) => {
                    self.publish();
                    changed.send_replace(());
                }
                Changed::Other => self.publish(),
                Changed::Nothing => {}
            }
        }
        drop(changed);
        let _ = saving.await;
    }

    fn hear(&self, target: &Target, probed: Probed) -> Changed {
        let name = probed.name();
        let finding = match probed {
            Probed::Well(report) => Finding::Well(report),
            Probed::Status(status) => Finding::Ill(format!("{} answered {status}", target.address)),
            _ => Finding::Ill(format!("{}: {name}", target.address)),
        };
        let metrics = &self.shared.metrics;
        metrics.probes.with_label_values(&[name]).inc();
        let changed = self.judge.judge(&mut self.shared.known(), target, finding, self.shared.start.elapsed());
        if let Changed::Verdict(verdict) = changed {
            let to = if verdict == Verdict::Up { "up" } else { "down" };
            tracing::warn!(edge = %target.id, address = %target.address, probe = name, "edge is {to}");
            metrics.edge_changes.with_label_values(&[target.id.as_str(), to]).inc();
        }
        changed
    }

    /// Computes fitness anew and swaps it in.
    fn publish(&self) {
        let known = self.shared.known();
        let fitness = self.judge.fitness(&known);
        let states = self.judge.states(&known, self.shared.start.elapsed());
        drop(known);
        for (id, state) in &states {
            let up = state.addresses.values().any(|verdict| *verdict == Verdict::Up);
            self.shared.metrics.edge_up.with_label_values(&[id.as_str()]).set(i64::from(up));
        }
        let before = self.fitness.load();
        for (edge, id) in self.judge.edges().iter().enumerate() {
            match (before.is_drained(edge), fitness.is_drained(edge)) {
                (false, true) => tracing::info!(edge = %id, "it is drained: no new clients are sent there"),
                (true, false) => tracing::info!(edge = %id, "it is no longer drained"),
                _ => {}
            }
            match (before.is_failing(edge), fitness.is_failing(edge)) {
                (false, true) => {
                    tracing::warn!(edge = %id, "its probes pass, but its answers fail: it is left out for a minute");
                }
                (true, false) => tracing::warn!(edge = %id, "it is tried again"),
                _ => {}
            }
        }
        self.fitness.store(Arc::new(fitness));
    }
}

async fn save(shared: &Shared, judge: &Judge) {
    let verdicts = judge.saved(&shared.known());
    let path = shared.path.clone();
    let written = tokio::task::spawn_blocking(move || saved::write(&path, &verdicts)).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::error!(path = %shared.path.display(), "verdicts cannot be saved");
    }
}
