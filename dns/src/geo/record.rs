//! One record of a database: a place, or an AS number.

use config::{CountryCode, Location};
use mapping::Place;
use maxminddb::{LookupResult, MaxMindDbError, PathElement};
use serde::de::DeserializeOwned;

/// A record as the database holds it.
pub(super) type Record<'a> = LookupResult<'a, Vec<u8>>;

/// What a record says; an error where its bytes make no sense.
pub(super) type Said<T> = Result<Option<T>, MaxMindDbError>;

/// A radius from which a point says no more than its country.
const VAGUE_KM: u16 = 500;

/// The place in a record of either schema, nested or flat.
pub(super) fn place(record: &Record<'_>) -> Said<Place> {
    let names: [&[&str]; 3] = [&["country_code"], &["country", "iso_code"], &["registered_country", "iso_code"]];
    let country = first(names, |path| text(record, path))?.and_then(|code| CountryCode::parse(&code));
    let location = location(record)?;
    let is_exact = is_exact(record)?;
    Ok(match (location, country) {
        (Some(location), country) if is_exact || country.is_none() => Some(Place::at(location, country)),
        (_, country) => country.map(Place::Country),
    })
}

/// The AS number in a record.
pub(super) fn asn(record: &Record<'_>) -> Said<u32> {
    field(record, &["autonomous_system_number"])
}

/// The point, if it is one on earth.
fn location(record: &Record<'_>) -> Said<Location> {
    let degrees = |name, most: f64| {
        let names: [&[&str]; 2] = [&["location", name], &[name]];
        let found = first(names, |path| number(record, path))?;
        Ok::<_, MaxMindDbError>(found.filter(|degrees| degrees.abs() <= most))
    };
    let (latitude, longitude) = (degrees("latitude", 90.0)?, degrees("longitude", 180.0)?);
    Ok(latitude.zip(longitude).map(|(latitude, longitude)| Location { latitude, longitude }))
}

/// Whether the point says more than the country: it is a city's, and not a wide guess.
fn is_exact(record: &Record<'_>) -> Result<bool, MaxMindDbError> {
    let has_city = field::<u32>(record, &["city", "geoname_id"])?.is_some()
        || text(record, &["city", "names", "en"])?.is_some()
        || text(record, &["city"])?.is_some();
    let radius = field::<u16>(record, &["location", "accuracy_radius"])?;
    Ok(has_city && radius.is_none_or(|radius| radius < VAGUE_KM))
}

/// The first that a record has.
fn first<T, const N: usize>(paths: [&[&str]; N], find: impl Fn(&[&str]) -> Said<T>) -> Said<T> {
    paths.into_iter().find_map(|path| find(path).transpose()).transpose()
}

/// A number of either width; the reader does not widen.
fn number(record: &Record<'_>, path: &[&str]) -> Said<f64> {
    Ok(match field::<f64>(record, path)? {
        Some(double) => Some(double),
        None => field::<f32>(record, path)?.map(f64::from),
    })
}

/// A text that is not empty.
fn text(record: &Record<'_>, path: &[&str]) -> Said<String> {
    Ok(field::<String>(record, path)?.filter(|text| !text.is_empty()))
}

/// A field; of another type it is another schema's, and as good as none.
fn field<T: DeserializeOwned>(record: &Record<'_>, path: &[&str]) -> Said<T> {
    let path: Vec<PathElement<'_>> = path.iter().map(|name| PathElement::Key(name)).collect();
    match record.decode_path(&path) {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        found => found,
    }
}
