//! LOC data (RFC 1876): where something is on Earth.

use super::entry::Field;

/// Latitude and longitude 0: the equator and Greenwich, in thousandths of a second of arc (RFC 1876 §2).
const MIDDLE: u32 = 1 << 31;
/// Altitude 0 is so many centimetres above the least there is.
const SEA_LEVEL: i64 = 10_000_000;
/// "SIZE ... defaults to 1m, HORIZ PRE to 10000m, VERT PRE to 10m" (RFC 1876 §3), in centimetres.
const PRECISIONS: [u64; 3] = [100, 1_000_000, 1_000];

/// The data as bytes; `None` where it is no location.
pub(super) fn bytes(fields: &[Field<'_>]) -> Option<Vec<u8>> {
    let words: Vec<&str> = fields.iter().map(|field| field.text).collect();
    let (latitude, rest) = angle(&words, 90, ["N", "S"])?;
    let (longitude, rest) = angle(rest, 180, ["E", "W"])?;
    let (altitude, precisions) = rest.split_first()?;
    let altitude = u32::try_from(centimetres(altitude)? + SEA_LEVEL).ok()?;
    if precisions.len() > PRECISIONS.len() {
        return None;
    }
    let mut bytes = vec![0];
    for (at, default) in PRECISIONS.into_iter().enumerate() {
        let told = precisions.get(at).map(|text| u64::try_from(centimetres(text)?).ok());
        bytes.push(power(told.unwrap_or(Some(default))?)?);
    }
    for number in [latitude, longitude, altitude] {
        bytes.extend(number.to_be_bytes());
    }
    Some(bytes)
}

/// Degrees, and perhaps minutes and seconds, then the direction; and what follows.
fn angle<'w, 't>(words: &'w [&'t str], most: u32, directions: [&str; 2]) -> Option<(u32, &'w [&'t str])> {
    let [forwards, backwards] =
        directions.map(|direction| words.iter().take(4).position(|word| word.eq_ignore_ascii_case(direction)));
    let end = forwards.or(backwards)?;
    let (numbers, rest) = (words.get(..end)?, words.get(end + 1..)?);
    let (degrees, minutes, seconds) = match numbers {
        [degrees] => (*degrees, "0", "0"),
        [degrees, minutes] => (*degrees, *minutes, "0"),
        [degrees, minutes, seconds] => (*degrees, *minutes, *seconds),
        _ => return None,
    };
    let whole = |text: &str, below: u32| text.parse::<u32>().ok().filter(|number| *number < below);
    let thousandths = u32::try_from(decimal(seconds, 3)?).ok().filter(|thousandths| *thousandths < 60_000)?;
    let sum = (whole(degrees, most + 1)? * 60 + whole(minutes, 60)?) * 60_000 + thousandths;
    let sum = (sum <= most * 3_600_000).then_some(sum)?;
    Some((if forwards.is_some() { MIDDLE + sum } else { MIDDLE - sum }, rest))
}

/// Metres, with or without an `m`.
fn centimetres(text: &str) -> Option<i64> {
    decimal(text.strip_suffix(['m', 'M']).unwrap_or(text), 2)
}

/// A decimal number, in units of so many places behind its dot.
fn decimal(text: &str, places: u32) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || !digits(whole) || !digits(part) || part.len() > places as usize {
        return None;
    }
    let part: i64 = format!("{part:0<width$}", width = places as usize).parse().ok()?;
    Some(sign * (whole.parse::<i64>().ok()? * 10_i64.pow(places) + part))
}

/// Centimetres as one digit and a power of ten, in half a byte each.
fn power(centimetres: u64) -> Option<u8> {
    let (mut digit, mut power) = (centimetres, 0);
    while digit > 9 {
        (digit, power) = (digit / 10, power + 1);
    }
    (power <= 9).then(|| u8::try_from(digit << 4 | power).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::entry::Entries;
    use super::*;

    #[test]
    fn a_location_is_sixteen_bytes() {
        let hex = |text: &str| {
            let entry = Entries::new(text).next().unwrap();
            bytes(&entry.fields).map(|bytes| data_encoding::HEXLOWER.encode(&bytes))
        };
        for (text, expected) in [
            // As BIND's named-rrchecker encodes them.
            ("42 21 54 N 71 06 18 W -24m 30m", Some("0033161389172dd070be15f000988d20")),
            ("42 21 43.952 N 71 5 6.344 W -24m 1m 200m", Some("001224138917069070bf2dd800988d20")),
            ("32 7 19 s 116 2 25 E 10", Some("00121613791b7d2898e6486800989a68")),
            ("1 N 1 E 0.05m 1m 90000000.00m 0", Some("001299008036ee808036ee8000989685")),
            ("91 N 0 E 0", None),
            ("90 0 1 N 0 E 0", None),
            ("1 60 N 0 E 0", None),
            ("1 N 1 E", None),
            ("1 N 1 E x", None),
            ("1 N 1 E 1 1 1 1 1", None),
            ("1 E 1 N 1", None),
        ] {
            assert_eq!(hex(text).as_deref(), expected, "{text}");
        }
    }
}
