//! Databases: where addresses are, read from mmdb files or the built-in countries.
//!
//! ```text
//! mmdb file -> database -> record: place or AS number -> reading: runs of both families ─┐
//! geofeed: countries of networks, over what databases say ─┤
//!                 └ tree: not endless                     regions: countries' people ────┴─> World
//! ```

mod database;
mod fields;
mod geofeed;
mod population;
mod reading;
mod record;
mod regions;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use config::{Geo, Problem};
use mapping::{Geography, Region};

use self::database::Database;
use self::reading::{Reading, read_asns};
pub use self::regions::warn_of_places;

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
    /// When databases were made.
    built: BTreeMap<PathBuf, SystemTime>,
}

/// Reads the databases that a config names; `before` is used again while its files are unchanged.
///
/// # Errors
/// A file that is missing or broken, says nothing of what it is read for, or is older than what was read from it
/// before, named.
pub fn load(geo: &Geo, before: Option<&World>, now: SystemTime) -> Result<World, Problem> {
    let inputs = Inputs::of(geo);
    if let Some(before) = before.filter(|before| before.inputs == inputs) {
        return Ok(before.clone());
    }
    let regions = regions::read();
    let mut reading = Reading::new(&regions);
    let mut warnings = Vec::new();
    let mut built = BTreeMap::new();
    let mut open = |path: &PathBuf| {
        let earlier = before.and_then(|before| before.built.get(path));
        let database = Database::open(path)?.no_older_than(earlier.copied())?;
        built.extend(database.built().map(|time| (path.clone(), time)));
        Ok(database)
    };
    let mut read = |database: Database| {
        warnings.extend(database.warn_of_age(now));
        reading.read(&database)
    };
    if geo.database.is_empty() {
        read(Database::built_in()?)?;
    }
    // One after the other: they are large.
    for path in &geo.database {
        read(open(path)?)?;
    }
    let (asn_v4, asn_v6) = match &geo.asn {
        Some(path) => read_asns(&open(path)?)?,
        None => (Vec::new(), Vec::new()),
    };
    for path in &geo.geofeed {
        reading.correct(&geofeed::read(path)?);
    }
    let (places, v4, v6) = reading.finish();
    let geography = Geography { places, v4, v6, asn_v4, asn_v6 };
    Ok(World { geography: Arc::new(geography), regions: regions.into(), warnings, inputs, built })
}

impl World {
    /// The world of a config before its databases are read: nothing is known of where clients are.
    #[must_use]
    pub fn unread() -> Self {
        let (geography, regions) = (Arc::default(), Arc::default());
        let inputs = Inputs(vec![(PathBuf::new(), None)]);
        Self { geography, regions, warnings: Vec::new(), inputs, built: BTreeMap::new() }
    }

    /// Whether it has been read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        !self.geography.places.is_empty()
    }

    /// What is to be known of the files that a config names, to see whether they have changed.
    pub(crate) fn stamps(geo: &Geo) -> impl std::fmt::Debug {
        Inputs::of(geo)
    }
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
        Self(geo.files().map(stamp).collect())
    }
}

#[cfg(test)]
mod tests;
