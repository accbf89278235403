//! The log of purges: what was taken back stays so, over a crash and over a flipped bit too.
//!
//! One table, from position to entry, positions one after another. An entry is JSON with its checksum, the same on
//! every node, so that a log can be handed to another. What is acknowledged is on disk. A log that has lost an entry
//! is refused: the one that begins in its place has another identity, by which what was stored before is not used.

mod seal;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use caching::{Manner, Position, Purge};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use seal::Seal;

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
    /// There until it is dropped.
    database: Option<Database>,
    identity: u64,
    most: u64,
}

/// What a log is that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewLog {
    /// A random number.
    pub identity: u64,
    /// The position before its first entry.
    pub floor: Position,
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
pub struct PurgeLogError {
    /// Whether it has lost something, or is none of ours: there is no use in trying again.
    pub is_damaged: bool,
    message: String,
}

impl PurgeLogError {
    /// Another process of the node has the log.
    #[must_use]
    pub fn handed_over(path: &Path) -> Self {
        let message = format!("{}: another process of this node has it; purge again", path.display());
        Self { is_damaged: false, message }
    }
}

impl std::fmt::Display for PurgeLogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PurgeLogError {}

/// From position to the checksum of an entry, and its text.
const ENTRIES: TableDefinition<'_, u64, (u64, &[u8])> = TableDefinition::new("purges");
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// Forgetting is done in steps: a sixteenth at once.
const STEP: u64 = 16;

impl PurgeLog {
    /// Opens a log that keeps at most so many entries, or begins one.
    ///
    /// # Errors
    /// The file cannot be read or written, is none of ours, or has lost something.
    pub fn open(path: &Path, most: u64, new: NewLog) -> Result<(Self, PurgesBefore), PurgeLogError> {
        let open = || -> Result<_, redb::Error> {
            let database = Database::create(path)?;
            let before = read(&database, new)?;
            Ok((database, before))
        };
        let (database, before) = guarded(open).map_err(|error| failed(path, error))?;
        let last = before.last();
        let is_whole = match Seal::read(path).map_err(|error| failed(path, error.into()))? {
            Some(seal) => seal.identity == before.identity && seal.floor <= before.floor && seal.last <= last,
            None => last == new.floor,
        };
        if !is_whole {
            return Err(failed(path, lost(&format!("it ends at {last}, and more was acknowledged"))));
        }
        let log = Self { path: path.to_owned(), database: Some(database), identity: before.identity, most };
        log.seal(before.floor, last)?;
        Ok((log, before))
    }

    /// Puts aside a log that was refused, for another to begin in its place, and returns where it is.
    ///
    /// # Errors
    /// The file cannot be moved.
    pub fn put_aside(path: &Path) -> std::io::Result<PathBuf> {
        let aside = path.with_extension("broken");
        std::fs::rename(path, &aside)?;
        let _ = std::fs::remove_file(seal::path(path));
        Ok(aside)
    }

    /// Writes purges down, one after another, and returns the log, the position of the last and up to which
    /// position entries are forgotten by now. Waits for the disk.
    ///
    /// # Errors
    /// The file cannot be written. Some of the purges may be in it; the log has to be opened anew.
    pub fn append(self, entries: &[PurgeEntry]) -> Result<(Self, Position, Position), PurgeLogError> {
        let database = self.database.as_ref().ok_or_else(|| failed(&self.path, lost(&"it is closed")))?;
        let appended = guarded(|| append(database, entries, self.most));
        let (last, floor) = appended.map_err(|error| failed(&self.path, error))?;
        self.seal(floor, last)?;
        Ok((self, last, floor))
    }

    fn seal(&self, floor: Position, last: Position) -> Result<(), PurgeLogError> {
        let seal = Seal { identity: self.identity, floor, last };
        seal.write(&self.path).map_err(|error| failed(&self.path, error.into()))
    }
}

