//! Samples with the places of their prefixes.

use std::collections::HashMap;

use config::{CountryCode, Location};

use crate::address::Family;
use crate::distance::Direction;
use crate::geography::Geography;
use crate::latency::learn::Observed;
use crate::latency::samples::Samples;
use crate::place::{Place, Region};

/// Finds the place and AS of every measured prefix. Those at home are left out: where home is, the operator
/// says.
#[must_use]
pub fn observe<'a>(geography: &Geography, regions: &[Region], samples: &'a Samples) -> Vec<Observed<'a>> {
    let centres = centres(regions);
    let one = |((family, key), measured): (&(Family, u64), &'a _)| {
        let (place, asn) = geography.find(*family, *key)?;
        let location = match place {
            Place::Point { latitude, longitude, .. } => {
                Location { latitude: f64::from(latitude) / 10.0, longitude: f64::from(longitude) / 10.0 }
            }
            Place::Country(country) => *centres.get(&country)?,
            Place::Home => return None,
        };
        Some(Observed { place, location, asn, measured })
    };
    samples.iter().filter_map(one).collect()
}

/// The middles of countries' people, as points on the sphere.
fn centres(regions: &[Region]) -> HashMap<CountryCode, Location> {
    let mut sums: HashMap<CountryCode, [f64; 3]> = HashMap::new();
    for region in regions {
        let Direction(at) = Direction::of(region.location);
        let sum = sums.entry(region.country).or_default();
        sum.iter_mut().zip(at).for_each(|(sum, at)| *sum += at * region.population.max(1.0));
    }
    let location = |[x, y, z]: [f64; 3]| Location {
        latitude: z.atan2(x.hypot(y)).to_degrees(),
        longitude: y.atan2(x).to_degrees(),
    };
    sums.into_iter().map(|(country, sum)| (country, location(sum))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::histogram::Histogram;
    use crate::latency::samples::prefix_key;
    use crate::runs::Run;
    use crate::topology::PopIndex;

    #[test]
    fn samples_are_found_on_the_map() {
        let de = CountryCode::parse("DE").unwrap();
        let here = Location { latitude: 50.1, longitude: 8.7 };
        let places = vec![Place::Home, Place::Country(de), Place::at(here, Some(de))];
        let run = |start, value| Run { start, value };
        let geography = Geography {
            places,
            v4: vec![run(0, 0), run(0x5100_0000, 1), run(0x5200_0000, 2)],
            v6: vec![run(0, 0)],
            asn_v4: vec![run(0, 0), run(0x5200_0000, 64_500)],
            asn_v6: Vec::new(),
        };
        let at = |latitude, longitude, population| Region {
            country: de,
            population,
            location: Location { latitude, longitude },
        };
        let regions = [at(52.0, 10.0, 3.0), at(50.0, 8.0, 1.0)];
        let mut samples = Samples::default();
        for address in ["10.0.0.1", "81.2.3.4", "82.2.3.4", "2001:db8::1"] {
            samples.add(prefix_key(address.parse().unwrap()), PopIndex::from_usize(0), &Histogram::default());
        }
        let found = observe(&geography, &regions, &samples);
        assert_eq!(found.iter().map(|observed| observed.asn).collect::<Vec<_>>(), [0, 64_500], "home is left out");
        assert!((found[0].location.latitude - 51.5).abs() < 0.1, "{found:?}");
        assert_eq!(found[1].location, here);
    }
}
