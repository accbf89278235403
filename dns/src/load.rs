//! What a view needs to know of load, and what load needs to know of a view.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mapping::load::{Assignment, PopStatus, Tried, UnitIndex};
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
        let earlier = self.earlier(compiled.map.lists().iter().map(|list| list.ranked.as_slice()));
        let firsts = compiled.map.lists().iter().map(|list| list.ranked.first().map(|first| first.pop));
        Arc::new(ArcSwap::from_pointee(self.assignment.load().renumbered(firsts.zip(earlier))))
    }

    /// Which list of this view's map each list of another has come from: the same one, else one that has the same
    /// PoPs at other costs, each once.
    #[must_use]
    pub fn earlier<'l>(&self, lists: impl Iterator<Item = &'l [Ranked]>) -> Vec<Option<UnitIndex>> {
        let pops = |list: &[Ranked]| list.iter().map(|ranked| ranked.pop).collect::<Vec<PopIndex>>();
        let same: HashMap<&[Ranked], UnitIndex> = self.lists().zip(0..).collect();
        let lists: Vec<&[Ranked]> = lists.collect();
        let mut found: Vec<Option<UnitIndex>> = lists.iter().map(|list| same.get(list).copied()).collect();
        let taken: HashSet<UnitIndex> = found.iter().flatten().copied().collect();
        let mut alike: HashMap<Vec<PopIndex>, Vec<UnitIndex>> = HashMap::new();
        for (list, number) in self.lists().zip(0..).filter(|(_, number)| !taken.contains(number)) {
            alike.entry(pops(list)).or_default().push(number);
        }
        for (found, list) in found.iter_mut().zip(lists).filter(|(found, _)| found.is_none()) {
            *found = alike.get_mut(&pops(list)).and_then(Vec::pop);
        }
        found
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

    /// Which units try which PoPs at a time (Unix seconds): those of groups of which something is to be learned, with
    /// other blocks in every slot of a TTL. Never units that a route has ranked.
    #[must_use]
    pub fn trials(&self, now_s: u64) -> Vec<(UnitIndex, Tried)> {
        let slot = now_s / u64::from(self.ttl.max(1));
        let learned = self.learned();
        let tried = self.compiled.map.lists().iter().enumerate().filter_map(|(unit, list)| {
            let Cause::Latency(group) = list.cause else { return None };
            let trial = learned.groups().get(usize::try_from(group).ok()?)?.trial?;
            Some((unit, trial.tried(list, slot)))
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
