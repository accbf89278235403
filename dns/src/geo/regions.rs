//! Regions: where the people of every country are.

use config::{CountryCode, Location, Network, Pop, Problem, Severity};
use mapping::Region;

/// Population-weighted points of every country's regions, after GeoNames (CC BY 4.0).
const REGIONS: &str = include_str!("../../../deploy/geo/regions.csv");
/// How much nearer another country must be before a PoP is taken to lie in it: near a border
/// another country's town may be nearer.
const BORDER_KM: f64 = 150.0;

/// `country,admin1,population,lat,lon` after a heading line.
pub(super) fn read() -> Vec<Region> {
    let read = |line: &str| {
        let mut fields = line.split(',');
        let country = CountryCode::parse(fields.next()?)?;
        let population = fields.nth(1)?.parse().ok()?;
        let location = Location { latitude: fields.next()?.parse().ok()?, longitude: fields.next()?.parse().ok()? };
        Some(Region { country, population, location })
    };
    REGIONS.lines().skip(1).filter_map(read).collect()
}

/// Warns of PoPs whose location is not in the country they name: likely a slip in a number.
#[must_use]
pub fn warn_of_places(network: &Network, regions: &[Region]) -> Vec<Problem> {
    let outside = |pop: &Pop| {
        let country = pop.country?;
        let (own, others): (Vec<&Region>, Vec<&Region>) = regions.iter().partition(|region| region.country == country);
        let (own_km, _) = nearest(&own, pop.location)?;
        let (other_km, other) = nearest(&others, pop.location)?;
        (own_km > other_km + BORDER_KM).then(|| {
            let message = format!("PoP `{}` says it is in {country}, but its location is nearest to {other}", pop.id);
            let mut problem = Problem::general(message).help("latitude comes first, then longitude: [50.11, 8.68]");
            problem.severity = Severity::Warning;
            problem
        })
    };
    network.pops.iter().filter_map(outside).collect()
}

/// Distance and country of the nearest region.
fn nearest(regions: &[&Region], location: Location) -> Option<(f64, CountryCode)> {
    let distances = regions.iter().map(|region| (mapping::distance_km(region.location, location), region.country));
    distances.min_by(|a, b| a.0.total_cmp(&b.0))
}
