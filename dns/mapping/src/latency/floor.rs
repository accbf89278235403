//! The least that a round trip can be. What edges measured is not believed below light in fibre: an edge that lies can
//! make its PoP as near as physics allow, and no nearer.

use std::collections::HashMap;

use config::{CountryCode, Location};

use crate::distance::{distance_km, least_possible_ms};
use crate::latency::histogram::Histogram;
use crate::latency::learn::Observed;
use crate::place::{Place, Region};
use crate::topology::PopIndex;

/// The least buckets from places to PoPs.
pub(super) struct Floors<'a> {
    pops: &'a [(Location, f64)],
    regions: &'a [Region],
    /// From the part of a country that is nearest to each PoP.
    by_country: HashMap<CountryCode, Vec<u8>>,
}

impl<'a> Floors<'a> {
    pub(super) fn new(pops: &'a [(Location, f64)], regions: &'a [Region]) -> Self {
        Self { pops, regions, by_country: HashMap::new() }
    }

    /// The bucket below which no round trip from a prefix to a PoP can be.
    pub(super) fn bucket(&mut self, observed: &Observed<'_>, pop: PopIndex) -> u8 {
        let Some((to, _)) = self.pops.get(pop.as_usize()) else { return 0 };
        match observed.place {
            Place::Home => 0,
            Place::Point { .. } => bucket(distance_km(observed.location, *to)),
            Place::Country(country) => {
                let own: Vec<&Region> = match self.by_country.get(&country) {
                    Some(known) => return known.get(pop.as_usize()).copied().unwrap_or(0),
                    None => self.regions.iter().filter(|region| region.country == country).collect(),
                };
                let nearest = |(to, _): &(Location, f64)| {
                    let ways = own.iter().map(|region| distance_km(region.location, *to));
                    ways.min_by(f64::total_cmp).map_or(0, bucket)
                };
                let all: Vec<u8> = self.pops.iter().map(nearest).collect();
                let found = all.get(pop.as_usize()).copied().unwrap_or(0);
                self.by_country.insert(country, all);
                found
            }
        }
    }
}

fn bucket(distance_km: f64) -> u8 {
    Histogram::bucket(least_possible_ms(distance_km))
}
