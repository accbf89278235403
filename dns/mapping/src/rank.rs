//! What a PoP costs a client, from geography.

use std::collections::HashMap;

use config::{CountryCode, Location};

use crate::place::{Place, Region};
use crate::topology::{PopIndex, Topology};
use crate::unit::Ranked;

/// Costs are kept in tenths of a millisecond.
pub const COST_PER_MS: f64 = 10.0;

/// PoPs kept in a ranked list: beyond the eighth, nearness hardly differs for the client.
const KEPT: usize = 8;

/// Mean radius of the earth.
const EARTH_KM: f64 = 6_371.0;

/// Distance one millisecond of round trip covers: light in fibre goes 200 km/ms, there and back,
/// and cables are about twice the great circle.
const KM_PER_MS: f64 = 50.0;

/// Milliseconds that no nearness removes: last mile and equipment.
const LEAST_MS: f64 = 5.0;

/// Great-circle distance by the haversine formula.
#[must_use]
pub fn distance_km(a: Location, b: Location) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((b.longitude - a.longitude).to_radians() / 2.0).sin();
    let h = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    2.0 * EARTH_KM * h.sqrt().min(1.0).asin()
}

/// The round trip expected over a distance, in tenths of a millisecond.
#[must_use]
pub fn cost(distance_km: f64) -> u32 {
    let tenths = (distance_km / KM_PER_MS + LEAST_MS) * COST_PER_MS;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 20,038 km, so 4,060")]
    let tenths = tenths.round() as u32;
    tenths
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_great_circles() {
        let frankfurt = Location { latitude: 50.1155, longitude: 8.6842 };
        let tokyo = Location { latitude: 35.6895, longitude: 139.6917 };
        assert!((distance_km(frankfurt, tokyo) - 9_335.0).abs() < 30.0);
        assert!(distance_km(tokyo, tokyo) < 0.001);
        let (east, west) =
            (Location { latitude: 0.0, longitude: 179.9 }, Location { latitude: 0.0, longitude: -179.9 });
        assert!((distance_km(east, west) - 22.2).abs() < 0.5, "the date line is no border");
    }
}
