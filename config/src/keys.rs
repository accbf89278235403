//! Keys of signed zones: `secrets/dnssec/<zone>.toml`, which `hither keys` writes.
//!
//! ```text
//!            published         signs              retired            removed
//!    ─────────┼─────────────────┼──────────────────┼──────────────────┼──>
//!             └ among the DNSKEYs ─────────────────────────────────────┘
//!                               └ signs records ───┘
//! ```
//!
//! Times, not states: every name server with the same file does the same at the same time, and nobody has to be told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::host::DomainName;
use crate::secret::Secret;

/// The keys of one zone, at least one.
#[derive(Clone, Debug)]
pub struct ZoneKeys {
    /// The zone.
    pub zone: DomainName,
    /// Its keys, in the order of the file.
    pub keys: Vec<ZoneKey>,
}

/// One key and its timetable.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneKey {
    /// Its tag (RFC 4034 appendix B), by which people name it.
    pub tag: u16,
    /// What it signs.
    pub role: KeyRole,
    /// How.
    pub algorithm: KeyAlgorithm,
    /// From then on it is among the zone's DNSKEY records; who signs these signs them from then on.
    pub published: Timestamp,
    /// From then on it signs the zone's other records, if its role is to.
    pub signs: Option<Timestamp>,
    /// From then on no longer.
    pub retired: Option<Timestamp>,
    /// From then on it is not among the DNSKEY records.
    pub removed: Option<Timestamp>,
    /// The private key, PKCS #8 in base64.
    pub private: Secret,
}

/// What a key signs (RFC 6781 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// Everything: the parent's DS is of it.
    Csk,
    /// The DNSKEY records: the parent's DS is of it.
    Ksk,
    /// Everything else.
    Zsk,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyAlgorithm {
    /// ECDSA P-256 with SHA-256 (RFC 6605): what every validator has.
    EcdsaP256Sha256,
    /// Ed25519 (RFC 8080): faster to make, and few validators lack it.
    Ed25519,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The zone they are of; left out, that of the file's name.
    zone: Option<String>,
    key: Vec<ZoneKey>,
}

/// After so long every resolver knows a new key: the TTL of DNSKEY records, and as long again for slow name servers and
/// clocks.
pub const KEY_SETTLES: Duration = Duration::from_secs(2 * 3_600);

impl KeyRole {
    /// Whether the parent's DS is of such a key (RFC 4034 §2.1.1: the SEP flag).
    #[must_use]
    pub fn is_entry(self) -> bool {
        self != Self::Zsk
    }

    /// Whether it signs the zone's records.
    #[must_use]
    pub fn signs_records(self) -> bool {
        self != Self::Ksk
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csk => "csk",
            Self::Ksk => "ksk",
            Self::Zsk => "zsk",
        }
    }
}

impl KeyAlgorithm {
    /// As it is written: its name in the registry of algorithms, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsap256sha256",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl ZoneKey {
    /// Whether it is among the DNSKEY records.
    #[must_use]
    pub fn is_published(&self, now: Timestamp) -> bool {
        self.published <= now && self.removed.is_none_or(|removed| now < removed)
    }

    /// Whether it signs the zone's records.
    #[must_use]
    pub fn is_signing(&self, now: Timestamp) -> bool {
        let begun = self.signs.is_some_and(|signs| signs <= now);
        self.role.signs_records() && begun && self.retired.is_none_or(|retired| now < retired)
    }

    /// From then on every resolver knows it.
    #[must_use]
    pub fn settled(&self) -> Timestamp {
        self.published.saturating_add(KEY_SETTLES).unwrap_or(Timestamp::MAX)
    }

    /// When something about it changes.
    pub fn times(&self) -> impl Iterator<Item = Timestamp> {
        [Some(self.published), self.signs, self.retired, self.removed].into_iter().flatten()
    }
}

impl ZoneKeys {
    /// Where the keys of a zone are, from the config directory.
    #[must_use]
    pub fn file(zone: &DomainName) -> PathBuf {
        Path::new("secrets/dnssec").join(format!("{zone}.toml"))
    }

