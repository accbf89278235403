//! What is written as a date is read back, and what is read can be written (RFC 9110 §5.6.7).

#![no_main]

use caching::{Moment, read_date, write_date};
use input::Input;
use libfuzzer_sys::fuzz_target;

/// The first second of the year 0, and the last of 9999.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;
/// The first second of the year 100: a clock before it has no century to guess from.
const FIRST_CENTURY: i64 = -59_011_459_200;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let (moment, now) = (input.moment(), input.moment());
    let written = write_date(moment);
    let second = Moment::from_seconds(moment.seconds().clamp(FIRST, LAST));
    assert_eq!(read_date(written.as_bytes(), now), Some(second), "{written:?} is not {moment:?}");

    let text = input.line();
    let Some(read) = read_date(text, now) else {
        return;
    };
    let is_guessed = text.contains(&b'-');
    if is_guessed && now.seconds() < FIRST_CENTURY {
        return;
    }
    let shown = String::from_utf8_lossy(text);
    // The last leap second of 9999 is the only one that cannot be written.
    let lawful = Moment::from_seconds(FIRST)..=Moment::from_seconds(LAST + 1);
    assert!(lawful.contains(&read), "`{shown}` is {read:?}");
    let again = write_date(read);
    assert_eq!(read_date(again.as_bytes(), now), Some(read.min(Moment::from_seconds(LAST))), "`{shown}`");
    for cased in [text.to_ascii_uppercase(), text.to_ascii_lowercase()] {
        assert_eq!(read_date(&cased, now), Some(read), "case counts: `{shown}`");
    }
    if !is_guessed {
        assert_eq!(read_date(text, moment), Some(read), "the date depends on the day it is read: `{shown}`");
    } else if now.seconds() <= LAST {
        // "more than 50 years in the future" MUST be the past. A year is at most 366 days.
        let years = (read.seconds() - now.seconds()) / (366 * 86_400);
        assert!((-100..=51).contains(&years), "`{shown}` is {years} years from {now:?}");
    }
});
