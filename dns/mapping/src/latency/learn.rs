//! From samples to groups with estimates, moves and trials.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use config::Location;

use crate::distance::distance_km;
use crate::latency::decide::{Candidate, Trial, decide, trials};
use crate::latency::estimate::{Estimate, estimate};
use crate::latency::group::{GroupKey, LEAST_ACTIVE};
use crate::latency::histogram::Histogram;
use crate::latency::prior::{Neighbour, neighbours_residual, prior_ms};
use crate::latency::samples::Measured;
use crate::place::Place;
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
    /// Its share of all samples.
    pub traffic: f64,
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
    pub fn intercept_ms(&self) -> f64 {
        self.intercept_ms
    }

    /// Whether a group is of this AS alone.
    #[must_use]
    pub fn names_asn(&self, asn: u32) -> bool {
        self.asns.contains(&asn)
    }

    /// Whether a map made of the other has the same groups and sends each to the same PoP.
    #[must_use]
    pub fn decides_as(&self, other: &Self) -> bool {
        let decided = |learned: &Self| {
            let one = |group: &Group| (group.key, group.expected, group.current);
            learned.groups.iter().map(one).collect::<Vec<_>>()
        };
        self.stretches == other.stretches && decided(self) == decided(other)
    }

    /// All groups, in the order of their keys.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }
}

