//! Telling an edge to drain, and finding out from whom clients may still be sent there.

use std::collections::BTreeSet;

use admin::{Drain, Refused};
use config::{AdminState, EdgeNode, Network, NodeId, Secret};
use serde_json::{Value, json};

use crate::asking::{Want, ask_all, way_to};
use crate::client::{self, AskError, Proof};
use crate::marker::{Running, running};

/// What a name server says of an edge that drains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It names it no more.
    Drained,
    /// It cannot be asked, and its probe was told.
    Told,
    /// It still names it.
    Named,
    /// It cannot be asked: why.
    Unknown(String),
}

impl Word {
    /// Whether it sends nobody there.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(self, Self::Drained | Self::Told)
    }
}

/// What is known of a drain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Every name server's word, in the config's order.
    pub(crate) words: Vec<(NodeId, Word)>,
    /// Whether there is another edge to name, as far as is known.
    pub(crate) others_serve: bool,
}

/// The edge of an id, or what is wrong with that.
pub(crate) fn edge_of<'n>(network: &'n Network, id: &str) -> Result<&'n EdgeNode, String> {
    if let Some((_, edge)) = network.edges().find(|(_, edge)| edge.id.as_str() == id) {
        return Ok(edge);
    }
    if network.name_servers.iter().any(|node| node.id.as_str() == id) {
        return Err(format!("`{id}` is a name server alone: resolvers ask another by themselves; it may be stopped"));
    }
    let known: Vec<&str> = network.edges().map(|(_, edge)| edge.id.as_str()).collect();
    Err(format!("there is no edge `{id}`; known: {}", known.join(", ")))
}

/// Tells an edge to ask for no new clients, or for clients again: where nodes reach each other, signed with the fleet's key;
/// without a key at its admin address, where it runs on this machine.
pub(crate) async fn tell(
    network: &Network,
    key: Option<&Secret>,
    edge: &EdgeNode,
    drain: Drain,
) -> Result<(), AskError> {
    let way = way_to(network, edge, key, &running(network), Want::Act);
    let (address, proof) = way.map_err(AskError::NobodyThere)?;
    let body = json!({ "edge": edge.id.as_str() }).to_string().into_bytes();
    client::post_json(address, drain.path(), body, &proof).await.map(drop)
}

/// As [`tell`], by an edge's id, for who asks by HTTP.
pub(crate) async fn drain_for(
    network: &Network,
    key: Option<&Secret>,
    id: &str,
    drain: Drain,
) -> Result<Value, Refused> {
    let edge = edge_of(network, id).map_err(Refused::Wrong)?;
    tell(network, key, edge, drain).await.map_err(|error| match error {
        AskError::Refused(why) => Refused::Wrong(why),
        AskError::Failed(why) | AskError::NobodyThere(why) => Refused::Unable(why),
    })?;
    Ok(json!({ "edge": id, "draining": drain == Drain::Begin }))
}

/// What every name server says of an edge, and what the edge says of them.
pub(crate) async fn look(network: &Network, key: Option<&Secret>, edge: &EdgeNode) -> Progress {
    let here = running(network);
    let asked = network.name_servers.iter().map(|node| {
        let here = here.iter().find(|running| running.id == node.id).cloned();
        async move { (node.id.clone(), status_of(network, key, node, here).await) }
    });
    let (told, statuses) = tokio::join!(told_by(network, key, edge, &here), ask_all(asked.collect()));
    let word = |id: &NodeId, status: &Result<Value, String>| match status {
        Ok(status) if is_drained(status, edge.id.as_str()) => Word::Drained,
        Ok(_) => Word::Named,
        Err(_) if told.contains(id.as_str()) => Word::Told,
        Err(why) => Word::Unknown(why.clone()),
    };
    let others_serve = match statuses.iter().find_map(|(_, status)| status.as_ref().ok()) {
        Some(status) => network.edges().any(|(_, other)| other.id != edge.id && serves(status, other.id.as_str())),
        None => network.edges().any(|(_, other)| other.id != edge.id && other.admin_state != AdminState::Drained),
    };
    Progress { words: statuses.iter().map(|(id, status)| (id.clone(), word(id, status))).collect(), others_serve }
}

/// A name server's status: at its admin address where it runs on this machine, else where nodes reach each other.
async fn status_of(
    network: &Network,
    key: Option<&Secret>,
    node: &config::NameServer,
    here: Option<Running>,
) -> Result<Value, String> {
    if let Some(here) = here {
        let told = client::fetch_json(here.marker.admin, "/node", network.admin.token.as_ref()).await;
        return told.map_err(|error| error.to_string());
    }
    let key = key.ok_or_else(|| "it does not run here, and there is no secrets/fleet.key".to_owned())?;
    let address = network.peer_of_name_server(node).ok_or_else(|| "it has no address".to_owned())?;
    let told = client::get_json(address, "/node", &Proof::Fleet(key.clone())).await;
    let status = told.map_err(|_| format!("it does not run here, and nobody answers at its `peer`, {address}"))?;
    // Two nodes of one machine may have the same `peer`.
    if status.get("id").and_then(Value::as_str) == Some(node.id.as_str()) {
        Ok(status)
    } else {
        Err(format!("another node answers at its `peer`, {address}"))
    }
}

/// The name servers whose probes an edge has told that it drains.
async fn told_by(network: &Network, key: Option<&Secret>, edge: &EdgeNode, here: &[Running]) -> BTreeSet<String> {
    let Ok((address, proof)) = way_to(network, edge, key, here, Want::Word) else { return BTreeSet::new() };
    let status = client::get_json(address, "/node", &proof).await.ok();
    let list = status.as_ref().and_then(|status| status.get("edge")?.get("told_of_draining")?.as_array());
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a name server says that it names an edge no more.
fn is_drained(status: &Value, edge: &str) -> bool {
    let edge = status.get("edges").and_then(|edges| edges.get(edge));
    edge.is_some_and(is_drained_there)
}

fn is_drained_there(edge: &Value) -> bool {
    let draining = edge.get("draining").and_then(Value::as_bool) == Some(true);
    draining || edge.get("admin_state").and_then(Value::as_str) == Some("drained")
}

/// Whether a name server may name an edge.
fn serves(status: &Value, edge: &str) -> bool {
    let Some(edge) = status.get("edges").and_then(|edges| edges.get(edge)) else { return false };
    let addresses = edge.get("addresses").and_then(Value::as_object);
    let is_up = addresses.is_some_and(|addresses| addresses.values().any(|verdict| verdict == "up"));
    is_up && !is_drained_there(edge) && edge.get("failing").and_then(Value::as_bool) != Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_s_word_is_read_from_its_status() {
        let status = json!({ "edges": {
            "up": { "addresses": { "192.0.2.1": "up" }, "admin_state": "judged", "draining": false, "failing": false },
            "draining": { "addresses": { "192.0.2.2": "up" }, "admin_state": "judged", "draining": true },
            "drained": { "addresses": { "192.0.2.3": "up" }, "admin_state": "drained" },
            "down": { "addresses": { "192.0.2.4": "down" }, "admin_state": "judged", "draining": false },
            "failing": { "addresses": { "192.0.2.5": "up" }, "admin_state": "judged", "failing": true },
        } });
        for (edge, drained, serving) in [
            ("up", false, true),
            ("draining", true, false),
            ("drained", true, false),
            ("down", false, false),
            ("failing", false, false),
            ("unknown", false, false),
        ] {
            assert_eq!((is_drained(&status, edge), serves(&status, edge)), (drained, serving), "{edge}");
        }
    }
}
