//! What is known of a response before its body.

use std::sync::Arc;

use bytes::BytesMut;
use caching::{Coding, Keep, Moment, Selector, Since, Tag, Terms, Validators, read_date, set_coding};
use http::header::{CONTENT_LENGTH, DATE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode, Version};

/// What is known of a response before its body: all that decides how it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// By which it came from the origin, for Via.
    pub(crate) version: Version,
    /// Shared by all that is made of it: a fill, what is stored of that, and what a purge leaves.
    pub(crate) headers: Arc<HeaderMap>,
    pub(crate) terms: Terms,
    pub(crate) selector: Selector,
    /// Its Date, by which the newest of several is chosen (RFC 9111 §4).
    pub(crate) date: Moment,
    /// What it can be purged by, besides its key.
    pub(crate) tags: Arc<[Tag]>,
    /// Set where what the origin sent was compressed here.
    pub(crate) coded: Option<Coded>,
    /// Where the log of purges stood when it was asked for: what is purged after that reaches it.
    pub(crate) since: Since,
}

/// What was compressed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coded {
    /// The entity tag that the origin knows it by, if it is a strong one.
    pub(crate) origin_tag: Option<HeaderValue>,
}

impl Head {
    /// A response's head, with the terms on which it was kept.
    pub(crate) fn new((status, version): (StatusCode, Version), keep: Keep, selector: Selector, since: Since) -> Self {
        let Keep { headers, terms, tags, .. } = keep;
        let headers = Arc::new(in_own_memory(&headers));
        let date = headers.get(DATE).and_then(|date| read_date(date.as_bytes(), terms.received_at));
        let date = date.unwrap_or(terms.received_at);
        Self { status, version, headers, terms, selector, date, tags: tags.into(), coded: None, since }
    }
}

impl Head {
    /// By what the origin can be asked whether it still holds.
    pub(crate) fn validators(&self) -> Validators {
        let own = Validators::of(&self.headers);
        let origins = self.coded.as_ref().and_then(|coded| coded.origin_tag.clone());
        Validators { etag: origins.or(own.etag), ..own }
    }

    /// Its fields and those of the origin's answer to a HEAD, as they compare: of what was compressed the origin knows
    /// another tag and length.
    pub(crate) fn to_compare(&self, said: &HeaderMap) -> (HeaderMap, HeaderMap) {
        let (mut known, mut said) = (HeaderMap::clone(&self.headers), said.clone());
        if let Some(Coded { origin_tag }) = &self.coded {
            [&mut known, &mut said].into_iter().for_each(|fields| drop(fields.remove(CONTENT_LENGTH)));
            origin_tag.iter().for_each(|tag| _ = known.insert(ETAG, tag.clone()));
        }
        (known, said)
    }

    /// That of the response as it is compressed.
    pub(crate) fn coded(mut self, coding: Coding, length: u64) -> Self {
        self.coded = Some(Coded { origin_tag: set_coding(Arc::make_mut(&mut self.headers), coding, length) });
        self
    }
}

/// The same fields in one buffer of their own: as they come, each value keeps the whole buffer alive that
/// it was read into, up to 400 KiB.
fn in_own_memory(fields: &HeaderMap) -> HeaderMap {
    let mut buffer = BytesMut::with_capacity(fields.values().map(HeaderValue::len).sum());
    let mut own = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        buffer.extend_from_slice(value.as_bytes());
        // What was a value is one.
        if let Ok(value) = HeaderValue::from_maybe_shared(buffer.split().freeze()) {
            own.append(name, value);
        }
    }
    own
}

/// Whether a response is kept in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storing {
    Yes,
    No,
}
