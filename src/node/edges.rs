//! Asking every edge of a config, as a node asks another.

use config::{Config, NodeId, PopId, Secret};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::client::{self, Proof};

/// Edges asked at the same time.
const AT_ONCE: usize = 32;

/// What the edges of a config tell at a path of their `peer`; those that do not answer are left out.
pub(super) async fn ask_edges<T: DeserializeOwned>(
    config: &Config,
    key: &Secret,
    path: impl Fn(&NodeId) -> String,
) -> Vec<(NodeId, PopId, T)> {
    let asked = config.network.edges().filter_map(|(pop, edge)| {
        let address = config.network.peer_of(edge)?;
        let (edge, pop, path, proof) = (edge.id.clone(), pop.id.clone(), path(&edge.id), Proof::Fleet(key.clone()));
        Some(async move {
            let told = client::get_json(address, &path, &proof).await.ok()?;
            Some((edge, pop, serde_json::from_value(told).ok()?))
        })
    });
    let asked: Vec<_> = asked.collect();
    futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).filter_map(|told| async { told }).collect().await
}
