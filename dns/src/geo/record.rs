//! One record of a database: a place, or an AS number.

use config::{CountryCode, Location};
use mapping::Place;
use maxminddb::{LookupResult, MaxMindDbError, PathElement};
use serde::de::MapAccess;

use super::fields::{Field, Fields};

/// A record as the database holds it.
pub(super) type Record<'a> = LookupResult<'a, Vec<u8>>;

/// What a record says; an error where its bytes make no sense.
pub(super) type Said<T> = Result<Option<T>, MaxMindDbError>;

/// A radius from which a point says no more than its country.
const VAGUE_KM: f64 = 500.0;

/// The place in a record of either schema, nested or flat.
pub(super) fn place(record: &Record<'_>) -> Said<Place> {
    let said = or_none(record.decode::<Field<'_, Whole<'_>>>())?;
    Ok(said.as_ref().and_then(Field::map).and_then(Whole::place))
}

/// The AS number in a record.
pub(super) fn asn(record: &Record<'_>) -> Said<u32> {
    or_none(record.decode_path(&[PathElement::Key("autonomous_system_number")]))
}

/// What is read of a record: both schemas at once.
#[derive(Default)]
struct Whole<'d> {
    country_code: Field<'d>,
    latitude: Field<'d>,
    longitude: Field<'d>,
    country: Field<'d, Country<'d>>,
    registered_country: Field<'d, Country<'d>>,
    location: Field<'d, Point<'d>>,
    city: Field<'d, City<'d>>,
}

#[derive(Default)]
struct Country<'d> {
    iso_code: Field<'d>,
}

#[derive(Default)]
struct Point<'d> {
    latitude: Field<'d>,
    longitude: Field<'d>,
    accuracy_radius: Field<'d>,
}

#[derive(Default)]
struct City<'d> {
    geoname_id: Field<'d>,
    names: Field<'d, Names<'d>>,
}

#[derive(Default)]
struct Names<'d> {
    en: Field<'d>,
}

impl<'d> Fields<'d> for Whole<'d> {
    fn take<A: MapAccess<'d>>(&mut self, key: &[u8], map: &mut A) -> Result<bool, A::Error> {
        match key {
            b"country_code" => self.country_code.fill(map),
            b"latitude" => self.latitude.fill(map),
            b"longitude" => self.longitude.fill(map),
            b"country" => self.country.fill(map),
            b"registered_country" => self.registered_country.fill(map),
            b"location" => self.location.fill(map),
            b"city" => self.city.fill(map),
            _ => Ok(false),
        }
    }
}

impl<'d> Fields<'d> for Country<'d> {
    fn take<A: MapAccess<'d>>(&mut self, key: &[u8], map: &mut A) -> Result<bool, A::Error> {
        if key == b"iso_code" { self.iso_code.fill(map) } else { Ok(false) }
    }
}

impl<'d> Fields<'d> for Point<'d> {
    fn take<A: MapAccess<'d>>(&mut self, key: &[u8], map: &mut A) -> Result<bool, A::Error> {
        match key {
            b"latitude" => self.latitude.fill(map),
            b"longitude" => self.longitude.fill(map),
            b"accuracy_radius" => self.accuracy_radius.fill(map),
            _ => Ok(false),
        }
    }
}

impl<'d> Fields<'d> for City<'d> {
    fn take<A: MapAccess<'d>>(&mut self, key: &[u8], map: &mut A) -> Result<bool, A::Error> {
        match key {
            b"geoname_id" => self.geoname_id.fill(map),
            b"names" => self.names.fill(map),
            _ => Ok(false),
        }
    }
}

impl<'d> Fields<'d> for Names<'d> {
    fn take<A: MapAccess<'d>>(&mut self, key: &[u8], map: &mut A) -> Result<bool, A::Error> {
        if key == b"en" { self.en.fill(map) } else { Ok(false) }
    }
}

impl Whole<'_> {
    fn place(&self) -> Option<Place> {
        let code = self.country_code.text().or_else(|| code_of(&self.country));
        let code = code.or_else(|| code_of(&self.registered_country));
        let country = code.and_then(CountryCode::parse);
        match (self.location(), country) {
            (Some(location), country) if self.is_exact() || country.is_none() => Some(Place::at(location, country)),
            (_, country) => country.map(Place::Country),
        }
    }

    /// The point, if it is one on earth.
    fn location(&self) -> Option<Location> {
        let nested = self.location.map();
        let degrees = |nested: Option<&Field<'_>>, flat: &Field<'_>, most: f64| {
            nested.and_then(Field::number).or(flat.number()).filter(|degrees| degrees.abs() <= most)
        };
        let latitude = degrees(nested.map(|point| &point.latitude), &self.latitude, 90.0)?;
        let longitude = degrees(nested.map(|point| &point.longitude), &self.longitude, 180.0)?;
        Some(Location { latitude, longitude })
    }

    /// Whether the point says more than the country: it is a city's, and not a wide guess.
    fn is_exact(&self) -> bool {
        let is_named = |city: &City<'_>| {
            city.geoname_id.number().is_some() || city.names.map().is_some_and(|names| names.en.text().is_some())
        };
        let has_city = self.city.map().is_some_and(is_named) || self.city.text().is_some();
        let radius = self.location.map().and_then(|point| point.accuracy_radius.number());
        has_city && radius.is_none_or(|radius| radius < VAGUE_KM)
    }
}

fn code_of<'d>(country: &Field<'d, Country<'d>>) -> Option<&'d str> {
    country.map()?.iso_code.text()
}

/// What is of another type is another schema's, and as good as none.
fn or_none<T>(said: Said<T>) -> Said<T> {
    match said {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        said => said,
    }
}
