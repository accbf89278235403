//! A database: one mmdb file, opened and found whole.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use config::{Prefix, Problem, Severity, limits};
use mapping::{Collector, Family, Run, Span};
use maxminddb::{Reader, WithinOptions};

use super::record::{Record, Said};
use super::tree;

/// The built-in countries: `deploy/geo`, data by the NRO (CC BY 4.0).
const COUNTRIES: &[u8] = include_bytes!("../../../deploy/geo/countries.mmdb.zst");
/// A database older than this no longer knows who has which address.
const OLD: Duration = Duration::from_secs(180 * 86_400);

/// A database that can be read.
pub(super) struct Database {
    name: String,
    reader: Reader<Vec<u8>>,
}

/// What the networks of a database say, by family.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub(super) v4: Vec<Run<Option<T>>>,
    pub(super) v6: Vec<Run<Option<T>>>,
}

impl Database {
    /// The countries that are part of the program.
    pub(super) fn built_in() -> Result<Self, Problem> {
        let name = "the built-in countries".to_owned();
        match ruzstd::decoding::StreamingDecoder::new(COUNTRIES) {
            Ok(unpacked) => Self::read(name, unpacked),
            Err(error) => Err(broken(&name, error)),
        }
    }

    /// A file.
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        // Asked before it is opened: to open a pipe would wait.
        let opened = match std::fs::metadata(path) {
            Ok(meta) if !meta.is_file() => return Err(broken(&name, "it is not a file")),
            Ok(_) => File::open(path),
            Err(error) => Err(error),
        };
        opened.map_err(|error| broken(&name, error)).and_then(|file| Self::read(name.clone(), file))
    }

    fn read(name: String, source: impl Read) -> Result<Self, Problem> {
        let mut bytes = Vec::new();
        let length = source
            .take(limits::GEO_DATABASE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&name, error))?;
        if u64::try_from(length).unwrap_or(u64::MAX) > limits::GEO_DATABASE_BYTES {
            return Err(broken(&name, format!("it is larger than {} GiB", limits::GEO_DATABASE_BYTES >> 30)));
        }
        let fail = |error| broken(&name, error);
        let header = Reader::from_source(bytes.as_slice()).map_err(fail)?;
        tree::check(&bytes, header.metadata()).map_err(|error| broken(&name, error))?;
        let reader = Reader::from_source(bytes).map_err(fail)?;
        Ok(Self { name, reader })
    }

    /// What `find` finds in the record of each network. Networks share records: each is read once.
    /// A database in which nothing is found was not made for this.
    pub(super) fn found<T: Copy + PartialEq>(
        &self,
        wanted: &str,
        mut find: impl FnMut(&Record<'_>) -> Said<T>,
    ) -> Result<Found<T>, Problem> {
        let fail = |error| broken(&self.name, error);
        let mut by_offset: HashMap<usize, Option<T>> = HashMap::new();
        let (mut v4, mut v6) = (Collector::new(Family::V4), Collector::new(Family::V6));
        for record in self.reader.networks(WithinOptions::default()).map_err(fail)? {
            let record = record.map_err(fail)?;
            let Some(offset) = record.offset() else {
                continue;
            };
            let found = match by_offset.entry(offset) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unread) => *unread.insert(find(&record).map_err(fail)?),
            };
            let Some(value) = found else {
                continue;
            };
            let network = record.network().map_err(fail)?;
            let (family, first, last) = keys(network.ip(), network.prefix());
            let span = Span { first, last, value };
            match family {
                Family::V4 => v4.add(span),
                Family::V6 => v6.add(span),
            }
        }
        if v4.is_empty() && v6.is_empty() {
            return Err(broken(&self.name, format!("it has no {wanted}")));
        }
        Ok(Found { v4: v4.finish(), v6: v6.finish() })
    }

    /// When it was made.
    pub(super) fn built(&self) -> Option<SystemTime> {
        self.reader.metadata().build_time().ok()
    }

    /// Refuses a database that is older than what was read from the same file before: likely an upload gone wrong.
    pub(super) fn no_older_than(self, before: Option<SystemTime>) -> Result<Self, Problem> {
        let lost = before.zip(self.built()).and_then(|(before, built)| before.duration_since(built).ok());
        let Some(lost) = lost.filter(|lost| !lost.is_zero()) else { return Ok(self) };
        let days = lost.as_secs().div_ceil(86_400);
        Err(Problem::general(format!("the geo database {} is {days} days older than the one in use", self.name))
            .help("put a newer one there; to go back to an older, restart the name servers, or give it another name"))
    }

    /// Warns of a database that is too old.
    pub(super) fn warn_of_age(&self, now: SystemTime) -> Option<Problem> {
        let age = now.duration_since(self.built()?).ok().filter(|age| *age > OLD)?;
        let days = age.as_secs() / 86_400;
        let mut problem = Problem::general(format!("the geo database {} is {days} days old", self.name));
        problem.severity = Severity::Warning;
        Some(problem.help("addresses move between countries: fetch a newer one and name it in `[geo] database`"))
    }
}

fn broken(name: &str, error: impl Display) -> Problem {
    Problem::general(format!("the geo database {name} cannot be used: {error}"))
        .help("fetch it again, or leave `[geo] database` out to use the built-in countries")
}

/// First and last key of a network; IPv4 inside an IPv6 tree lies under `::/96`.
pub(super) fn keys(address: IpAddr, length: u8) -> (Family, u64, u64) {
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
