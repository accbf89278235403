//! The highest version of a config that a node has served, so that versions go up over its restarts, too.
//!
//! ```text
//! <state>/<id>/version   {"config_version": …, "config_digest": …}
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::{limits, write_private};
use fleet::ConfigVersion;

use super::last_good::LastGood;

/// A version that is further ahead of now was made by a clock that was wrong, or by a file from the future.
const AHEAD: Duration = Duration::from_secs(86_400);

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

    /// What is kept; what is missing, broken or more than a day ahead of now is nothing.
    pub(crate) fn read(&self, now: SystemTime) -> Option<ConfigVersion> {
        let text = config::read_bounded(&self.path, limits::SAVED_VERSION_BYTES).ok()?;
        let kept: ConfigVersion = serde_json::from_slice(&text).ok()?;
        let last = now.duration_since(UNIX_EPOCH).ok()?.saturating_add(AHEAD);
        (u128::from(kept.number) <= last.as_millis()).then_some(kept)
    }

    /// Keeps a version that is served, unless a higher one was.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn keep(&self, version: &ConfigVersion, now: SystemTime) -> io::Result<()> {
        if self.read(now).is_some_and(|kept| kept == *version || kept.number > version.number) {
            return Ok(());
        }
        write_private(&self.path, &serde_json::to_string(version)?)
    }
}

/// The highest version that a node is known to have served. Releases before wrote only the last good config down: after a way
/// back to one, that may be of the higher.
pub(super) fn highest_served(home: &Path, dir: &Path, now: SystemTime) -> Option<ConfigVersion> {
    higher(LastGood::new(home).version(dir), Served::new(home).read(now))
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

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_highest_version_is_kept_and_what_is_broken_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        let served = Served::new(home.path());
        assert_eq!(served.read(at(100)), None);
        for (next, kept) in [
            (version(5, "a"), version(5, "a")),
            (version(9, "b"), version(9, "b")),
            // The last good config is served again.
            (version(5, "a"), version(9, "b")),
            (version(9, "c"), version(9, "c")),
        ] {
            served.keep(&next, at(100)).unwrap();
            assert_eq!(served.read(at(100)), Some(kept), "{next:?}");
        }
        for broken in ["", "9", "{\"config_version\":9", "{\"config_version\":-9,\"config_digest\":\"b\"}"] {
            fs::write(home.path().join("version"), broken).unwrap();
            assert_eq!(served.read(at(100)), None, "{broken}");
            served.keep(&version(5, "a"), at(100)).unwrap();
            assert_eq!(served.read(at(100)), Some(version(5, "a")), "{broken}");
        }
    }

    #[test]
    fn what_is_more_than_a_day_ahead_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        let served = Served::new(home.path());
        for (what, number, is_kept) in [
            ("of now", 100_000, true),
            ("of a day from now", 86_500_000, true),
            ("of later", 86_500_001, false),
            ("of another age", 4_260_211_200_000, false),
            ("the highest there is", u64::MAX, false),
        ] {
            let told = serde_json::to_string(&version(number, "a")).unwrap();
            fs::write(home.path().join("version"), told).unwrap();
            assert_eq!(served.read(at(100)).is_some(), is_kept, "{what}");
            // A lower one takes its place.
            served.keep(&version(99_000, "b"), at(100)).unwrap();
            let left = if is_kept { version(number, "a") } else { version(99_000, "b") };
            assert_eq!(served.read(at(100)), Some(left), "{what}");
        }
    }

    #[test]
    fn a_last_good_config_that_an_older_release_kept_is_followed_where_it_is_higher() {
        let (home, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
                       [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.1\"]\n";
        let highest = || highest_served(home.path(), dir.path(), at(100)).map(|version| version.number);
        assert_eq!(highest(), None);
        for (kept, last_good, expected) in [
            (Some(50_000), None, 50_000),
            (Some(50_000), Some(40_000), 50_000),
            (Some(50_000), Some(60_000), 60_000),
            (None, Some(40_000), 40_000),
        ] {
            for name in ["version", "last-good"] {
                let path = home.path().join(name);
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
            if let Some(number) = kept {
                Served::new(home.path()).keep(&version(number, "a"), at(100)).unwrap();
            }
            if let Some(number) = last_good {
                let path = home.path().join("last-good/hither.toml");
                fs::create_dir(path.parent().unwrap()).unwrap();
                fs::write(&path, network).unwrap();
                let time = UNIX_EPOCH + Duration::from_millis(number);
                fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            }
            assert_eq!(highest(), Some(expected), "{kept:?} {last_good:?}");
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
