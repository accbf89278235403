//! Load: a name server asks edges what their clients take, hears with its probes how much they send, and moves
//! clients between PoPs by prices before a PoP is full.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::fleet::{Demand, EdgeState, Rate, Rates, Verdict, wall_clock_ms};
use config::{Config, EdgeNode, NodeId, PopId, limits};
use futures_util::StreamExt;
use mapping::load::{Assignment, LoadReport, Reports, Settings, State, UnitIndex, step};
use mapping::{PopIndex, Ranked};

use super::answer::Answers;
use super::edges::ask_edges;
use super::{Node, lock};

/// What edges said last that their clients take, and when.
type Demands = Mutex<BTreeMap<NodeId, (Instant, Demand)>>;

/// An edge that is silent for longer has no clients that we know of.
const SILENT: Duration = Duration::from_secs(60);
/// How often is looked whether the map is another one: with other PoPs, nobody is moved until then.
const LOOK: Duration = Duration::from_millis(100);
/// What an edge sends that is down.
const NOTHING: Rate = Rate { bits: 0.0, over: Duration::ZERO };
/// Demand and load of an edge are means over different times: by so much one may exceed the other.
const OTHER_TIME: f64 = 2.0;
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
        // A thousand PoPs take half a second.
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
        let mut told = pin!(ask_edges::<Demand>(&config, key, limits::DEMAND_TOLD_BYTES, |_| "/demand".to_owned()));
        while let Some((edge, _, demand)) = told.next().await {
            lock(&demands).insert(edge, (Instant::now(), demand));
        }
        lock(&demands).retain(|_, (when, _)| when.elapsed() < SILENT);
    }
}

/// What was heard before a step.
struct Heard {
    /// Bits per second by client prefix.
    demand: HashMap<IpAddr, f64>,
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
        let is_up = |edge: &NodeId| {
            states.get(edge).is_some_and(|state| state.addresses.values().any(|verdict| *verdict == Verdict::Up))
        };
        let rates = &mut self.rates;
        let mut load_of = |edge: &EdgeNode| {
            let report = states.get(&edge.id)?.report.as_ref();
            let rate = report.and_then(|report| rates.hear(&edge.id, report));
            if is_up(&edge.id) { rate } else { Some(NOTHING) }
        };
        let mut demand: HashMap<IpAddr, f64> = HashMap::new();
        let told = lock(demands);
        let mut loads = Vec::new();
        for pop in &config.network.pops {
            let mut sum = Some(NOTHING);
            for edge in &pop.edges {
                let load = load_of(edge);
                sum =
                    sum.zip(load).map(|(sum, load)| Rate { bits: sum.bits + load.bits, over: sum.over.max(load.over) });
                // The clients of an edge that is down are counted where they have gone.
                if let Some((_, told)) = told.get(&edge.id).filter(|_| is_up(&edge.id)) {
                    add_demand(&mut demand, told, most_demand(edge, load));
                }
            }
            loads.push(sum);
        }
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

/// The most that an edge's clients can take, bits per second: what it sends, with room for another time of measuring,
/// and no more than it can send. An edge speaks of its own clients, not of others'.
fn most_demand(edge: &EdgeNode, load: Option<Rate>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
    let capacity = edge.capacity as f64;
    load.map_or(capacity, |load| (OTHER_TIME * load.bits).min(capacity))
}

/// Adds what an edge tells of its clients, scaled down to what they can take together.
fn add_demand(demand: &mut HashMap<IpAddr, f64>, told: &Demand, most: f64) {
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
    let rates = || told.prefixes.iter().take(limits::DEMAND_TOLD).map(|(prefix, rate)| (*prefix, *rate as f64));
    let all: f64 = rates().map(|(_, rate)| rate).sum();
    let scale = if all > most { most / all } else { 1.0 };
    for (prefix, rate) in rates() {
        *demand.entry(prefix).or_default() += rate * scale;
    }
}

/// Every list of a map, with its number in the map before, where it had one.
fn renumbered(before: &Answers, now: &Answers) -> Vec<(Vec<Ranked>, Option<UnitIndex>)> {
    let earlier = before.view.earlier(now.view.lists());
    now.view.lists().map(<[Ranked]>::to_vec).zip(earlier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_speaks_of_its_own_clients_alone() {
        let capacity = 1_000_000;
        let text = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"127.0.0.1\"]\n[[pop]]\nid = \"fra\"\n\
             location = [50, 8]\n[[pop.edge]]\nid = \"fra-1\"\naddresses = [\"127.0.0.2\"]\ncapacity = \"1Mbps\"\n";
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hither.toml"), text).unwrap();
        let config = config::load(dir.path()).unwrap().config;
        let (_, edge) = config.network.edges().next().unwrap();
        assert_eq!(edge.capacity, capacity);
        let rate = |bits| Some(Rate { bits, over: Duration::from_secs(1) });
        for (load, told, expected) in [
            (rate(100_000.0), vec![90_000], vec![90_000.0]),
            (rate(100_000.0), vec![u64::MAX, u64::MAX], vec![100_000.0, 100_000.0]),
            (rate(900_000.0), vec![3_000_000], vec![1_000_000.0]),
            (rate(0.0), vec![5], vec![0.0]),
            (None, vec![u64::MAX], vec![1_000_000.0]),
        ] {
            let address = |number| IpAddr::from([10, 0, number, 0]);
            let prefixes = (0..).map(address).zip(told.iter().copied()).collect();
            let mut demand = HashMap::new();
            add_demand(&mut demand, &Demand { prefixes }, most_demand(edge, load));
            let heard: Vec<f64> =
                (0..told.len()).map(|number| demand[&address(u8::try_from(number).unwrap())]).collect();
            let close = heard.iter().zip(&expected).all(|(heard, expected)| (heard - expected).abs() < 1.0);
            assert!(close, "{told:?}: {heard:?}");
        }
    }
}