    /// Reads the text of a file; no message repeats any of it.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(zone: DomainName, text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!("line {}: {}", before.lines().count().max(1), error.message())
        })?;
        if let Some(other) = file.zone.filter(|other| !other.eq_ignore_ascii_case(zone.as_str())) {
            return Err(format!("these are the keys of zone {other}: copy this zone's own in their place"));
        }
        let keys = Self { zone, keys: file.key };
        keys.check()?;
        Ok(keys)
    }

    /// From then on there is a key that signs.
    #[must_use]
    pub fn begin(&self) -> Option<Timestamp> {
        self.keys.iter().map(|key| key.published).min()
    }

    /// The key that the parent's DS is to be of: the newest that every resolver knows.
    #[must_use]
    pub fn entry(&self, now: Timestamp) -> Option<&ZoneKey> {
        let entries = || self.keys.iter().filter(|key| key.role.is_entry() && key.is_published(now));
        let settled = entries().filter(|key| key.settled() <= now);
        settled.max_by_key(|key| key.published).or_else(|| entries().min_by_key(|key| key.published))
    }

    /// At every time from the first on there is a key to enter by, and one that signs and is published.
    fn check(&self) -> Result<(), String> {
        for (number, key) in self.keys.iter().enumerate() {
            let is_ordered = key.times().is_sorted();
            if !is_ordered {
                return Err(format!("key {}: its times are not in order", key.tag));
            }
            if self.keys.iter().skip(number + 1).any(|other| other.tag == key.tag) {
                return Err(format!("two keys have the tag {}", key.tag));
            }
            if key.algorithm != self.keys.first().map_or(key.algorithm, |first| first.algorithm) {
                return Err(format!("key {} is of another algorithm than the first", key.tag));
            }
        }
        let first = self.begin().ok_or("there is no `[[key]]`")?;
        for now in self.keys.iter().flat_map(ZoneKey::times).filter(|time| *time >= first) {
            let published = || self.keys.iter().filter(|key| key.is_published(now));
            if !published().any(|key| key.role.is_entry()) {
                return Err(format!("from {now} on no KSK or CSK is published"));
            }
            if !published().any(|key| key.is_signing(now)) {
                return Err(format!("from {now} on no key signs"));
            }
        }
        Ok(())
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# The DNSSEC keys of {0}, written by `hither keys`. Secret: the same file on every name server.\nzone = \"{0}\"\n",
            self.zone
        );
        for key in &self.keys {
            let (role, algorithm) = (key.role.as_str(), key.algorithm.as_str());
            text += &format!("\n[[key]]\ntag = {}\nrole = \"{role}\"\nalgorithm = \"{algorithm}\"\n", key.tag);
            let times = [("signs", key.signs), ("retired", key.retired), ("removed", key.removed)];
            for (name, time) in [("published", Some(key.published))].into_iter().chain(times) {
                text += &time.map_or_else(String::new, |time| format!("{name} = \"{time}\"\n"));
            }
            text += &format!("private = \"{}\"\n", String::from_utf8_lossy(key.private.as_bytes()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ZoneKeys, String> {
        ZoneKeys::read(DomainName::parse("cdn.example").unwrap(), text)
    }

    fn key(tag: u16, role: &str, times: &str) -> String {
        format!("[[key]]\ntag = {tag}\nrole = \"{role}\"\nalgorithm = \"ed25519\"\nprivate = \"AAAA\"\n{times}\n")
    }

    #[test]
    fn what_is_written_is_read() {
        let text = key(1, "ksk", "published = \"2026-01-01T00:00:00Z\"")
            + &key(2, "zsk", "published = \"2026-01-01T00:00:00Z\"\nsigns = \"2026-01-01T00:00:00Z\"");
        let keys = read(&text).unwrap();
        assert_eq!(read(&keys.to_text()).unwrap().keys, keys.keys);
    }

    #[test]
    fn another_zones_keys_are_refused() {
        let key = key(1, "csk", "published = \"2026-01-01T00:00:00Z\"\nsigns = \"2026-01-01T00:00:00Z\"");
        assert!(read(&format!("zone = \"CDN.example\"\n{key}")).is_ok());
        let told = read(&format!("zone = \"shop.example\"\n{key}")).unwrap_err();
        assert_eq!(told, "these are the keys of zone shop.example: copy this zone's own in their place");
    }

    #[test]
    fn a_timetable_with_a_gap_is_refused() {
        let at = |day: u8| format!("\"2026-01-{day:02}T00:00:00Z\"");
        let (first, second, third) = (at(1), at(2), at(3));
        for (text, why) in [
            (String::new(), "missing field `key`"),
            (key(1, "csk", ""), "missing field `published`"),
            (key(1, "csk", &format!("published = {first}")), "no key signs"),
            (key(1, "csk", &format!("published = {second}\nsigns = {first}")), "not in order"),
            (key(1, "zsk", &format!("published = {first}\nsigns = {first}")), "no KSK or CSK"),
            (
                key(1, "csk", &format!("published = {first}\nsigns = {first}\nretired = {third}"))
                    + &key(2, "ksk", &format!("published = {first}")),
                "no key signs",
            ),
            (key(1, "csk", &format!("published = {first}\nsigns = {first}")).repeat(2), "two keys have the tag 1"),
            (key(1, "csk", &format!("published = {first}\nsigns = {first}\nprivat = 1")), "unknown field"),
        ] {
            let told = read(&text).unwrap_err();
            assert!(told.contains(why), "{told}\n{text}");
            assert!(!told.contains("AAAA"), "{told}");
        }
    }
}
