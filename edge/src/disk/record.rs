//! A head as it is written to disk.

use std::time::Duration;

use caching::{CacheKey, Keep, Moment, Position, Selector, Since, Tag, Terms, Validation, Variant};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::head::{Coded, Head};

/// A head on disk. Times are by the time of day, so that they mean the same after a start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    key: String,
    status: u16,
    is_http_10: bool,
    fields: Vec<(String, Vec<u8>)>,
    lifetime_ms: u64,
    initial_age_ms: u64,
    received_at_ms: i64,
    is_always_validated: bool,
    grace_ms: u64,
    on_unreachable_ms: u64,
    on_error_ms: u64,
    nominated: Vec<String>,
    variant: (u128, u128),
    spoken: Option<Vec<u8>>,
    tags: Vec<u128>,
    /// Whether it was compressed here, and then the entity tag that its origin knows.
    coded: Option<Option<Vec<u8>>>,
    fetched: Position,
    /// Bytes of the body.
    pub(crate) length: u64,
    /// Written after the rest: a record of before it was known ends there.
    #[serde(skip)]
    validated: Position,
}

/// The two clocks at one moment: of this process, and the time of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) now: Moment,
    pub(crate) today: Moment,
}

/// A checksum goes before the record.
const CHECKSUM: usize = 8;

