//! Which version a config is: when the newest of the files it was read from changed.
//!
//! It only goes up. Where a file was removed, or an older one has come, none tells: it is then of the next whole second, the
//! same wherever the one before was the same.

use crate::load::Config;

/// Whether the files of a config are others than those of the config before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// The files have the same names and texts.
    Unchanged,
    /// A file has come or gone, or has another text.
    Changed,
}

/// Of a version, in milliseconds. A zone's serial counts these.
const SECOND: u64 = 1_000;

impl Config {
    /// Has what was just read follow the version before: its own is another where files have changed, and never a lower one.
    pub fn follow(&mut self, before: u64, change: FileChange) {
        self.version = next(before, change, self.version);
    }
}

/// The version of a config whose newest file is of a time.
fn next(before: u64, change: FileChange, newest: u64) -> u64 {
    match change {
        _ if newest > before => newest,
        FileChange::Unchanged => before,
        FileChange::Changed => (before / SECOND).saturating_add(1).saturating_mul(SECOND),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::load::load;

    #[test]
    fn a_version_goes_up_with_what_is_read_and_with_nothing_else() {
        for (what, before, change, newest, expected) in [
            ("nothing", 5_050, FileChange::Unchanged, 5_050, 5_050),
            ("a file was saved", 5_050, FileChange::Changed, 6_060, 6_060),
            ("a file got a new time", 5_050, FileChange::Unchanged, 6_060, 6_060),
            ("a file got an old time", 5_050, FileChange::Unchanged, 4_040, 5_050),
            ("a file was removed", 5_050, FileChange::Changed, 5_050, 6_000),
            ("the newest file was removed", 5_050, FileChange::Changed, 4_040, 6_000),
            ("an older file came", 5_050, FileChange::Changed, 3_030, 6_000),
            ("another was removed", 6_000, FileChange::Changed, 3_030, 7_000),
            ("then nothing", 7_000, FileChange::Unchanged, 3_030, 7_000),
            ("then a file was saved before that second", 7_000, FileChange::Changed, 6_500, 8_000),
            ("then a file was saved", 8_000, FileChange::Changed, 9_090, 9_090),
            ("there is no higher one", u64::MAX, FileChange::Changed, 9_090, u64::MAX),
        ] {
            assert_eq!(next(before, change, newest), expected, "{what}");
        }
    }

    fn write(dir: &Path) {
        let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
                       [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.1\"]\n";
        fs::write(dir.join("hither.toml"), network).unwrap();
        fs::create_dir(dir.join("sites")).unwrap();
        for site in ["shop", "blog"] {
            let text = format!("hosts = [\"{site}.example\"]\n[origin]\nservers = [\"http://192.0.2.9\"]\n");
            fs::write(dir.join("sites").join(format!("{site}.toml")), text).unwrap();
        }
    }

    #[test]
    fn what_is_not_read_is_no_part_of_the_version() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        let now = SystemTime::now();
        let change = |name: &str, time| fs::File::open(dir.path().join(name)).unwrap().set_modified(time).unwrap();
        for file in ["hither.toml", "sites/shop.toml", "sites/blog.toml"] {
            change(file, now - Duration::from_secs(10));
        }
        let read = || load(dir.path()).unwrap().config.version;
        let first = read();
        for stray in ["sites/.shop.toml.swp", "sites/shop.toml~", "notes.txt"] {
            fs::write(dir.path().join(stray), "").unwrap();
        }
        for folder in ["", "sites"] {
            change(folder, now);
        }
        assert_eq!(read(), first);
        change("sites/blog.toml", now);
        assert!(read() > first);
    }
}
