//! From places and rules to the finished map.

use std::collections::HashMap;
use std::net::IpAddr;

use config::{Location, PopId, Route};

use crate::address::Family;
use crate::geography::Geography;
use crate::latency::Learned;
use crate::place::{Place, PlaceIndex, Region};
use crate::rank::{Near, Ranker};
use crate::rules::{Classes, RuleSet, Rules};
use crate::runs::{Run, Span, overlay, push};
use crate::scope::{Scopes, scope};
use crate::snap;
use crate::table::{Depths, Table};
use crate::topology::Topology;
use crate::unit::{List, Unit};

/// All that a map is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// PoPs and edges.
    pub topology: &'a Topology,
    /// The PoPs' ids, in the topology's order.
    pub pops: &'a [PopId],
    /// Where addresses are.
    pub geography: &'a Geography,
    /// Where countries' people are.
    pub regions: &'a [Region],
    /// Where private addresses are.
    pub home: Location,
    /// The operator's rules.
    pub routes: &'a [Route],
    /// The classes of sites under these rules.
    pub classes: &'a Classes,
    /// What round trips have taught.
    pub learned: &'a Learned,
}

/// Client address -> unit. Immutable and total.
#[derive(Debug)]
pub struct Map {
    pub(crate) lists: Vec<List>,
    /// Indices into the lists: for each unit, one for each class of sites.
    pub(crate) lists_by_unit: Vec<u32>,
    pub(crate) classes: usize,
    pub(crate) v4: Table,
    pub(crate) v6: Table,
    /// By unit: the runs inside a block with a rule longer than the longest scope.
    pub(crate) fine: HashMap<u32, (Family, Vec<Run<u32>>)>,
}

/// What the map says of an address.
#[derive(Clone, Copy, Debug)]
pub struct Mapped<'a> {
    /// The list's place among [`Map::lists`].
    pub number: usize,
    /// The ranked PoPs for the class of sites asked for.
    pub list: &'a List,
    /// For how wide a prefix that holds.
    pub scopes: Scopes,
}

impl Map {
    /// Looks an address up. `known_bits`: how many of its bits the client told (a resolver's own
    /// address: all); the operator's rules beyond the longest scope need more than that.
    #[must_use]
    pub fn find(&self, address: IpAddr, known_bits: u8, class: usize) -> Option<Mapped<'_>> {
        let family = Family::of(address);
        let key = Family::key(address);
        let table = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let (mut unit, mut scopes) = table.find(key);
        if known_bits > family.longest_scope()
            && let Some((family, runs)) = self.fine.get(&unit)
        {
            let next = runs.partition_point(|run| run.start <= key);
            let block_last = key | (family.block() - 1);
            let last = runs.get(next).map_or(block_last, |run| run.start - 1);
            let run = runs.get(next.checked_sub(1)?)?;
            let cut = scope(*family, key, run.start, last);
            // A rule holds for who has told that it is meant.
            if cut <= known_bits {
                unit = run.value;
                scopes = Scopes { first: cut, second: cut, whole: cut };
            }
        }
        let class = if class < self.classes { class } else { 0 };
        let list = self.lists_by_unit.get(usize::try_from(unit).ok()? * self.classes + class)?;
        let number = usize::try_from(*list).ok()?;
        Some(Mapped { number, list: self.lists.get(number)?, scopes })
    }

    /// Every ranked list.
    #[must_use]
    pub fn lists(&self) -> &[List] {
        &self.lists
    }

    /// Distinct units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.lists_by_unit.len() / self.classes
    }

    /// Bytes of the two lookup tables.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

/// Compiles a map. Costs grow with the number of prefixes, ranking only with distinct places.
#[must_use]
pub fn compile(inputs: &Inputs<'_>) -> Map {
    let mut work = Work::new(inputs);
    let mut fine = HashMap::new();
    let mut table = |work: &mut Work<'_>, family, places: &[Run<PlaceIndex>], asns: &[Run<u32>]| {
        let coarse = work.coarse(family, (places, asns), &mut fine);
        Table::build(family, &work.depths(coarse))
    };
    let geography = inputs.geography;
    let v4 = table(&mut work, Family::V4, &geography.v4, &geography.asn_v4);
    let v6 = table(&mut work, Family::V6, &geography.v6, &geography.asn_v6);
    let lists_by_unit = work.units.into_iter().flat_map(|unit| unit.lists).collect();
    Map { lists: work.lists, lists_by_unit, classes: inputs.classes.count(), v4, v6, fine }
}

