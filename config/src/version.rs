//! Which version a config is: when what it was read from changed last.
//!
//! The newest file tells, the same on every machine, whatever else lies beside the files that are read. Only where a file was
//! removed, or an older one has come, none tells: then it is the time of the directories, which an editor's own files change,
//! too.

use crate::load::Config;

/// A version, and what it may sink to where the time of a directory that it rests on turns out to be an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    number: u64,
    least: u64,
}

/// Whether a config was read from the files of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    Same,
    Others,
}

impl Config {
    /// Has what was just read follow the config before: its version is another where files have changed, and the same where
    /// they have not.
    pub fn follow(&mut self, before: &Self) {
        let files = if self.has_files_of(before) { Files::Same } else { Files::Others };
        let before = Version { number: before.version, least: before.least_version };
        let next = next(before, files, (self.version, self.touched));
        (self.version, self.least_version) = (next.number, next.least);
    }

    /// Whether both were read from files of the same names and texts; secrets do not count.
    #[must_use]
    pub fn has_files_of(&self, other: &Self) -> bool {
        let mut both = self.sources.iter().zip(&other.sources);
        self.sources.len() == other.sources.len() && both.all(|(a, b)| a.path == b.path && a.text == b.text)
    }
}

/// The version of a config, by the newest of its files and by that of these and their directories.
fn next(before: Version, files: Files, (newest, touched): (u64, u64)) -> Version {
    match files {
        _ if newest > before.number => Version { number: newest, least: newest },
        Files::Others => {
            let least = before.number + 1;
            Version { number: touched.max(least), least }
        }
        // Who copies a directory gives it its time last.
        Files::Same => Version { number: before.number.min(touched).max(before.least), least: before.least },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::load::load;

    #[test]
    fn a_version_goes_up_with_what_is_read_and_with_nothing_else() {
        let of_files = Version { number: 50, least: 50 };
        let of_removal = Version { number: 80, least: 51 };
        let version = |number, least| Version { number, least };
        for (what, before, files, times, expected) in [
            ("nothing", of_files, Files::Same, (50, 50), version(50, 50)),
            ("an editor's own file", of_files, Files::Same, (50, 70), version(50, 50)),
            ("a file was saved", of_files, Files::Others, (60, 70), version(60, 60)),
            ("a file got a new time", of_files, Files::Same, (60, 60), version(60, 60)),
            ("a file got an old time", of_files, Files::Same, (40, 45), version(50, 50)),
            ("a file was removed", of_files, Files::Others, (50, 80), version(80, 51)),
            ("the newest file was removed", of_files, Files::Others, (40, 80), version(80, 51)),
            ("an older file came, and no time tells", of_files, Files::Others, (50, 50), version(51, 51)),
            ("then nothing", of_removal, Files::Same, (50, 80), of_removal),
            ("then an editor's own file", of_removal, Files::Same, (50, 90), of_removal),
            ("then the directory got its time", of_removal, Files::Same, (50, 60), version(60, 51)),
            ("then it got one from before", of_removal, Files::Same, (50, 50), version(51, 51)),
            ("then a file was saved", of_removal, Files::Others, (90, 90), version(90, 90)),
        ] {
            assert_eq!(next(before, files, times), expected, "{what}");
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
    fn what_is_not_read_is_no_part_of_the_version_and_what_is_removed_is() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        let read = || load(dir.path()).unwrap().config;
        let first = read();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(10);
        for stray in ["sites/.shop.toml.swp", "sites/shop.toml~", "notes.txt"] {
            fs::write(dir.path().join(stray), "").unwrap();
        }
        for folder in ["", "sites"] {
            fs::File::open(dir.path().join(folder)).unwrap().set_modified(later).unwrap();
        }
        let mut beside = read();
        assert!(beside.version == first.version && beside.has_files_of(&first));
        beside.follow(&first);
        assert_eq!(beside.version, first.version);
        fs::remove_file(dir.path().join("sites/blog.toml")).unwrap();
        let mut removed = read();
        removed.follow(&beside);
        assert!(removed.version > beside.version && !removed.has_files_of(&beside));
    }
}