impl Drop for PurgeLog {
    fn drop(&mut self) {
        let database = self.database.take();
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

impl PurgesBefore {
    fn last(&self) -> Position {
        self.entries.last().map_or(self.floor, |entry| entry.0)
    }
}

fn failed(path: &Path, error: redb::Error) -> PurgeLogError {
    let is_damaged = match &error {
        redb::Error::Io(error) => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        redb::Error::DatabaseAlreadyOpen => false,
        _ => true,
    };
    PurgeLogError { is_damaged, message: format!("{}: {error}", path.display()) }
}

fn lost(what: &dyn std::fmt::Display) -> redb::Error {
    redb::Error::Corrupted(what.to_string())
}

/// Asks the database for something: a bit of it that has flipped may be met by a panic.
fn guarded<T>(ask: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| Err(lost(&"it is damaged")))
}

fn read(database: &Database, new: NewLog) -> Result<PurgesBefore, redb::Error> {
    let write = database.begin_write()?;
    let (identity, floor) = {
        let mut facts = write.open_table(FACTS)?;
        write.open_table(ENTRIES)?;
        let fact = |name| facts.get(name).map(|fact| fact.map(|fact| fact.value()));
        match (fact("identity")?, fact("floor")?) {
            (Some(identity), Some(floor)) => (identity, floor),
            _ => {
                facts.insert("identity", new.identity)?;
                facts.insert("floor", new.floor)?;
                (new.identity, new.floor)
            }
        }
    };
    write.commit()?;
    let mut entries = Vec::new();
    for (row, expected) in database.begin_read()?.open_table(ENTRIES)?.iter()?.zip(floor + 1..) {
        let (position, entry) = row?;
        let (position, (sum, text)) = (position.value(), entry.value());
        if position != expected || sum != xxh3_64_with_seed(text, position) {
            return Err(lost(&format!("entry {expected} is not what was written")));
        }
        let entry = serde_json::from_slice(text).map_err(|error| lost(&format!("entry {expected}: {error}")))?;
        entries.push((position, entry));
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
            let text = serde_json::to_vec(entry).map_err(|error| lost(&error))?;
            table.insert(position, (xxh3_64_with_seed(&text, position), text.as_slice()))?;
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

    const NEW: NewLog = NewLog { identity: 7, floor: 0 };

    fn log(path: &Path, most: u64) -> PurgeLog {
        PurgeLog::open(path, most, NEW).unwrap().0
    }

    #[test]
    fn what_was_acknowledged_is_there_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let (log, before) = PurgeLog::open(&path, 100, NEW).unwrap();
        assert_eq!((before.identity, before.floor, before.entries.len()), (7, 0, 0));
        let (log, last, floor) = log.append(&[entry(1), entry(2)]).unwrap();
        assert_eq!((last, floor), (2, 0));
        assert_eq!(log.append(&[entry(3)]).unwrap().1, 3);
        let (_, before) = PurgeLog::open(&path, 100, NewLog { identity: 8, floor: 5 }).unwrap();
        let expected: Vec<_> = (1..=3).map(|number| (number, entry(number))).collect();
        assert_eq!((before.identity, before.entries), (7, expected));
    }

    #[test]
    fn a_full_log_forgets_the_oldest_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let mut full = log(&path, 32);
        for number in 1..=33 {
            full = full.append(&[entry(number)]).unwrap().0;
        }
        drop(full);
        let (log, before) = PurgeLog::open(&path, 32, NEW).unwrap();
        assert_eq!((before.floor, before.entries.first().map(|entry| entry.0), before.entries.len()), (3, Some(4), 30));
        let (_, last, floor) = log.append(&[entry(34)]).unwrap();
        assert_eq!((last, floor), (34, 3));
    }

    #[test]
    fn a_log_may_begin_where_a_damaged_one_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let new = NewLog { identity: 7, floor: 41 };
        let (log, before) = PurgeLog::open(&path, 100, new).unwrap();
        assert_eq!((before.floor, log.append(&[entry(1)]).unwrap().1), (41, 42));
        let (_, before) = PurgeLog::open(&path, 100, NEW).unwrap();
        assert_eq!((before.floor, before.entries), (41, vec![(42, entry(1))]));
    }

    #[test]
    fn a_file_that_is_no_log_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        std::fs::write(&path, "something else").unwrap();
        let error = PurgeLog::open(&path, 10, NEW).unwrap_err();
        assert!(error.is_damaged && error.to_string().contains("purges.redb"), "{error}");
        assert!(PurgeLog::put_aside(&path).unwrap().exists());
        PurgeLog::open(&path, 10, NEW).unwrap();
    }

    #[test]
    fn a_log_that_another_has_open_is_not_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let _held = log(&path, 10);
        assert!(!PurgeLog::open(&path, 10, NEW).unwrap_err().is_damaged);
    }

    #[test]
    fn a_log_that_lost_its_last_entries_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let one = log(&path, 10).append(&[entry(1)]).unwrap().0;
        drop(one);
        let earlier = std::fs::read(&path).unwrap();
        drop(log(&path, 10).append(&[entry(2)]).unwrap());
        std::fs::write(&path, &earlier).unwrap();
        let error = PurgeLog::open(&path, 10, NEW).unwrap_err();
        assert!(error.is_damaged && error.to_string().contains("ends at 1"), "{error}");
    }

    /// Whichever bit flips: the log is as it was, or refused.
    #[test]
    fn a_flipped_bit_loses_no_purge() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purges.redb");
        let entries: Vec<PurgeEntry> = (1..=40).map(entry).collect();
        drop(log(&path, 100).append(&entries).unwrap());
        let (file, seal) = (std::fs::read(&path).unwrap(), std::fs::read(seal::path(&path)).unwrap());
        let mut refused = 0;
        // Where there is something, every bit would take minutes.
        let used = file.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(place, _)| place);
        for place in used.step_by(7).chain(file.len()..file.len() + seal.len()) {
            let mut both = [&file[..], &seal[..]].concat();
            both[place] ^= 1 << (place % 8);
            std::fs::write(&path, &both[..file.len()]).unwrap();
            std::fs::write(seal::path(&path), &both[file.len()..]).unwrap();
            match PurgeLog::open(&path, 100, NewLog { identity: 8, floor: 0 }) {
                Ok((_, before)) => {
                    let expected = (1..).zip(entries.iter().cloned()).collect::<Vec<_>>();
                    assert_eq!((before.identity, before.entries), (7, expected), "byte {place}");
                }
                Err(error) => {
                    assert!(error.is_damaged, "byte {place}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 100, "{refused}");
    }
}
