//! A population to try a map on where there is no query log: every country's people, spread over its addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::CountryCode;
use mapping::Family;

use super::World;

impl World {
    /// Clients' addresses, so many for each country that has IPv4 addresses and people, and how many people each
    /// stands for. They lie evenly in the country's addresses: the same every time.
    #[must_use]
    pub fn population(&self, each: u32) -> Vec<(IpAddr, f64)> {
        let country_of: Vec<Option<CountryCode>> = self.geography.places.iter().map(mapping::Place::country).collect();
        let ends = self.geography.v4.iter().skip(1).map(|run| run.start);
        let ends = ends.chain([Family::V4.last() + 1]);
        let spans = || {
            let runs = self.geography.v4.iter().zip(ends.clone());
            runs.filter_map(|(run, end)| {
                let country = *country_of.get(usize::try_from(run.value).ok()?)?;
                Some((country?, run.start, end - run.start))
            })
        };
        let mut countries: BTreeMap<CountryCode, Country> = BTreeMap::new();
        for (country, _, length) in spans() {
            countries.entry(country).or_default().addresses += length;
        }
        for region in self.regions.iter() {
            if let Some(country) = countries.get_mut(&region.country) {
                country.people += region.population;
            }
        }
        let mut clients = Vec::new();
        for (country, start, length) in spans() {
            let Some(country) = countries.get_mut(&country).filter(|country| country.people > 0.0) else { continue };
            while let Some(place) = country.next(each).filter(|place| *place < country.passed + length) {
                let address = Family::V4.address(start + (place - country.passed));
                clients.push((address, country.people / f64::from(each)));
                country.taken += 1;
            }
            country.passed += length;
        }
        clients
    }
}

/// A country while its addresses are walked.
#[derive(Debug, Default)]
struct Country {
    addresses: u64,
    people: f64,
    /// Addresses of it that have been walked.
    passed: u64,
    taken: u32,
}

impl Country {
    /// The place among its addresses of the next client: the middle of its share.
    fn next(&self, each: u32) -> Option<u64> {
        (self.taken < each).then(|| {
            let middle = u128::from(self.addresses) * (2 * u128::from(self.taken) + 1) / (2 * u128::from(each));
            u64::try_from(middle).unwrap_or(u64::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use config::Geo;

    use super::*;

    #[test]
    fn every_country_s_people_are_spread_over_its_addresses() {
        let world = super::super::load(
            &Geo { database: Vec::new(), asn: None, geofeed: Vec::new(), home: None },
            None,
            SystemTime::now(),
        )
        .unwrap();
        let clients = world.population(8);
        let mut people: BTreeMap<CountryCode, (u32, f64)> = BTreeMap::new();
        for (address, weight) in &clients {
            let (place, _) = world.geography.find(Family::V4, Family::key(*address)).unwrap();
            let country = people.entry(place.country().unwrap()).or_default();
            *country = (country.0 + 1, country.1 + weight);
        }
        assert!(people.len() > 200, "{}", people.len());
        assert!(people.values().all(|(count, _)| *count == 8));
        let of = |code: &str| people[&CountryCode::parse(code).unwrap()].1;
        assert!(of("IN") > of("US") && of("US") > of("CH") && of("CH") > 1e6);
        assert_eq!(clients, world.population(8));
        assert!(world.population(0).is_empty());
    }
}
