//! The cheapest placement there is: the transport problem as a linear programme.

use microlp::{ComparisonOp, OptimizationDirection, Problem};

use crate::world::World;

/// The least mean cost in milliseconds at which no PoP exceeds a share of its capacity, units cut at will;
/// `None` where the demand has no room.
pub(crate) fn least_cost_ms(world: &World, demand: &[f64], capacity: &[f64], filled: f64) -> Option<f64> {
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let all: f64 = demand.iter().sum();
    let mut loads = vec![Vec::new(); capacity.len()];
    for (list, demand) in world.lists.iter().zip(demand) {
        let share = demand / all;
        let mut parts = Vec::new();
        for ranked in list {
            let cost = share * f64::from(ranked.cost) / mapping::COST_PER_MS;
            let part = problem.add_var(cost, (0.0, f64::INFINITY));
            parts.push((part, 1.0));
            loads[ranked.pop.as_usize()].push((part, 1e3 * share));
        }
        problem.add_constraint(&parts, ComparisonOp::Eq, 1.0);
    }
    for (load, capacity) in loads.iter().zip(capacity) {
        problem.add_constraint(load, ComparisonOp::Le, 1e3 * filled * capacity / all);
    }
    Some(problem.solve().ok()?.into_solution().ok()?.objective())
}
