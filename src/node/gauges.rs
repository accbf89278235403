//! What is looked up when somebody reads the metrics.

use fleet::Verdict;

use super::{Node, lock};

/// Sets what nothing sets as it happens.
pub(super) fn note(node: &Node) {
    if let Some(edge) = &node.edge {
        edge.note_store();
    }
    node.metrics.config_refused.set(i64::from(node.refused.load().is_some()));
    let (Some(name_server), Some(config)) = (&node.name_server, node.config.load_full()) else {
        return;
    };
    let states = lock(&name_server.watch).states();
    let is_up = |edge: &&config::EdgeNode| {
        states.get(&edge.id).is_some_and(|state| state.addresses.values().any(|verdict| *verdict == Verdict::Up))
    };
    for pop in &config.network.pops {
        let up = i64::try_from(pop.edges.iter().filter(is_up).count()).unwrap_or(i64::MAX);
        node.metrics.pop_edges_up.with_label_values(&[pop.id.as_str()]).set(up);
    }
}
