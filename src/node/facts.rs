//! What a node's admin address tells.

use std::net::IpAddr;
use std::sync::Arc;

use admin::{Facts, Told};
use config::Secret;
use mapping::Family;
use serde_json::{Value, json};

use super::{Node, lock};

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

    fn token(&self) -> Option<Secret> {
        self.0.config.load().as_ref().and_then(|config| config.network.admin.token.clone())
    }

    fn metrics(&self) -> Told<String> {
        if let Some(edge) = &self.0.edge {
            edge.note_store();
        }
        let text = self.0.metrics.text();
        Box::pin(async move { text })
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
        if let Some(edge) = &self.edge {
            fields.insert("edge".to_owned(), edge.status());
        }
        status
    }
}
