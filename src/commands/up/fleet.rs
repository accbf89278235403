//! What the fleet's admin address tells: every node's facts, gathered.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ::fleet::latency::{Handover, Since};
use ::fleet::{Demand, PurgeOrder};
use admin::{Asked, Drain, Facts, Keys, Purged, Reach, Refused, Told, merge_metrics};
use arc_swap::ArcSwap;
use config::{Config, Network, NodeId};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::client::{self, AskError};
use crate::days::Wanted;
use crate::drain::{edge_of, tell};
use crate::node::{Running, keys, running};
use crate::purge::{Receipt, purge_everywhere, receipts, refusal};
use crate::report::gather;

/// Nodes asked at the same time.
const AT_ONCE: usize = 32;

/// The facts of every node of a directory.
pub(crate) struct FleetFacts {
    dir: PathBuf,
    known: Arc<ArcSwap<Known>>,
}

/// What of a config its nodes are asked by.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) network: Network,
    pub(crate) keys: Keys,
}

impl Known {
    pub(crate) fn of(config: &Config) -> Self {
        Self { network: config.network.clone(), keys: keys(config) }
    }
}

impl FleetFacts {
    /// The facts of the nodes that a config has from time to time.
    pub(crate) fn new(dir: PathBuf, known: Arc<ArcSwap<Known>>) -> Self {
        Self { dir, known }
    }
}

impl Facts for FleetFacts {
    fn status(&self) -> Told<Value> {
        let (known, dir) = (self.known.load_full(), self.dir.clone());
        Box::pin(async move {
            let network = &known.network;
            let nodes = running(network);
            let asked = futures_util::stream::iter(nodes.clone()).map(|node| {
                let token = network.admin.token.clone();
                async move {
                    let told = client::fetch_json(node.marker.admin, "/status", token.as_ref()).await;
                    told.unwrap_or_else(|_| json!({ "id": node.id.as_str(), "silent": true }))
                }
            });
            let mut told: Vec<Value> = asked.buffered(AT_ONCE).collect().await;
            let missing = network.node_ids().into_iter().filter(|id| !nodes.iter().any(|node| node.id == *id));
            let ran_here = |id: &NodeId| network.state.join(id.as_str()).is_dir();
            told.extend(missing.map(|id| json!({ "id": id.as_str(), "ran_here": ran_here(&id) })));
            // The config's order: rows must not jump when a node dies.
            let order = network.node_ids();
            told.sort_by_key(|node| {
                let id = node.get("id").and_then(Value::as_str).unwrap_or_default();
                order.iter().position(|known| known.as_str() == id)
            });
            json!({ "directory": dir.display().to_string(), "nodes": told })
        })
    }

    fn explain(&self, name: String, from: IpAddr) -> Told<Result<Value, String>> {
        let known = self.known.load_full();
        Box::pin(async move {
            let network = &known.network;
            let servers = running(network).into_iter().filter(|node| is_name_server(network, node));
            let mut failed = "no name server is running".to_owned();
            for node in servers {
                let path = format!("/explain?name={name}&from={from}");
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
            let network = &known.network;
            let asked = futures_util::stream::iter(running(network)).map(|node| {
                let token = network.admin.token.clone();
                async move {
                    let text = client::fetch(node.marker.admin, "/metrics", token.as_ref()).await;
                    text.ok().map(|(_, body)| (node.id.to_string(), String::from_utf8_lossy(&body).into_owned()))
                }
            });
            let told: Vec<Option<(String, String)>> = asked.buffered(AT_ONCE).collect().await;
            merge_metrics(&told.into_iter().flatten().collect::<Vec<_>>())
        })
    }

    fn certificates(&self, _: String) -> Option<Value> {
        None
    }

    fn challenge(&self, _: Value) -> Result<(), String> {
        Err("tell each node".to_owned())
    }

    fn purge(&self, mut order: PurgeOrder, reach: Reach) -> Told<Result<Purged, Refused>> {
        let known = self.known.load_full();
        Box::pin(async move {
            order.purges().map_err(Refused::Wrong)?;
            if let Reach::Site(site) = reach {
                let named = order.site.get_or_insert_with(|| site.to_string());
                if named.as_str() != site.as_str() {
                    return Err(Refused::OtherSite(format!("this token may purge only the site `{site}`")));
                }
            }
            let told = purge_everywhere(&known.network, known.keys.fleet.as_ref(), &order).await;
            match refusal(&told) {
                Some(why) => Err(Refused::Wrong(why.to_owned())),
                None if !told.iter().any(Receipt::is_missing) => Ok(Purged::Done(receipts(&told))),
                None => Ok(Purged::InPart(receipts(&told))),
            }
        })
    }

    fn drain(&self, edge: Option<String>, drain: Drain) -> Told<Result<Value, Refused>> {
        let known = self.known.load_full();
        Box::pin(async move {
            let id = edge.ok_or_else(|| Refused::Wrong("write which: {\"edge\": \"fra-1\"}".to_owned()))?;
            let edge = edge_of(&known.network, &id).map_err(Refused::Wrong)?;
            let told = tell(&known.network, known.keys.fleet.as_ref(), edge, drain).await;
            told.map_err(|error| match error {
                AskError::Refused(why) => Refused::Wrong(why),
                AskError::Failed(why) | AskError::NobodyThere(why) => Refused::Unable(why),
            })?;
            Ok(json!({ "edge": id, "draining": drain == Drain::Begin }))
        })
    }

    fn report(&self, asked: Asked) -> Told<Result<Value, Refused>> {
        let known = self.known.load_full();
        Box::pin(async move {
            let wanted = Wanted::of(&asked).map_err(Refused::Wrong)?;
            Ok(gather(&known.network, known.keys.fleet.as_ref(), &wanted).await.json())
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

fn is_name_server(network: &Network, node: &Running) -> bool {
    network.node(&node.id).is_some_and(|node| node.name_server.is_some())
}
