//! When a file changed last, and what of that is believed.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::problem::{Problem, Severity};

/// A file may have been written by a clock that is so many milliseconds ahead of ours.
const AHEAD_MS: u64 = 60_000;

/// When a file changed last by what its time says, Unix milliseconds.
pub(crate) fn last_change(path: &Path) -> u64 {
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    modified.map_or(0, unix_ms)
}

/// A time in Unix milliseconds; 0 before 1970.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(UNIX_EPOCH).ok();
    since_1970.and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

/// What a file's time counts as. One that is still to come is now: a version made of it would be the highest until it comes.
pub(crate) fn believed(changed: u64, now: u64) -> u64 {
    changed.min(now)
}

/// Warns of a file whose time is still to come, as an archive or a wrong clock makes it.
pub(crate) fn warn_of_future(path: &Path, changed: u64, now: u64) -> Option<Problem> {
    if changed <= now.saturating_add(AHEAD_MS) {
        return None;
    }
    let time = i64::try_from(changed).ok().and_then(|changed| Timestamp::from_millisecond(changed).ok());
    let time = time.map_or_else(|| "past all calendars".to_owned(), |time| time.to_string());
    let problem = Problem::general(format!("{} is from the future: its time is {time}", path.display()));
    let problem = problem.help("`touch` it: until then its time counts as now, which is another on each node");
    Some(Problem { severity: Severity::Warning, ..problem })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::load;

    #[test]
    fn what_is_still_to_come_counts_as_now_and_is_warned_of() {
        let now = 1_764_000_000_000;
        let future = "sites/shop.toml is from the future: its time is 2105-01-01T00:00:00Z";
        let never = "sites/shop.toml is from the future: its time is past all calendars";
        for (what, changed, counts_as, warning) in [
            ("a file without a time", 0, 0, None),
            ("an old file", 5_050, 5_050, None),
            ("a file of now", now, now, None),
            ("another machine's clock", now + 59_000, now, None),
            ("the future", 4_260_211_200_000, now, Some(future)),
            ("no time at all", u64::MAX, now, Some(never)),
        ] {
            let warned = warn_of_future(Path::new("sites/shop.toml"), changed, now);
            assert!(warned.iter().all(|problem| problem.severity == Severity::Warning), "{what}");
            let message = warned.map(|problem| problem.message);
            assert_eq!((believed(changed, now), message.as_deref()), (counts_as, warning), "{what}");
        }
    }

    #[test]
    fn a_file_from_the_future_makes_no_version_of_the_future() {
        let dir = tempfile::tempdir().unwrap();
        let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
                       [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.1\"]\n";
        let path = dir.path().join("hither.toml");
        fs::write(&path, network).unwrap();
        let warnings = |loaded: &crate::load::Loaded| {
            loaded.warnings.iter().filter(|warning| warning.message.contains("from the future")).count()
        };
        assert_eq!(warnings(&load(dir.path()).unwrap()), 0);
        let future = SystemTime::now() + Duration::from_secs(2 * 365 * 86_400);
        fs::File::options().write(true).open(&path).unwrap().set_modified(future).unwrap();
        let before = unix_ms(SystemTime::now());
        let loaded = load(dir.path()).unwrap();
        let after = unix_ms(SystemTime::now());
        assert!((before..=after).contains(&loaded.config.version), "{} not of now", loaded.config.version);
        assert_eq!(warnings(&loaded), 1, "{:?}", loaded.warnings);
    }
}