struct Work<'a> {
    inputs: &'a Inputs<'a>,
    rules: Rules,
    ranker: Ranker<'a>,
    /// Without rules, by place and AS; the AS is 0 where nobody asks for it.
    near: HashMap<(PlaceIndex, u32), Near>,
    lists: Vec<List>,
    list_index: HashMap<List, u32>,
    units: Vec<Unit>,
    unit_index: HashMap<Unit, u32>,
}

impl<'a> Work<'a> {
    fn new(inputs: &'a Inputs<'a>) -> Self {
        Self {
            inputs,
            rules: Rules::new(inputs.routes, inputs.pops),
            ranker: Ranker::new(inputs.topology, inputs.regions, inputs.home, inputs.learned),
            near: HashMap::new(),
            lists: Vec::new(),
            list_index: HashMap::new(),
            units: Vec::new(),
            unit_index: HashMap::new(),
        }
    }

    /// Places, prefix rules and AS numbers joined into runs of units from the first key to the last.
    fn unit_runs(
        &mut self,
        (first, last): (u64, u64),
        (places, asns): (&[Run<PlaceIndex>], &[Run<u32>]),
        (sets, set_runs): &(Vec<RuleSet>, Vec<Run<u32>>),
    ) -> Vec<Run<u32>> {
        let mut known: HashMap<(PlaceIndex, u32, u32), u32> = HashMap::new();
        let mut out = Vec::new();
        let (mut places, mut set_runs, mut asns) =
            (Cursor::at(places, first), Cursor::at(set_runs, first), Cursor::at(asns, first));
        let mut key = first;
        loop {
            let place = places.value_at(key).unwrap_or(0);
            let set = set_runs.value_at(key).unwrap_or(0);
            let asn = asns.value_at(key).filter(|asn| self.tells(*asn)).unwrap_or(0);
            let unit = match known.get(&(place, set, asn)) {
                Some(unit) => *unit,
                None => {
                    let empty = RuleSet::new();
                    let rules = usize::try_from(set).ok().and_then(|set| sets.get(set)).unwrap_or(&empty);
                    let unit = self.unit(place, rules, asn);
                    known.insert((place, set, asn), unit);
                    unit
                }
            };
            push(&mut out, key, unit);
            match [places.next_start(), set_runs.next_start(), asns.next_start()].into_iter().flatten().min() {
                Some(next) if next <= last => key = next,
                _ => return out,
            }
        }
    }

    /// Whether anything depends on this AS.
    fn tells(&self, asn: u32) -> bool {
        self.rules.names_asn(asn) || self.inputs.learned.names_asn(asn)
    }

    fn unit(&mut self, place: PlaceIndex, set: &RuleSet, asn: u32) -> u32 {
        let inputs = self.inputs;
        let at = usize::try_from(place)
            .ok()
            .and_then(|index| inputs.geography.places.get(index))
            .copied()
            .unwrap_or(Place::Home);
        let ranker = &self.ranker;
        let near = self.near.entry((place, asn)).or_insert_with(|| Near::new(ranker, inputs.learned, (at, asn)));
        let mut lists = Vec::with_capacity(inputs.classes.count());
        for class in 0..inputs.classes.count() {
            let list = self.rules.list((inputs.classes, class), set, (at, asn), (ranker, near));
            lists.push(intern(&mut self.lists, &mut self.list_index, list));
        }
        intern(&mut self.units, &mut self.unit_index, Unit { lists })
    }

    /// Runs cut at block borders, by rules no longer than a scope; a block with longer ones becomes a unit of its own,
    /// so that no wider scope ever covers it.
    fn coarse(
        &mut self,
        family: Family,
        world: (&[Run<PlaceIndex>], &[Run<u32>]),
        fine: &mut HashMap<u32, (Family, Vec<Run<u32>>)>,
    ) -> Vec<Run<u32>> {
        let scoped = self.rules.runs(family, family.longest_scope());
        let mut coarse = snap::snap(family, &self.unit_runs((0, family.last()), world, &scoped));
        let long = self.rules.blocks_of_long(family);
        let all = if long.is_empty() { scoped } else { self.rules.runs(family, u8::MAX) };
        let mut blocks = Vec::new();
        for first in long {
            blocks.push((first, self.unit_runs((first, first + (family.block() - 1)), world, &all)));
        }
        coarse = overlay(family, &coarse, &self.apart(family, &coarse));
        let mut spans = Vec::new();
        for (first, runs) in blocks {
            let at = coarse.partition_point(|run| run.start <= first);
            let majority = at.checked_sub(1).and_then(|at| coarse.get(at)).map_or(0, |run| run.value);
            let own = u32::try_from(self.units.len()).unwrap_or(0);
            let copy = usize::try_from(majority).ok().and_then(|unit| self.units.get(unit)).cloned();
            self.units.extend(copy);
            fine.insert(own, (family, runs));
            spans.push(Span { first, last: first + (family.block() - 1), value: own });
        }
        if !spans.is_empty() {
            coarse = overlay(family, &coarse, &spans);
        }
        coarse
    }

