//! The log of purges: what was taken back stays so, over a crash too.
//!
//! One table, from position to entry, positions one after another from 1. An entry is JSON, the same on
//! every node, so that a log can be handed to another. What is acknowledged is on disk.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use caching::{Manner, Position, Purge};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

/// One purge, as written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeEntry {
    /// When it was ordered, milliseconds since 1970.
    pub at_ms: u64,
    /// Hard or soft.
    pub manner: Manner,
    /// What it reaches.
    pub purge: Purge,
}

/// A node's log of purges.
#[derive(Debug)]
pub struct PurgeLog {
    path: PathBuf,
    /// None while it cannot be written: opened again with the next purge.
    database: Mutex<Option<Database>>,
    most: u64,
}

/// What a log held when it was opened.
#[derive(Clone, Debug, Default)]
pub struct PurgesBefore {
    /// Told by nobody but this log: a store that remembers another's positions cannot be judged by it.
    pub identity: u64,
    /// Entries up to here are forgotten.
    pub floor: Position,
    /// Those after, in order.
    pub entries: Vec<(Position, PurgeEntry)>,
}

/// Why a log cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeLogError(String);

impl std::fmt::Display for PurgeLogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PurgeLogError {}

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("purges");
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// Forgetting is done in steps: a sixteenth at once.
const STEP: u64 = 16;

impl PurgeLog {
    /// Opens a log, or begins one that keeps at most so many entries. `identity` is a random number for
    /// a log that begins.
    ///
    /// # Errors
    /// The file cannot be read or written, or is none of ours.
    pub fn open(path: &Path, most: u64, identity: u64) -> Result<(Self, PurgesBefore), PurgeLogError> {
        let database = open(path)?;
        let before = read(&database, identity).map_err(|error| wrong(path, &error))?;
        Ok((Self { path: path.to_owned(), database: Mutex::new(Some(database)), most }, before))
    }

    /// Writes purges down, one after another, and returns the position of the last and up to which
    /// position entries are forgotten by now. Waits for the disk.
    ///
    /// # Errors
    /// The file cannot be written: none of the purges counts.
    pub fn append(&self, entries: &[PurgeEntry]) -> Result<(Position, Position), PurgeLogError> {
        let mut held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        // After a failed write a database refuses all others until it is opened anew.
        let database = match held.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let appended = append(&database, entries, self.most).map_err(|error| wrong(&self.path, &error))?;
        *held = Some(database);
        Ok(appended)
    }
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> PurgeLogError {
    PurgeLogError(format!("{}: {error}", path.display()))
}

fn open(path: &Path) -> Result<Database, PurgeLogError> {
    Database::create(path).map_err(|error| wrong(path, &error))
}

fn read(database: &Database, identity: u64) -> Result<PurgesBefore, redb::Error> {
    let write = database.begin_write()?;
    let identity = {
        let mut facts = write.open_table(FACTS)?;
        write.open_table(ENTRIES)?;
        let known = facts.get("identity")?.map(|known| known.value());
        if known.is_none() {
            facts.insert("identity", identity)?;
        }
        known.unwrap_or(identity)
    };
    write.commit()?;
    let read = database.begin_read()?;
    let floor = read.open_table(FACTS)?.get("floor")?.map_or(0, |floor| floor.value());
    let mut entries = Vec::new();
    for entry in read.open_table(ENTRIES)?.iter()? {
        let (position, entry) = entry?;
        let entry = serde_json::from_slice(entry.value())
            .map_err(|error| redb::Error::Corrupted(format!("entry {}: {error}", position.value())))?;
        entries.push((position.value(), entry));
    }
    Ok(PurgesBefore { identity, floor, entries })
}

fn append(database: &Database, entries: &[PurgeEntry], most: u64) -> Result<(Position, Position), redb::Error> {
    let write = database.begin_write()?;
    let (position, floor) = {
        let mut facts = write.open_table(FACTS)?;
        let mut table = write.open_table(ENTRIES)?;
        let mut floor = facts.get("floor")?.map_or(0, |floor| floor.value());
        let mut position = table.last()?.map_or(floor, |(position, _)| position.value());
        for entry in entries {
            position += 1;
            let text = serde_json::to_vec(entry).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
            table.insert(position, text.as_slice())?;
        }
        if position - floor > most {
            floor = position - (most - most / STEP);
            table.retain_in(..=floor, |_, _| false)?;
            facts.insert("floor", floor)?;
        }
        (position, floor)
    };
    write.commit()?;
    Ok((position, floor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> PurgeEntry {
        let purge = Purge::of_url(&format!("http://h/{number}")).unwrap();
        PurgeEntry { at_ms: number, manner: Manner::Hard, purge }
    }

    #[test]
    fn what_was_acknowledged_is_there_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let (log, before) = PurgeLog::open(&path, 100, 7).unwrap();
        assert_eq!((before.identity, before.floor, before.entries.len()), (7, 0, 0));
        assert_eq!(log.append(&[entry(1), entry(2)]).unwrap(), (2, 0));
        assert_eq!(log.append(&[entry(3)]).unwrap(), (3, 0));
        drop(log);
        let (_, before) = PurgeLog::open(&path, 100, 8).unwrap();
        let expected: Vec<_> = (1..=3).map(|number| (number, entry(number))).collect();
        assert_eq!((before.identity, before.entries), (7, expected));
    }

    #[test]
    fn a_full_log_forgets_the_oldest_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let (log, _) = PurgeLog::open(&path, 32, 7).unwrap();
        for number in 1..=33 {
            log.append(&[entry(number)]).unwrap();
        }
        drop(log);
        let (log, before) = PurgeLog::open(&path, 32, 7).unwrap();
        assert_eq!((before.floor, before.entries.first().map(|entry| entry.0), before.entries.len()), (3, Some(4), 30));
        assert_eq!(log.append(&[entry(34)]).unwrap(), (34, 3));
    }

    #[test]
    fn a_file_that_is_no_log_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        std::fs::write(&path, "something else").unwrap();
        let error = PurgeLog::open(&path, 10, 7).unwrap_err();
        assert!(error.to_string().contains("purges.redb"), "{error}");
    }
}