/// Pools what was measured by groups, and decides where each goes. `before`: what was decided last time.
#[must_use]
pub fn learn(pops: &[(Location, f64)], observed: &[Observed<'_>], before: &Learned) -> Learned {
    let pools = pool(observed);
    let intercept = intercept(pops, &pools);
    let residuals = residuals(pops, &pools, intercept);
    let all: f64 = observed.iter().map(|observed| samples(observed.measured)).sum();
    let mut groups: Vec<Group> = Vec::with_capacity(pools.len());
    for (key, pool) in &pools {
        let expected = |pop: usize| {
            let (location, stretch) = pops.get(pop).copied().unwrap_or((pool.location, 1.0));
            prior_ms(distance_km(pool.location, location), stretch) + intercept
        };
        let Some(quickest) = (0..pops.len()).min_by(|a, b| expected(*a).total_cmp(&expected(*b))) else {
            continue;
        };
        let quickest = PopIndex::from_usize(quickest);
        let candidates = candidates(pops, pool, &residuals, expected);
        let earlier = before.index.get(key).and_then(|number| before.groups.get(*number));
        let earlier = earlier.filter(|earlier| earlier.expected == quickest).map(|earlier| earlier.current);
        let current = earlier.filter(|pop| pop.as_usize() < pops.len()).unwrap_or(quickest);
        let believed = |pop: PopIndex| candidates.iter().find(|candidate| candidate.pop == pop).copied();
        let now = believed(current)
            .unwrap_or(Candidate { pop: current, estimate: estimate(expected(current.as_usize()), None) });
        let current = decide(&now, &candidates).unwrap_or(current);
        groups.push(Group {
            key: *key,
            location: pool.location,
            traffic: pool.samples / all.max(1.0),
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
    let mut learned = Learned { groups, index, stretches, asns, intercept_ms: intercept };
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
        let numbers: Vec<usize> = (0..self.groups.len()).filter(|number| narrowest.get(*number) > Some(&0.0)).collect();
        let asked = numbers.iter().filter_map(|number| {
            let group = self.groups.get(*number)?;
            let current = group.candidates.iter().find(|candidate| candidate.pop == group.current)?;
            Some((narrowest.get(*number)? / f64::max(all, 1.0), *current, group.candidates.clone()))
        });
        let asked: Vec<_> = asked.collect();
        for trial in trials(&asked) {
            if let Some(group) = numbers.get(trial.group).and_then(|number| self.groups.get_mut(*number)) {
                group.trial = Some(trial);
            }
        }
    }
}

/// What was measured in one group.
struct Pool {
    location: Location,
    prefixes: usize,
    samples: f64,
    /// By PoP: round trips, and from how many prefixes.
    by_pop: BTreeMap<PopIndex, (Histogram, u32)>,
}

/// Groups with enough prefixes.
fn pool(observed: &[Observed<'_>]) -> BTreeMap<GroupKey, Pool> {
    let mut members: BTreeMap<GroupKey, Vec<&Observed<'_>>> = BTreeMap::new();
    for observed in observed {
        for key in GroupKey::ladder(observed.place, observed.asn) {
            members.entry(key).or_default().push(observed);
        }
    }
    members.retain(|_, members| members.len() >= LEAST_ACTIVE);
    members.into_iter().map(|(key, members)| (key, Pool::of(&members))).collect()
}

impl Pool {
    fn of(members: &[&Observed<'_>]) -> Self {
        let mut by_pop: BTreeMap<PopIndex, (Histogram, u32)> = BTreeMap::new();
        for member in members {
            for (pop, seen) in member.measured {
                let (pooled, prefixes) = by_pop.entry(*pop).or_default();
                pooled.merge(seen);
                *prefixes += 1;
            }
        }
        let samples = members.iter().map(|member| samples(member.measured)).sum();
        Self { location: middle(members), prefixes: members.len(), samples, by_pop }
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

/// The first member is as good a middle as any within a cell, and does not break at the date line.
fn middle(members: &[&Observed<'_>]) -> Location {
    let first = members.first().map_or(Location { latitude: 0.0, longitude: 0.0 }, |member| member.location);
    let count = members.len() as f64;
    let latitude = members.iter().map(|member| member.location.latitude).sum::<f64>() / count;
    // Relative to the first, so that a cell on the date line has its middle there.
    let east = |member: &&Observed<'_>| (member.location.longitude - first.longitude + 540.0).rem_euclid(360.0) - 180.0;
    let longitude = first.longitude + members.iter().map(east).sum::<f64>() / count;
    Location { latitude, longitude }
}

/// What all round trips have beyond distance, milliseconds: last miles. It changes no order, but makes what
/// is expected comparable with what was measured.
fn intercept(pops: &[(Location, f64)], pools: &BTreeMap<GroupKey, Pool>) -> f64 {
    let beyond = pools.values().flat_map(|pool| {
        pool.by_pop.iter().filter_map(|(pop, (seen, _))| {
            let (location, stretch) = pops.get(pop.as_usize())?;
            Some(seen.median()? - prior_ms(distance_km(pool.location, *location), *stretch))
        })
    });
    let mut beyond: Vec<f64> = beyond.collect();
    beyond.sort_by(f64::total_cmp);
    beyond.get(beyond.len() / 2).copied().unwrap_or(0.0).clamp(INTERCEPTS.0, INTERCEPTS.1)
}

/// By PoP: where it was measured, and how far off what was expected.
type Residuals = HashMap<PopIndex, Vec<(Location, f64, f64)>>;

fn residuals(pops: &[(Location, f64)], pools: &BTreeMap<GroupKey, Pool>, intercept: f64) -> Residuals {
    let mut residuals: Residuals = HashMap::new();
    for pool in pools.values() {
        for pop in pool.by_pop.keys() {
            let Some(((location, stretch), (median, samples, _))) = pops.get(pop.as_usize()).zip(pool.measured(*pop))
            else {
                continue;
            };
            let expected = prior_ms(distance_km(pool.location, *location), *stretch) + intercept;
            let sure = f64::from(samples) / (f64::from(samples) + HALF_SURE);
            residuals.entry(*pop).or_default().push((pool.location, (median / expected).ln(), sure));
        }
    }
    residuals
}

/// The nearest by geography, the quickest expected, the quickest by what neighbours measured, and those
/// measured here.
fn candidates(
    pops: &[(Location, f64)],
    pool: &Pool,
    residuals: &Residuals,
    expected: impl Fn(usize) -> f64,
) -> Vec<Candidate> {
    let believed = |pop: usize| {
        let index = PopIndex::from_usize(pop);
        let measured = pool.measured(index);
        let residual = if measured.is_some() {
            0.0
        } else {
            let around = residuals.get(&index).into_iter().flatten();
            neighbours_residual(around.map(|(location, residual, weight)| Neighbour {
                distance_km: distance_km(pool.location, *location),
                residual: *residual,
                weight: *weight,
            }))
        };
        Candidate { pop: index, estimate: estimate(expected(pop) * residual.exp(), measured) }
    };
    let mut by_distance: Vec<(f64, usize)> = pops
        .iter()
        .enumerate()
        .map(|(number, (location, _))| (distance_km(pool.location, *location), number))
        .collect();
    by_distance.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut by_expected: Vec<usize> = (0..pops.len()).collect();
    by_expected.sort_by(|a, b| expected(*a).total_cmp(&expected(*b)));
    by_expected.truncate(ASKED_FOR);
    let by_neighbours =
        by_expected.iter().copied().min_by(|a, b| believed(*a).estimate.mean.total_cmp(&believed(*b).estimate.mean));
    let near = by_distance.iter().take(NEAREST).map(|(_, number)| *number);
    let measured = pool.by_pop.keys().map(|pop| pop.as_usize()).filter(|pop| *pop < pops.len());
    let mut chosen: Vec<usize> = Vec::new();
    for pop in near.chain(by_expected.first().copied()).chain(by_neighbours).chain(measured) {
        if !chosen.contains(&pop) {
            chosen.push(pop);
        }
    }
    chosen.into_iter().map(believed).collect()
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
