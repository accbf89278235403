//! Load: a name server asks edges what their clients take, hears with its probes how much they send, and moves
//! clients between PoPs by prices before a PoP is full.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::fleet::{Demand, EdgeState, Rate, Rates, Verdict, wall_clock_ms};
use config::{Config, NodeId, PopId, limits};
use mapping::load::{Assignment, LoadReport, Reports, Settings, State, UnitIndex, step};
use mapping::{PopIndex, Ranked};

use super::answer::Answers;
use super::edges::ask_edges;
use super::{Node, lock};

/// What edges said last that their clients take, and when.
type Demands = Mutex<BTreeMap<NodeId, (Instant, Demand)>>;

/// An edge that is silent for longer has no clients that we know of.
const SILENT: Duration = Duration::from_secs(60);
/// How often is looked whether the map is another one.
const LOOK: Duration = Duration::from_secs(1);
/// What an edge sends that is down.
const NOTHING: Rate = Rate { bits: 0.0, over: Duration::ZERO };
/// How much better another PoP must be for clients to move, in milliseconds.
const BONUS_MS: f64 = 5.0;

/// Moves load for as long as the node runs; nothing without the fleet's key.
pub(crate) async fn follow(node: Arc<Node>) {
    let demands: Arc<Demands> = Arc::default();
    tokio::spawn(ask(Arc::clone(&node), Arc::clone(&demands)));
    let mut steering = Steering::new();
    let mut stepped: Option<(Instant, Arc<Answers>)> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(name_server) = &node.name_server else { return };
        let (Some(config), Some(answers)) = (node.config.load_full(), name_server.answers.load_full()) else {
            continue;
        };
        let is_done = stepped
            .as_ref()
            .is_some_and(|(when, with)| when.elapsed() < limits::LOAD_STEP && Arc::ptr_eq(with, &answers));
        if is_done {
            continue;
        }
        stepped = Some((Instant::now(), Arc::clone(&answers)));
        let assignment = answers.view.assignment();
        if config.fleet_key.is_none() {
            steering = Steering::new();
            assignment.store(Arc::default());
            continue;
        }
        let heard = steering.hear(&config, &lock(&name_server.watch).states(), &demands);
        // A thousand PoPs take seconds.
        let moved = tokio::task::spawn_blocking(move || {
            let table = steering.step(&config, &answers, &heard);
            (steering, heard, table)
        });
        let (back, heard, table) = match moved.await {
            Ok(moved) => moved,
            Err(error) => {
                tracing::error!(%error, "load has ended by a fault of ours: it begins anew, with nothing moved");
                steering = Steering::new();
                assignment.store(Arc::default());
                continue;
            }
        };
        steering = back;
        steering.note(&node, &heard, &table);
        assignment.store(Arc::new(table));
    }
}

/// Asks edges what their clients take.
async fn ask(node: Arc<Node>, demands: Arc<Demands>) {
    loop {
        tokio::time::sleep(limits::DEMAND_ASKED).await;
        let Some(config) = node.config.load_full() else { continue };
        let Some(key) = &config.fleet_key else { continue };
        let told: Vec<(NodeId, PopId, Demand)> = ask_edges(&config, key, |_| "/demand".to_owned()).await;
        let mut demands = lock(&demands);
        demands.extend(told.into_iter().map(|(edge, _, demand)| (edge, (Instant::now(), demand))));
        demands.retain(|_, (when, _)| when.elapsed() < SILENT);
    }
}

/// What was heard before a step.
struct Heard {
    /// Bits per second by client prefix.
    demand: HashMap<IpAddr, u64>,
    /// By PoP, where all its edges are known.
    loads: Vec<Option<Rate>>,
    now: Duration,
}

/// The control loop from step to step.
struct Steering {
    start: Instant,
    rates: Rates,
    last: Option<Last>,
}

/// The last step, and whom it was about.
struct Last {
    state: State,
    pops: Vec<PopId>,
    answers: Arc<Answers>,
}

impl Steering {
    fn new() -> Self {
        Self { start: Instant::now(), rates: Rates::default(), last: None }
    }

