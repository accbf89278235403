//! Certificates that were got: one file each in the state directory, which only its owner reads.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::write_private;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

/// A certificate with its chain and key.
#[derive(Clone, Debug)]
pub struct Held {
    /// The name it is for, which may be a wildcard.
    pub name: String,
    /// Chain, then key.
    pub pem: Pem,
    /// Not to be used before.
    pub from: SystemTime,
    /// Not to be used after.
    pub until: SystemTime,
    /// The directory of the authority that it is of.
    pub authority: String,
    pub(crate) key: Arc<CertifiedKey>,
}

/// What stands before the directory of the authority that a certificate is of.
const AUTHORITY: &str = "Authority: ";

/// When a certificate may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: SystemTime,
    /// Not after.
    pub until: SystemTime,
}

impl Validity {
    /// Reads a certificate's (RFC 5280 §4.1.2.5).
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self { from: time(validity.not_before.timestamp()), until: time(validity.not_after.timestamp()) })
    }

    /// Whether somebody has to look: a certificate that was to be renewed long ago, or is over.
    #[must_use]
    pub fn is_alarming(&self, now: SystemTime) -> bool {
        let life = self.until.duration_since(self.from).unwrap_or_default();
        self.until <= now + (life / 6).min(ALARM)
    }
}

/// So long before its end a certificate of a year is an alarm; one of 90 days is renewed a month before.
const ALARM: Duration = Duration::from_secs(14 * 86_400);

/// A text with a private key in it; `Debug` shows only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(String);

/// Why a text is no certificate that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unheld(String);

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem(…)")
    }
}

impl fmt::Display for Unheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pem {
    /// The text: for the file, and for nodes that show the fleet's credential.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Held {
    /// Puts together what was got.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn of(name: &str, authority: &str, chain: &str, key: &str) -> Result<Self, Unheld> {
        // Text before the first line of a certificate is explanatory (RFC 7468 §5.2).
        Self::read(name, format!("{AUTHORITY}{authority}\n{}\n{key}", chain.trim_end()))
    }

    /// Reads a chain and its key.
    ///
    /// # Errors
    /// They do not belong together, or are for another name.
    pub fn read(name: &str, pem: String) -> Result<Self, Unheld> {
        let unheld = |why: &dyn fmt::Display| Unheld(why.to_string());
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|error| unheld(&error))?;
        let private = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| unheld(&error))?;
        let first = chain.first().ok_or_else(|| unheld(&"there is no certificate in it"))?;
        let (_, parsed) = parse_x509_certificate(first).map_err(|error| unheld(&error))?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let is_named = names.is_some_and(|names| {
            let said = |general: &x509_parser::extensions::GeneralName<'_>| {
                matches!(general, x509_parser::extensions::GeneralName::DNSName(dns) if dns.eq_ignore_ascii_case(name))
            };
            names.value.general_names.iter().any(said)
        });
        if !is_named {
            return Err(unheld(&format!("it is not for {name}")));
        }
        let Validity { from, until } = Validity::of(first).ok_or_else(|| unheld(&"its dates cannot be read"))?;
        let authority = pem.lines().next().and_then(|line| line.strip_prefix(AUTHORITY)).unwrap_or_default().to_owned();
        let key = CertifiedKey::from_der(chain.clone(), private, &aws_lc_rs::default_provider());
        let key = Arc::new(key.map_err(|error| unheld(&error))?);
        Ok(Self { name: name.to_owned(), pem: Pem(pem), from, until, authority, key })
    }

    /// Reads all of a directory. Whatever else is there is left alone, and told.
    #[must_use]
    pub fn read_all(dir: &Path) -> (Vec<Self>, Vec<String>) {
        let (mut all, mut told) = (Vec::new(), Vec::new());
        let Ok(entries) = fs::read_dir(dir) else { return (all, told) };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".pem")) else { continue };
            let name = name.strip_prefix('_').map_or_else(|| name.to_owned(), |rest| format!("*{rest}"));
            let read = fs::read_to_string(&path).map_err(|error| error.to_string());
            match read.and_then(|pem| Self::read(&name, pem).map_err(|error| error.to_string())) {
                Ok(held) => all.push(held),
                Err(why) => told.push(format!("{}: {why}", path.display())),
            }
        }
        all.sort_by(|one, two| one.name.cmp(&two.name));
        (all, told)
    }

    /// Whether it is to be held in place of another for the same name: the one of the authority that is used, else the
    /// younger.
    #[must_use]
    pub fn is_better(&self, other: &Self, directory: &str) -> bool {
        let standing = |held: &Self| (held.authority == directory, held.from);
        standing(self) > standing(other)
    }

    /// Removes its file.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self, dir: &Path) -> io::Result<()> {
        fs::remove_file(path(dir, &self.name))
    }

    /// When it may be used.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity { from: self.from, until: self.until }
    }

    /// Writes it, whole or not at all, for its owner alone.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        write_private(&path(dir, &self.name), self.pem.text())
    }
}

