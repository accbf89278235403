//! What a PoP costs a client, from geography.

use std::collections::HashMap;
use std::f64::consts::PI;

use config::{CountryCode, Location};
use fixedbitset::FixedBitSet;

use crate::distance::{Direction, EARTH_KM, cost, cost_of_ms, kilometres, reach_km};
use crate::latency::Learned;
use crate::place::{Place, Region};
use crate::topology::{PopIndex, Topology};
use crate::unit::{Cause, List, Ranked};

/// PoPs kept in a ranked list: beyond the eighth, nearness hardly differs for the client.
pub(crate) const KEPT: usize = 8;

/// Ranks PoPs for places.
pub(crate) struct Ranker<'a> {
    /// Where each is, and its stretch.
    pops: Vec<(Direction, f64)>,
    /// Of all PoPs.
    least_stretch: f64,
    regions: HashMap<CountryCode, Vec<(&'a Region, Direction)>>,
    home: Direction,
}

impl<'a> Ranker<'a> {
    pub(crate) fn new(topology: &'a Topology, regions: &'a [Region], home: Location, learned: &Learned) -> Self {
        let mut by_country: HashMap<CountryCode, Vec<(&Region, Direction)>> = HashMap::new();
        for region in regions.iter().filter(|region| region.population > 0.0) {
            by_country.entry(region.country).or_default().push((region, Direction::of(region.location)));
        }
        let stretched = topology.pops.iter().enumerate().map(|(index, pop)| {
            let stretch = learned.stretch(PopIndex::from_usize(index));
            (Direction::of(pop.location), stretch)
        });
        let pops: Vec<(Direction, f64)> = stretched.collect();
        let least_stretch = pops.iter().map(|(_, stretch)| *stretch).fold(f64::INFINITY, f64::min);
        Self { pops, least_stretch, regions: by_country, home: Direction::of(home) }
    }

    /// The nearest PoPs with their costs, nearest first, without those left out; equal costs in the order
    /// of the config.
    pub(crate) fn nearest(&self, place: Place, left_out: &FixedBitSet) -> Vec<Ranked> {
        let ranked = Vec::with_capacity(KEPT + 1);
        let mut nearest = Nearest { ranked, closest_out: -1.0, least_stretch: self.least_stretch };
        let wanted = self.pops.iter().enumerate().filter(|(index, _)| !left_out.contains(*index));
        match self.point(place) {
            Ok(point) => wanted.for_each(|(index, (pop, stretch))| nearest.offer(index, point.cosine(*pop), *stretch)),
            Err(regions) => wanted.for_each(|(index, (pop, stretch))| {
                nearest.insert(index, cost(country_distance(regions, *pop), *stretch));
            }),
        }
        nearest.ranked
    }

    /// What a PoP costs a place.
    pub(crate) fn cost(&self, place: Place, pop: PopIndex) -> u32 {
        let Some((pop, stretch)) = self.pops.get(pop.as_usize()) else {
            return u32::MAX;
        };
        match self.point(place) {
            Ok(point) => cost(kilometres(point.cosine(*pop)), *stretch),
            Err(regions) => cost(country_distance(regions, *pop), *stretch),
        }
    }

    /// The point of a place, or the regions over which its people are spread.
    fn point(&self, place: Place) -> Result<Direction, &[(&'a Region, Direction)]> {
        match place {
            Place::Home => Ok(self.home),
            Place::Point { latitude, longitude, .. } => Ok(Direction::of(Location {
                latitude: f64::from(latitude) / 10.0,
                longitude: f64::from(longitude) / 10.0,
            })),
            Place::Country(country) => match self.regions.get(&country) {
                Some(regions) => Err(regions),
                None => Ok(self.home),
            },
        }
    }
}

/// The list of a client of which nothing but its place is known: by geography alone, as [`crate::compile`] ranks it.
#[must_use]
pub fn rank(topology: &Topology, regions: &[Region], home: Location, (learned, place): (&Learned, Place)) -> List {
    let ranked = Ranker::new(topology, regions, home, learned).nearest(place, &FixedBitSet::new());
    List { ranked, forbidden: Vec::new(), cause: Cause::Geography }
}

/// Distance to a country's people, on average: a centroid of Russia or the USA lies where few live.
fn country_distance(regions: &[(&Region, Direction)], pop: Direction) -> f64 {
    let people: f64 = regions.iter().map(|(region, _)| region.population).sum();
    let weighted: f64 = regions.iter().map(|(region, at)| region.population * kilometres(at.cosine(pop))).sum();
    weighted / people
}

/// The nearest so far.
struct Nearest {
    ranked: Vec<Ranked>,
    /// PoPs with a smaller cosine are too far for the list.
    closest_out: f64,
    least_stretch: f64,
}

impl Nearest {
    /// Offers a PoP; the arc cosine is only computed for those that may come in.
    fn offer(&mut self, pop: usize, cosine: f64, stretch: f64) {
        if cosine < self.closest_out {
            return;
        }
        self.insert(pop, cost(kilometres(cosine), stretch));
        if let (KEPT, Some(last)) = (self.ranked.len(), self.ranked.last()) {
            // A tenth more than the last costs, since costs are rounded.
            self.closest_out = (reach_km(last.cost + 1, self.least_stretch) / EARTH_KM).min(PI).cos();
        }
    }

