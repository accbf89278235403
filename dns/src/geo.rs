//! Databases: where addresses are, read from mmdb files or the built-in countries.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::{CountryCode, Geo, Location, Network, Pop, Prefix, Problem, Severity};
use mapping::{Family, Geography, Place, PlaceIndex, Region, Run, Span, fill_gaps, overlay};
use maxminddb::{PathElement, Reader, WithinOptions};

/// The built-in countries: `deploy/geo`, data by the NRO (CC BY 4.0).
const COUNTRIES: &[u8] = include_bytes!("../../deploy/geo/countries.mmdb.zst");
/// Population-weighted points of every country's regions, after GeoNames (CC BY 4.0).
const REGIONS: &str = include_str!("../../deploy/geo/regions.csv");
/// A database older than this no longer knows who has which address.
const OLD: Duration = Duration::from_secs(180 * 86_400);
/// A radius from which a point says no more than its country.
const VAGUE_KM: u16 = 500;
/// How much nearer another country must be before a PoP is taken to lie in it.
const BORDER_KM: f64 = 150.0;
/// The most networks read from one file, twice what the largest has.
const NETWORKS: usize = 40_000_000;
/// The largest database once unpacked.
const UNPACKED_BYTES: u64 = 64 << 20;

/// What the map needs to know of the world.
#[derive(Clone, Debug)]
pub struct World {
    /// Where addresses are.
    pub geography: Arc<Geography>,
    /// Where countries' people are.
    pub regions: Arc<[Region]>,
    /// Databases that are too old.
    pub warnings: Vec<Problem>,
    inputs: Inputs,
}

/// The files a world was read from, as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inputs(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

impl Inputs {
    fn of(geo: &Geo) -> Self {
        let stamp = |path: &PathBuf| {
            let meta = std::fs::metadata(path).ok();
            (path.clone(), meta.and_then(|meta| Some((meta.modified().ok()?, meta.len()))))
        };
        Self(geo.database.iter().chain(&geo.asn).map(stamp).collect())
    }
}

impl World {
    /// The database files it was read from.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.inputs.0.iter().map(|(path, _)| path)
    }
}

/// Warns of PoPs whose location is not in the country they name: likely a slip in a number.
#[must_use]
pub fn warn_of_places(network: &Network, regions: &[Region]) -> Vec<Problem> {
    let nearest = |pop: &Pop, is_own: bool| {
        let wanted = regions.iter().filter(|region| (Some(region.country) == pop.country) == is_own);
        let distances = wanted.map(|region| (mapping::distance_km(region.location, pop.location), region.country));
        distances.min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let outside = |pop: &Pop| {
        let country = pop.country?;
        let (own_km, _) = nearest(pop, true)?;
        let (other_km, other) = nearest(pop, false)?;
        // Near a border another country's town may be nearer.
        (own_km > other_km + BORDER_KM).then(|| {
            let message = format!("PoP `{}` says it is in {country}, but its location is nearest to {other}", pop.id);
            let mut problem = Problem::general(message).help("latitude comes first, then longitude: [50.11, 8.68]");
            problem.severity = Severity::Warning;
            problem
        })
    };
    network.pops.iter().filter_map(outside).collect()
}

/// Reads the databases that a config names; `before` is used again while its files are unchanged.
///
/// # Errors
/// A file that is missing or broken, named.
pub fn load(geo: &Geo, before: Option<&World>, now: SystemTime) -> Result<World, Problem> {
    let inputs = Inputs::of(geo);
    if let Some(before) = before.filter(|before| before.inputs == inputs) {
        return Ok(before.clone());
    }
    let regions = read_regions();
    let mut reading = Reading::new(&regions);
    let mut warnings = Vec::new();
    let mut databases = Vec::new();
    if geo.database.is_empty() {
        let mut bytes = Vec::new();
        let unpacked = ruzstd::decoding::StreamingDecoder::new(COUNTRIES).map_err(|error| error.to_string());
        let unpacked = unpacked.and_then(|decoder| {
            decoder.take(UNPACKED_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())
        });
        unpacked.map_err(|error| Problem::general(format!("the built-in countries cannot be read: {error}")))?;
        databases.push(("the built-in countries".to_owned(), open(bytes, "the built-in countries")?));
    }
    for path in &geo.database {
        databases.push((path.display().to_string(), open_file(path)?));
    }
    for (name, database) in &databases {
        warnings.extend(warn_of_age(name, database, now));
        reading.read(database).map_err(|error| broken(name, &error))?;
    }
    let (asn_v4, asn_v6) = match &geo.asn {
        Some(path) => read_asns(path)?,
        None => (Vec::new(), Vec::new()),
    };
    let (v4, v6) = (reading.runs(Family::V4), reading.runs(Family::V6));
    let geography = Geography { places: reading.places, v4, v6, asn_v4, asn_v6 };
    Ok(World { geography: Arc::new(geography), regions: regions.into(), warnings, inputs })
}

fn open_file(path: &Path) -> Result<Reader<Vec<u8>>, Problem> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| broken(&shown, &error.to_string()))?;
    open(bytes, &shown)
}