/// Where a name's certificate is.
fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{}.pem", name.replacen('*', "_", 1)))
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair};

    /// A certificate for a name, which signed itself, for these days from 2026 on.
    pub(crate) fn made(name: &str, days: (i64, i64)) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let day = |day| rcgen::date_time_ymd(2026, 1, 1) + Duration::from_secs(u64::try_from(day).unwrap() * 86_400);
        (params.not_before, params.not_after) = (day(days.0), day(days.1));
        format!("{}{}", params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_is_written_is_read_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("certificates");
        for name in ["www.shop.example", "*.cdn.example"] {
            let held = Held::read(name, made(name, (0, 90))).unwrap();
            assert_eq!(held.until.duration_since(held.from).unwrap(), Duration::from_secs(90 * 86_400));
            held.write(&dir).unwrap();
            held.write(&dir).unwrap();
        }
        fs::write(dir.join("broken.example.pem"), "nothing").unwrap();
        fs::write(dir.join("other.example.pem"), made("www.shop.example", (0, 1))).unwrap();
        fs::write(dir.join("notes.txt"), "").unwrap();
        let (all, told) = Held::read_all(&dir);
        let names: Vec<&str> = all.iter().map(|held| held.name.as_str()).collect();
        assert_eq!(names, ["*.cdn.example", "www.shop.example"]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().any(|told| told.ends_with("it is not for other.example")), "{told:?}");
        let mode = fs::metadata(dir.join("_.cdn.example.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{:?}", all[0]).contains("PRIVATE"), "a key is not shown");
    }

    #[test]
    fn the_better_is_of_the_authority_in_use_else_the_younger() {
        let of = |authority: &str, from| {
            let (chain, key) = split(&made("a.example", (from, 90)));
            Held::of("a.example", authority, &chain, &key).unwrap()
        };
        let (old, young, other) = (of("https://a/", 0), of("https://a/", 1), of("https://b/", 2));
        assert!(young.is_better(&old, "https://a/") && !old.is_better(&young, "https://a/"));
        assert!(!other.is_better(&young, "https://a/") && young.is_better(&other, "https://a/"));
        assert!(other.is_better(&young, "https://b/") && !young.is_better(&young, "https://a/"));
    }

    fn split(pem: &str) -> (String, String) {
        let (chain, key) = pem.split_once("-----BEGIN PRIVATE").unwrap();
        (chain.to_owned(), format!("-----BEGIN PRIVATE{key}"))
    }

    #[test]
    fn an_end_that_is_near_is_an_alarm() {
        let day = Duration::from_secs(86_400);
        for (life, first) in [(365, 351), (90, 76), (6, 5)] {
            let from = UNIX_EPOCH;
            let validity = Validity { from, until: from + day * life };
            let alarming = (0..=life + 1).find(|passed| validity.is_alarming(from + day * *passed));
            assert_eq!(alarming, Some(first), "{life} days");
        }
    }

    #[test]
    fn a_key_of_another_is_not_held() {
        let (one, two) = (made("a.example", (0, 90)), made("a.example", (0, 90)));
        let wrong = format!("{}{}", split(&one).0, split(&two).1);
        assert!(Held::read("a.example", wrong).is_err());
        assert!(Held::read("a.example", String::new()).is_err());
    }
}