    /// Where IPv6 addresses hold IPv4 ones, which are mapped as such: units of their own, so that no wider scope ever
    /// covers those.
    fn apart(&mut self, family: Family, coarse: &[Run<u32>]) -> Vec<Span<u32>> {
        let mut spans = Vec::new();
        for (first, last) in family.embedding().iter().copied() {
            let at = coarse.partition_point(|run| run.start <= first).saturating_sub(1);
            let mut copies: HashMap<u32, u32> = HashMap::new();
            let runs = coarse.get(at..).unwrap_or_default().iter().take_while(|run| run.start <= last);
            for (number, run) in runs.enumerate() {
                let end = coarse.get(at + number + 1).map_or(last, |next| (next.start - 1).min(last));
                let units = &mut self.units;
                let value = *copies.entry(run.value).or_insert_with(|| {
                    let copy = usize::try_from(run.value).ok().and_then(|unit| units.get(unit)).cloned();
                    units.extend(copy);
                    u32::try_from(units.len() - 1).unwrap_or(0)
                });
                spans.push(Span { first: run.start.max(first), last: end, value });
            }
        }
        spans
    }

    /// The runs, and which units are alike by the first PoP and by the first two, of every class.
    fn depths(&self, whole: Vec<Run<u32>>) -> Depths {
        Depths { first: self.alike(1), second: self.alike(2), whole }
    }

    /// By unit: equal numbers where the same PoPs answer down to a depth.
    fn alike(&self, depth: usize) -> Vec<u32> {
        let mut known: HashMap<Vec<Option<crate::PopIndex>>, u32> = HashMap::new();
        let distinct = u32::try_from(self.unit_index.len()).unwrap_or(u32::MAX);
        (0_u32..)
            .zip(&self.units)
            .map(|(number, unit)| {
                // A block with finer rules stays apart at every depth.
                if self.unit_index.get(unit).is_none_or(|index| *index != number) {
                    return distinct + number;
                }
                let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                *known.entry(self.heads(unit, depth)).or_insert(next)
            })
            .collect()
    }

    /// Who answers while all but the last of so many are down; past a list's end its forbidden come
    /// last, in their order.
    fn heads(&self, unit: &Unit, depth: usize) -> Vec<Option<crate::PopIndex>> {
        let lists = unit.lists.iter().filter_map(|list| self.lists.get(usize::try_from(*list).ok()?));
        let heads = lists.flat_map(|list| {
            let listed = (0..depth).map(|at| list.ranked.get(at).map(|ranked| ranked.pop));
            let beyond = if list.ranked.len() < depth { list.forbidden.as_slice() } else { &[] };
            listed.chain(beyond.iter().copied().map(Some)).chain([None])
        });
        heads.collect()
    }
}

fn intern<T: Clone + Eq + std::hash::Hash>(list: &mut Vec<T>, index: &mut HashMap<T, u32>, value: T) -> u32 {
    *index.entry(value).or_insert_with_key(|value| {
        list.push(value.clone());
        u32::try_from(list.len() - 1).unwrap_or(0)
    })
}

/// Reads runs at rising keys.
struct Cursor<'a> {
    runs: &'a [Run<u32>],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Before or at the run of a key.
    fn at(runs: &'a [Run<u32>], key: u64) -> Self {
        Self { runs, at: runs.partition_point(|run| run.start <= key).saturating_sub(1) }
    }

    fn value_at(&mut self, key: u64) -> Option<u32> {
        while self.runs.get(self.at + 1).is_some_and(|run| run.start <= key) {
            self.at += 1;
        }
        self.runs.get(self.at).map(|run| run.value)
    }

    fn next_start(&self) -> Option<u64> {
        self.runs.get(self.at + 1).map(|run| run.start)
    }
}

#[cfg(test)]
mod tests;
