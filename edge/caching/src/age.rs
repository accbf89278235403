//! How old a response is (RFC 9111 §4.2.3, §5.1).

use std::time::Duration;

use http::header::{AGE, HeaderMap, HeaderValue};

use crate::control::MOST_SECONDS;
use crate::date::date_of;
use crate::field;
use crate::terms::Terms;
use crate::time::Moment;

/// How old a stored response is now: `current_age` (RFC 9111 §4.2.3).
#[must_use]
pub fn age(terms: &Terms, now: Moment) -> Duration {
    terms.initial_age.saturating_add(now.since(terms.received_at))
}

/// Writes the one Age line of a response from the store.
///
/// RFC 9111 §4: "When a stored response is used to satisfy a request without validation, a cache
/// MUST generate an Age header field, replacing any present in the response with a value equal to
/// the stored response's current_age".
pub fn set_age(headers: &mut HeaderMap, terms: &Terms, now: Moment) {
    headers.insert(AGE, HeaderValue::from(age_seconds(terms, now)));
}

/// What Age says.
#[must_use]
pub fn age_seconds(terms: &Terms, now: Moment) -> u64 {
    age(terms, now).as_secs().min(MOST_SECONDS)
}

/// How old a response is when it has come in: `corrected_initial_age` (RFC 9111 §4.2.3).
pub(crate) fn initial_age(headers: &HeaderMap, asked_at: Moment, received_at: Moment) -> Duration {
    // A Date knows no milliseconds, so both are cut to seconds.
    let received = Moment::from_seconds(received_at.seconds());
    let apparent_age = received.since(date_of(headers, received_at));
    let response_delay = received_at.since(asked_at);
    let corrected_age_value = age_value(headers) + response_delay;
    apparent_age.max(corrected_age_value)
}

/// RFC 9111 §5.1: a cache "SHOULD use the first member of the field value, discarding subsequent
/// ones"; if that is invalid, "a cache SHOULD ignore the field".
fn age_value(headers: &HeaderMap) -> Duration {
    let line = headers.get(AGE).map(HeaderValue::as_bytes).unwrap_or_default();
    let first = line.split(|byte| *byte == b',').next().unwrap_or_default();
    let seconds = field::number(field::trim(first)).unwrap_or(0);
    Duration::from_secs(seconds.min(MOST_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::date::write_date;
    use http::header::DATE;

    const NOW: i64 = 1_700_000_000;

    #[test]
    fn the_first_member_of_the_first_age_line_counts() {
        let table: [(&[&str], u64); 10] = [
            (&["7200"], 7200),
            (&["007200"], 7200),
            (&["7200, 1"], 7200),
            (&["0", "7200"], 0),
            (&["abc", "7200"], 0),
            (&["-7200"], 0),
            (&["7200.0"], 0),
            (&["7200;a=b"], 0),
            (&["\"7200\""], 0),
            (&["99999999999999999999"], MOST_SECONDS),
        ];
        for (lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AGE, HeaderValue::from_static(line));
            }
            assert_eq!(age_value(&headers).as_secs(), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_larger_of_date_and_age_counts() {
        // Date so many seconds before receipt, Age, seconds the fetch took; initial age.
        let table = [
            (0, "0", 0, 0),
            (100, "0", 0, 100),
            (100, "300", 0, 300),
            (300, "100", 5, 300),
            (-100, "0", 0, 0),
            (-100, "50", 5, 55),
            (0, "50", 2, 52),
        ];
        for (behind, value, delay, expected) in table {
            let headers = HeaderMap::from_iter([
                (DATE, write_date(Moment::from_seconds(NOW - behind))),
                (AGE, HeaderValue::from_static(value)),
            ]);
            let received_at = Moment::from_seconds(NOW).after(Duration::from_millis(999));
            let asked_at = Moment::from_millis(received_at.millis() - delay * 1000);
            let age = initial_age(&headers, asked_at, received_at);
            assert_eq!(age, Duration::from_secs(expected), "Date -{behind} s, Age {value}, {delay} s");
        }
    }
}
