//! What a PoP costs a client, from geography.

use std::collections::HashMap;

use config::{CountryCode, Location};

use crate::distance::{cost, distance_km};
use crate::place::{Place, Region};
use crate::topology::{PopIndex, Topology};
use crate::unit::Ranked;

/// PoPs kept in a ranked list: beyond the eighth, nearness hardly differs for the client.
const KEPT: usize = 8;

/// Ranks PoPs for places.
pub(crate) struct Ranker<'a> {
    topology: &'a Topology,
    regions: HashMap<CountryCode, Vec<&'a Region>>,
    home: Location,
}

impl<'a> Ranker<'a> {
    pub(crate) fn new(topology: &'a Topology, regions: &'a [Region], home: Location) -> Self {
        let mut by_country: HashMap<CountryCode, Vec<&Region>> = HashMap::new();
        for region in regions {
            by_country.entry(region.country).or_default().push(region);
        }
        Self { topology, regions: by_country, home }
    }

    /// Every PoP with its cost, nearest first; equal costs in the order of the config.
    pub(crate) fn rank(&self, place: Place) -> Vec<Ranked> {
        let cost_to = |pop: Location| match place {
            Place::Home => cost(distance_km(self.home, pop)),
            Place::Point { latitude, longitude, .. } => {
                let point = Location { latitude: f64::from(latitude) / 10.0, longitude: f64::from(longitude) / 10.0 };
                cost(distance_km(point, pop))
            }
            Place::Country(country) => cost(self.country_distance(country, pop)),
        };
        let pops = self.topology.pops.iter().enumerate();
        let mut ranked: Vec<Ranked> =
            pops.map(|(index, pop)| Ranked { pop: PopIndex::from_usize(index), cost: cost_to(pop.location) }).collect();
        ranked.sort_by_key(|ranked| (ranked.cost, ranked.pop));
        ranked
    }

    /// Distance to a country's people, on average: a centroid of Russia or the USA lies where few live.
    fn country_distance(&self, country: CountryCode, pop: Location) -> f64 {
        let Some(regions) = self.regions.get(&country) else {
            return distance_km(self.home, pop);
        };
        let people: f64 = regions.iter().map(|region| region.population).sum();
        let weighted: f64 = regions.iter().map(|region| region.population * distance_km(region.location, pop)).sum();
        weighted / people.max(1.0)
    }
}

/// Cuts a list to what is kept.
pub(crate) fn keep(mut ranked: Vec<Ranked>) -> Vec<Ranked> {
    ranked.truncate(KEPT);
    ranked
}
