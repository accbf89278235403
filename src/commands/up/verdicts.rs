//! What the nodes made of a changed config.

use std::time::{Duration, Instant};

use config::{Config, NodeId};
use serde_json::Value;

use crate::client;
use crate::marker::{Running, running};

/// Time for every node to take a config up: each builds its map anew.
const TAKEN: Duration = Duration::from_secs(5);

/// Waits until the nodes that ran before have the config, and says it; or names those that have not.
pub(super) async fn collect(config: &Config, had: &[NodeId]) -> String {
    let deadline = Instant::now() + TAKEN;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let nodes: Vec<Running> = running(&config.network).into_iter().filter(|node| had.contains(&node.id)).collect();
        let mut behind = Vec::new();
        for node in &nodes {
            let status = client::fetch_json(node.marker.admin, "/node", config.network.admin.token.as_ref())
                .await
                .unwrap_or_default();
            if status.get("config_version").and_then(Value::as_u64) < Some(config.version) {
                let why = status.get("refused").and_then(Value::as_str).map(ToOwned::to_owned);
                behind.push((node.id.clone(), why));
            }
        }
        let waits = behind.iter().any(|(_, why)| why.is_none());
        if behind.is_empty() {
            return format!("config loaded by {} nodes: version {}", nodes.len(), config.version);
        }
        if !waits || Instant::now() > deadline {
            let told = behind.iter().map(|(id, why)| {
                let why = why.as_deref().unwrap_or("it does not answer in time");
                format!("{id} keeps the config before: {why}")
            });
            return told.collect::<Vec<_>>().join("\n");
        }
    }
}
