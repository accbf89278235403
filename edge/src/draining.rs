//! Whether an edge asks for no new clients: by its operator's word, which outlives a restart, or because it is about to end.
//! It serves all the same whoever comes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use config::NodeId;

/// What an edge says of itself.
#[derive(Debug)]
pub struct Draining {
    /// It is there while the operator drains the edge.
    file: PathBuf,
    is_drained: AtomicBool,
    is_leaving: AtomicBool,
    /// The name servers whose probes have heard of it.
    told: Mutex<BTreeSet<NodeId>>,
    /// Held while the file and what it says change together.
    writing: Mutex<()>,
}

/// Name servers that are remembered: more than any network has.
const MOST_TOLD: usize = 1_000;

impl Draining {
    /// As it was left in the node's directory.
    pub(crate) fn read(home: &Path) -> Self {
        let file = home.join("drained");
        let is_drained = AtomicBool::new(file.exists());
        Self { file, is_drained, is_leaving: AtomicBool::new(false), told: Mutex::default(), writing: Mutex::default() }
    }

    /// Whether the edge asks for no new clients.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_drained.load(Ordering::Relaxed) || self.is_leaving.load(Ordering::Relaxed)
    }

    /// Asks for no new clients, until the operator says otherwise, over restarts too.
    ///
    /// # Errors
    /// It cannot be written down: nothing has changed.
    pub fn drain(&self) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        File::create(&self.file)?.sync_all()?;
        self.sync_directory()?;
        self.begin(&self.is_drained);
        Ok(())
    }

    /// Takes new clients again.
    ///
    /// # Errors
    /// It cannot be written down: nothing has changed.
    pub fn undrain(&self) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => self.is_drained.store(false, Ordering::Relaxed),
        }
        self.sync_directory()
    }

    /// A file is there, or gone, over a loss of power once its directory says so.
    fn sync_directory(&self) -> io::Result<()> {
        self.file.parent().map_or(Ok(()), |home| File::open(home)?.sync_all())
    }

    /// Asks for no new clients, since this process is about to end.
    pub fn leave(&self) {
        self.begin(&self.is_leaving);
    }

    /// The name servers whose probes were told, since it began.
    #[must_use]
    pub fn told(&self) -> BTreeSet<NodeId> {
        if self.is_on() { self.lock().clone() } else { BTreeSet::new() }
    }

    /// Notes that a node of the fleet is told.
    pub(crate) fn note_told(&self, node: NodeId) {
        let mut told = self.lock();
        if told.len() < MOST_TOLD {
            told.insert(node);
        }
    }

    /// Begins for a reason, unless there is another already: who has heard of that knows enough.
    fn begin(&self, reason: &AtomicBool) {
        let mut told = self.lock();
        if !self.is_on() {
            told.clear();
        }
        reason.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<NodeId>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(draining: &Draining) -> Vec<String> {
        draining.told().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_operator_drains_stays_so_over_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let first = Draining::read(home.path());
        first.undrain().unwrap();
        assert!(!first.is_on());
        first.drain().unwrap();
        let second = Draining::read(home.path());
        assert!(second.is_on());
        second.undrain().unwrap();
        assert!(!Draining::read(home.path()).is_on());
    }

    #[test]
    fn who_leaves_writes_nothing_down() {
        let home = tempfile::tempdir().unwrap();
        let first = Draining::read(home.path());
        first.leave();
        assert!(first.is_on());
        assert!(!Draining::read(home.path()).is_on());
    }

    #[test]
    fn who_was_told_counts_from_when_it_began() {
        let home = tempfile::tempdir().unwrap();
        let draining = Draining::read(home.path());
        let ns1 = || NodeId::parse("ns1").unwrap();
        draining.drain().unwrap();
        draining.note_told(ns1());
        draining.drain().unwrap();
        assert_eq!(told(&draining), ["ns1"], "it knows already");
        draining.undrain().unwrap();
        assert_eq!(told(&draining), [""; 0]);
        draining.leave();
        assert_eq!(told(&draining), [""; 0], "it may have been told otherwise since");
    }

    #[test]
    fn what_cannot_be_written_down_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let draining = Draining::read(home.path());
        fs::create_dir(home.path().join("drained")).unwrap();
        let again = Draining::read(&home.path().join("nowhere"));
        assert!(again.drain().is_err() && !again.is_on());
        assert!(draining.undrain().is_err());
    }
}
