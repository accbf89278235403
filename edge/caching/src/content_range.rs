//! Content-Range: which part a 206 holds (RFC 9110 §14.4).

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};

use crate::field;
use crate::range::Part;

/// Which part of a representation a 206 holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The part.
    pub part: Part,
    /// How many bytes the whole has, if the origin knows.
    pub complete: Option<u64>,
}

impl ContentRange {
    /// Reads a response's Content-Range; `None` if it is absent, repeated, malformed, not in bytes or
    /// contradicts itself or Content-Length.
    ///
    /// RFC 9110 §14.4: one whose last position is below its first, or whose complete length is not
    /// above its last, is invalid, and the recipient "MUST NOT attempt to recombine the received
    /// content with a stored representation".
    #[must_use]
    pub fn of(response: &HeaderMap) -> Option<Self> {
        let value = field::single(response, &CONTENT_RANGE)?;
        let (unit, rest) = value.split_at_checked(UNIT.len())?;
        if !unit.eq_ignore_ascii_case(UNIT) {
            return None;
        }
        let (range, complete) = pair(rest, b'/')?;
        let (first, last) = pair(range, b'-')?;
        let part = Part { first: field::number(first)?, last: field::number(last)? };
        let complete = if complete == b"*" { None } else { Some(field::number(complete)?) };
        let lawful = part.first <= part.last && complete.is_none_or(|complete| part.last < complete);
        let fits = match response.get(CONTENT_LENGTH) {
            None => true,
            Some(length) => field::number(length.as_bytes()) == Some(part.length()),
        };
        (lawful && fits).then_some(Self { part, complete })
    }
}

const UNIT: &[u8] = b"bytes ";

fn pair(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let mut parts = text.splitn(2, |byte| *byte == separator);
    Some((parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_content_range_that_does_not_add_up_is_none() {
        let part = |first, last, complete| Some(ContentRange { part: Part { first, last }, complete });
        let table = [
            ("bytes 0-4/10", "5", part(0, 4, Some(10))),
            ("Bytes 0-4/*", "", part(0, 4, None)),
            ("bytes 9-9/10", "1", part(9, 9, Some(10))),
            ("bytes 0-4/10", "10", None),
            ("bytes 0-4/10", "x", None),
            ("bytes 0-10/10", "", None),
            ("bytes 4-0/10", "", None),
            ("bytes */10", "", None),
            ("bytes 0-4", "", None),
            ("bytes=0-4/10", "", None),
            ("bytes 0-4/", "", None),
            ("bytes -4/10", "", None),
            ("lines 0-4/10", "", None),
            ("", "", None),
        ];
        for (range, length, expected) in table {
            let mut headers = HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(range))]);
            if !length.is_empty() {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            assert_eq!(ContentRange::of(&headers), expected, "{range} {length}");
        }
        assert_eq!(ContentRange::of(&HeaderMap::new()), None);
    }
}
