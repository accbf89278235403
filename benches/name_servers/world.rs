//! Where clients are: the built-in countries as a database that every server reads, each country at one point.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mapping::Place;
use mmdb_writer::{IpVersion, Value, Writer};

/// PoPs by id, latitude and longitude.
pub(crate) const POPS: [(&str, f64, f64); 12] = [
    ("iad", 39.0, -77.5),
    ("dfw", 32.8, -96.8),
    ("lax", 34.1, -118.2),
    ("gru", -23.5, -46.6),
    ("lhr", 51.5, -0.1),
    ("fra", 50.1, 8.7),
    ("jnb", -26.2, 28.0),
    ("dxb", 25.2, 55.3),
    ("bom", 19.1, 72.9),
    ("sin", 1.3, 103.8),
    ("nrt", 35.7, 139.7),
    ("syd", -33.9, 151.2),
];

/// The database, and which PoP is the nearest to each country.
pub(crate) struct World {
    path: PathBuf,
    nearest: BTreeMap<String, usize>,
}

impl World {
    pub(crate) fn write(dir: &Path) -> Self {
        let geo = config::Geo { database: Vec::new(), asn: None, geofeed: Vec::new(), home: None };
        let world = dns::geo::load(&geo, None, SystemTime::now()).unwrap();
        let mut writer = Writer::builder("GeoIP2-City").ip_version(IpVersion::V6).build();
        let mut nearest = BTreeMap::new();
        let runs = &world.geography.v4;
        for (at, run) in runs.iter().enumerate() {
            let Some(Place::Country(country)) = world.geography.places.get(run.value as usize).copied() else {
                continue;
            };
            let (first, last) = (run.start, runs.get(at + 1).map_or(u64::from(u32::MAX), |next| next.start - 1));
            let own = || world.regions.iter().filter(|region| region.country == country);
            let Some(largest) = own().max_by(|a, b| a.population.total_cmp(&b.population)) else { continue };
            let to = |pop: &&(&str, f64, f64)| {
                mapping::distance_km(largest.location, config::Location { latitude: pop.1, longitude: pop.2 })
            };
            let pop = POPS.iter().enumerate().min_by(|a, b| to(&a.1).total_cmp(&to(&b.1))).map_or(0, |(pop, _)| pop);
            nearest.insert(country.to_string(), pop);
            let record = Value::map([
                ("country", Value::map([("iso_code", Value::from(country.to_string()))])),
                (
                    "location",
                    Value::map([
                        ("latitude", Value::from(largest.location.latitude)),
                        ("longitude", Value::from(largest.location.longitude)),
                    ]),
                ),
            ]);
            let address = |key: u64| IpAddr::V4(Ipv4Addr::from(key as u32));
            writer.insert_range(address(first), address(last), &record).unwrap();
        }
        let path = dir.join("world.mmdb");
        std::fs::write(&path, writer.to_bytes().unwrap()).unwrap();
        Self { path, nearest }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Countries with the number of their PoP, from 1.
    pub(crate) fn countries(&self) -> impl Iterator<Item = (&str, usize)> {
        self.nearest.iter().map(|(country, pop)| (country.as_str(), pop + 1))
    }
}
