//! Verdicts kept over a restart.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use config::limits;
use serde::Serialize;

use crate::health::Verdict;

/// Verdicts by address.
pub(crate) type Saved = BTreeMap<IpAddr, Verdict>;

/// Reads the saved verdicts; a missing or broken file is no verdicts.
pub(crate) fn read(path: &Path) -> Saved {
    let text = config::read_bounded(path, limits::HEALTH_SAVED_BYTES).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes something, whole or not at all: a crash in between leaves the old file.
pub(crate) fn write(path: &Path, saved: &impl Serialize) -> std::io::Result<()> {
    // For a moment a node may have two processes, one of which takes over.
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(saved)?)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_read_and_what_is_broken_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("health.json");
        assert_eq!(read(&path), Saved::new());
        let saved = Saved::from([([192, 0, 2, 1].into(), Verdict::Down), ([192, 0, 2, 2].into(), Verdict::Up)]);
        write(&path, &saved).unwrap();
        assert_eq!(read(&path), saved);
        fs::write(&path, b"{\"192.0.2.1\":\"do").unwrap();
        assert_eq!(read(&path), Saved::new());
    }
}
