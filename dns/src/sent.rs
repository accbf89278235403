//! Where clients are sent, for very many of them: what an explanation tells, without the words.

use std::net::IpAddr;

use config::{NodeId, PopId};
use mapping::{COST_PER_MS, Chosen, Family, LEAST_SHARING, Wanted};

use crate::ecs::Asker;
use crate::query::Subnet;
use crate::view::View;

/// Where a client is sent for a site.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent<'v> {
    /// The PoP.
    pub pop: &'v PopId,
    /// What it costs, milliseconds of expected round trip.
    pub cost_ms: f64,
    /// Its edges for the site, all that answers turn through.
    pub edges: Vec<&'v NodeId>,
}

impl View {
    /// Where a client is sent; `None` where no PoP has an address for it. Load has moved nobody.
    #[must_use]
    pub fn sent(&self, site: usize, from: IpAddr) -> Option<Sent<'_>> {
        let routed = self.sites.get(site)?;
        let length = if from.is_ipv4() { 32 } else { 128 };
        let asker = Asker::new(Some(&Subnet { address: from, source: length, wire: Vec::new() }), from);
        let mapped = self.compiled.map.find(asker.address, asker.known_bits, routed.class)?;
        let answers = self.answers.max(LEAST_SHARING);
        let wanted = Wanted { site, hash: routed.hash, family: Family::V4, answers, turn: 0 };
        let choice = mapping::choose(&self.topology, &self.fitness.load(), mapped, None, wanted);
        let (Chosen::Edges { pop, edges } | Chosen::FailOpen { pop, edges }) = choice.chosen else { return None };
        // Beyond the list nothing is ranked: it costs more than its last.
        let ranked = &mapped.list.ranked;
        let cost = ranked.iter().find(|ranked| ranked.pop == pop).or(ranked.last())?.cost;
        Some(Sent {
            pop: self.pops.get(pop.as_usize())?,
            cost_ms: f64::from(cost) / COST_PER_MS,
            edges: edges.iter().filter_map(|edge| self.edges.get(*edge)).collect(),
        })
    }
}