fn open(bytes: Vec<u8>, name: &str) -> Result<Reader<Vec<u8>>, Problem> {
    Reader::from_source(bytes).map_err(|error| broken(name, &error.to_string()))
}

fn broken(name: &str, error: &str) -> Problem {
    Problem::general(format!("the geo database {name} cannot be used: {error}"))
        .help("fetch it again, or leave `[geo] database` out to use the built-in countries")
}

fn warn_of_age(name: &str, database: &Reader<Vec<u8>>, now: SystemTime) -> Option<Problem> {
    let built = database.metadata().build_time().ok()?;
    let age = now.duration_since(built).ok().filter(|age| *age > OLD)?;
    let mut problem = Problem::general(format!("the geo database {name} is {} days old", age.as_secs() / 86_400));
    problem.severity = Severity::Warning;
    Some(problem.help("addresses move between countries: fetch a newer one and name it in `[geo] database`"))
}

/// Networks of one family with their places.
type Spans = Vec<Span<Option<PlaceIndex>>>;

/// Places and runs as they come in.
struct Reading {
    populated: std::collections::HashSet<CountryCode>,
    places: Vec<Place>,
    index: HashMap<Place, PlaceIndex>,
    /// Per family, per database.
    spans: [Vec<Spans>; 2],
}

impl Reading {
    fn new(regions: &[Region]) -> Self {
        let home = Place::Home;
        Self {
            populated: regions.iter().map(|region| region.country).collect(),
            places: vec![home],
            index: HashMap::from([(home, 0)]),
            spans: [Vec::new(), Vec::new()],
        }
    }

    /// Reads every network; a record is decoded once, however many networks share it.
    fn read(&mut self, database: &Reader<Vec<u8>>) -> Result<(), String> {
        let mut by_offset: HashMap<usize, Option<PlaceIndex>> = HashMap::new();
        let (mut v4, mut v6): (Spans, Spans) = (Vec::new(), Vec::new());
        let networks = database.networks(WithinOptions::default()).map_err(|error| error.to_string())?;
        for found in networks.take(NETWORKS) {
            let found = found.map_err(|error| error.to_string())?;
            let Some(offset) = found.offset() else {
                continue;
            };
            let place = match by_offset.get(&offset) {
                Some(place) => *place,
                None => {
                    let place = place_of(&found).map_err(|error| error.to_string())?;
                    let place = place.filter(|place| self.is_rankable(place)).map(|place| self.intern(place));
                    by_offset.insert(offset, place);
                    place
                }
            };
            let network = found.network().map_err(|error| error.to_string())?;
            if place.is_some() {
                let (family, first, last) = keys(network.ip(), network.prefix());
                let spans = if family == Family::V4 { &mut v4 } else { &mut v6 };
                spans.push(Span { first, last, value: place });
            }
        }
        for (spans, all) in [v4, v6].into_iter().zip(&mut self.spans) {
            let mut spans = spans;
            spans.sort_by_key(|span| span.first);
            all.push(spans);
        }
        Ok(())
    }

    /// A country without people we know of says nothing about distance.
    fn is_rankable(&self, place: &Place) -> bool {
        match place {
            Place::Country(country) => self.populated.contains(country),
            Place::Point { .. } | Place::Home => true,
        }
    }

    fn intern(&mut self, place: Place) -> PlaceIndex {
        let places = &mut self.places;
        *self.index.entry(place).or_insert_with(|| {
            places.push(place);
            u32::try_from(places.len() - 1).unwrap_or(0)
        })
    }

    /// All databases laid over each other, the first on top, then gaps filled, then home.
    fn runs(&mut self, family: Family) -> Vec<Run<PlaceIndex>> {
        let spans = std::mem::take(if family == Family::V4 { &mut self.spans[0] } else { &mut self.spans[1] });
        let mut runs = vec![Run { start: 0, value: None }];
        for over in spans.iter().rev() {
            runs = overlay(family, &runs, over);
        }
        let filled = fill_gaps(family, &runs, 0);
        overlay(family, &filled, &home(family))
    }
}

