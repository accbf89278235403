//! Asking many nodes at the same time, and where an edge is asked.

use std::net::SocketAddr;

use config::{EdgeNode, Network, Secret, limits};
use futures_util::StreamExt;

use crate::client::Proof;
use crate::marker::Running;

/// What is wanted of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// That it tells something: on its own machine nobody has to show a token.
    Word,
    /// That it does something.
    Act,
}

/// Where an edge is asked, and what it is shown: where nodes reach each other, signed with the fleet's key; without a key
/// at its admin address, where it is one of those that run `here`.
///
/// # Errors
/// Why it cannot be asked.
pub(crate) fn way_to(
    network: &Network,
    edge: &EdgeNode,
    key: Option<&Secret>,
    here: &[Running],
    want: Want,
) -> Result<(SocketAddr, Proof), String> {
    if let Some(key) = key {
        let address = network.peer_of(edge).ok_or_else(|| "it has no address".to_owned())?;
        return Ok((address, Proof::Fleet(key.clone())));
    }
    let node = here.iter().find(|node| node.id == edge.id);
    let node = node.ok_or_else(|| "there is no secrets/fleet.key, and it does not run here".to_owned())?;
    match Proof::of(network.admin.token.as_ref()) {
        Proof::None if want == Want::Act => Err("there is neither secrets/fleet.key nor an `[admin] token`".to_owned()),
        proof => Ok((node.marker.admin, proof)),
    }
}

/// What comes of asking each, in their order; [`limits::ASKED_AT_ONCE`] are asked at the same time.
pub(crate) async fn ask_all<F: Future>(asked: Vec<F>) -> Vec<F::Output> {
    ask_so_many(asked, limits::ASKED_AT_ONCE).await
}

/// The same, of so many at the same time. One that is slow keeps none waiting.
pub(crate) async fn ask_so_many<F: Future>(asked: Vec<F>, at_once: usize) -> Vec<F::Output> {
    let numbered = asked.into_iter().enumerate().map(|(number, asked)| async move { (number, asked.await) });
    let told = futures_util::stream::iter(numbered).buffer_unordered(at_once);
    let mut told: Vec<(usize, F::Output)> = told.collect().await;
    told.sort_unstable_by_key(|(number, _)| *number);
    told.into_iter().map(|(_, told)| told).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_comes_late_stands_in_its_place() {
        let asked = [40, 1, 20].map(|ms| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            ms
        });
        assert_eq!(ask_all(Vec::from(asked)).await, [40, 1, 20]);
    }
}
