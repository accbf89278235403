//! Accept-Language as a set of weighted ranges (RFC 9110 §12.5.4).

use http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, HeaderMap};

use crate::field;
use crate::quality::{Weighted, weighted};

/// The same bytes for the same set of (range, weight), in any order and case. RFC 9110 §12.5.4: the
/// order of ranges of equal weight "cannot be relied upon" by a sender, and ranges are
/// case-insensitive. A malformed value stays as it is.
pub(crate) fn normalise(value: Vec<u8>) -> Vec<u8> {
    let Some(mut ranges) = weighted(&value) else {
        return value;
    };
    ranges.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
    ranges.dedup();
    let mut plain = Vec::with_capacity(value.len());
    for Weighted { name, weight } in ranges {
        if !plain.is_empty() {
            plain.push(b',');
        }
        plain.extend(name);
        match weight {
            1000 => {}
            _ => plain.extend(format!(";q=0.{weight:03}").bytes()),
        }
    }
    plain
}

/// The one range that the request prefers to every other, in lower case.
pub(crate) fn preferred(request: &HeaderMap) -> Option<Vec<u8>> {
    let mut ranges = Vec::new();
    for line in request.get_all(ACCEPT_LANGUAGE) {
        ranges.extend(weighted(line.as_bytes())?);
    }
    let best = ranges.iter().map(|range| range.weight).max().filter(|weight| *weight > 0)?;
    let mut likeliest = ranges.into_iter().filter(|range| range.weight == best);
    let first = likeliest.next()?;
    (likeliest.next().is_none() && first.name != b"*").then_some(first.name)
}

/// The one language a response is in, in lower case (RFC 9110 §8.5).
pub(crate) fn spoken(response: &HeaderMap) -> Option<Vec<u8>> {
    let mut languages = field::members(response, &CONTENT_LANGUAGE);
    let only = languages.next()?;
    languages.next().is_none().then(|| only.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn order_case_and_space_carry_no_meaning() {
        let table = [
            ("en, de", "de, en", true),
            ("en;q=0.5, de", "DE ,EN; q=0.50", true),
            ("en, de", "en, de;q=0.9", false),
            ("en", "en-GB", false),
            ("en, en", "en", true),
            ("en;q=0", "en;q=0.000", true),
            ("en;q=x, de", "de, en;q=x", false),
        ];
        for (one, other, same) in table {
            let (a, b) = (normalise(one.as_bytes().to_vec()), normalise(other.as_bytes().to_vec()));
            assert_eq!(a == b, same, "{one} | {other}");
        }
    }

    #[test]
    fn the_preferred_language_beats_every_other() {
        let table = [
            ("en", Some("en")),
            ("de;q=0.8, EN", Some("en")),
            ("en, de", None),
            ("*", None),
            ("en;q=0", None),
            ("en, *;q=0.1", Some("en")),
            ("x;q=y", None),
            ("", None),
        ];
        for (line, expected) in table {
            let request = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(line))]);
            assert_eq!(preferred(&request).as_deref(), expected.map(str::as_bytes), "{line}");
        }
    }
}