    fn insert(&mut self, pop: usize, cost: u32) {
        let offered = Ranked { pop: PopIndex::from_usize(pop), cost };
        let at = self.ranked.partition_point(|ranked| (ranked.cost, ranked.pop) < (offered.cost, offered.pop));
        if at < KEPT {
            self.ranked.insert(at, offered);
            self.ranked.truncate(KEPT);
        }
    }
}

/// A list without any rule.
pub(crate) struct Near {
    pub(crate) ranked: Vec<Ranked>,
    pub(crate) cause: Cause,
}

impl Near {
    /// The list of a place and an AS: what was measured of its group, beside what distance says of others.
    pub(crate) fn new(ranker: &Ranker<'_>, learned: &Learned, (place, asn): (Place, u32)) -> Self {
        let mut ranked = ranker.nearest(place, &FixedBitSet::new());
        let group = learned.group_of(place, asn);
        let (Some((number, group)), Some(nearest)) = (group, ranked.first().map(|nearest| nearest.pop)) else {
            return Self { ranked, cause: Cause::Geography };
        };
        // Distance knows no last miles, which are in what was measured.
        let beyond = cost_of_ms(learned.intercept_ms().max(0.0));
        ranked.iter_mut().for_each(|ranked| ranked.cost += beyond);
        for candidate in group.candidates.iter().filter(|candidate| candidate.estimate.samples > 0) {
            let measured = Ranked { pop: candidate.pop, cost: cost_of_ms(candidate.estimate.milliseconds()) };
            match ranked.iter_mut().find(|ranked| ranked.pop == measured.pop) {
                Some(known) => *known = measured,
                None => ranked.push(measured),
            }
        }
        // Who is sent elsewhere by distance than the group's middle is, is not moved with it.
        let first = if nearest == group.expected { group.current } else { nearest };
        ranked.sort_by_key(|ranked| (ranked.pop != first, ranked.cost, ranked.pop));
        Self { ranked: keep(ranked), cause: Cause::Latency(u32::try_from(number).unwrap_or(u32::MAX)) }
    }
}

/// A list with the named first and then the nearest others, cut to what is kept.
pub(crate) fn keep(mut ranked: Vec<Ranked>) -> Vec<Ranked> {
    ranked.truncate(KEPT);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::distance_km;
    use crate::topology::PopSpec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_nearest_are_those_of_a_full_sort(
            pops in proptest::collection::vec((-90.0_f64..90.0, -180.0_f64..180.0), 1..60),
            (latitude, longitude) in (-900_i16..=900, -1800_i16..=1800),
        ) {
            let at = |(latitude, longitude): (f64, f64)| Location { latitude, longitude };
            let specs = pops.iter().map(|place| PopSpec { location: at(*place), edges: 0..0, beyond: Vec::new() });
            let topology = Topology::new(specs.collect(), Vec::new());
            let place = Place::Point { latitude, longitude, country: None };
            let ranker = Ranker::new(&topology, &[], at((0.0, 0.0)), &Learned::default());
            let found = ranker.nearest(place, &FixedBitSet::new());
            let here = at((f64::from(latitude) / 10.0, f64::from(longitude) / 10.0));
            let mut all: Vec<f64> = pops.iter().map(|pop| distance_km(here, at(*pop))).collect();
            prop_assert!(found.is_sorted_by_key(|ranked| (ranked.cost, ranked.pop)));
            for ranked in &found {
                // The haversine formula is another way to the same angle: rounding may differ by one.
                prop_assert!(ranked.cost.abs_diff(cost(all[ranked.pop.as_usize()], 1.0)) <= 1);
                prop_assert_eq!(ranked.cost, ranker.cost(place, ranked.pop));
            }
            all.sort_by(f64::total_cmp);
            prop_assert_eq!(found.len(), all.len().min(KEPT));
            for (ranked, distance) in found.iter().zip(all) {
                prop_assert!(ranked.cost.abs_diff(cost(distance, 1.0)) <= 1);
            }
        }
    }
}
