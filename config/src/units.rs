//! Numbers with written units: `"20s"`, `"4GiB"`, `"10Gbps"`.

use std::time::Duration;

use crate::wrong::Wrong;

/// A unit and how many of the smallest one it is.
type Unit = (&'static str, u64);

const TIME: [Unit; 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
const SIZE: [Unit; 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
const RATE: [Unit; 4] = [("kbps", 1_000), ("Mbps", 1_000_000), ("Gbps", 1_000_000_000), ("Tbps", 1_000_000_000_000)];

/// Reads a length of time; parts may follow each other: `"1h30m"`.
///
/// # Errors
/// It has no number or no unit.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    parts(text, &TIME).map(Duration::from_millis).ok_or_else(|| {
        Wrong::new(format!("`{text}` is not a length of time"))
            .help("write a number and a unit: ms, s, m, h, d or w, as in \"20s\" or \"1h30m\"")
    })
}

/// Reads a number of bytes.
pub(crate) fn size(text: &str) -> Result<u64, Wrong> {
    parts(text, &SIZE).ok_or_else(|| {
        Wrong::new(format!("`{text}` is not a size"))
            .help("write a number and a unit: B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, as in \"4GiB\"")
    })
}

/// Reads a bit rate, in bits per second.
pub(crate) fn rate(text: &str) -> Result<u64, Wrong> {
    parts(text, &RATE).ok_or_else(|| {
        Wrong::new(format!("`{text}` is not a bit rate"))
            .help("write a number and a unit: kbps, Mbps, Gbps or Tbps, as in \"10Gbps\"")
    })
}

/// Writes a length of time as [`duration`] reads it, in its largest exact unit.
pub(crate) fn show_duration(value: Duration) -> String {
    show(u64::try_from(value.as_millis()).unwrap_or(u64::MAX), &TIME)
}

/// Writes a number of bytes as [`size`] reads it, in its largest exact binary unit.
pub(crate) fn show_size(value: u64) -> String {
    let binary = [SIZE[0], SIZE[5], SIZE[6], SIZE[7], SIZE[8]];
    show(value, &binary)
}

/// Writes a bit rate as [`rate`] reads it, in its largest exact unit.
pub(crate) fn show_rate(value: u64) -> String {
    show(value, &RATE)
}

/// A regular expression of what [`duration`] reads.
pub(crate) fn duration_pattern() -> String {
    pattern(&TIME)
}

/// A regular expression of what [`size`] reads.
pub(crate) fn size_pattern() -> String {
    pattern(&SIZE)
}

/// A regular expression of what [`rate`] reads.
pub(crate) fn rate_pattern() -> String {
    pattern(&RATE)
}

fn pattern(units: &[Unit]) -> String {
    let names: Vec<&str> = units.iter().map(|unit| unit.0).collect();
    format!(r"^(\s*[0-9]+\s*({}))+\s*$", names.join("|"))
}

fn show(value: u64, units: &[Unit]) -> String {
    let fits = |unit: &&Unit| value >= unit.1 && value.is_multiple_of(unit.1);
    let Some((name, scale)) = units.iter().rev().find(fits) else {
        return if units.len() == TIME.len() { "0s".to_owned() } else { format!("{value}B") };
    };
    format!("{}{name}", value / scale)
}

/// Sums `number unit` pairs; nothing else may stand in the text.
fn parts(text: &str, units: &[Unit]) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at_checked(digits)?;
        let tail = tail.trim_start();
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (name, tail) = tail.split_at_checked(letters)?;
        let scale = units.iter().find(|unit| unit.0 == name)?.1;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = tail.trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_units_are_read_and_shown_alike() {
        for (text, millis) in [("20s", 20_000), ("500ms", 500), ("30d", 2_592_000_000), ("0s", 0)] {
            assert_eq!(duration(text).unwrap().as_millis(), millis, "{text}");
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        assert_eq!(duration("1h30m").unwrap().as_secs(), 5_400);
        assert_eq!(size("4GiB").unwrap(), 4 << 30);
        assert_eq!(show_size(4 << 30), "4GiB");
        assert_eq!(rate("10Gbps").unwrap(), 10_000_000_000);
        assert_eq!(show_rate(10_000_000_000), "10Gbps");
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for bad in ["", "20", "s", "20 sec", "-1s", "1.5h", "99999999999999999999s", "5Gib"] {
            assert!(duration(bad).is_err() && size(bad).is_err() && rate(bad).is_err(), "{bad}");
        }
    }
}
