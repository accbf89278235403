//! What the nodes made of a changed config.

use std::time::{Duration, Instant};

use config::{Network, NodeId};
use fleet::ConfigVersion;
use serde_json::Value;

use crate::client;
use crate::marker::{Running, running};

/// Time for every node to take a config up: each builds its map anew.
const TAKEN: Duration = Duration::from_secs(5);

/// Waits until the nodes that ran before have the config that is wanted, and says it; or names those that have not.
pub(super) async fn collect(network: &Network, wanted: &ConfigVersion, had: &[NodeId]) -> String {
    let deadline = Instant::now() + TAKEN;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let nodes: Vec<Running> = running(network).into_iter().filter(|node| had.contains(&node.id)).collect();
        let (mut behind, mut version) = (Vec::new(), wanted.number);
        for node in &nodes {
            let status =
                client::fetch_json(node.marker.admin, "/node", network.admin.token.as_ref()).await.unwrap_or_default();
            let has = ConfigVersion::told(&status);
            if let Some(has) = has.filter(|has| is_taken(has, wanted)) {
                version = version.max(has.number);
            } else {
                let why = status.get("refused").and_then(Value::as_str).map(ToOwned::to_owned);
                behind.push((node.id.clone(), why));
            }
        }
        let waits = behind.iter().any(|(_, why)| why.is_none());
        if behind.is_empty() {
            return format!("config loaded by {} nodes: version {version}", nodes.len());
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

/// Whether a node has the config that is wanted. What it numbers it may be higher, by what it has served before; one of an
/// earlier release tells the number alone.
fn is_taken(has: &ConfigVersion, wanted: &ConfigVersion) -> bool {
    has.is_same(wanted) || (has.digest.is_none() && has.number > wanted.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_taken_by_whoever_has_its_files() {
        for (number, digest, expected) in [
            (9, Some("x"), true),
            (11, Some("x"), true),
            (5, Some("x"), true),
            (11, Some("y"), false),
            (9, Some("y"), false),
            (9, None, true),
            (11, None, true),
            (5, None, false),
        ] {
            let version =
                |number, digest: Option<&str>| ConfigVersion { number, digest: digest.map(ToOwned::to_owned) };
            let (has, wanted) = (version(number, digest), version(9, Some("x")));
            assert_eq!(is_taken(&has, &wanted), expected, "{has:?}");
        }
    }
}
