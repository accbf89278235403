//! Round trips: an edge collects its clients', a name server asks every edge once a minute, learns, and
//! compiles its map anew where that sends anybody elsewhere.

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::fleet::latency::{Collector, Handover, Store};
use config::{Config, NodeId, PopId, limits};
use dns::View;
use futures_util::StreamExt;
use listen::RoundTrips;
use mapping::latency::Learned;
use serde_json::{Value, json};

use super::answer::Answers;
use super::edges::ask_edges;
use super::{Node, lock};

/// How often what was learned is written down: a crash costs no more.
const SAVED_EVERY: Duration = Duration::from_secs(600);

/// How often costs behind a list's first PoP, which decide who comes when it fails, are brought up to date.
const REVISED_EVERY: Duration = Duration::from_secs(3_600);

/// What a map is compiled anew for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Somebody is sent elsewhere.
    Moves,
    /// Anything was measured.
    Anything,
    /// None: names have their first certificate, which answers tell of.
    Certificates,
}

/// Tells a collector of the connections that end.
pub(crate) struct Told(pub(crate) Arc<Collector>);

impl RoundTrips for Told {
    fn seen(&self, client: IpAddr, round_trip: Duration) {
        self.0.add(client, round_trip);
    }
}

/// Learns for as long as the node runs; nothing without the fleet's key.
pub(crate) async fn follow(node: Arc<Node>, path: PathBuf) {
    let (mut saved, mut revised) = (Instant::now(), Instant::now());
    // Edges have kept what came while this name server was away.
    let mut pause = limits::LATENCY_ASKED / 12;
    loop {
        tokio::time::sleep(pause).await;
        pause = limits::LATENCY_ASKED;
        let Some(config) = node.config.load_full() else { continue };
        let Some(key) = &config.fleet_key else { continue };
        let Some(name_server) = &node.name_server else { return };
        let question = |edge: &NodeId| {
            let since = lock(&name_server.latency).since(edge);
            format!("/round-trips?boot={}&since={}", since.boot, since.position)
        };
        let pops = config.network.pops.len();
        let mut handed = pin!(ask_edges::<Handover>(&config, key, limits::LATENCY_TOLD_BYTES, question));
        while let Some((edge, pop, handover)) = handed.next().await {
            let store = Arc::clone(&name_server.latency);
            let took = tokio::task::spawn_blocking(move || {
                let mut store = lock(&store);
                if !handover.prefixes.is_empty() {
                    store.note_heard(SystemTime::now());
                }
                store.take(&edge, (&pop, pops), handover);
            });
            let _ = took.await;
        }
        lock(&name_server.latency).age(SystemTime::now());
        let news = if revised.elapsed() >= REVISED_EVERY { News::Anything } else { News::Moves };
        if news == News::Anything {
            revised = Instant::now();
        }
        relearn(&node, news).await;
        if saved.elapsed() >= SAVED_EVERY {
            saved = Instant::now();
            save(&node, &path).await;
        }
    }
}

/// Writes down what was learned.
pub(crate) async fn save(node: &Arc<Node>, path: &std::path::Path) {
    let Some(name_server) = &node.name_server else { return };
    let (store, path) = (Arc::clone(&name_server.latency), path.to_owned());
    let written = tokio::task::spawn_blocking(move || {
        let copy = lock(&store).clone();
        (copy.write(&path), path)
    });
    let written = written.await;
    if let Ok((Err(error), path)) = written {
        tracing::warn!(%error, path = %path.display(), "what was learned of round trips cannot be written down");
    }
}

/// Learns from what is there; where that is news, a map is compiled aside and swapped in.
pub(crate) async fn relearn(node: &Arc<Node>, news: News) {
    let (Some(name_server), Some(config)) = (&node.name_server, node.config.load_full()) else { return };
    let Some(answers) = name_server.answers.load_full() else { return };
    let world = lock(&node.world).clone();
    if !world.is_read() {
        return;
    }
    let store = Arc::clone(&name_server.latency);
    let (before, of_answers) = (Arc::clone(&answers), Arc::clone(&config));
    let built = tokio::task::spawn_blocking(move || {
        let learned = learn(&config, &world, &store, Some(&before.view));
        let is_revised = news == News::Anything && learned != *before.view.learned();
        let learned = if is_revised { learned.revised() } else { learned };
        if news != News::Certificates && learned.decides_as(&before.view.learned()) {
            before.view.relearn(Arc::new(learned));
            return None;
        }
        let view = &before.view;
        let ground = (&world.geography, &world.regions);
        View::build(&config, ground, &Arc::new(learned), Some(view)).ok().map(|new| new.with_fitness(view.fitness()))
    });
    // A reload meanwhile has learned by itself.
    let is_same = |now: &Option<Arc<Answers>>| now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &answers));
    if let Ok(Some(view)) = built.await
        && is_same(&name_server.answers.load_full())
    {
        if !view.shares_map(&answers.view) {
            let moved = view.learned().groups().iter().filter(|group| group.current != group.expected).count();
            tracing::info!(groups = view.learned().groups().len(), moved, "round trips have changed the map");
        }
        node.note_size(&view);
        let view = node.with_tls(view, &of_answers);
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
    let none = Arc::<Learned>::default();
    // Of other PoPs, or in another order, nothing can be told.
    let before = before.filter(|view| view.has_pops(&ids)).map_or(none, View::learned);
    dns::learn_of(config, world, samples, &before)
}

/// What was learned, in figures; nothing where the node is no name server.
pub(super) async fn stats(node: &Arc<Node>) -> Option<Value> {
    let name_server = node.name_server.as_ref()?;
    let (config, answers) = (node.config.load_full()?, name_server.answers.load_full()?);
    let (world, store) = (lock(&node.world).clone(), Arc::clone(&name_server.latency));
    let ids: Vec<PopId> = config.network.pops.iter().map(|pop| pop.id.clone()).collect();
    let worth = tokio::task::spawn_blocking(move || {
        let (samples, heard) = {
            let store = lock(&store);
            (store.samples(&ids), store.heard())
        };
        let learned = answers.view.learned();
        (dns::worth_of(&config, &world, samples, &learned), learned.groups().len(), heard)
    });
    let (worth, groups, heard) = worth.await.ok()?;
    let heard_s = heard.and_then(|heard| heard.elapsed().ok()).map(|ago| ago.as_secs());
    Some(json!({
        "prefixes": worth.prefixes,
        "round_trips": worth.samples,
        "heard_s_ago": heard_s,
        "groups": groups,
        "prefixes_grouped": worth.grouped,
        "prefixes_moved": worth.moved,
        "round_trips_moved": worth.moved_samples,
        "geography_ms": worth.geography_ms,
        "learned_ms": worth.learned_ms,
    }))
}

/// What was measured as CSV; nothing where the node is no name server.
pub(super) async fn csv(node: &Arc<Node>) -> Option<String> {
    let store = Arc::clone(&node.name_server.as_ref()?.latency);
    tokio::task::spawn_blocking(move || {
        let store = lock(&store).clone();
        store.csv()
    })
    .await
    .ok()
}
