//! What changes between two maps for the same queries. Pure: who is sent where comes in.

use std::collections::{BTreeMap, HashSet};

use config::{NodeId, PopId};
use dns::Sent;
use serde::Serialize;

use super::queries::Query;

/// What changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Change {
    /// Share of queries that go to another PoP, of those that are answered before and after.
    pub(crate) moved: f64,
    /// Share of queries that get no address before, after.
    pub(crate) unanswered: (f64, f64),
    /// Expected round trip before, after, of those that are answered before and after.
    pub(crate) cost_ms: (Costs, Costs),
    /// Share of queries whose edge answered none for their site before.
    pub(crate) cold: f64,
    /// Share of queries by PoP: before, after.
    pub(crate) pops: BTreeMap<PopId, (f64, f64)>,
}

/// Expected round trips, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Costs {
    pub(crate) mean: f64,
    pub(crate) p95: f64,
}

/// Compares where queries are sent by two maps.
pub(crate) fn compare<'v>(
    queries: &[Query],
    before: impl Fn(&Query) -> Option<Sent<'v>>,
    after: impl Fn(&Query) -> Option<Sent<'v>>,
) -> Change {
    let sent: Vec<(&Query, Option<Sent<'v>>, Option<Sent<'v>>)> =
        queries.iter().map(|query| (query, before(query), after(query))).collect();
    let warm: HashSet<(usize, &NodeId)> = sent
        .iter()
        .flat_map(|(query, before, _)| before.iter().flat_map(|sent| &sent.edges).map(|edge| (query.asked, *edge)))
        .collect();
    let mut change =
        Change { moved: 0.0, unanswered: (0.0, 0.0), cost_ms: Default::default(), cold: 0.0, pops: BTreeMap::new() };
    let (mut both, mut costs) = (0.0, (Vec::new(), Vec::new()));
    for (query, before, after) in &sent {
        let weight = query.weight;
        match before {
            Some(sent) => change.pops.entry(sent.pop.clone()).or_default().0 += weight,
            None => change.unanswered.0 += weight,
        }
        match after {
            Some(sent) => {
                change.pops.entry(sent.pop.clone()).or_default().1 += weight;
                let cold = sent.edges.iter().filter(|edge| !warm.contains(&(query.asked, **edge))).count();
                #[expect(clippy::cast_precision_loss, reason = "edges of one answer are few")]
                let cold = cold as f64 / sent.edges.len().max(1) as f64;
                change.cold += weight * cold;
            }
            None => change.unanswered.1 += weight,
        }
        if let (Some(before), Some(after)) = (before, after) {
            both += weight;
            change.moved += if before.pop == after.pop { 0.0 } else { weight };
            costs.0.push((before.cost_ms, weight));
            costs.1.push((after.cost_ms, weight));
        }
    }
    let all: f64 = queries.iter().map(|query| query.weight).sum();
    for part in [&mut change.cold, &mut change.unanswered.0, &mut change.unanswered.1] {
        *part = share(*part, all);
    }
    change.pops.values_mut().for_each(|(before, after)| (*before, *after) = (share(*before, all), share(*after, all)));
    change.moved = share(change.moved, both);
    change.cost_ms = (Costs::of(costs.0), Costs::of(costs.1));
    change
}

fn share(part: f64, all: f64) -> f64 {
    if all > 0.0 { part / all } else { 0.0 }
}

impl Costs {
    fn of(mut costs: Vec<(f64, f64)>) -> Self {
        let all: f64 = costs.iter().map(|(_, weight)| weight).sum();
        if all <= 0.0 {
            return Self::default();
        }
        let mean = costs.iter().map(|(cost, weight)| cost * weight).sum::<f64>() / all;
        costs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut below = 0.0;
        let p95 = costs.iter().find(|(_, weight)| {
            below += weight;
            below >= 0.95 * all
        });
        Self { mean, p95: p95.or(costs.last()).map_or(0.0, |(cost, _)| *cost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_cold_and_costs_are_shares_of_queries() {
        let pops = ["fra", "syd"].map(|id| PopId::parse(id).unwrap());
        let edges = ["fra-1", "fra-2", "syd-1"].map(|id| NodeId::parse(id).unwrap());
        let sent = |pop: usize, cost_ms, on: &[usize]| {
            Some(Sent { pop: &pops[pop], cost_ms, edges: on.iter().map(|edge| &edges[*edge]).collect() })
        };
        let query = |asked, weight| Query { asked, from: [192, 0, 2, 1].into(), weight };
        // Three of the first site stay, one of it moves; four of the second get another edge beside theirs; two
        // have no address any more.
        let queries = [query(0, 3.0), query(0, 1.0), query(1, 4.0), query(2, 2.0)];
        let place = |query: &Query| queries.iter().position(|other| other == query).unwrap();
        let before = |query: &Query| match place(query) {
            2 => sent(0, 20.0, &[0]),
            _ => sent(0, 10.0, &[0, 1]),
        };
        let after = |query: &Query| match place(query) {
            0 => sent(0, 10.0, &[0, 1]),
            1 => sent(1, 30.0, &[2]),
            2 => sent(0, 20.0, &[0, 1]),
            _ => None,
        };
        let change = compare(&queries, before, after);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(change.moved, 1.0 / 8.0) && near(change.unanswered.0, 0.0) && near(change.unanswered.1, 0.2));
        assert!(near(change.cold, (1.0 + 2.0) / 10.0), "{}", change.cold);
        let costs = change.cost_ms;
        assert!(near(costs.0.mean, (4.0 * 10.0 + 4.0 * 20.0) / 8.0) && near(costs.0.p95, 20.0));
        assert!(near(costs.1.mean, (30.0 + 30.0 + 80.0) / 8.0) && near(costs.1.p95, 30.0));
        let of = |pop: usize| change.pops[&pops[pop]];
        assert!(near(of(0).0, 1.0) && near(of(0).1, 0.7) && near(of(1).0, 0.0) && near(of(1).1, 0.1));
        let same = compare(&queries, before, before);
        assert!(near(same.moved, 0.0) && near(same.cold, 0.0) && same.cost_ms.0 == same.cost_ms.1);
    }

    #[test]
    fn no_queries_are_no_change() {
        let change = compare(&[], |_| None, |_| None);
        assert_eq!((change.moved, change.cost_ms.0, change.pops.len()), (0.0, Costs::default(), 0));
    }
}
