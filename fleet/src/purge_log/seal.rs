//! How far a log of purges went, kept in a file of its own: a log that says less has lost something.
//!
//! A database that finds its last commit damaged goes back to the one before and says nothing.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use caching::Position;
use xxhash_rust::xxh3::xxh3_64;

/// What a log said when it was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) identity: u64,
    pub(crate) floor: Position,
    pub(crate) last: Position,
}

/// The file beside a log.
pub(crate) fn path(log: &Path) -> PathBuf {
    log.with_extension("seal")
}

impl Seal {
    /// Reads the file beside a log; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn read(log: &Path) -> std::io::Result<Option<Self>> {
        let bytes = match std::fs::read(path(log)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let seal = || Some(Self { identity: number(0)?, floor: number(8)?, last: number(16)? });
        let whole = seal().filter(|seal| bytes == seal.bytes());
        whole.map(Some).ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, "its seal is damaged"))
    }

    /// Writes the file, and waits for the disk.
    pub(crate) fn write(self, log: &Path) -> std::io::Result<()> {
        // Less than a sector, and always as long: it is there whole, before or after.
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path(log))?;
        file.write_all(&self.bytes())?;
        file.sync_data()
    }

    fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let numbers = [self.identity, self.floor, self.last];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = xxh3_64(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}
