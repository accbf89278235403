//! What the fleet's admin address tells: every node's facts, gathered.

use std::net::IpAddr;
use std::path::PathBuf;

use admin::{Facts, Told};
use config::Config;
use serde_json::{Value, json};

use crate::client;
use crate::node::{Running, running};

/// The facts of every node of a directory.
pub(crate) struct FleetFacts {
    dir: PathBuf,
    config: Config,
}

impl FleetFacts {
    pub(crate) fn new(dir: PathBuf, config: Config) -> Self {
        Self { dir, config }
    }

    /// The config as it is now, or as it last was good.
    fn config(&self) -> Config {
        config::load(&self.dir).map_or_else(|_| self.config.clone(), |loaded| loaded.config)
    }
}

impl Facts for FleetFacts {
    fn status(&self) -> Told<Value> {
        let (config, dir) = (self.config(), self.dir.clone());
        Box::pin(async move {
            let nodes = running(&config);
            let mut asked = Vec::new();
            for node in &nodes {
                asked.push(tokio::spawn(client::fetch_json(node.marker.admin, "/status")));
            }
            let mut told = Vec::new();
            for answer in asked {
                told.extend(answer.await.ok().and_then(Result::ok));
            }
            let missing = config.network.node_ids().into_iter().filter(|id| !nodes.iter().any(|node| node.id == *id));
            told.extend(missing.map(|id| json!({ "id": id.as_str() })));
            json!({ "directory": dir.display().to_string(), "nodes": told })
        })
    }

    fn explain(&self, name: String, from: IpAddr) -> Told<Result<Value, String>> {
        let config = self.config();
        Box::pin(async move {
            let servers = running(&config).into_iter().filter(|node| is_name_server(&config, node));
            let mut failed = "no name server is running".to_owned();
            for node in servers {
                match client::fetch_json(node.marker.admin, &format!("/explain?name={name}&from={from}")).await {
                    Ok(value) => return Ok(value),
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        })
    }

    /// Each node's series under its name, as comments would not be scraped: one address a node.
    fn metrics(&self) -> Told<String> {
        let config = self.config();
        Box::pin(async move {
            let mut out = String::from("# Each node has its own series:\n");
            for node in running(&config) {
                out.push_str(&format!("#   {}  http://{}/metrics\n", node.id, node.marker.admin));
            }
            out
        })
    }
}

fn is_name_server(config: &Config, node: &Running) -> bool {
    config.network.node(&node.id).is_some_and(|node| node.name_server.is_some())
}
