//! HTTP dates: read generously, written as IMF-fixdate (RFC 9110 §5.6.7).

use http::HeaderValue;
use http::header::{DATE, HeaderMap};

use crate::field;
use crate::time::Moment;

/// Reads one of the three forms of an HTTP date (RFC 9110 §5.6.7). `now` settles the century of a
/// two-digit year.
///
/// RFC 9111 §4.2: "a cache recipient SHOULD match the field value case-insensitively" and "SHOULD
/// consider a date with a zone abbreviation other than "GMT" to be invalid". The weekday need not fit
/// the date, since origins get it wrong; any other departure from the three forms is no date.
#[must_use]
pub fn read_date(value: &[u8], now: Moment) -> Option<Moment> {
    let (mut parts, mut count) = ([b"".as_slice(); MOST_PARTS], 0);
    for part in value.split(|byte| *byte == b' ') {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    let (date, time) = match *parts.get(..count)? {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [weekday, day, month, year, time, zone] if is_gmt(zone) => {
            is_one_of(&SHORT_WEEKDAYS, weekday.strip_suffix(b",")?)?;
            ((digits(year, 4)?, month_of(month)?, digits(day, 2)?), time)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [weekday, date, time, zone] if is_gmt(zone) => {
            is_one_of(&LONG_WEEKDAYS, weekday.strip_suffix(b",")?)?;
            let [day @ .., b'-', m1, m2, m3, b'-', y1, y2] = date else { return None };
            ((full_year(digits(&[*y1, *y2], 2)?, now), month_of(&[*m1, *m2, *m3])?, digits(day, 2)?), time)
        }
        // Sun Nov 06 08:49:37 1994, or with a space for the day's first digit
        [weekday, month, day, time, year] => {
            is_one_of(&SHORT_WEEKDAYS, weekday)?;
            ((digits(year, 4)?, month_of(month)?, digits(day, 2)?), time)
        }
        [weekday, month, b"", day, time, year] => {
            is_one_of(&SHORT_WEEKDAYS, weekday)?;
            ((digits(year, 4)?, month_of(month)?, digits(day, 1)?), time)
        }
        _ => return None,
    };
    let (year, month, day) = date;
    if day == 0 || day > days_in(year, month) {
        return None;
    }
    let seconds = days_from_epoch(year, month, day) * DAY + time_of_day(time)?;
    Some(Moment::from_seconds(seconds))
}

/// Writes an instant as IMF-fixdate; years beyond 9999 are written as its last second.
#[must_use]
pub fn write_date(moment: Moment) -> HeaderValue {
    let seconds = moment.seconds().clamp(FIRST_SECOND, LAST_SECOND);
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    // The epoch was a Thursday.
    let weekday = name(&SHORT_WEEKDAYS, (days + 3).rem_euclid(7));
    let month = name(&MONTHS, month - 1);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let text = format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

/// Gives a response without Date the time of its receipt.
///
/// RFC 9110 §6.6.1: "A recipient with a clock that receives a response message without a Date
/// header field MUST record the time it was received and append a corresponding Date header field".
pub fn ensure_date(headers: &mut HeaderMap, received_at: Moment) {
    if !headers.contains_key(DATE) {
        headers.insert(DATE, write_date(received_at));
    }
}

/// The message's Date; the time of receipt where it is absent, repeated or no date.
pub(crate) fn date_of(headers: &HeaderMap, received_at: Moment) -> Moment {
    field::single(headers, &DATE).and_then(|date| read_date(date, received_at)).unwrap_or(received_at)
}

/// Between spaces of the longest form.
const MOST_PARTS: usize = 6;
const DAY: i64 = 86_400;
/// The first second of the year 0, and the last of 9999.
const FIRST_SECOND: i64 = -62_167_219_200;
const LAST_SECOND: i64 = 253_402_300_799;
const SHORT_WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn name<const N: usize>(names: &[&'static str; N], index: i64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

fn is_one_of(names: &[&str], name: &[u8]) -> Option<()> {
    names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)).then_some(())
}

fn is_gmt(zone: &[u8]) -> bool {
    zone.eq_ignore_ascii_case(b"GMT")
}

fn month_of(name: &[u8]) -> Option<i64> {
    let index = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    i64::try_from(index + 1).ok()
}

/// Exactly `count` digits.
fn digits(text: &[u8], count: usize) -> Option<i64> {
    let number = field::number(text).filter(|_| text.len() == count)?;
    i64::try_from(number).ok()
}

/// `hh:mm:ss`, where the second may be a leap second.
fn time_of_day(text: &[u8]) -> Option<i64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *text else { return None };
    let (hour, minute, second) = (digits(&[h1, h2], 2)?, digits(&[m1, m2], 2)?, digits(&[s1, s2], 2)?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// RFC 9110 §5.6.7: a two-digit year "that appears to be more than 50 years in the future" MUST be
/// taken "as representing the most recent year in the past that had the same last two digits".
fn full_year(two_digits: i64, now: Moment) -> i64 {
    let (this_year, _, _) = civil(now.seconds().clamp(FIRST_SECOND, LAST_SECOND).div_euclid(DAY));
    let year = this_year - this_year.rem_euclid(100) + two_digits;
    if year > this_year + 50 { year - 100 } else { year }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since the epoch, of the Gregorian calendar; its eras of 400 years begin in March.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day from days since the epoch.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const EXAMPLE: i64 = 784_111_777;

    fn read(text: &str) -> Option<i64> {
        read_date(text.as_bytes(), Moment::from_seconds(1_700_000_000)).map(Moment::seconds)
    }

    #[test]
    fn the_three_forms_are_dates_in_any_case_with_any_weekday() {
        let table = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
            ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
            ("Sun Nov  6 08:49:37 1994", EXAMPLE),
            ("sUn, 06 nOV 1994 08:49:37 gmt", EXAMPLE),
            ("Mon, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
            ("Sun Nov 16 08:49:37 1994", EXAMPLE + 10 * DAY),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 19 Jan 2038 03:14:08 GMT", 1 << 31),
            ("Sat, 20 Nov 2286 17:46:40 GMT", 10_000_000_000),
            ("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
            ("Sunday, 06-Nov-73 08:49:37 GMT", 3_277_183_777),
            ("Sunday, 06-Nov-74 08:49:37 GMT", 152_959_777),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_date() {
        let table = [
            "",
            "0",
            "-1",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Thu, 29 Feb 2023 00:00:00 GMT",
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 06 Nov 1994 08:49 GMT",
        ];
        for text in table {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_missing_date_is_the_time_of_receipt() {
        let mut headers = HeaderMap::new();
        ensure_date(&mut headers, Moment::from_seconds(EXAMPLE));
        assert_eq!(headers[DATE], "Sun, 06 Nov 1994 08:49:37 GMT");
        headers.insert(DATE, HeaderValue::from_static("yesterday"));
        ensure_date(&mut headers, Moment::from_seconds(EXAMPLE));
        assert_eq!(headers[DATE], "yesterday");
        assert_eq!(date_of(&headers, Moment::from_seconds(EXAMPLE)).seconds(), EXAMPLE);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in FIRST_SECOND..=LAST_SECOND) {
            let written = write_date(Moment::from_seconds(seconds));
            prop_assert_eq!(read_date(written.as_bytes(), Moment::default()), Some(Moment::from_seconds(seconds)));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = read_date(&bytes, Moment::default());
        }
    }
}