impl Record {
    pub(crate) fn of(key: &CacheKey, head: &Head, length: u64, clocks: Clocks) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let terms = &head.terms;
        let ago = clocks.now.millis().saturating_sub(terms.received_at.millis());
        let fields = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        Self {
            key: key.as_str().to_owned(),
            status: head.status.as_u16(),
            is_http_10: head.version == Version::HTTP_10,
            fields: fields.collect(),
            lifetime_ms: millis(terms.lifetime),
            initial_age_ms: millis(terms.initial_age),
            received_at_ms: clocks.today.millis().saturating_sub(ago),
            is_always_validated: terms.validation == Validation::Always,
            grace_ms: millis(terms.grace),
            on_unreachable_ms: millis(terms.on_unreachable),
            on_error_ms: millis(terms.on_error),
            nominated: head.selector.nominated.iter().map(|name| name.as_str().to_owned()).collect(),
            variant: (head.selector.variant.others, head.selector.variant.language),
            spoken: head.selector.spoken.clone(),
            tags: head.tags.iter().map(|tag| tag.hash()).collect(),
            coded: head.coded.as_ref().map(|coded| Some(coded.origin_tag.as_ref()?.as_bytes().to_vec())),
            fetched: head.since.fetched,
            length,
            validated: head.since.validated,
        }
    }

    /// As bytes, with a checksum.
    pub(crate) fn write(&self) -> Option<Vec<u8>> {
        let record = [postcard::to_stdvec(self).ok()?, postcard::to_stdvec(&self.validated).ok()?].concat();
        Some([&xxh3_64(&record).to_le_bytes(), record.as_slice()].concat())
    }

    /// Reads what was written; `None` if it is anything else.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (checksum, record) = bytes.split_at_checked(CHECKSUM)?;
        if xxh3_64(record).to_le_bytes() != checksum {
            return None;
        }
        let (record, rest) = postcard::take_from_bytes::<Self>(record).ok()?;
        let validated = if rest.is_empty() { record.fetched } else { postcard::from_bytes(rest).ok()? };
        Some(Self { validated, ..record })
    }

    /// The head, if it is one of this key.
    pub(crate) fn head(self, key: &CacheKey, clocks: Clocks) -> Option<Head> {
        if self.key != key.as_str() {
            return None;
        }
        let millis = Duration::from_millis;
        let ago = clocks.today.millis().saturating_sub(self.received_at_ms).max(0);
        let terms = Terms {
            lifetime: millis(self.lifetime_ms),
            initial_age: millis(self.initial_age_ms),
            received_at: Moment::from_millis(clocks.now.millis().saturating_sub(ago)),
            validation: if self.is_always_validated { Validation::Always } else { Validation::WhenStale },
            grace: millis(self.grace_ms),
            on_unreachable: millis(self.on_unreachable_ms),
            on_error: millis(self.on_error_ms),
        };
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for (name, value) in self.fields {
            headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        let nominated: Option<Vec<HeaderName>> =
            self.nominated.into_iter().map(|name| HeaderName::try_from(name).ok()).collect();
        let nominated = nominated?;
        let (others, language) = self.variant;
        let variant = Variant { others, language };
        let selector = Selector { nominated: nominated.clone(), variant, spoken: self.spoken };
        let tags = self.tags.into_iter().map(Tag::from_hash).collect();
        let keep = Keep { headers, terms, nominated, tags, for_asker: HeaderMap::new() };
        let version = if self.is_http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
        let coded = match self.coded {
            Some(tag) => Some(Coded { origin_tag: tag.map(HeaderValue::try_from).transpose().ok()? }),
            None => None,
        };
        let status = StatusCode::from_u16(self.status).ok()?;
        let since = Since { fetched: self.fetched, validated: self.validated };
        Some(Head { coded, ..Head::new((status, version), keep, selector, since) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caching::Scheme;
    use http::header::{ETAG, VARY};

    fn clocks(now: i64, today: i64) -> Clocks {
        Clocks { now: Moment::from_seconds(now), today: Moment::from_seconds(today) }
    }

    #[test]
    fn a_head_comes_back_as_it_was_and_as_old_as_it_is() {
        let key = CacheKey::new("shop", Scheme::Http, "h", "/a");
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"a\""));
        headers.append(VARY, HeaderValue::from_static("x-lang"));
        headers.append("x-bytes", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        let terms = Terms {
            lifetime: Duration::from_secs(60),
            initial_age: Duration::from_secs(5),
            received_at: Moment::from_seconds(90),
            validation: Validation::Always,
            grace: Duration::from_secs(1),
            on_unreachable: Duration::from_secs(2),
            on_error: Duration::from_secs(3),
        };
        let nominated = vec![HeaderName::from_static("x-lang")];
        let selector = Selector::new(nominated.clone(), &HeaderMap::new(), &headers, 7);
        let keep = Keep { headers, terms, nominated, tags: vec![Tag::of(b"news")], for_asker: HeaderMap::new() };
        let since = Since { fetched: 9, validated: 12 };
        let head = Head::new((StatusCode::OK, Version::HTTP_10), keep, selector, since);
        // It came 10 s ago; the node starts anew 100 s later, with a clock of its own.
        let bytes = Record::of(&key, &head, 1_000, clocks(100, 5_000)).write().unwrap();
        let record = Record::read(&bytes).unwrap();
        assert_eq!(record.length, 1_000);
        let found = record.clone().head(&key, clocks(20, 5_100)).unwrap();
        assert_eq!(found.terms, Terms { received_at: Moment::from_seconds(20 - 110), ..terms });
        assert_eq!((found.status, &found.headers, &found.selector), (head.status, &head.headers, &head.selector));
        assert_eq!((found.tags, found.since, found.version), (head.tags.clone(), since, Version::HTTP_10));
        let other = CacheKey::new("shop", Scheme::Http, "h", "/b");
        assert!(record.head(&other, clocks(20, 5_100)).is_none());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(Record::read(&flipped).is_none(), "byte {at}");
        }
        assert!(Record::read(&[]).is_none());
        // One that does not tell when it was validated was when it was fetched.
        let shorter = &bytes[CHECKSUM..bytes.len() - 1];
        let shorter = [&xxh3_64(shorter).to_le_bytes(), shorter].concat();
        let found = Record::read(&shorter).unwrap().head(&key, clocks(20, 5_100)).unwrap();
        assert_eq!(found.since, Since::fetch(9));
    }
}
