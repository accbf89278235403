//! Edges measure each other: each visits edges of the other PoPs in turn, which read the round trip as of any client.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::{Network, NodeId, limits};

use super::Node;

/// How soon after its start an edge sets out.
const SOON: Duration = Duration::from_secs(5);

/// Visits for as long as the node runs: every other PoP once a minute, or one a second where there are more than sixty.
pub(crate) async fn follow(node: Arc<Node>) {
    let mut turn = 0;
    let mut pause = SOON;
    loop {
        tokio::time::sleep(pause).await;
        pause = limits::LATENCY_ASKED;
        let Some(config) = node.config.load_full() else { continue };
        let Some(visit) = next(&config.network, &node.id, turn) else { continue };
        turn += 1;
        pause /= visit.in_a_minute;
        fleet::visit(visit.from, visit.to, config.network.health.timeout).await;
    }
}

/// A visit to be made.
#[derive(Debug, PartialEq)]
struct Visit {
    from: IpAddr,
    to: SocketAddr,
    in_a_minute: u32,
}

/// The visit whose turn it is: PoP after PoP, and at each round another edge of it.
fn next(network: &Network, own: &NodeId, turn: usize) -> Option<Visit> {
    let (own_pop, own_edge) = network.edges().find(|(_, edge)| edge.id == *own)?;
    let others: Vec<_> = network.pops.iter().filter(|pop| pop.id != own_pop.id).collect();
    let pop = others.get(turn.checked_rem(others.len())?)?;
    let edge = pop.edges.get((turn / others.len()).checked_rem(pop.edges.len())?)?;
    let from = *own_edge.addresses.all().first()?;
    let to = edge.addresses.all().iter().find(|to| to.is_ipv4() == from.is_ipv4())?;
    let in_a_minute = u32::try_from(others.len()).unwrap_or(u32::MAX).min(60);
    Some(Visit { from, to: SocketAddr::new(*to, network.probe_port(edge)), in_a_minute })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_of_every_other_pop_has_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let pop = |id: &str, edges: &[u8]| {
            let edge = |last: &u8| format!("[[pop.edge]]\nid = \"{id}-{last}\"\naddresses = [\"192.0.2.{last}\"]\n");
            format!("[[pop]]\nid = \"{id}\"\nlocation = [0, 0]\n{}", edges.iter().map(edge).collect::<String>())
        };
        let pops = [pop("a", &[1]), pop("b", &[2, 3]), pop("c", &[4])].concat();
        let server = "[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n";
        std::fs::write(dir.path().join("hither.toml"), format!("zone = \"cdn.example\"\n{server}{pops}")).unwrap();
        let network = config::load(dir.path()).unwrap().config.network;
        let id = |id: &str| NodeId::parse(id).unwrap();
        let visited: Vec<String> =
            (0..5).map(|turn| next(&network, &id("a-1"), turn).unwrap().to.to_string()).collect();
        assert_eq!(visited, ["192.0.2.2:80", "192.0.2.4:80", "192.0.2.3:80", "192.0.2.4:80", "192.0.2.2:80"]);
        assert_eq!(next(&network, &id("a-1"), 0).unwrap().in_a_minute, 2);
        assert_eq!(next(&network, &id("ns1"), 0), None);
    }
}
