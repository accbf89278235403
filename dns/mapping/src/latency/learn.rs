//! From samples to groups with estimates, moves and trials.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use config::{CountryCode, Location};

use crate::distance::{cost, distance_km};
use crate::latency::decide::{Asked, Candidate, Trial, decide, trials};
use crate::latency::estimate::{Estimate, estimate};
use crate::latency::floor::Floors;
use crate::latency::group::{GroupKey, LEAST_ACTIVE};
use crate::latency::histogram::Histogram;
use crate::latency::prior::{Residuals, prior_ms};
use crate::latency::samples::Measured;
use crate::place::{Place, Region};
use crate::topology::PopIndex;

/// The nearest PoPs by geography that may serve a group.
const NEAREST: usize = 5;
/// PoPs for which neighbours are asked: the nearest by what is expected.
const ASKED_FOR: usize = 12;
/// Samples from which a residual is half sure.
const HALF_SURE: f64 = 8.0;
/// How far the expected round trips may be off all together, milliseconds.
const INTERCEPTS: (f64, f64) = (-4.0, 100.0);

/// A measured prefix, with where it is.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Its place on the map.
    pub place: Place,
    /// The point of the place.
    pub location: Location,
    /// Its AS; 0 where it is not known.
    pub asn: u32,
    /// What was measured from it.
    pub measured: &'a Measured,
}

/// A group of prefixes with what is believed of the PoPs that may serve it.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which.
    pub key: GroupKey,
    /// The middle of its prefixes.
    pub location: Location,
    /// Measured prefixes.
    pub prefixes: usize,
    /// The PoP that is expected to be the quickest where nothing is measured.
    pub expected: PopIndex,
    /// Where it goes.
    pub current: PopIndex,
    /// The PoPs considered, nearest first.
    pub candidates: Vec<Candidate>,
    /// The PoP that some answers try.
    pub trial: Option<Trial>,
}

/// What was learned of round trips.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    groups: Vec<Group>,
    index: HashMap<GroupKey, usize>,
    /// By [`PopIndex`].
    stretches: Vec<f64>,
    asns: BTreeSet<u32>,
    intercept_ms: f64,
    /// Another number, another map, whatever it decides.
    revision: u64,
}

impl Learned {
    /// The group that a place is in, the narrowest there is.
    #[must_use]
    pub fn group_of(&self, place: Place, asn: u32) -> Option<(usize, &Group)> {
        let number = GroupKey::ladder(place, asn).find_map(|key| self.index.get(&key))?;
        Some((*number, self.groups.get(*number)?))
    }

    /// How much longer a PoP's ways are than distance says.
    #[must_use]
    pub fn stretch(&self, pop: PopIndex) -> f64 {
        self.stretches.get(pop.as_usize()).copied().unwrap_or(1.0)
    }

    /// What all round trips have beyond what distance lets expect, milliseconds.
    #[must_use]
    pub(crate) fn intercept_ms(&self) -> f64 {
        self.intercept_ms
    }

    /// Whether a group is of this AS alone.
    #[must_use]
    pub(crate) fn names_asn(&self, asn: u32) -> bool {
        self.asns.contains(&asn)
    }

    /// The same, for a map of its own: costs behind the first PoP are anew what was measured.
    #[must_use]
    pub fn revised(self) -> Self {
        Self { revision: self.revision + 1, ..self }
    }

    /// Whether a map made of the other has the same groups and sends each to the same PoP.
    #[must_use]
    pub fn decides_as(&self, other: &Self) -> bool {
        let decided = |learned: &Self| {
            let one = |group: &Group| (group.key, group.expected, group.current);
            learned.groups.iter().map(one).collect::<Vec<_>>()
        };
        self.revision == other.revision && self.stretches == other.stretches && decided(self) == decided(other)
    }

    /// All groups, in the order of their keys.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }
}

