//! Heads of answers that are given again, as each version of HTTP has them, with gaps for what time changes.

use caching::{CACHE_STATUS, Moment, age_seconds, ttl};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use listen::Body;

use crate::object::Object;

/// A head of HTTP/1.1: its bytes, as hyper would write them.
#[derive(Debug)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where figures go, and which.
    gaps: Vec<(usize, Figure)>,
}

/// A head of HTTP/2: its fields.
#[derive(Debug)]
pub(super) struct Fields {
    map: HeaderMap,
    /// Which of the fields, in their order, ends with a figure, and what stands before it.
    gaps: Vec<(usize, Box<str>, Figure)>,
}

/// What time changes in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    /// Seconds since the response was made, and so many more.
    Age(u64),
    /// Seconds it stays fresh.
    Ttl,
}

/// A field: its name, its value without the figure that this ends with, and the figure.
type Field<'r> = (&'r HeaderName, &'r [u8], Option<Figure>);

const LINE_END: &[u8] = b"\r\n";

impl Figure {
    fn now(self, object: &Object, now: Moment) -> i64 {
        match self {
            Self::Age(more) => {
                i64::try_from(age_seconds(&object.head.terms, now).saturating_add(more)).unwrap_or(i64::MAX)
            }
            Self::Ttl => ttl(&object.head.terms, now),
        }
    }
}

/// The fields of a response, in order. Nothing if what time changes cannot be told from the rest.
fn split<'r>(
    response: &'r Response<Body>,
    object: &Object,
    browser_ttl: Option<u64>,
    now: Moment,
) -> Option<Vec<Field<'r>>> {
    let headers = response.headers();
    // Without a Date whoever writes it writes the time of day.
    if response.status() != StatusCode::OK || !headers.contains_key(header::DATE) {
        return None;
    }
    let ours = headers.get_all(CACHE_STATUS).iter().next_back()?;
    let age = age_seconds(&object.head.terms, now);
    let one = |(name, value): (&'r HeaderName, &'r HeaderValue)| {
        let figure = match (name, browser_ttl) {
            (&header::AGE, _) => Figure::Age(0),
            (&header::CACHE_CONTROL, Some(more)) if *value == format!("max-age={}", age + more) => Figure::Age(more),
            (name, _) if *name == CACHE_STATUS && std::ptr::eq(value, ours) => Figure::Ttl,
            _ => return Some((name, value.as_bytes(), None)),
        };
        // It stands at the end, or this is none of ours.
        let written = figure.now(object, now).to_string();
        Some((name, value.as_bytes().strip_suffix(written.as_bytes())?, Some(figure)))
    };
    headers.iter().map(one).collect()
}

impl Lines {
    /// The head of a response.
    pub(super) fn of(
        response: &Response<Body>,
        object: &Object,
        browser_ttl: Option<u64>,
        now: Moment,
    ) -> Option<Self> {
        let mut head = Self { bytes: b"HTTP/1.1 200 OK\r\n".to_vec(), gaps: Vec::new() };
        for (name, value, figure) in split(response, object, browser_ttl, now)? {
            for part in [name.as_str().as_bytes(), b": ", value] {
                head.bytes.extend_from_slice(part);
            }
            head.gaps.extend(figure.map(|figure| (head.bytes.len(), figure)));
            head.bytes.extend_from_slice(LINE_END);
        }
        head.bytes.extend_from_slice(LINE_END);
        Some(head)
    }

    /// Writes it as of now.
    pub(super) fn write(&self, object: &Object, now: Moment, out: &mut Vec<u8>) {
        let mut written = 0;
        let mut text = itoa::Buffer::new();
        for (at, figure) in &self.gaps {
            out.extend_from_slice(self.bytes.get(written..*at).unwrap_or_default());
            written = *at;
            out.extend_from_slice(text.format(figure.now(object, now)).as_bytes());
        }
        out.extend_from_slice(self.bytes.get(written..).unwrap_or_default());
    }

    /// About what it takes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl Fields {
    /// The head of a response.
    pub(super) fn of(
        response: &Response<Body>,
        object: &Object,
        browser_ttl: Option<u64>,
        now: Moment,
    ) -> Option<Self> {
        let mut gaps = Vec::new();
        for (place, (_, value, figure)) in split(response, object, browser_ttl, now)?.into_iter().enumerate() {
            if let Some(figure) = figure {
                gaps.push((place, std::str::from_utf8(value).ok()?.into(), figure));
            }
        }
        Some(Self { map: response.headers().clone(), gaps })
    }

    /// The fields as of now.
    pub(super) fn now(&self, object: &Object, now: Moment) -> Option<HeaderMap> {
        let mut map = self.map.clone();
        let mut fields = map.iter_mut().enumerate();
        for (place, before, figure) in &self.gaps {
            let (_, (_, value)) = fields.find(|(number, _)| number == place)?;
            let figure = figure.now(object, now);
            *value = if before.is_empty() {
                HeaderValue::from(figure)
            } else {
                HeaderValue::try_from(format!("{before}{figure}")).ok()?
            };
        }
        Some(map)
    }

    /// About what it takes.
    pub(super) fn size(&self) -> usize {
        /// A field's place in the map, besides its text.
        const PLACE: usize = 120;
        self.map.iter().map(|(name, value)| name.as_str().len() + value.len() + PLACE).sum()
    }
}
