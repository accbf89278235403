//! What health leaves of the PoPs' capacity.

use super::rate::Rate;
use super::state::{Admission, PopStatus};
use crate::address::Family;
use crate::fitness::Fitness;
use crate::topology::{EdgeIndex, Topology};

/// What each PoP can carry, by its index: the capacity of its edges that are up in any family,
/// neither drained nor failing. A PoP all of whose edges are drained takes nobody; one all of whose edges are forced
/// keeps everybody.
#[must_use]
pub fn statuses(topology: &Topology, fitness: &Fitness) -> Vec<PopStatus> {
    let carries = |edge: &EdgeIndex| {
        let is_up = [Family::V4, Family::V6].into_iter().any(|family| fitness.is_up(*edge, family));
        is_up && !fitness.is_drained(*edge) && !fitness.is_failing(*edge)
    };
    let pops = topology.pops.iter().map(|pop| {
        let edges = pop.edges.clone().filter(carries).filter_map(|edge| topology.edges.get(edge));
        #[expect(clippy::cast_precision_loss, reason = "a capacity needs no more")]
        let capacity = edges.map(|edge| edge.capacity as f64).sum();
        let all = |is: fn(&Fitness, EdgeIndex) -> bool| pop.edges.clone().all(|edge| is(fitness, edge));
        let admission = match pop.edges.is_empty() {
            false if all(Fitness::is_drained) => Admission::Drained,
            false if all(Fitness::is_forced) => Admission::Forced,
            _ => Admission::Free,
        };
        PopStatus { capacity: Rate::parse(capacity).unwrap_or_default(), admission }
    });
    pops.collect()
}
