//! The highest version of a config that a node has served, so that versions go up over its restarts, too.
//!
//! ```text
//! <state>/<id>/version   {"config_version": …, "config_digest": …}
//! ```

use std::io;
use std::path::{Path, PathBuf};

use config::{limits, write_private};
use fleet::ConfigVersion;

/// Where a node keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    path: PathBuf,
}

impl Served {
    /// `home` is the node's own directory under `state`.
    pub(crate) fn new(home: &Path) -> Self {
        Self { path: home.join("version") }
    }

    /// What is kept; what is missing or broken is nothing.
    pub(crate) fn read(&self) -> Option<ConfigVersion> {
        let text = config::read_bounded(&self.path, limits::SAVED_VERSION_BYTES).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps a version that is served, unless a higher one was.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn keep(&self, version: &ConfigVersion) -> io::Result<()> {
        if self.read().is_some_and(|kept| kept == *version || kept.number > version.number) {
            return Ok(());
        }
        write_private(&self.path, &serde_json::to_string(version)?)
    }
}

/// The higher of two versions, as far as there are any.
pub(super) fn higher(one: Option<ConfigVersion>, other: Option<ConfigVersion>) -> Option<ConfigVersion> {
    one.into_iter().chain(other).max_by_key(|version| version.number)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn version(number: u64, digest: &str) -> ConfigVersion {
        ConfigVersion { number, digest: Some(digest.to_owned()) }
    }

    #[test]
    fn the_highest_version_is_kept_and_what_is_broken_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        let served = Served::new(home.path());
        assert_eq!(served.read(), None);
        for (now, kept) in [
            (version(5, "a"), version(5, "a")),
            (version(9, "b"), version(9, "b")),
            // The last good config is served again.
            (version(5, "a"), version(9, "b")),
            (version(9, "c"), version(9, "c")),
        ] {
            served.keep(&now).unwrap();
            assert_eq!(served.read(), Some(kept), "{now:?}");
        }
        for broken in ["", "9", "{\"config_version\":9", "{\"config_version\":-9,\"config_digest\":\"b\"}"] {
            fs::write(home.path().join("version"), broken).unwrap();
            assert_eq!(served.read(), None, "{broken}");
            served.keep(&version(5, "a")).unwrap();
            assert_eq!(served.read(), Some(version(5, "a")), "{broken}");
        }
    }

    #[test]
    fn of_two_versions_the_higher_is_followed() {
        let (low, high) = (Some(version(5, "a")), Some(version(9, "b")));
        for (one, other, expected) in [
            (&low, &high, &high),
            (&high, &low, &high),
            (&None, &low, &low),
            (&low, &None, &low),
            (&None, &None, &None),
        ] {
            assert_eq!(higher(one.clone(), other.clone()), *expected, "{one:?} {other:?}");
        }
    }
}
