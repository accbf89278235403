//! Asking every node of a fleet what it tells, again and again: what comes of it goes to [`admin::Gathering`].

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use admin::{Gathering, Ground, Heard, Overview, Sample};
use config::{EdgeNode, NameServer, Network, NodeId, Secret, Site, limits};
use fleet::wall_clock_ms;

use crate::asking::ask_so_many;
use crate::client::{self, Proof};
use crate::marker::running;

/// Where a node is asked.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// There, showing this.
    At(SocketAddr, Proof),
    /// Nowhere: it does not run on this machine; whether it ever has.
    NotRunning { ran_here: bool },
    /// Nowhere: why.
    Nowhere(String),
}

/// What a config says of the fleet, for who gathers.
pub(crate) fn ground(by: &str, dir: &Path, network: &Network, sites: &[Site]) -> Ground {
    let hosts = |site: &Site| site.hosts.iter().map(ToString::to_string).collect();
    Ground {
        by: by.to_owned(),
        directory: dir.display().to_string(),
        network: network.clone(),
        sites: sites.iter().map(|site| (site.id.to_string(), hosts(site))).collect(),
    }
}

/// The nodes of this machine, each at its admin address.
pub(crate) fn here(network: &Network) -> Vec<(NodeId, Way)> {
    let running = running(network);
    let proof = Proof::of(network.admin.token.as_ref());
    let ran_here = |id: &NodeId| network.state.join(id.as_str()).is_dir();
    let way = |id: NodeId| match running.iter().find(|node| node.id == id) {
        Some(node) => (id, Way::At(node.marker.admin, proof.clone())),
        None => {
            let ran_here = ran_here(&id);
            (id, Way::NotRunning { ran_here })
        }
    };
    network.node_ids().into_iter().map(way).collect()
}

/// Every node where nodes reach each other.
pub(crate) fn everywhere(network: &Network, key: &Secret) -> Vec<(NodeId, Way)> {
    let edges: HashMap<&NodeId, &EdgeNode> = network.edges().map(|(_, edge)| (&edge.id, edge)).collect();
    let name_servers: HashMap<&NodeId, &NameServer> =
        network.name_servers.iter().map(|node| (&node.id, node)).collect();
    let way = |id: NodeId| {
        let edge = edges.get(&id).and_then(|edge| network.peer_of(edge));
        let name_server = || name_servers.get(&id).and_then(|node| network.peer_of_name_server(node));
        match edge.or_else(name_server) {
            Some(address) => (id, Way::At(address, Proof::Fleet(key.clone()))),
            None => (id, Way::Nowhere("it has no `peer`".to_owned())),
        }
    };
    network.node_ids().into_iter().map(way).collect()
}

/// Asks every node once; each has [`limits::GATHER_TIME`]. Those that were silent the last time are asked beside the others,
/// who wait for none of them.
pub(crate) async fn ask(nodes: Vec<(NodeId, Way)>, silent: &HashSet<String>) -> Vec<(String, Heard)> {
    let (late, quick): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|(id, _)| silent.contains(id.as_str()));
    let (late, mut heard) =
        tokio::join!(ask_each(late, limits::GATHER_SILENT_AT_ONCE), ask_each(quick, limits::ASKED_AT_ONCE));
    heard.extend(late);
    heard
}

async fn ask_each(nodes: Vec<(NodeId, Way)>, at_once: usize) -> Vec<(String, Heard)> {
    let asked = nodes.into_iter().map(|(id, way)| async move {
        let heard = match way {
            Way::At(address, proof) => ask_one(address, &proof).await,
            Way::NotRunning { ran_here } => Heard::NotRunning { ran_here },
            Way::Nowhere(why) => Heard::Silent(why),
        };
        (id.to_string(), heard)
    });
    ask_so_many(asked.collect(), at_once).await
}

async fn ask_one(address: SocketAddr, proof: &Proof) -> Heard {
    let asked = client::ask_bytes(address, "/sample", proof, limits::GATHER_BYTES);
    let told = match tokio::time::timeout(limits::GATHER_TIME, asked).await {
        Ok(Ok(told)) => told,
        Ok(Err(why)) => return Heard::Silent(why),
        Err(_) => return Heard::Silent(format!("{address} does not answer")),
    };
    // A large one must not keep others waiting.
    let read = tokio::task::spawn_blocking(move || serde_json::from_slice::<Sample>(&told)).await;
    match read {
        Ok(Ok(sample)) => Heard::Told(Box::new(sample)),
        Ok(Err(error)) => Heard::Silent(format!("{address} answers what is not understood: {error}")),
        Err(error) => Heard::Silent(error.to_string()),
    }
}

/// Asks every node once and lets that be known; how long until the next time.
pub(crate) async fn round(gathering: &Arc<Gathering>, nodes: Vec<(NodeId, Way)>) -> Duration {
    let count = nodes.len();
    let heard = ask(nodes, &gathering.silent()).await;
    let taken = Arc::clone(gathering);
    // Ten thousand edges take a while to be put together.
    let _ = tokio::task::spawn_blocking(move || taken.take(heard, wall_clock_ms())).await;
    every(count)
}

/// As a fleet is seen by who asks its nodes but once.
pub(crate) async fn once(ground: Ground, nodes: Vec<(NodeId, Way)>) -> Arc<Overview> {
    let gathering = Gathering::new(ground, wall_clock_ms());
    gathering.take(ask(nodes, &HashSet::new()).await, wall_clock_ms());
    gathering.overview()
}

/// How often so many nodes are asked.
fn every(nodes: usize) -> Duration {
    let times = u32::try_from(nodes.div_ceil(500)).unwrap_or(u32::MAX).max(1);
    limits::GATHER_EVERY.saturating_mul(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_fleets_are_asked_less_often() {
        for (nodes, ms) in [(0, 500), (26, 500), (500, 500), (501, 1_000), (10_000, 10_000)] {
            assert_eq!(every(nodes), Duration::from_millis(ms), "{nodes}");
        }
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_silent_and_says_why() {
        let id = |id: &str| NodeId::parse(id).unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let nodes = vec![
            (id("a"), Way::At(address, Proof::None)),
            (id("b"), Way::NotRunning { ran_here: true }),
            (id("c"), Way::Nowhere("it has no `peer`".to_owned())),
        ];
        let mut heard = ask(nodes, &HashSet::new()).await;
        heard.sort_by(|a, b| a.0.cmp(&b.0));
        let words: Vec<String> = heard.iter().map(|(_, heard)| format!("{heard:?}")).collect();
        assert!(words[0].starts_with("Silent(\"127.0.0.1:") && words[0].contains("refused"), "{words:?}");
        assert_eq!(words[1..], ["NotRunning { ran_here: true }", "Silent(\"it has no `peer`\")"]);
    }

    #[tokio::test]
    async fn many_that_are_silent_keep_nobody_waiting() {
        // It takes connections, and says nothing.
        let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = mute.local_addr().unwrap();
        let node = |number: usize| (NodeId::parse(&format!("n{number}")).unwrap(), Way::At(address, Proof::None));
        let count = 2 * limits::ASKED_AT_ONCE + 1;
        let silent: HashSet<String> = (0..count).map(|number| format!("n{number}")).collect();
        let start = std::time::Instant::now();
        let heard = ask((0..count).map(node).collect(), &silent).await;
        let took = start.elapsed();
        assert!(heard.iter().all(|(_, heard)| matches!(heard, Heard::Silent(_))) && heard.len() == count);
        assert!(took < 2 * limits::GATHER_TIME, "{took:?}");
    }
}
