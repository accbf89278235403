//! Which config a node has: a number for people, and a digest of the files that says whether two are one.

use config::{Config, FileChange};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::credential::hex;

/// Which config somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigVersion {
    /// The config's version.
    #[serde(rename = "config_version")]
    pub number: u64,
    /// The digest of its files; nodes of earlier releases tell none.
    #[serde(rename = "config_digest", default)]
    pub digest: Option<String>,
}

impl ConfigVersion {
    /// That of a config. It hashes every file.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { number: config.version, digest: Some(config_digest(config)) }
    }

    /// What a node tells of itself in its status, or an edge in its report.
    #[must_use]
    pub fn told(status: &Value) -> Option<Self> {
        let digest = status.get("config_digest").and_then(Value::as_str).map(ToOwned::to_owned);
        Some(Self { number: status.get("config_version")?.as_u64()?, digest })
    }

    /// Whether both are one config: the digests say, and the numbers only where one of them has none.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.digest, &other.digest) {
            (Some(one), Some(two)) => one == two,
            _ => self.number == other.number,
        }
    }

    /// The beginning of the digest as a number that a float holds, for metrics; 0 where there is none.
    #[must_use]
    pub fn digest_in_short(&self) -> i64 {
        let digits = self.digest.as_deref().and_then(|digest| digest.get(..12));
        digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or_default()
    }

    /// Has a config that was just read follow the one of this version.
    pub fn lead(&self, next: &mut Config) {
        let change = if self.is_same(&Self::of(next)) { FileChange::Unchanged } else { FileChange::Changed };
        next.follow(self.number, change);
    }
}

/// A digest of the names and texts of the files a config was read from: equal exactly when these are. Secrets are no part of it.
fn config_digest(config: &Config) -> String {
    let mut hash = Sha256::new();
    for source in &config.sources {
        for part in [source.path.as_os_str().as_encoded_bytes(), source.text.as_bytes()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
    }
    let digest = hash.finalize();
    hex(digest.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn version(number: u64, digest: Option<&str>) -> ConfigVersion {
        ConfigVersion { number, digest: digest.map(ToOwned::to_owned) }
    }

    #[test]
    fn files_say_whether_two_configs_are_one_and_numbers_where_a_node_tells_no_digest() {
        for (one, other, expected) in [
            ((5, Some("a")), (5, Some("a")), true),
            ((5, Some("a")), (9, Some("a")), true),
            ((5, Some("a")), (5, Some("b")), false),
            ((5, Some("a")), (5, None), true),
            ((5, None), (5, None), true),
            ((5, Some("a")), (9, None), false),
        ] {
            let (one, other) = (version(one.0, one.1), version(other.0, other.1));
            assert_eq!((one.is_same(&other), other.is_same(&one)), (expected, expected), "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_nodes_of_any_release_tell_is_understood() {
        for (told, expected) in [
            (json!({ "id": "one-1", "config_version": 5, "config_digest": "a" }), Some(version(5, Some("a")))),
            (json!({ "config_version": 5 }), Some(version(5, None))),
            (json!({ "config_version": 5, "config_digest": null }), Some(version(5, None))),
            (json!({ "config_digest": "a" }), None),
            (json!(null), None),
        ] {
            assert_eq!(ConfigVersion::told(&told), expected, "{told}");
        }
    }

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    const NETWORK: &str = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
                           [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.1\"]\n";
    const SHOP: &str = "hosts = [\"www.shop.example\"]\n[origin]\nservers = [\"http://192.0.2.9\"]\n";

    #[test]
    fn a_digest_is_of_names_and_texts_wherever_and_whenever_they_were_written() {
        let read = |files: &[(&str, &str)]| {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), "hither.toml", NETWORK);
            files.iter().for_each(|(name, text)| write(dir.path(), name, text));
            config_digest(&config::load(dir.path()).unwrap().config)
        };
        let shop = ("sites/shop.toml", SHOP);
        let first = read(&[shop]);
        let edited = SHOP.replace("192.0.2.9", "192.0.2.8");
        for (what, files, is_same) in [
            ("another machine", vec![shop], true),
            ("a secret", vec![shop, ("secrets/fleet.key", "0123456789abcdef")], true),
            ("what is not read", vec![shop, ("notes.txt", "x"), ("sites/shop.toml~", "x")], true),
            ("an edit", vec![("sites/shop.toml", edited.as_str())], false),
            ("a removal", vec![], false),
            ("another name", vec![("sites/blog.toml", SHOP)], false),
            ("one more", vec![shop, ("routes.toml", "")], false),
        ] {
            assert_eq!(read(&files) == first, is_same, "{what}");
        }
    }

    #[test]
    fn a_removal_and_an_older_file_lead_up_and_the_same_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "hither.toml", NETWORK);
        write(dir.path(), "sites/shop.toml", SHOP);
        let read = || config::load(dir.path()).unwrap().config;
        let after = |before: &ConfigVersion| {
            let mut config = read();
            before.lead(&mut config);
            ConfigVersion::of(&config)
        };
        let first = ConfigVersion::of(&read());
        assert_eq!(after(&first), first);
        fs::remove_file(dir.path().join("sites/shop.toml")).unwrap();
        let removed = after(&first);
        assert!(removed.number > first.number && !removed.is_same(&first));
        // Also over a restart that knows no more than the number and the digest.
        assert_eq!(after(&removed), removed);
        write(dir.path(), "sites/shop.toml", SHOP);
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        fs::File::options().write(true).open(dir.path().join("sites/shop.toml")).unwrap().set_modified(old).unwrap();
        let restored = after(&removed);
        assert!(restored.number > removed.number && restored.is_same(&first));
    }
}
