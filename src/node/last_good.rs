//! The last config that held, and what a node boots when it keeps dying at its start.
//!
//! ```text
//! <state>/<id>/last-good/   the files of the config that served for a minute, or of the first ever
//! <state>/<id>/starts       when this node started, until one lives for a minute or is told to stop
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::{Config, limits};
use fleet::ConfigVersion;

use super::Node;

/// Where a node keeps its last good config.
#[derive(Clone, Debug)]
pub(crate) struct LastGood {
    home: PathBuf,
}

impl LastGood {
    /// `home` is the node's own directory under `state`.
    pub(crate) fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    /// The copy's directory.
    pub(crate) fn files(&self) -> PathBuf {
        self.home.join("last-good")
    }

    /// Which config the copy is of, read for the directory that it was copied from.
    pub(crate) fn version(&self, dir: &Path) -> Option<ConfigVersion> {
        config::load_copy(&self.files(), dir).ok().map(|kept| ConfigVersion::of(&kept.config))
    }

    /// Notes a start. Whether so many before it died within the minute that the last good config is to
    /// be booted, if there is one.
    pub(crate) fn is_called_for(&self, now: SystemTime) -> bool {
        let now = seconds(now);
        let starts = config::read_bounded(&self.starts(), limits::SAVED_STARTS_BYTES).unwrap_or_default();
        let starts = String::from_utf8(starts).unwrap_or_default();
        let recent = starts.lines().filter_map(|line| line.parse::<u64>().ok());
        // A start that is still to come was noted by a clock that has been set back.
        let mut recent: Vec<u64> =
            recent.filter(|start| now.checked_sub(*start).is_some_and(|ago| ago < limits::PROVEN.as_secs())).collect();
        let deaths = recent.len();
        recent.push(now);
        let lines: String = recent.iter().map(|start| format!("{start}\n")).collect();
        // Without a place to count, a node that dies starts as ever.
        let _ = fs::create_dir_all(&self.home).and_then(|()| fs::write(self.starts(), lines));
        deaths >= limits::DEATHS && self.files().is_dir()
    }

    /// Forgets the starts: this one lived, or was told to end.
    pub(crate) fn forget_starts(&self) {
        let _ = fs::remove_file(self.starts());
    }

    /// Keeps a config's files, in place of those before.
    pub(crate) fn keep(&self, config: &Config) -> std::io::Result<()> {
        let new = self.home.join("last-good.new");
        let _ = fs::remove_dir_all(&new);
        let time = UNIX_EPOCH + Duration::from_millis(config.version);
        for source in &config.sources {
            let path = new.join(&source.path);
            fs::create_dir_all(path.parent().unwrap_or(&new))?;
            fs::write(&path, &source.text)?;
            // The copy's version is the config's.
            fs::File::options().write(true).open(&path)?.set_modified(time)?;
        }
        let _ = fs::remove_dir_all(self.files());
        fs::rename(new, self.files())
    }

    fn starts(&self) -> PathBuf {
        self.home.join("starts")
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Keeps each config that has served for a while; the first ever at once, since there is no other.
pub(crate) async fn follow(node: Arc<Node>, last_good: LastGood) {
    let mut kept = 0;
    let mut seen = if last_good.files().is_dir() { 0 } else { node.version() };
    loop {
        let config = node.config.load_full().filter(|config| config.version == seen && seen != kept);
        // With a zone that was refused its files are not what serves. A log that was refused, or a change since, is no fault of
        // theirs: another start begins by them.
        let config = config.filter(|_| node.is_whole.load(Ordering::Relaxed));
        if let Some(config) = config {
            let (to, version) = (last_good.clone(), config.version);
            match tokio::task::spawn_blocking(move || to.keep(&config)).await {
                Ok(Ok(())) => kept = version,
                Ok(Err(error)) => tracing::error!(%error, "the last good config cannot be kept"),
                Err(error) => tracing::error!(%error, "the last good config cannot be kept"),
            }
        }
        seen = node.version();
        tokio::time::sleep(limits::PROVEN).await;
        last_good.forget_starts();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_start_within_a_minute_is_called_for() {
        let home = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(home.path());
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        fs::create_dir(last_good.files()).unwrap();
        assert!(!last_good.is_called_for(at(100)));
        assert!(!last_good.is_called_for(at(110)));
        assert!(last_good.is_called_for(at(120)));
        assert!(!last_good.is_called_for(at(300)), "those were long ago");
        assert!(!last_good.is_called_for(at(301)));
        last_good.forget_starts();
        assert!(!last_good.is_called_for(at(302)));
        fs::write(last_good.starts(), "9000\n9001\n9002\n").unwrap();
        assert!(!last_good.is_called_for(at(400)), "noted by a clock that has been set back");
    }
}
