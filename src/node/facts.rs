//! What a node's admin address tells.

use std::sync::Arc;
use std::time::SystemTime;

use ::edge::PurgeError;
use ::fleet::latency::{Handover, Since};
use ::fleet::{Demand, PurgeOrder};
use admin::{Asked, Client, Door, Drain, Facts, Flow, Gathering, Keys, Purged, Reach, Refused, Sample, Told};
use config::{Config, Network, Secret, SiteId};
use dns::View;
use mapping::Family;
use serde_json::{Value, json};

use super::{Node, certificates, gauges, latency, lock};
use crate::client::{self, Proof};
use crate::days::Wanted;
use crate::drain::drain_for;
use crate::purge::purge_for;

/// A node's facts.
pub(crate) struct NodeFacts {
    pub(crate) node: Arc<Node>,
    /// Where it is asked.
    pub(crate) door: Door,
}

impl NodeFacts {
    /// The config and key by which this node speaks for the whole fleet: where operators ask it, while it gathers.
    fn as_gatherer(&self) -> Option<(Arc<Config>, Secret)> {
        let config = self.node.config.load_full().filter(|_| self.gathering().is_some())?;
        let key = config.fleet_key.clone()?;
        Some((config, key))
    }
}

impl Facts for NodeFacts {
    fn node(&self) -> Option<Value> {
        Some(self.node.status())
    }

    fn sample(&self) -> Option<Sample> {
        let flows = self.flows().unwrap_or_default();
        if let Some(edge) = &self.node.edge {
            edge.note_received();
        }
        Some(Sample { status: self.node.status(), counted: self.node.metrics.counted(), flows })
    }

    fn flows(&self) -> Option<Vec<Flow>> {
        self.node.name_server.as_ref().map(|name_server| name_server.flows.rows())
    }

    fn gathering(&self) -> Option<Arc<Gathering>> {
        self.node.gathering.load_full().filter(|_| self.door == Door::Admin)
    }

    fn explain(&self, name: String, client: Client) -> Told<Result<Value, String>> {
        let answers = self.node.name_server.as_ref().and_then(|name_server| name_server.answers.load_full());
        match (answers, self.as_gatherer()) {
            (Some(answers), _) => {
                let value = explain(&answers.view, &name, client);
                Box::pin(async move { value })
            }
            (None, Some((config, key))) => {
                Box::pin(async move { explain_elsewhere(&config.network, &key, &name, client).await })
            }
            (None, None) => Box::pin(async { Err("this node is no name server".to_owned()) }),
        }
    }

    fn purge(&self, order: PurgeOrder, reach: Reach) -> Told<Result<Purged, Refused>> {
        if let Some((config, key)) = self.as_gatherer() {
            return Box::pin(async move { purge_for(&config.network, Some(&key), order, reach).await });
        }
        let (edge, id) = (self.node.edge.clone(), self.node.id.clone());
        Box::pin(async move {
            let edge = edge.ok_or_else(|| Refused::Unable("this node is no edge".to_owned()))?;
            let within = match reach {
                Reach::All => None,
                Reach::Site(site) => Some(site),
            };
            let purged = tokio::task::spawn_blocking(move || edge.purge(&order, within.as_ref())).await;
            match purged.map_err(|error| Refused::Unable(error.to_string()))? {
                Ok(position) => Ok(Purged::Done(json!({ "node": id.as_str(), "position": position }))),
                Err(PurgeError::Wrong(why)) => Err(Refused::Wrong(why)),
                Err(PurgeError::OtherSite(why)) => Err(Refused::OtherSite(why)),
                Err(PurgeError::Log(error)) => Err(Refused::Unable(format!("cannot be written down: {error}"))),
            }
        })
    }

    fn drain(&self, edge: Option<String>, drain: Drain) -> Told<Result<Value, Refused>> {
        if let (Some((config, key)), Some(id)) = (self.as_gatherer(), &edge) {
            let id = id.clone();
            return Box::pin(async move { drain_for(&config.network, Some(&key), &id, drain).await });
        }
        let (shared, id) = (self.node.edge.clone(), self.node.id.clone());
        Box::pin(async move {
            if let Some(other) = edge.filter(|edge| edge.as_str() != id.as_str()) {
                return Err(Refused::Wrong(format!("this is `{id}`, not `{other}`")));
            }
            let shared =
                shared.ok_or_else(|| Refused::Wrong(format!("`{id}` is no edge: there is nobody to drain")))?;
            let done = tokio::task::spawn_blocking(move || match drain {
                Drain::Begin => shared.draining.drain(),
                Drain::End => shared.draining.undrain(),
            });
            let done = done.await.map_err(|error| Refused::Unable(error.to_string()))?;
            done.map_err(|error| {
                Refused::Unable(format!("it cannot be written down in the state directory: {error}"))
            })?;
            match drain {
                Drain::Begin => tracing::warn!("drained by the operator: no new clients are asked for"),
                Drain::End => tracing::warn!("no longer drained by the operator"),
            }
            Ok(json!({ "edge": id.as_str(), "draining": drain == Drain::Begin }))
        })
    }

