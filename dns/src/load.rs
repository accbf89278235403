//! What a view needs to know of load, and what load needs to know of a view.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mapping::load::{Assignment, PopStatus, UnitIndex};
use mapping::{Cause, PopIndex, Ranked};

use crate::compiled::Compiled;
use crate::view::View;

impl View {
    /// The table by which load is moved; it numbers units as this view's map does. Empty at first: nothing is moved.
    #[must_use]
    pub fn assignment(&self) -> Arc<ArcSwap<Assignment>> {
        Arc::clone(&self.assignment)
    }

    /// Its table of load for another map of the same PoPs.
    pub(crate) fn assignment_for(&self, compiled: &Arc<Compiled>) -> Arc<ArcSwap<Assignment>> {
        if Arc::ptr_eq(&self.compiled, compiled) {
            return Arc::clone(&self.assignment);
        }
        let earlier: HashMap<&[Ranked], UnitIndex> = self.lists().zip(0..).collect();
        let lists = compiled.map.lists().iter();
        let renumbered =
            self.assignment.load().renumbered(lists.map(|list| earlier.get(list.ranked.as_slice()).copied()));
        Arc::new(ArcSwap::from_pointee(renumbered))
    }

    /// Every ranked list of its map.
    pub fn lists(&self) -> impl Iterator<Item = &[Ranked]> {
        self.compiled.map.lists().iter().map(|list| list.ranked.as_slice())
    }

    /// The list of a client prefix, for sites without rules of their own.
    #[must_use]
    pub fn unit_of(&self, prefix: IpAddr) -> Option<UnitIndex> {
        Some(self.compiled.map.find(prefix, 0, 0)?.number)
    }

    /// Which units try which PoPs at a time (Unix seconds): in a share of all slots of a TTL, those of groups of which
    /// something is to be learned. By hash, so that all name servers agree; never units that a route has ranked.
    #[must_use]
    pub fn trials(&self, now_s: u64) -> Vec<(UnitIndex, PopIndex)> {
        let slot = now_s / u64::from(self.ttl.max(1));
        let learned = self.learned();
        let tried = self.compiled.map.lists().iter().enumerate().filter_map(|(unit, list)| {
            let Cause::Latency(group) = list.cause else { return None };
            let trial = learned.groups().get(usize::try_from(group).ok()?)?.trial?;
            mapping::latency::is_tried(&trial, list, slot).then_some((unit, trial.pop))
        });
        tried.collect()
    }

    /// What its PoPs can carry with the edges that are up.
    #[must_use]
    pub fn statuses(&self) -> Vec<PopStatus> {
        mapping::load::statuses(&self.topology, &self.fitness.load())
    }

    /// Whether another view sends clients by the very same map.
    #[must_use]
    pub fn has_map_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.compiled, &other.compiled)
    }

    /// A PoP's price in milliseconds and its predicted share of its capacity, where load is known.
    pub(crate) fn load_of(&self, pop: PopIndex) -> (f64, Option<f64>) {
        let assignment = self.assignment.load();
        (assignment.price_ms(pop), assignment.predicted_share(pop))
    }
}
