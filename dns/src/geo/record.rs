//! One record of a database: a place, or an AS number.

use std::fmt;
use std::marker::PhantomData;

use config::{CountryCode, Location};
use mapping::Place;
use maxminddb::{LookupResult, MaxMindDbError, PathElement};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A record as the database holds it.
pub(super) type Record<'a> = LookupResult<'a, Vec<u8>>;

/// What a record says; an error where its bytes make no sense.
pub(super) type Said<T> = Result<Option<T>, MaxMindDbError>;

/// A radius from which a point says no more than its country.
const VAGUE_KM: f64 = 500.0;

/// The place in a record of either schema, nested or flat.
pub(super) fn place(record: &Record<'_>) -> Said<Place> {
    Ok(or_none(record.decode::<Fields<'_>>())?.and_then(|fields| fields.place()))
}

/// The AS number in a record.
pub(super) fn asn(record: &Record<'_>) -> Said<u32> {
    field(record, &["autonomous_system_number"])
}

/// What is read of a record. Both schemas at once and in one pass, which takes half the time of asking for each field.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'd"))]
struct Fields<'d> {
    country_code: Leaf<'d>,
    latitude: Leaf<'d>,
    longitude: Leaf<'d>,
    country: Field<'d, Within<'d>>,
    registered_country: Field<'d, Within<'d>>,
    location: Field<'d, Within<'d>>,
    city: Field<'d, Within<'d>>,
}

/// What is read below `country`, `registered_country`, `location` and `city`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'd"))]
struct Within<'d> {
    iso_code: Leaf<'d>,
    latitude: Leaf<'d>,
    longitude: Leaf<'d>,
    accuracy_radius: Leaf<'d>,
    geoname_id: Leaf<'d>,
    names: Field<'d, Names<'d>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'd"))]
struct Names<'d> {
    en: Leaf<'d>,
}

impl Fields<'_> {
    fn place(&self) -> Option<Place> {
        let Self { country_code, country, registered_country, .. } = self;
        let codes = [country_code, &country.map.iso_code, &registered_country.map.iso_code];
        let code = codes.into_iter().find_map(Leaf::text);
        let country = code.and_then(CountryCode::parse);
        match (self.location(), country) {
            (Some(location), country) if self.is_exact() || country.is_none() => Some(Place::at(location, country)),
            (_, country) => country.map(Place::Country),
        }
    }

    /// The point, if it is one on earth.
    fn location(&self) -> Option<Location> {
        let Self { location: Field { map: nested, .. }, latitude, longitude, .. } = self;
        let degrees = |nested: &Leaf<'_>, flat: &Leaf<'_>, most: f64| {
            nested.number.or(flat.number).filter(|degrees| degrees.abs() <= most)
        };
        let latitude = degrees(&nested.latitude, latitude, 90.0)?;
        let longitude = degrees(&nested.longitude, longitude, 180.0)?;
        Some(Location { latitude, longitude })
    }

    /// Whether the point says more than the country: it is a city's, and not a wide guess.
    fn is_exact(&self) -> bool {
        let city = &self.city;
        let has_city =
            city.map.geoname_id.number.is_some() || city.map.names.map.en.text().is_some() || city.text().is_some();
        has_city && self.location.map.accuracy_radius.number.is_none_or(|radius| radius < VAGUE_KM)
    }
}

/// A field of whatever type: of another than expected it is another schema's, and as good as none.
struct Field<'d, M> {
    text: Option<&'d str>,
    number: Option<f64>,
    map: M,
}

/// A field below which nothing is read.
type Leaf<'d> = Field<'d, Nothing>;

#[derive(Default)]
struct Nothing;

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from).map(|_| Self)
    }
}

impl<M: Default> Default for Field<'_, M> {
    fn default() -> Self {
        Self { text: None, number: None, map: M::default() }
    }
}

impl<M> Field<'_, M> {
    /// A text that is not empty.
    fn text(&self) -> Option<&str> {
        self.text.filter(|text| !text.is_empty())
    }
}

impl<'de: 'd, 'd, M: Deserialize<'de> + Default> Deserialize<'de> for Field<'d, M> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visit(PhantomData))
    }
}

struct Visit<'d, M>(PhantomData<(&'d str, M)>);

impl<'de: 'd, 'd, M: Deserialize<'de> + Default> Visitor<'de> for Visit<'d, M> {
    type Value = Field<'d, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field of any type")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field { text: Some(text), ..Field::default() })
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Field { number: Some(number), ..Field::default() })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        // What matters of a greater one is that it is great.
        let number = f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        Ok(Field { number: Some(number), ..Field::default() })
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(i32::try_from(number)
            .map_or_else(|_| Field::default(), |number| Field { number: Some(f64::from(number)), ..Field::default() }))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Field::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::default())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Field::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        let map = M::deserialize(MapAccessDeserializer::new(fields))?;
        Ok(Field { map, ..Field::default() })
    }
}

/// A field; of another type it is another schema's, and as good as none.
fn field<T: DeserializeOwned>(record: &Record<'_>, path: &[&str]) -> Said<T> {
    let path: Vec<PathElement<'_>> = path.iter().map(|name| PathElement::Key(name)).collect();
    or_none(record.decode_path(&path))
}

fn or_none<T>(said: Said<T>) -> Said<T> {
    match said {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        said => said,
    }
}
