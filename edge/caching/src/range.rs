//! Range requests against a stored whole object (RFC 9110 §14).

use http::Method;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};

use crate::date::read_date;
use crate::field;
use crate::time::Moment;
use crate::validator::{equal_strongly, is_strong};

/// What a Range request gets of a stored 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// 206 with this part.
    Part(Part),
    /// 200 with everything: there is no Range, or none that counts.
    Whole,
    /// 416 (RFC 9110 §15.5.17).
    Unsatisfiable,
}

/// A part of a representation; `first` is at most `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first byte's place.
    pub first: u64,
    /// The last byte's place.
    pub last: u64,
}

impl Part {
    /// How many bytes it has.
    #[must_use]
    pub fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// Whether it has every byte of the other.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

/// Plans the answer to a request from a stored 200 of this many bytes.
///
/// Malformed ranges, unknown units and several ranges get the whole: RFC 9110 §14.2, "A server MAY
/// ignore the Range header field", and several small ones cost more than they save.
#[must_use]
pub fn plan(method: &Method, request: &HeaderMap, stored: &HeaderMap, length: u64) -> Plan {
    // RFC 9110 §14.2: "A server MUST ignore a Range header field received with a request method that
    // is unrecognized or for which range handling is not defined", all but GET.
    let wanted = if *method == Method::GET { field::single(request, &RANGE).and_then(read_range) } else { None };
    match wanted {
        Some(wanted) if is_same(request, stored) => wanted.within(length),
        _ => Plan::Whole,
    }
}

/// Turns the fields of a stored 200 into those of a 206 (RFC 9110 §15.3.7).
pub fn set_part(headers: &mut HeaderMap, part: Part, length: u64) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(part.length()));
    let text = format!("bytes {}-{}/{length}", part.first, part.last);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(CONTENT_RANGE, value);
    }
}

/// Turns the fields of a 206 into those of the 200 that it is a part of (RFC 9110 §15.3.7.3: "the union of
/// the parts").
pub fn set_whole(headers: &mut HeaderMap, length: u64) {
    headers.remove(CONTENT_RANGE);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// The Range to ask the next hop for, where nothing is stored: what the client asks for, widened to whole
/// slices and cut to so many bytes. `None`: the client's does not count, the whole is to be asked for.
///
/// RFC 9111 §3.3 leaves it to a cache how much it asks for; what is widened is there for the next.
#[must_use]
pub fn widen(method: &Method, request: &HeaderMap, slice: u64, most: u64) -> Option<HeaderValue> {
    let wanted = if *method == Method::GET { field::single(request, &RANGE).and_then(read_range) } else { None };
    let text = match wanted? {
        Wanted::Last(count) => format!("bytes=-{count}"),
        wanted => {
            let (first, last) = match wanted {
                Wanted::Between(first, last) => (first, last),
                Wanted::From(first) | Wanted::Last(first) => (first, u64::MAX),
            };
            let first = first - first % slice;
            let end = last.checked_div(slice)?.saturating_add(1).saturating_mul(slice).min(first.saturating_add(most));
            format!("bytes={first}-{}", end.saturating_sub(1))
        }
    };
    HeaderValue::try_from(text).ok()
}

/// Makes a request into one for a part of a stored response, and of no other version of it: RFC 9110
/// §13.1.5, If-Range means "if the representation is unchanged, send me the part(s) that I am requesting in
/// Range; otherwise, send me the entire representation". False where what is stored has no strong entity
/// tag: its parts cannot be told from another's.
#[must_use]
pub fn ask_for_part(request: &mut HeaderMap, stored: &HeaderMap, part: Part) -> bool {
    let Some(etag) = stored.get(ETAG).filter(|etag| is_strong(etag.as_bytes())) else {
        return false;
    };
    let Ok(range) = HeaderValue::try_from(format!("bytes={}-{}", part.first, part.last)) else {
        return false;
    };
    request.insert(RANGE, range);
    request.insert(IF_RANGE, etag.clone());
    true
}

/// The fields of a 416 (RFC 9110 §15.5.17).
#[must_use]
pub fn unsatisfiable(length: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{length}")) {
        headers.insert(CONTENT_RANGE, value);
    }
    headers
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// `a-b`
    Between(u64, u64),
    /// `a-`
    From(u64),
    /// `-n`
    Last(u64),
}

impl Wanted {
    /// RFC 9110 §14.1.2: what reaches beyond the end is cut there; a first byte beyond it, or the
    /// last no bytes, cannot be satisfied.
    fn within(self, length: u64) -> Plan {
        let Some(end) = length.checked_sub(1) else {
            // Of nothing, the last n bytes are all there is.
            return if matches!(self, Self::Last(1..)) { Plan::Whole } else { Plan::Unsatisfiable };
        };
        match self {
            Self::Between(first, last) if first <= end => Plan::Part(Part { first, last: last.min(end) }),
            Self::From(first) if first <= end => Plan::Part(Part { first, last: end }),
            Self::Last(count @ 1..) => Plan::Part(Part { first: length.saturating_sub(count), last: end }),
            _ => Plan::Unsatisfiable,
        }
    }
}

/// RFC 9110 §14.1.1: units are case-insensitive. `None` is anything that does not count.
fn read_range(value: &[u8]) -> Option<Wanted> {
    let (unit, list) = value.split_at_checked(UNIT.len())?;
    if !unit.eq_ignore_ascii_case(UNIT) {
        return None;
    }
    let mut ranges = list.split(|byte| *byte == b',').map(field::trim).filter(|range| !range.is_empty());
    let only = ranges.next()?;
    if ranges.next().is_some() {
        return None;
    }
    let mut ends = only.splitn(2, |byte| *byte == b'-');
    match (ends.next()?, ends.next()?) {
        (b"", count) => field::number(count).map(Wanted::Last),
        (first, b"") => field::number(first).map(Wanted::From),
        (first, last) => {
            let (first, last) = (field::number(first)?, field::number(last)?);
            (first <= last).then_some(Wanted::Between(first, last))
        }
    }
}

const UNIT: &[u8] = b"bytes=";

/// RFC 9110 §13.1.5: "A recipient of an If-Range header field MUST ignore the Range header field if the
/// If-Range condition evaluates as false": if its entity tag is not strongly equal, or its date not
/// exactly Last-Modified or no strong validator.
fn is_same(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(wanted) = field::single(request, &IF_RANGE) else {
        return false;
    };
    let is_tag = stored.get(ETAG).is_some_and(|etag| equal_strongly(wanted, etag.as_bytes()));
    is_tag || (field::single(stored, &LAST_MODIFIED) == Some(wanted) && is_time_strong(stored))
}

/// RFC 9110 §8.8.2.2: Last-Modified is a strong validator if the stored response's Date is at least one
/// second later: no second change can then hide in the same second.
fn is_time_strong(stored: &HeaderMap) -> bool {
    // Both dates come from one clock, so that the century of a two-digit year makes no difference.
    let date = |name| field::single(stored, name).and_then(|value| read_date(value, Moment::default()));
    date(&DATE).zip(date(&LAST_MODIFIED)).is_some_and(|(date, modified)| date > modified)
}

#[cfg(test)]
mod tests;