    fn hear(&mut self, config: &Config, states: &BTreeMap<NodeId, EdgeState>, demands: &Demands) -> Heard {
        self.rates.retain(|edge| states.contains_key(edge));
        let mut demand: HashMap<IpAddr, u64> = HashMap::new();
        let is_up = |edge: &NodeId| {
            states.get(edge).is_some_and(|state| state.addresses.values().any(|verdict| *verdict == Verdict::Up))
        };
        // The clients of an edge that is down are counted where they have gone.
        let told = lock(demands);
        let told = told.iter().filter(|(edge, _)| is_up(edge)).map(|(_, (_, demand))| demand);
        for (prefix, rate) in told.flat_map(|demand| &demand.prefixes) {
            let sum = demand.entry(*prefix).or_default();
            *sum = sum.saturating_add(*rate);
        }
        let mut load_of = |edge: &config::EdgeNode| {
            let state = states.get(&edge.id)?;
            let rate = state.report.as_ref().and_then(|report| self.rates.hear(&edge.id, report));
            if is_up(&edge.id) { rate } else { Some(NOTHING) }
        };
        let together = |one: Rate, other: Rate| Rate { bits: one.bits + other.bits, over: one.over.max(other.over) };
        let mut sum =
            |pop: &config::Pop| pop.edges.iter().try_fold(NOTHING, |sum, edge| Some(together(sum, load_of(edge)?)));
        let loads = config.network.pops.iter().map(&mut sum).collect();
        Heard { demand, loads, now: self.start.elapsed() }
    }

    fn step(&mut self, config: &Config, answers: &Arc<Answers>, heard: &Heard) -> Assignment {
        let view = &answers.view;
        let pops: Vec<PopId> = config.network.pops.iter().map(|pop| pop.id.clone()).collect();
        let statuses = view.statuses();
        let settings = Settings { ttl: config.network.dns.ttl, bonus_ms: BONUS_MS };
        let state = match self.last.take() {
            Some(last) if last.pops != pops || *last.state.settings() != settings => None,
            Some(last) if last.answers.view.has_map_of(view) => Some(last.state),
            Some(last) => Some(last.state.with_units(renumbered(&last.answers, answers))),
            None => None,
        };
        let state =
            state.unwrap_or_else(|| State::new(settings, view.lists().map(<[Ranked]>::to_vec).collect(), &statuses));
        let mut demands = vec![0.0; view.lists().count()];
        for (prefix, rate) in &heard.demand {
            if let Some(demand) = view.unit_of(*prefix).and_then(|unit| demands.get_mut(unit)) {
                #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
                let rate = *rate as f64;
                *demand += rate;
            }
        }
        let demands: Vec<(UnitIndex, f64)> = demands.into_iter().enumerate().collect();
        let loads: Vec<LoadReport> = (0..)
            .map(PopIndex::from_usize)
            .zip(&heard.loads)
            // A mean is of the middle of its time.
            .filter_map(|(pop, load)| {
                let Rate { bits, over } = (*load)?;
                Some(LoadReport { pop, at: heard.now.saturating_sub(over / 2), rate: bits })
            })
            .collect();
        let reports = Reports { demands: &demands, loads: &loads };
        let state = step(state, &statuses, &reports, heard.now);
        let mut table = state.assignment();
        if config.network.latency.explore {
            table = table.with_trials(view.trials(wall_clock_ms() / 1_000));
        }
        self.last = Some(Last { state, pops, answers: Arc::clone(answers) });
        table
    }

    /// Shows what was heard, and tells when clients were placed anew.
    fn note(&self, node: &Node, heard: &Heard, table: &Assignment) {
        let Some(last) = &self.last else { return };
        for (number, (pop, load)) in last.pops.iter().zip(&heard.loads).enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "a float saturates")]
            let whole = |number: f64| number as i64;
            if let Some(load) = load {
                node.metrics.pop_load.with_label_values(&[pop.as_str()]).set(whole(load.bits));
            }
            let price = table.price_ms(PopIndex::from_usize(number));
            node.metrics.pop_price.with_label_values(&[pop.as_str()]).set(whole(price.ceil()));
        }
        let name = |pop: PopIndex| last.answers.view.pop_name(pop);
        match last.state.reason() {
            Some(mapping::load::Reason::Crowded(pop)) => {
                tracing::info!(pop = name(pop), "clients are sent elsewhere: it would be too full");
            }
            Some(mapping::load::Reason::Roomy(pop)) => {
                tracing::info!(pop = name(pop), "clients come back: it has room again");
            }
            Some(mapping::load::Reason::Changed) | None => {}
        }
    }
}

/// Every list of a map, with its number in the map before, where it had one.
fn renumbered(before: &Answers, now: &Answers) -> Vec<(Vec<Ranked>, Option<UnitIndex>)> {
    let earlier = before.view.earlier(now.view.lists());
    now.view.lists().map(<[Ranked]>::to_vec).zip(earlier).collect()
}
