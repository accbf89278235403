//! What a node's admin address tells.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ::edge::PurgeError;
use ::fleet::latency::{Handover, Since};
use ::fleet::{Demand, PurgeOrder};
use admin::{Asked, Drain, Facts, Keys, Purged, Reach, Refused, Told};
use config::{Config, SiteId};
use mapping::Family;
use serde_json::{Value, json};

use super::{Node, certificates, gauges, latency, lock};
use crate::days::Wanted;

/// A node's facts.
pub(crate) struct NodeFacts(pub(crate) Arc<Node>);

impl Facts for NodeFacts {
    fn status(&self) -> Told<Value> {
        let status = self.0.status();
        Box::pin(async move { status })
    }

    fn explain(&self, name: String, from: IpAddr) -> Told<Result<Value, String>> {
        let answers = self.0.name_server.as_ref().and_then(|name_server| name_server.answers.load_full());
        let explained = match answers {
            Some(answers) => answers.view.explain(&name, from, Family::V4),
            None => Err("this node is no name server".to_owned()),
        };
        let value =
            explained.and_then(|explanation| serde_json::to_value(explanation).map_err(|error| error.to_string()));
        Box::pin(async move { value })
    }

    fn purge(&self, order: PurgeOrder, reach: Reach) -> Told<Result<Purged, Refused>> {
        let (edge, id) = (self.0.edge.clone(), self.0.id.clone());
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
        let (shared, id) = (self.0.edge.clone(), self.0.id.clone());
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
        self.0.collector.as_ref().map(|collector| collector.hand_over(since))
    }

    fn latency(&self) -> Told<Option<Value>> {
        let node = Arc::clone(&self.0);
        Box::pin(async move { latency::stats(&node).await })
    }

    fn latency_csv(&self) -> Told<Option<String>> {
        let node = Arc::clone(&self.0);
        Box::pin(async move { latency::csv(&node).await })
    }

    fn demand(&self) -> Option<Demand> {
        self.0.edge.as_ref().map(|edge| edge.demand.demand())
    }

    fn certificates(&self, known: String) -> Option<Value> {
        let config = self.0.config.load_full()?;
        self.0.holding.tell(config.fleet_key.as_ref()?, &known)
    }

    fn challenge(&self, challenge: Value) -> Result<(), String> {
        let challenge = serde_json::from_value(challenge).map_err(|error| error.to_string())?;
        let is_taken = self.0.holding.challenges.add(challenge, SystemTime::now());
        if is_taken { Ok(()) } else { Err("too many are ready already".to_owned()) }
    }

    fn keys(&self) -> Keys {
        self.0.config.load().as_ref().map(|config| keys(config)).unwrap_or_default()
    }

    fn report(&self, asked: Asked) -> Told<Result<Value, Refused>> {
        let edge = self.0.edge.clone();
        Box::pin(async move {
            let edge = edge.ok_or_else(|| Refused::Wrong("this node is no edge".to_owned()))?;
            let Wanted { from, to, site } = Wanted::of(&asked).map_err(Refused::Wrong)?;
            let told =
                tokio::task::spawn_blocking(move || edge.report_days(from, to, site.as_ref().map(SiteId::as_str)));
            told.await.map_err(|error| Refused::Unable(error.to_string()))
        })
    }

    fn metrics(&self) -> Told<String> {
        gauges::note(&self.0);
        let text = self.0.metrics.text();
        Box::pin(async move { text })
    }
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
    /// The node's part of `hither status`.
    fn status(&self) -> Value {
        let mut status = json!({
            "id": self.id.as_str(),
            "directory": self.dir.display().to_string(),
            "pid": std::process::id(),
            "uptime_s": self.started.elapsed().as_secs(),
            "config_version": self.version(),
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
