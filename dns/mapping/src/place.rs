//! Where a prefix is.

use std::fmt;

use config::{CountryCode, Location};

use crate::distance::distance_km;

/// A place that a prefix can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A point, in tenths of a degree: what a city database knows, no finer than it is true.
    Point {
        /// Tenths of a degree north.
        latitude: i16,
        /// Tenths of a degree east.
        longitude: i16,
        /// Its country, if the database names it.
        country: Option<CountryCode>,
    },
    /// Somewhere in a country.
    Country(CountryCode),
    /// Private and loopback addresses: where the operator says home is.
    Home,
}

/// Index of a place in [`crate::Geography::places`].
pub type PlaceIndex = u32;

/// A populated point of a country.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// The country.
    pub country: CountryCode,
    /// People, as its weight.
    pub population: f64,
    /// Its population-weighted centre.
    pub location: Location,
}

impl Place {
    /// The point nearest to a location, in tenths of a degree.
    #[must_use]
    pub fn at(location: Location, country: Option<CountryCode>) -> Self {
        Self::Point { latitude: tenths(location.latitude), longitude: tenths(location.longitude), country }
    }

    /// How far it is to a point, km: from a country's people on average.
    #[must_use]
    pub fn distance_km(&self, home: Location, regions: &[Region], to: Location) -> f64 {
        match self {
            Self::Point { latitude, longitude, .. } => {
                let degrees = |tenths: i16| f64::from(tenths) / 10.0;
                distance_km(Location { latitude: degrees(*latitude), longitude: degrees(*longitude) }, to)
            }
            Self::Country(country) => {
                let own = || regions.iter().filter(|region| region.country == *country);
                let people: f64 = own().map(|region| region.population).sum();
                let weighted = own().map(|region| region.population * distance_km(region.location, to)).sum::<f64>();
                if people > 0.0 { weighted / people } else { distance_km(home, to) }
            }
            Self::Home => distance_km(home, to),
        }
    }

    /// A point that stands for it on a map: of a country the middle of its people, on the globe.
    #[must_use]
    pub fn centre(&self, home: Location, regions: &[Region]) -> Location {
        match self {
            Self::Point { latitude, longitude, .. } => {
                Location { latitude: f64::from(*latitude) / 10.0, longitude: f64::from(*longitude) / 10.0 }
            }
            Self::Country(country) => {
                let own = regions.iter().filter(|region| region.country == *country && region.population > 0.0);
                middle(own).unwrap_or(home)
            }
            Self::Home => home,
        }
    }

    /// The country, where known.
    #[must_use]
    pub fn country(&self) -> Option<CountryCode> {
        match self {
            Self::Point { country, .. } => *country,
            Self::Country(country) => Some(*country),
            Self::Home => None,
        }
    }
}

/// The middle of people: of their directions from the middle of the earth, so that a country may lie on both sides of 180
/// degrees. None where there is nobody.
fn middle<'r>(regions: impl Iterator<Item = &'r Region>) -> Option<Location> {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for Region { population, location, .. } in regions {
        let (latitude, longitude) = (location.latitude.to_radians(), location.longitude.to_radians());
        x += population * latitude.cos() * longitude.cos();
        y += population * latitude.cos() * longitude.sin();
        z += population * latitude.sin();
    }
    let across = x.hypot(y);
    let is_somewhere = across > 0.0 || z != 0.0;
    is_somewhere.then(|| Location { latitude: z.atan2(across).to_degrees(), longitude: y.atan2(x).to_degrees() })
}

/// As people read it: `52.4 N 4.9 E, NL`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point { latitude, longitude, country } => {
                f.write_str(&point(*latitude, *longitude))?;
                country.map_or(Ok(()), |country| write!(f, ", {country}"))
            }
            Self::Country(country) => write!(f, "somewhere in {country}"),
            Self::Home => f.write_str("home"),
        }
    }
}

/// A point of tenths of degrees, as people read it: `52.4 N 4.9 E`.
pub(crate) fn point(latitude: i16, longitude: i16) -> String {
    let side = |tenths: i16, sides: [&str; 2]| {
        let [positive, negative] = sides;
        format!("{:.1} {}", f64::from(tenths.unsigned_abs()) / 10.0, if tenths < 0 { negative } else { positive })
    };
    format!("{} {}", side(latitude, ["N", "S"]), side(longitude, ["E", "W"]))
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to ±1800 just before")]
fn tenths(degrees: f64) -> i16 {
    (degrees * 10.0).round().clamp(-1800.0, 1800.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Location = Location { latitude: 1.0, longitude: 2.0 };

    #[test]
    fn a_place_has_a_point_on_a_map() {
        let country = |code: &str| CountryCode::parse(code).unwrap();
        let region = |code: &str, population, latitude, longitude| Region {
            country: country(code),
            population,
            location: Location { latitude, longitude },
        };
        let regions = [
            region("NL", 3.0, 52.0, 4.0),
            region("NL", 1.0, 52.0, 8.0),
            // On both sides of 180 degrees.
            region("FJ", 1.0, 0.0, 178.0),
            region("FJ", 1.0, 0.0, -178.0),
            region("AQ", 0.0, -80.0, 0.0),
        ];
        for (place, latitude, longitude) in [
            (Place::Point { latitude: 524, longitude: 49, country: None }, 52.4, 4.9),
            (Place::Country(country("NL")), 52.0, 5.0),
            (Place::Country(country("FJ")), 0.0, 180.0),
            (Place::Country(country("AQ")), 1.0, 2.0),
            (Place::Country(country("DE")), 1.0, 2.0),
            (Place::Home, 1.0, 2.0),
        ] {
            let found = place.centre(HOME, &regions);
            let is_near = (found.latitude - latitude).abs() < 0.05 && (found.longitude.abs() - longitude).abs() < 0.05;
            assert!(is_near, "{place:?}: {found:?}");
        }
    }
}
