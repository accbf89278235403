//! Round trips: an edge collects its clients', a name server asks every edge once a minute, learns, and
//! compiles its map anew where that sends anybody elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::fleet::latency::{Collector, Handover, Since, Store};
use config::{Config, NodeId, PopId, Secret, limits};
use dns::View;
use futures_util::StreamExt;
use listen::RoundTrips;
use mapping::latency::Learned;

use super::answer::Answers;
use super::{Node, lock};
use crate::client::{self, Proof};

/// Edges asked at the same time.
const AT_ONCE: usize = 32;
/// How often what was learned is written down: a crash costs no more.
const SAVED_EVERY: Duration = Duration::from_secs(600);

/// Tells a collector of the connections that end.
pub(crate) struct Told(pub(crate) Arc<Collector>);

impl RoundTrips for Told {
    fn seen(&self, client: IpAddr, round_trip: Duration) {
        self.0.add(client, round_trip);
    }
}

/// Learns for as long as the node runs; nothing without the fleet's key.
pub(crate) async fn follow(node: Arc<Node>, path: PathBuf) {
    let mut saved = Instant::now();
    // Edges have kept what came while this name server was away.
    let mut pause = limits::LATENCY_ASKED / 12;
    loop {
        tokio::time::sleep(pause).await;
        pause = limits::LATENCY_ASKED;
        let Some(config) = node.config.load_full() else { continue };
        let Some(key) = &config.fleet_key else { continue };
        let handed = ask_all(&node, &config, key).await;
        let Some(name_server) = &node.name_server else { return };
        {
            let mut store = lock(&name_server.latency);
            for (edge, pop, handover) in handed {
                store.take(&edge, &pop, handover);
            }
            store.age(SystemTime::now());
        }
        relearn(&node).await;
        if saved.elapsed() >= SAVED_EVERY {
            saved = Instant::now();
            save(&node, &path).await;
        }
    }
}

/// Writes down what was learned.
pub(crate) async fn save(node: &Arc<Node>, path: &std::path::Path) {
    let Some(name_server) = &node.name_server else { return };
    let (store, path) = (lock(&name_server.latency).clone(), path.to_owned());
    let written = tokio::task::spawn_blocking(move || (store.write(&path), path)).await;
    if let Ok((Err(error), path)) = written {
        tracing::warn!(%error, path = %path.display(), "what was learned of round trips cannot be written down");
    }
}

/// Asks every edge for what it has collected. One that does not answer is asked again the next time.
async fn ask_all(node: &Node, config: &Config, key: &Secret) -> Vec<(NodeId, PopId, Handover)> {
    let Some(name_server) = &node.name_server else { return Vec::new() };
    let asked = config.network.edges().filter_map(|(pop, edge)| {
        let address = config.network.peer_of(edge)?;
        let since = lock(&name_server.latency).since(&edge.id);
        let (edge, pop, key) = (edge.id.clone(), pop.id.clone(), key.clone());
        Some(async move { Some((edge, pop, ask(address, since, key).await?)) })
    });
    let asked: Vec<_> = asked.collect();
    futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).filter_map(|handed| async { handed }).collect().await
}

async fn ask(address: SocketAddr, since: Since, key: Secret) -> Option<Handover> {
    let path = format!("/round-trips?boot={}&since={}", since.boot, since.position);
    let told = client::get_json(address, &path, &Proof::Fleet(key)).await;
    told.ok().and_then(|value| serde_json::from_value(value).ok())
}

/// Learns from what is there; where that sends anybody elsewhere, a map is compiled aside and swapped in.
pub(crate) async fn relearn(node: &Arc<Node>) {
    let (Some(name_server), Some(config)) = (&node.name_server, node.config.load_full()) else { return };
    let Some(answers) = name_server.answers.load_full() else { return };
    let world = lock(&name_server.world).clone();
    let store = Arc::clone(&name_server.latency);
    let before = Arc::clone(&answers);
    let built = tokio::task::spawn_blocking(move || {
        let learned = learn(&config, &world, &store, Some(&before.view));
        if learned.decides_as(before.view.learned()) {
            return None;
        }
        let view = &before.view;
        let ground = (&world.geography, &*world.regions);
        View::build(&config, ground, &Arc::new(learned), Some(view)).ok().map(|new| new.with_fitness(view.fitness()))
    });
    // A reload meanwhile has learned by itself.
    let is_same = |now: &Option<Arc<Answers>>| now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &answers));
    if let Ok(Some(view)) = built.await
        && is_same(&name_server.answers.load_full())
    {
        let moved = view.learned().groups().iter().filter(|group| group.current != group.expected).count();
        tracing::info!(groups = view.learned().groups().len(), moved, "round trips have changed the map");
        node.note_size(&view);
        name_server.answers.store(Some(Arc::new(Answers::new(view, &node.metrics))));
    }
}

/// What a config's map learns of what is kept.
pub(super) fn learn(
    config: &Config,
    world: &dns::geo::World,
    store: &std::sync::Mutex<Store>,
    before: Option<&View>,
) -> Learned {
    let ids: Vec<PopId> = config.network.pops.iter().map(|pop| pop.id.clone()).collect();
    let samples = lock(store).samples(&ids);
    let none = Learned::default();
    // Of other PoPs, or in another order, nothing can be told.
    let before = before.filter(|view| view.has_pops(&ids)).map_or(&none, |view| view.learned().as_ref());
    dns::learn_of(config, world, &samples, before)
}
