//! Whether an edge asks for no new clients: by its operator's word, which outlives a restart, or because it is about to end.
//! It serves all the same whoever comes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use config::NodeId;

use crate::shared::Shared;

/// What an edge says of itself.
#[derive(Debug)]
pub(crate) struct Draining {
    /// It is there while the operator drains the edge.
    file: PathBuf,
    is_drained: AtomicBool,
    is_leaving: AtomicBool,
    /// The name servers whose probes have heard of it.
    told: Mutex<BTreeSet<NodeId>>,
}

/// Name servers that are remembered: more than any network has.
const MOST_TOLD: usize = 1_000;

impl Draining {
    /// As it was left in the node's directory.
    pub(crate) fn read(home: &Path) -> Self {
        let file = home.join("drained");
        let is_drained = AtomicBool::new(file.exists());
        Self { file, is_drained, is_leaving: AtomicBool::new(false), told: Mutex::default() }
    }

    fn is_draining(&self) -> bool {
        self.is_drained.load(Ordering::Relaxed) || self.is_leaving.load(Ordering::Relaxed)
    }

    /// Begins for a reason, unless there is another already: who has heard of that knows enough.
    fn begin(&self, reason: &AtomicBool) {
        let mut told = self.told();
        if !self.is_draining() {
            told.clear();
        }
        reason.store(true, Ordering::Relaxed);
    }

    fn told(&self) -> MutexGuard<'_, BTreeSet<NodeId>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Asks for no new clients, until the operator says otherwise, over restarts too.
    ///
    /// # Errors
    /// It cannot be written down: nothing has changed.
    pub fn drain(&self) -> io::Result<()> {
        File::create(&self.draining.file)?.sync_all()?;
        self.draining.begin(&self.draining.is_drained);
        Ok(())
    }

    /// Takes new clients again.
    ///
    /// # Errors
    /// It cannot be written down: nothing has changed.
    pub fn undrain(&self) -> io::Result<()> {
        match fs::remove_file(&self.draining.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => self.draining.is_drained.store(false, Ordering::Relaxed),
        }
        Ok(())
    }

    /// Asks for no new clients, since this process is about to end.
    pub fn leave(&self) {
        self.draining.begin(&self.draining.is_leaving);
    }

    /// Goes on after all.
    pub fn stay(&self) {
        self.draining.is_leaving.store(false, Ordering::Relaxed);
    }

    /// Whether it asks for no new clients.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_draining()
    }

    /// The name servers whose probes were told that it drains, since it began.
    #[must_use]
    pub fn told_of_draining(&self) -> BTreeSet<NodeId> {
        if self.is_draining() { self.draining.told().clone() } else { BTreeSet::new() }
    }

    /// Notes that a node of the fleet is told.
    pub(crate) fn note_told(&self, node: NodeId) {
        let mut told = self.draining.told();
        if told.len() < MOST_TOLD {
            told.insert(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn edge(home: &Path) -> Arc<Shared> {
        let metrics = Arc::new(telemetry::Metrics::new().unwrap());
        Shared::new(NodeId::parse("fra-1").unwrap(), (64 << 20, None), home, metrics, None)
    }

    fn told(edge: &Shared) -> Vec<String> {
        edge.told_of_draining().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_operator_drains_stays_so_over_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let first = edge(home.path());
        first.undrain().unwrap();
        assert!(!first.is_draining());
        first.drain().unwrap();
        drop(first);
        let second = edge(home.path());
        assert!(second.is_draining() && second.report().draining);
        second.undrain().unwrap();
        drop(second);
        assert!(!edge(home.path()).is_draining());
    }

    #[test]
    fn who_leaves_writes_nothing_down() {
        let home = tempfile::tempdir().unwrap();
        let first = edge(home.path());
        first.leave();
        assert!(first.is_draining());
        first.stay();
        assert!(!first.is_draining());
        first.leave();
        drop(first);
        assert!(!edge(home.path()).is_draining());
    }

    #[test]
    fn who_was_told_counts_from_when_it_began() {
        let home = tempfile::tempdir().unwrap();
        let edge = edge(home.path());
        let ns1 = || NodeId::parse("ns1").unwrap();
        edge.drain().unwrap();
        edge.note_told(ns1());
        edge.leave();
        assert_eq!(told(&edge), ["ns1"], "it knows enough already");
        edge.stay();
        edge.undrain().unwrap();
        assert_eq!(told(&edge), [""; 0]);
        edge.leave();
        assert_eq!(told(&edge), [""; 0], "it may have been told otherwise since");
    }

    #[test]
    fn what_cannot_be_written_down_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let edge = edge(home.path());
        fs::create_dir(home.path().join("drained")).unwrap();
        assert!(edge.drain().is_err() && !edge.is_draining());
    }
}