    fn round_trips(&self, since: Since) -> Option<Handover> {
        self.node.collector.as_ref().map(|collector| collector.hand_over(since))
    }

    fn latency(&self) -> Told<Option<Value>> {
        let node = Arc::clone(&self.node);
        Box::pin(async move { latency::stats(&node).await })
    }

    fn latency_csv(&self) -> Told<Option<String>> {
        let node = Arc::clone(&self.node);
        Box::pin(async move { latency::csv(&node).await })
    }

    fn demand(&self) -> Option<Demand> {
        self.node.edge.as_ref().map(|edge| edge.demand.demand())
    }

    fn certificates(&self, known: String) -> Option<Value> {
        let config = self.node.config.load_full()?;
        self.node.holding.tell(config.fleet_key.as_ref()?, &known)
    }

    fn challenge(&self, challenge: Value) -> Result<(), String> {
        let challenge = serde_json::from_value(challenge).map_err(|error| error.to_string())?;
        let is_taken = self.node.holding.challenges.add(challenge, SystemTime::now());
        if is_taken { Ok(()) } else { Err("too many are ready already".to_owned()) }
    }

    fn keys(&self) -> Keys {
        self.node.config.load().as_ref().map(|config| keys(config)).unwrap_or_default()
    }

    fn report(&self, asked: Asked) -> Told<Result<Value, Refused>> {
        let edge = self.node.edge.clone();
        Box::pin(async move {
            let edge = edge.ok_or_else(|| Refused::Wrong("this node is no edge".to_owned()))?;
            let Wanted { from, to, site } = Wanted::of(&asked).map_err(Refused::Wrong)?;
            let told =
                tokio::task::spawn_blocking(move || edge.report_days(from, to, site.as_ref().map(SiteId::as_str)));
            told.await.map_err(|error| Refused::Unable(error.to_string()))
        })
    }

    fn metrics(&self) -> Told<String> {
        gauges::note(&self.node);
        let text = self.node.metrics.text();
        Box::pin(async move { text })
    }
}

fn explain(view: &View, name: &str, client: Client) -> Result<Value, String> {
    let told = match client {
        Client::From(address) => view.explain(name, address, Family::V4).map(serde_json::to_value),
        Client::At(location) => view.explain_at(name, location, Family::V4).map(serde_json::to_value),
    };
    told?.map_err(|error| error.to_string())
}

/// Has a name server explain it: the first that answers.
async fn explain_elsewhere(network: &Network, key: &Secret, name: &str, client: Client) -> Result<Value, String> {
    let proof = Proof::Fleet(key.clone());
    let mut failed = "there is no name server".to_owned();
    for node in &network.name_servers {
        let Some(address) = network.peer_of_name_server(node) else { continue };
        let path = format!("/explain?name={name}&{}", client.in_query());
        match client::get_json(address, &path, &proof).await {
            Ok(value) => return Ok(value),
            Err(error) => failed = error.to_string(),
        }
    }
    Err(failed)
}

/// What a config lets requests show.
pub(crate) fn keys(config: &Config) -> Keys {
    let of_site = |site: &config::Site| Some((site.id.clone(), site.purge_token.clone()?));
    Keys {
        admin: config.network.admin.token.clone(),
        fleet: config.fleet_key.clone(),
        sites: config.sites.iter().filter_map(of_site).collect(),
    }
}

impl Node {
    /// Ends streams of events that are open.
    pub(super) fn end_streams(&self) {
        if let Some(gathering) = self.gathering.load().as_ref() {
            gathering.end_streams();
        }
    }

    /// The node's part of `hither status`.
    fn status(&self) -> Value {
        let version = self.config_version.load();
        let mut status = json!({
            "id": self.id.as_str(),
            "directory": self.dir.display().to_string(),
            "pid": std::process::id(),
            "uptime_s": self.started.elapsed().as_secs(),
            "config_version": version.as_ref().map_or(0, |version| version.number),
            "config_digest": version.as_ref().and_then(|version| version.digest.as_deref()),
            "refused": self.refused.load().as_deref(),
        });
        let Some(fields) = status.as_object_mut() else {
            return status;
        };
        if let Some(name_server) = &self.name_server {
            let states = serde_json::to_value(lock(&name_server.watch).states());
            fields.insert("edges".to_owned(), states.unwrap_or_default());
        }
        if let Some(config) = self.config.load_full() {
            fields.insert("certificates".to_owned(), certificates::status(self, &config));
        }
        if let Some(edge) = &self.edge {
            fields.insert("edge".to_owned(), edge.status());
        }
        status
    }
}
