//! What the fleet's admin address tells: every node's facts, gathered.

use std::path::Path;
use std::sync::Arc;

use ::fleet::latency::{Handover, Since};
use ::fleet::{Demand, PurgeOrder, wall_clock_ms};
use admin::{
    Asked, Client, Drain, Facts, Flow, Gathering, Ground, Keys, Purged, Reach, Refused, Sample, Told, merge_metrics,
};
use arc_swap::ArcSwap;
use config::{Config, Network};
use serde_json::Value;

use crate::asking::ask_all;
use crate::client;
use crate::days::Wanted;
use crate::drain::drain_for;
use crate::gathering::{self, ground};
use crate::marker::{running, running_name_servers};
use crate::node::keys;
use crate::purge::purge_for;
use crate::report;

/// The facts of every node of a directory.
pub(super) struct FleetFacts {
    known: Arc<ArcSwap<Known>>,
    gathering: Arc<Gathering>,
}

/// What of a config its nodes are asked by.
#[derive(Debug)]
pub(super) struct Known {
    ground: Ground,
    keys: Keys,
}

impl Known {
    pub(super) fn of(dir: &Path, config: &Config) -> Self {
        Self { ground: ground("up", dir, &config.network, &config.sites), keys: keys(config) }
    }

    pub(super) fn network(&self) -> &Network {
        &self.ground.network
    }
}

impl FleetFacts {
    /// The facts of the nodes that a config has from time to time.
    pub(super) fn new(known: Arc<ArcSwap<Known>>, gathering: Arc<Gathering>) -> Self {
        Self { known, gathering }
    }
}

/// Begins to gather what the nodes of this machine tell.
pub(super) fn gather(known: Arc<ArcSwap<Known>>) -> Arc<Gathering> {
    let mut followed = known.load_full();
    let gathering = Arc::new(Gathering::new(followed.ground.clone(), wall_clock_ms()));
    let told = Arc::clone(&gathering);
    tokio::spawn(async move {
        loop {
            let now = known.load_full();
            if !Arc::ptr_eq(&now, &followed) {
                told.follow(now.ground.clone());
                followed = Arc::clone(&now);
            }
            let pause = gathering::round(&told, gathering::here(now.network())).await;
            tokio::time::sleep(pause).await;
        }
    });
    gathering
}

impl Facts for FleetFacts {
    fn node(&self) -> Option<Value> {
        None
    }

    fn sample(&self) -> Option<Sample> {
        None
    }

    fn flows(&self) -> Option<Vec<Flow>> {
        None
    }

    fn gathering(&self) -> Option<Arc<Gathering>> {
        Some(Arc::clone(&self.gathering))
    }

    fn explain(&self, name: String, client: Client) -> Told<Result<Value, String>> {
        let known = self.known.load_full();
        Box::pin(async move {
            let network = known.network();
            let mut failed = "no name server is running".to_owned();
            for node in running_name_servers(network) {
                let path = format!("/explain?name={name}&{}", client.in_query());
                match client::fetch_json(node.marker.admin, &path, network.admin.token.as_ref()).await {
                    Ok(value) => return Ok(value),
                    Err(error) => failed = error.to_string(),
                }
            }
            Err(failed)
        })
    }

    /// Every node's series, told apart by a label `node`.
    fn metrics(&self) -> Told<String> {
        let known = self.known.load_full();
        Box::pin(async move {
            let network = known.network();
            let asked = running(network).into_iter().map(|node| {
                let token = network.admin.token.clone();
                async move {
                    let text = client::fetch(node.marker.admin, "/metrics", token.as_ref()).await;
                    text.ok().map(|(_, body)| (node.id.to_string(), String::from_utf8_lossy(&body).into_owned()))
                }
            });
            let told: Vec<Option<(String, String)>> = ask_all(asked.collect()).await;
            merge_metrics(&told.into_iter().flatten().collect::<Vec<_>>())
        })
    }

    fn certificates(&self, _: String) -> Option<Value> {
        None
    }

    fn challenge(&self, _: Value) -> Result<(), String> {
        Err("tell each node".to_owned())
    }

    fn purge(&self, order: PurgeOrder, reach: Reach) -> Told<Result<Purged, Refused>> {
        let known = self.known.load_full();
        Box::pin(async move { purge_for(known.network(), known.keys.fleet.as_ref(), order, reach).await })
    }

    fn drain(&self, edge: Option<String>, drain: Drain) -> Told<Result<Value, Refused>> {
        let known = self.known.load_full();
        Box::pin(async move {
            let id = edge.ok_or_else(|| Refused::Wrong("write which: {\"edge\": \"fra-1\"}".to_owned()))?;
            drain_for(known.network(), known.keys.fleet.as_ref(), &id, drain).await
        })
    }

    fn report(&self, asked: Asked) -> Told<Result<Value, Refused>> {
        let known = self.known.load_full();
        Box::pin(async move {
            let wanted = Wanted::of(&asked).map_err(Refused::Wrong)?;
            Ok(report::gather(known.network(), known.keys.fleet.as_ref(), &wanted).await.json())
        })
    }

    fn round_trips(&self, _since: Since) -> Option<Handover> {
        None
    }

    fn latency(&self) -> Told<Option<Value>> {
        Box::pin(async { None })
    }

    fn latency_csv(&self) -> Told<Option<String>> {
        Box::pin(async { None })
    }

    fn demand(&self) -> Option<Demand> {
        None
    }

    fn keys(&self) -> Keys {
        self.known.load().keys.clone()
    }
}
