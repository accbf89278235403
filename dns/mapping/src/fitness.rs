//! Which edges may be named now.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use crate::address::Family;
use crate::topology::EdgeIndex;

/// What health, drain and site digests say of every edge, as bits. Swapped whole on a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fitness {
    up: [FixedBitSet; 2],
    drained: FixedBitSet,
    forced: FixedBitSet,
    failing: FixedBitSet,
    changing: FixedBitSet,
    /// By site: edges that do not have it yet. Empty but for moments after a site was added.
    missing: BTreeMap<usize, FixedBitSet>,
}

impl Fitness {
    /// All of `edges` edges up and settled: how it starts without saved state.
    #[must_use]
    pub fn all_up(edges: usize) -> Self {
        let full = || {
            let mut bits = FixedBitSet::with_capacity(edges);
            bits.insert_range(..);
            bits
        };
        Self {
            up: [full(), full()],
            drained: FixedBitSet::with_capacity(edges),
            forced: FixedBitSet::with_capacity(edges),
            failing: FixedBitSet::with_capacity(edges),
            changing: FixedBitSet::with_capacity(edges),
            missing: BTreeMap::new(),
        }
    }

    /// Notes that an edge's addresses of one family do not answer. Edges beyond the size are ignored.
    pub fn mark_down(&mut self, edge: EdgeIndex, family: Family) {
        let bits = match family {
            Family::V4 => &mut self.up[0],
            Family::V6 => &mut self.up[1],
        };
        if edge < bits.len() {
            bits.remove(edge);
        }
    }

    /// Notes that the edge takes no new clients by the operator's word.
    pub fn mark_drained(&mut self, edge: EdgeIndex) {
        if edge < self.drained.len() {
            self.drained.insert(edge);
        }
    }

    /// Notes that the edge is up by the operator's word, whatever else is noted of it.
    pub fn mark_forced(&mut self, edge: EdgeIndex) {
        if edge < self.forced.len() {
            self.forced.insert(edge);
        }
    }

    /// Notes that the edge's answers fail, though its probes pass.
    pub fn mark_failing(&mut self, edge: EdgeIndex) {
        if edge < self.failing.len() {
            self.failing.insert(edge);
        }
    }

    /// Notes that the verdict is about to change: a failure counted, a recovery under way.
    pub fn mark_changing(&mut self, edge: EdgeIndex) {
        if edge < self.changing.len() {
            self.changing.insert(edge);
        }
    }

    /// Notes that the edge does not have the site (by its place in the config) yet.
    pub fn mark_missing(&mut self, edge: EdgeIndex, site: usize) {
        let edges = self.changing.len();
        let missing = self.missing.entry(site).or_insert_with(|| FixedBitSet::with_capacity(edges));
        if edge < edges {
            missing.insert(edge);
        }
    }

    /// Whether the edge has the site.
    #[must_use]
    pub fn has_site(&self, edge: EdgeIndex, site: usize) -> bool {
        self.missing.get(&site).is_none_or(|missing| !missing.contains(edge))
    }

    /// Whether the edge's addresses of a family answer.
    #[must_use]
    pub fn is_up(&self, edge: EdgeIndex, family: Family) -> bool {
        let up = match family {
            Family::V4 => &self.up[0],
            Family::V6 => &self.up[1],
        };
        up.contains(edge) || self.is_forced(edge)
    }

    /// Whether the operator forces the edge up.
    #[must_use]
    pub fn is_forced(&self, edge: EdgeIndex) -> bool {
        self.forced.contains(edge)
    }

    /// Whether the operator drains the edge.
    #[must_use]
    pub fn is_drained(&self, edge: EdgeIndex) -> bool {
        self.drained.contains(edge)
    }

    /// Whether the edge's answers fail.
    #[must_use]
    pub fn is_failing(&self, edge: EdgeIndex) -> bool {
        self.failing.contains(edge) && !self.is_forced(edge)
    }

    /// Whether the verdict is about to change.
    #[must_use]
    pub fn is_changing(&self, edge: EdgeIndex) -> bool {
        self.changing.contains(edge) && !self.is_forced(edge)
    }
}
