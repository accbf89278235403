//! Purging on every edge of a network, and who has acknowledged it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ::fleet::PurgeOrder;
use admin::{Purged, Reach, Refused};
use config::{AdminState, Network, NodeId, Secret};
use serde_json::{Value, json};

use crate::asking::{Want, ask_all, way_to};
use crate::client::{self, AskError, Proof};
use crate::marker::running;

/// What an edge said to a purge.
pub(crate) struct Receipt {
    pub(crate) edge: NodeId,
    /// No clients are sent to a drained edge: nobody waits for its word.
    pub(crate) is_drained: bool,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

/// Whether an edge has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has, at this position of its log.
    Acknowledged(u64),
    /// It will not: the order is wrong.
    Refused(String),
    /// It has not.
    Silent(String),
}

/// Purges on every edge: where nodes reach each other, signed with the fleet's key; without a key at the
/// admin addresses of those that run on this machine.
pub(crate) async fn purge_everywhere(network: &Network, key: Option<&Secret>, order: &PurgeOrder) -> Vec<Receipt> {
    let body = serde_json::to_vec(order).unwrap_or_default();
    let here = if key.is_some() { Vec::new() } else { running(network) };
    let told = network.edges().map(|(_, edge)| {
        let way = way_to(network, edge, key, &here, Want::Act);
        let is_drained = edge.admin_state == AdminState::Drained;
        let (edge, body) = (edge.id.clone(), body.clone());
        async move {
            let began = Instant::now();
            let outcome = match way {
                Ok((address, proof)) => tell(address, body, &proof).await,
                Err(why) => Outcome::Silent(why),
            };
            Receipt { edge, is_drained, outcome, took: began.elapsed() }
        }
    });
    ask_all(told.collect()).await
}

/// Purges on every edge for who may do so within a reach.
pub(crate) async fn purge_for(
    network: &Network,
    key: Option<&Secret>,
    mut order: PurgeOrder,
    reach: Reach,
) -> Result<Purged, Refused> {
    order.purges().map_err(Refused::Wrong)?;
    if let Reach::Site(site) = reach {
        let named = order.site.get_or_insert_with(|| site.to_string());
        if named.as_str() != site.as_str() {
            return Err(Refused::OtherSite(format!("this token may purge only the site `{site}`")));
        }
    }
    let told = purge_everywhere(network, key, &order).await;
    match refusal(&told) {
        Some(why) => Err(Refused::Wrong(why.to_owned())),
        None if !told.iter().any(Receipt::is_missing) => Ok(Purged::Done(receipts(&told))),
        None => Ok(Purged::InPart(receipts(&told))),
    }
}

async fn tell(address: SocketAddr, body: Vec<u8>, proof: &Proof) -> Outcome {
    match client::post_json(address, "/purge", body, proof).await {
        Ok(receipt) => match receipt.get("position").and_then(Value::as_u64) {
            Some(position) => Outcome::Acknowledged(position),
            None => Outcome::Silent(format!("{address} did not answer as an edge does")),
        },
        Err(AskError::Refused(why)) => Outcome::Refused(why),
        Err(AskError::Failed(why) | AskError::NobodyThere(why)) => Outcome::Silent(why),
    }
}

/// Receipts as JSON.
pub(crate) fn receipts(receipts: &[Receipt]) -> Value {
    let one = |receipt: &Receipt| {
        let (position, error) = match &receipt.outcome {
            Outcome::Acknowledged(position) => (Some(*position), None),
            Outcome::Refused(why) | Outcome::Silent(why) => (None, Some(why.clone())),
        };
        json!({ "edge": receipt.edge.as_str(), "position": position, "error": error, "ms": receipt.took.as_millis() })
    };
    let is_complete = !receipts.iter().any(Receipt::is_missing);
    json!({ "complete": is_complete, "edges": receipts.iter().map(one).collect::<Vec<_>>() })
}

impl Receipt {
    pub(crate) fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged(_))
    }

    /// Whether clients may still get what it should have purged.
    pub(crate) fn is_missing(&self) -> bool {
        !self.is_acknowledged() && !self.is_drained
    }
}

/// Why nothing was purged at all, where the order itself is to blame.
pub(crate) fn refusal(receipts: &[Receipt]) -> Option<&str> {
    if receipts.iter().any(Receipt::is_acknowledged) {
        return None;
    }
    receipts.iter().find_map(|receipt| match &receipt.outcome {
        Outcome::Refused(why) => Some(why.as_str()),
        Outcome::Acknowledged(_) | Outcome::Silent(_) => None,
    })
}
