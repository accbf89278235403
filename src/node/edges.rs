//! Asking every edge of a config, as a node asks another.

use config::{Config, NodeId, PopId, Secret};
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;

use crate::client::{self, Proof};

/// Edges asked at the same time.
const AT_ONCE: usize = 32;

/// What the edges of a config tell at a path of their `peer`, as it comes; those that do not answer, or with more than
/// `most` bytes, are left out. An edge is not trusted: what it tells is read aside, where probes do not wait for it, and
/// straight into what it should be.
pub(super) fn ask_edges<T: DeserializeOwned + Send + 'static>(
    config: &Config,
    key: &Secret,
    most: usize,
    path: impl Fn(&NodeId) -> String,
) -> impl Stream<Item = (NodeId, PopId, T)> {
    let asked = config.network.edges().filter_map(|(pop, edge)| {
        let address = config.network.peer_of(edge)?;
        let (edge, pop, path, proof) = (edge.id.clone(), pop.id.clone(), path(&edge.id), Proof::Fleet(key.clone()));
        Some(async move {
            let told = client::get_bytes(address, &path, &proof, most).await?;
            let read = tokio::task::spawn_blocking(move || serde_json::from_slice(&told).ok()).await;
            Some((edge, pop, read.ok()??))
        })
    });
    let asked: Vec<_> = asked.collect();
    futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).filter_map(|told| async { told })
}
