//! Where a prefix is.

use config::{CountryCode, Location};

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

#[expect(clippy::cast_possible_truncation, reason = "clamped to ±1800 just before")]
fn tenths(degrees: f64) -> i16 {
    (degrees * 10.0).round().clamp(-1800.0, 1800.0) as i16
}