/// Private and loopback addresses (RFC 6890).
fn home(family: Family) -> Vec<Span<PlaceIndex>> {
    let list: &[(&str, u8)] = match family {
        Family::V4 => &[
            ("10.0.0.0", 8),
            ("100.64.0.0", 10),
            ("127.0.0.0", 8),
            ("169.254.0.0", 16),
            ("172.16.0.0", 12),
            ("192.168.0.0", 16),
        ],
        Family::V6 => &[("::", 64), ("fc00::", 7), ("fe80::", 10)],
    };
    let prefixes = list.iter().filter_map(|(address, length)| Some((address.parse().ok()?, *length)));
    prefixes
        .map(|(address, length): (IpAddr, u8)| keys(address, length))
        .map(|(_, first, last)| Span { first, last, value: 0 })
        .collect()
}

/// First and last key of a network; IPv4 inside an IPv6 tree lies under `::/96`.
fn keys(address: IpAddr, length: u8) -> (Family, u64, u64) {
    let (address, length) = match address {
        IpAddr::V6(v6) if length >= 96 && u128::from(v6) >> 32 == 0 => match v6.to_ipv4() {
            Some(v4) => (IpAddr::V4(v4), length - 96),
            None => (address, length),
        },
        _ => (address, length),
    };
    let family = Family::of(address);
    let first = Family::key(Prefix::around(address, length).address());
    let free = family.bits().saturating_sub(length);
    let span = if free >= 64 { u64::MAX } else { (1_u64 << free) - 1 };
    (family, first, (first | span).min(family.last()))
}

/// The place in a record of either schema, nested or flat.
fn place_of(found: &maxminddb::LookupResult<'_, Vec<u8>>) -> Result<Option<Place>, maxminddb::MaxMindDbError> {
    let key = PathElement::Key;
    let text = |path: &[PathElement<'_>]| found.decode_path::<String>(path).unwrap_or(None);
    let degrees = |path: &[PathElement<'_>]| found.decode_path::<f64>(path).unwrap_or(None);
    let country = text(&[key("country_code")])
        .or_else(|| text(&[key("country"), key("iso_code")]))
        .or_else(|| text(&[key("registered_country"), key("iso_code")]))
        .and_then(|code| CountryCode::parse(&code));
    let latitude = degrees(&[key("location"), key("latitude")]).or_else(|| degrees(&[key("latitude")]));
    let longitude = degrees(&[key("location"), key("longitude")]).or_else(|| degrees(&[key("longitude")]));
    let has_city = found.decode_path::<u32>(&[key("city"), key("geoname_id")]).is_ok_and(|id| id.is_some())
        || text(&[key("city"), key("names"), key("en")]).is_some()
        || text(&[key("city")]).is_some_and(|city| !city.is_empty());
    let radius = found.decode_path::<u16>(&[key("location"), key("accuracy_radius")]).unwrap_or(None);
    let exact = has_city && radius.is_none_or(|radius| radius < VAGUE_KM);
    Ok(match (latitude, longitude, country) {
        (Some(latitude), Some(longitude), country) if exact || country.is_none() => {
            Some(Place::at(Location { latitude, longitude }, country))
        }
        (_, _, Some(country)) => Some(Place::Country(country)),
        _ => None,
    })
}

/// AS numbers as runs.
type Asns = Vec<Run<u32>>;

/// AS numbers of both families; 0 where none is known.
fn read_asns(path: &Path) -> Result<(Asns, Asns), Problem> {
    let shown = path.display().to_string();
    let database = open_file(path)?;
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    let fail = |error: maxminddb::MaxMindDbError| broken(&shown, &error.to_string());
    for found in database.networks(WithinOptions::default()).map_err(fail)?.take(NETWORKS) {
        let found = found.map_err(fail)?;
        let asn = found.decode_path::<u32>(&[PathElement::Key("autonomous_system_number")]).map_err(fail)?;
        let Some(value) = asn else {
            continue;
        };
        let network = found.network().map_err(fail)?;
        let (family, first, last) = keys(network.ip(), network.prefix());
        let spans = if family == Family::V4 { &mut v4 } else { &mut v6 };
        spans.push(Span { first, last, value });
    }
    let none = [Run { start: 0, value: 0 }];
    let total = |family, mut spans: Vec<Span<u32>>| {
        spans.sort_by_key(|span| span.first);
        overlay(family, &none, &spans)
    };
    Ok((total(Family::V4, v4), total(Family::V6, v6)))
}

/// `country,admin1,population,lat,lon` after a heading line.
fn read_regions() -> Vec<Region> {
    let read = |line: &str| {
        let mut fields = line.split(',');
        let country = CountryCode::parse(fields.next()?)?;
        let population = fields.nth(1)?.parse().ok()?;
        let location = Location { latitude: fields.next()?.parse().ok()?, longitude: fields.next()?.parse().ok()? };
        Some(Region { country, population, location })
    };
    REGIONS.lines().skip(1).filter_map(read).collect()
}
