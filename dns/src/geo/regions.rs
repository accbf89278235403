//! Regions: where the people of every country are.

use config::{CountryCode, Location, Network, Pop, Problem, Severity};
use mapping::Region;

/// Population-weighted points of every country's regions, after GeoNames (CC BY 4.0).
const REGIONS: &str = include_str!("../../../deploy/geo/regions.csv");
/// How much nearer another country must be before a PoP is taken to lie in it: a region is one point here, and near a
/// border another country's may be nearer. Of 9,062 towns of 50,000 people or more none is so far out (82 with 150 km);
/// of towns of 100,000 or more with latitude and longitude exchanged 87 % are, with a sign lost 90 to 92 %.
const BORDER_KM: f64 = 700.0;
/// Locations nearer to each other than this cost clients the same.
const SAME_KM: f64 = 1.0;

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

/// Warns of PoPs whose location is not in the country they name, likely a slip in a number, and of those that lie at
/// the same place: by distance only the first of them has clients.
#[must_use]
pub fn warn_of_places(network: &Network, regions: &[Region]) -> Vec<Problem> {
    let warning = |problem: Problem| Problem { severity: Severity::Warning, ..problem };
    let same = network.pops.iter().enumerate().filter_map(|(number, pop)| {
        let earlier = network
            .pops
            .iter()
            .take(number)
            .find(|earlier| mapping::distance_km(earlier.location, pop.location) < SAME_KM)?;
        let message = format!("PoPs `{}` and `{}` are at the same place: clients go to the first", earlier.id, pop.id);
        let help = "make them one PoP with all the edges, or set them apart by latency/*.csv or routes.toml";
        Some(warning(Problem::general(message).help(help)))
    });
    let outside = |pop: &Pop| {
        let country = pop.country?;
        let (own, others): (Vec<&Region>, Vec<&Region>) = regions.iter().partition(|region| region.country == country);
        let (own_km, _) = nearest(&own, pop.location)?;
        let (other_km, other) = nearest(&others, pop.location)?;
        (own_km > other_km + BORDER_KM).then(|| {
            let message = format!("PoP `{}` says it is in {country}, but its location is nearest to {other}", pop.id);
            warning(Problem::general(message).help("latitude comes first, then longitude: [50.11, 8.68]"))
        })
    };
    same.chain(network.pops.iter().filter_map(outside)).collect()
}

/// Distance and country of the nearest region.
fn nearest(regions: &[&Region], location: Location) -> Option<(f64, CountryCode)> {
    let distances = regions.iter().map(|region| (mapping::distance_km(region.location, location), region.country));
    distances.min_by(|a, b| a.0.total_cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pops_at_the_same_place_warn() {
        let dir = tempfile::tempdir().unwrap();
        let server = "[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.54\"]\n";
        let pop = |id: &str, location: &str, last: u8| {
            let edge = format!("[[pop.edge]]\nid = \"{id}-1\"\naddresses = [\"198.18.1.{last}\"]\n");
            format!("[[pop]]\nid = \"{id}\"\nlocation = {location}\n{edge}")
        };
        let pops =
            [pop("a", "[50.11, 8.68]", 1), pop("b", "[50.13, 8.68]", 2), pop("c", "[50.112, 8.681]", 3)].concat();
        std::fs::write(dir.path().join("hither.toml"), format!("zone = \"cdn.example\"\n{server}{pops}")).unwrap();
        let network = config::load(dir.path()).unwrap().config.network;
        let said: Vec<String> = warn_of_places(&network, &read()).iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].contains("`a` and `c` are at the same place"), "{said:?}");
    }

    #[test]
    fn a_pop_that_lies_in_another_country_warns() {
        let dir = tempfile::tempdir().unwrap();
        let server = "[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.54\"]\n";
        let warnings = |country: &str, location: &str| -> Vec<String> {
            let edge = "[[pop.edge]]\nid = \"a-1\"\naddresses = [\"198.18.1.1\"]\n";
            let pop = format!("[[pop]]\nid = \"a\"\n{country}location = {location}\n{edge}");
            std::fs::write(dir.path().join("hither.toml"), format!("zone = \"cdn.example\"\n{server}{pop}")).unwrap();
            let network = config::load(dir.path()).unwrap().config.network;
            warn_of_places(&network, &read()).iter().map(ToString::to_string).collect()
        };
        let germany = "country = \"DE\"\n";
        for (country, location) in [
            (germany, "[50.11, 8.68]"),
            // Passau lies at the border, nearer to where Upper Austrians live than to where Bavarians do.
            (germany, "[48.57, 13.46]"),
            // Far from where most people of their country are, or on another continent.
            ("country = \"US\"\n", "[58.30, -134.42]"),
            ("country = \"US\"\n", "[26.20, -98.23]"),
            ("country = \"ES\"\n", "[35.89, -5.32]"),
            ("country = \"CN\"\n", "[39.47, 75.99]"),
            ("country = \"BR\"\n", "[-25.55, -54.59]"),
            ("", "[8.68, 50.11]"),
            ("country = \"XX\"\n", "[8.68, 50.11]"),
        ] {
            assert_eq!(warnings(country, location), [""; 0], "{country}{location}");
        }
        let turned = warnings(germany, "[8.68, 50.11]");
        assert!(
            turned.len() == 1 && turned[0].contains("`a` says it is in DE, but its location is nearest to SO"),
            "{turned:?}"
        );
    }
}