/// Pools what was measured by groups, and decides where each goes. PoPs are told with their stretch, `regions` are those
/// that the map is compiled with. `before`: what was decided last time.
#[must_use]
pub fn learn(pops: &[(Location, f64)], regions: &[Region], observed: &[Observed<'_>], before: &Learned) -> Learned {
    let pools = pool(observed, &mut Floors::new(pops, regions));
    let ways = Ways::new(pops, regions, pools.values());
    let intercept = intercept(&ways, &pools);
    let mut residuals = residuals(&ways, &pools, intercept);
    let mut groups: Vec<Group> = Vec::with_capacity(pools.len());
    for (key, pool) in &pools {
        let Some(quickest) = ways.quickest(pool) else { continue };
        let earlier = before.index.get(key).and_then(|number| before.groups.get(*number));
        let earlier = earlier.filter(|earlier| earlier.expected == quickest).map(|earlier| earlier.current);
        let current = earlier.filter(|pop| pop.as_usize() < pops.len()).unwrap_or(quickest);
        let candidates = candidates(&ways, pool, (&mut residuals, intercept), current);
        let now = candidates.iter().find(|candidate| candidate.pop == current);
        let current = now.and_then(|now| decide(now, &candidates)).unwrap_or(current);
        groups.push(Group {
            key: *key,
            location: pool.location,
            prefixes: pool.prefixes,
            expected: quickest,
            current,
            candidates,
            trial: None,
        });
    }
    let index = groups.iter().enumerate().map(|(number, group)| (group.key, number)).collect();
    let asns = groups.iter().filter_map(|group| group.key.asn).collect();
    let stretches = pops.iter().map(|(_, stretch)| *stretch).collect();
    let mut learned = Learned { groups, index, stretches, asns, intercept_ms: intercept, revision: before.revision };
    learned.try_others(observed);
    learned
}

impl Learned {
    /// Chooses trials among the groups that are the narrowest of a prefix: others have none of their own.
    fn try_others(&mut self, observed: &[Observed<'_>]) {
        let mut narrowest = vec![0.0; self.groups.len()];
        let mut all = 0.0;
        for observed in observed {
            let traffic = samples(observed.measured);
            all += traffic;
            if let Some(share) =
                self.group_of(observed.place, observed.asn).and_then(|(number, _)| narrowest.get_mut(number))
            {
                *share += traffic;
            }
        }
        let asked = self.groups.iter().zip(&narrowest).enumerate().filter(|(_, (_, traffic))| **traffic > 0.0);
        let asked = asked.filter_map(|(number, (group, traffic))| {
            let current = group.candidates.iter().find(|candidate| candidate.pop == group.current)?;
            let traffic = traffic / f64::max(all, 1.0);
            Some(Asked { group: number, traffic, current: *current, candidates: &group.candidates })
        });
        for (number, trial) in trials(asked) {
            if let Some(group) = self.groups.get_mut(number) {
                group.trial = Some(trial);
            }
        }
    }
}

/// What was measured in one group.
struct Pool {
    location: Location,
    /// The country, where the database knows no more of any member.
    country: Option<CountryCode>,
    prefixes: usize,
    /// By PoP: round trips, and from how many prefixes.
    by_pop: BTreeMap<PopIndex, (Histogram, u32)>,
}

/// Groups with enough prefixes.
fn pool(observed: &[Observed<'_>], floors: &mut Floors<'_>) -> BTreeMap<GroupKey, Pool> {
    let mut members: BTreeMap<GroupKey, Vec<&Observed<'_>>> = BTreeMap::new();
    for observed in observed {
        for key in GroupKey::ladder(observed.place, observed.asn) {
            members.entry(key).or_default().push(observed);
        }
    }
    members.retain(|_, members| members.len() >= LEAST_ACTIVE);
    members.into_iter().map(|(key, members)| (key, Pool::of(&members, floors))).collect()
}

impl Pool {
    fn of(members: &[&Observed<'_>], floors: &mut Floors<'_>) -> Self {
        let mut by_pop: BTreeMap<PopIndex, (Histogram, u32)> = BTreeMap::new();
        for member in members {
            for (pop, seen) in member.measured {
                let (pooled, prefixes) = by_pop.entry(*pop).or_default();
                pooled.merge_above(seen, floors.bucket(member, *pop));
                *prefixes += 1;
            }
        }
        Self { location: middle(members), country: country(members), prefixes: members.len(), by_pop }
    }

    /// Median, samples and prefixes of a PoP.
    fn measured(&self, pop: PopIndex) -> Option<(f64, u32, u32)> {
        let (pooled, prefixes) = self.by_pop.get(&pop)?;
        Some((pooled.median()?, pooled.count(), *prefixes))
    }
}

fn samples(measured: &Measured) -> f64 {
    measured.values().map(|seen| f64::from(seen.count())).sum()
}

/// The country that the place of every member is.
fn country(members: &[&Observed<'_>]) -> Option<CountryCode> {
    let Place::Country(country) = members.first()?.place else { return None };
    members.iter().all(|member| member.place == Place::Country(country)).then_some(country)
}

/// The mean of the members' places.
fn middle(members: &[&Observed<'_>]) -> Location {
    let first = members.first().map_or(Location { latitude: 0.0, longitude: 0.0 }, |member| member.location);
    let count = members.len() as f64;
    let latitude = members.iter().map(|member| member.location.latitude).sum::<f64>() / count;
    // Relative to the first, so that a cell on the date line has its middle there.
    let east = |member: &&Observed<'_>| (member.location.longitude - first.longitude + 540.0).rem_euclid(360.0) - 180.0;
    let longitude = first.longitude + members.iter().map(east).sum::<f64>() / count;
    Location { latitude, longitude }
}

/// The ways from groups to PoPs, as the map ranks them.
struct Ways<'a> {
    /// Where each is, and its stretch.
    pops: &'a [(Location, f64)],
    /// Km from countries' people to each PoP.
    by_country: HashMap<CountryCode, Vec<f64>>,
}

impl<'a> Ways<'a> {
    fn new<'p>(pops: &'a [(Location, f64)], regions: &[Region], pools: impl Iterator<Item = &'p Pool>) -> Self {
        let countries: BTreeMap<CountryCode, Location> =
            pools.filter_map(|pool| Some((pool.country?, pool.location))).collect();
        let away = |(country, centre): (CountryCode, Location)| {
            let to = |(pop, _): &(Location, f64)| Place::Country(country).distance_km(centre, regions, *pop);
            (country, pops.iter().map(to).collect())
        };
        Self { pops, by_country: countries.into_iter().map(away).collect() }
    }

    fn distance_km(&self, pool: &Pool, pop: usize) -> f64 {
        let of_country = pool.country.and_then(|country| self.by_country.get(&country));
        let known = of_country.and_then(|away| away.get(pop)).copied();
        known.unwrap_or_else(|| {
            self.pops.get(pop).map_or(f64::INFINITY, |(location, _)| distance_km(pool.location, *location))
        })
    }

    fn stretch(&self, pop: usize) -> f64 {
        self.pops.get(pop).map_or(1.0, |(_, stretch)| *stretch)
    }

    fn prior_ms(&self, pool: &Pool, pop: usize) -> f64 {
        prior_ms(self.distance_km(pool, pop), self.stretch(pop))
    }

    /// The first of the map's list without any measurement.
    fn quickest(&self, pool: &Pool) -> Option<PopIndex> {
        let cost = |pop: &usize| (cost(self.distance_km(pool, *pop), self.stretch(*pop)), *pop);
        (0..self.pops.len()).min_by_key(cost).map(PopIndex::from_usize)
    }
}

/// What all round trips have beyond distance, milliseconds: last miles. It changes no order, but makes what
/// is expected comparable with what was measured. The median of each PoP counts once, so that nobody shifts it alone.
fn intercept(ways: &Ways<'_>, pools: &BTreeMap<GroupKey, Pool>) -> f64 {
    let mut by_pop: BTreeMap<PopIndex, Vec<f64>> = BTreeMap::new();
    for pool in pools.values() {
        for (pop, (seen, _)) in &pool.by_pop {
            if let Some(median) = seen.median().filter(|_| pop.as_usize() < ways.pops.len()) {
                by_pop.entry(*pop).or_default().push(median - ways.prior_ms(pool, pop.as_usize()));
            }
        }
    }
    let of_pops: Vec<f64> = by_pop.into_values().filter_map(median).collect();
    median(of_pops).unwrap_or(0.0).clamp(INTERCEPTS.0, INTERCEPTS.1)
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

fn residuals(ways: &Ways<'_>, pools: &BTreeMap<GroupKey, Pool>, intercept: f64) -> Residuals {
    let mut residuals = Residuals::default();
    for pool in pools.values() {
        for pop in pool.by_pop.keys().filter(|pop| pop.as_usize() < ways.pops.len()) {
            let Some((median, samples, _)) = pool.measured(*pop) else { continue };
            let expected = ways.prior_ms(pool, pop.as_usize()) + intercept;
            let sure = f64::from(samples) / (f64::from(samples) + HALF_SURE);
            residuals.add(*pop, pool.location, (median / expected).ln(), sure);
        }
    }
    residuals
}

/// The nearest by geography, the quickest expected, the quickest by what neighbours measured, those measured here, and
/// the one used now.
fn candidates(
    ways: &Ways<'_>,
    pool: &Pool,
    (residuals, intercept): (&mut Residuals, f64),
    current: PopIndex,
) -> Vec<Candidate> {
    let mut believe = |pop: usize, expected: f64| {
        let index = PopIndex::from_usize(pop);
        let measured = pool.measured(index);
        let residual = if measured.is_some() { 0.0 } else { residuals.around(index, pool.location) };
        Candidate { pop: index, estimate: estimate(expected * residual.exp(), measured) }
    };
    let mut by_distance: Vec<(f64, usize)> =
        (0..ways.pops.len()).map(|pop| (ways.distance_km(pool, pop), pop)).collect();
    by_distance.sort_by(|a, b| a.0.total_cmp(&b.0));
    let expected = |(away, pop): &(f64, usize)| (prior_ms(*away, ways.stretch(*pop)) + intercept, *pop);
    let mut by_expected: Vec<(f64, usize)> = by_distance.iter().map(expected).collect();
    by_expected.sort_by(|a, b| a.0.total_cmp(&b.0));
    let asked = by_expected.iter().take(ASKED_FOR).map(|(expected, pop)| believe(*pop, *expected));
    let asked: Vec<Candidate> = asked.collect();
    let by_neighbours = asked.iter().min_by(|a, b| a.estimate.mean.total_cmp(&b.estimate.mean));
    let near = by_distance.iter().take(NEAREST).map(|(_, pop)| *pop);
    let measured = pool.by_pop.keys().map(|pop| pop.as_usize()).filter(|pop| *pop < ways.pops.len());
    let first = by_expected.first().map(|(_, pop)| *pop);
    let others = first.into_iter().chain(by_neighbours.map(|candidate| candidate.pop.as_usize()));
    let mut chosen: Vec<usize> = Vec::new();
    for pop in near.chain(others).chain(measured).chain([current.as_usize()]) {
        if !chosen.contains(&pop) {
            chosen.push(pop);
        }
    }
    let known = |pop: usize| asked.iter().find(|candidate| candidate.pop.as_usize() == pop).copied();
    let mut anew = |pop: usize| believe(pop, ways.prior_ms(pool, pop) + intercept);
    chosen.into_iter().map(|pop| known(pop).unwrap_or_else(|| anew(pop))).collect()
}

impl Group {
    /// What is believed of a PoP.
    #[must_use]
    pub fn estimate(&self, pop: PopIndex) -> Option<Estimate> {
        self.candidates.iter().find(|candidate| candidate.pop == pop).map(|candidate| candidate.estimate)
    }
}

#[cfg(test)]
mod tests;
