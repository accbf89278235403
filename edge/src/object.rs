//! A stored response: head and body.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use caching::{Keep, Moment, Position, Selector, Tag, Terms, read_date};
use config::limits;
use http::header::DATE;
use http::{HeaderMap, HeaderValue, StatusCode};

/// What is known of a response before its body: all that decides how it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) terms: Terms,
    pub(crate) selector: Selector,
    /// Its Date, by which the newest of several is chosen (RFC 9111 §4).
    pub(crate) date: Moment,
    /// What it can be purged by, besides its key.
    pub(crate) tags: Arc<[Tag]>,
    /// Where the log of purges stood when its fetch began: what is purged after that reaches it.
    pub(crate) position: Position,
}

impl Head {
    /// A response's head, with the terms on which it was kept.
    pub(crate) fn new(status: StatusCode, keep: Keep, selector: Selector, position: Position) -> Self {
        let Keep { headers, terms, tags, .. } = keep;
        let headers = in_own_memory(&headers);
        let date = headers.get(DATE).and_then(|date| read_date(date.as_bytes(), terms.received_at));
        Self { status, headers, terms, selector, date: date.unwrap_or(terms.received_at), tags: tags.into(), position }
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

/// A stored response. Immutable: a 304 makes a new one that shares the body.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) head: Head,
    pub(crate) slices: Slices,
    /// Up to where in the log of purges it was found to hold.
    judged: AtomicU64,
}

/// Whether a response is kept in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storing {
    Yes,
    No,
}

/// A whole body in slices of one size, the last may be shorter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slices {
    list: Vec<Bytes>,
    length: u64,
}

/// What a head costs besides its fields: map, key, lists.
const HEAD_BYTES: usize = 1_024;
/// What a field costs besides its bytes: its places in the map.
const FIELD_BYTES: usize = 128;
/// What a nominated field costs.
const NOMINATED_BYTES: usize = 64;
/// What a tag costs.
const TAG_BYTES: usize = 16;

impl Object {
    pub(crate) fn new(head: Head, slices: Slices) -> Self {
        let judged = AtomicU64::new(head.position);
        Self { head, slices, judged }
    }

    /// Whether no purge up to this position reaches it, as was found before.
    pub(crate) fn holds_at(&self, position: Position) -> bool {
        self.judged.load(Ordering::Relaxed) == position
    }

    /// Notes that no purge up to this position reaches it.
    pub(crate) fn held_at(&self, position: Position) {
        self.judged.store(position, Ordering::Relaxed);
    }

    /// The same, stale since then; no purge up to this position makes it any staler.
    pub(crate) fn stale_since(&self, at: Moment, position: Position) -> Self {
        let mut head = self.head.clone();
        head.terms.expire(at);
        Self { judged: AtomicU64::new(position), head, slices: self.slices.clone() }
    }

    /// Bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        let fields = self.head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
        let nominated = self.head.selector.nominated.len() * NOMINATED_BYTES;
        let tags = self.head.tags.len() * TAG_BYTES;
        HEAD_BYTES
            + nominated
            + tags
            + fields.sum::<usize>()
            + usize::try_from(self.slices.length).unwrap_or(usize::MAX)
    }
}

impl Slices {
    /// Gathers the pieces of a body as they came. They are copied once: small pieces would keep the
    /// large buffers alive that they were read into.
    pub(crate) fn gather(pieces: &[Bytes]) -> Self {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let mut list = Vec::with_capacity(length.div_ceil(limits::SLICE_BYTES));
        let mut slice = BytesMut::with_capacity(length.min(limits::SLICE_BYTES));
        let mut left = length;
        for piece in pieces {
            let mut rest = piece.as_ref();
            while !rest.is_empty() {
                let room = limits::SLICE_BYTES - slice.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                slice.extend_from_slice(now);
                rest = later;
                left -= now.len();
                if slice.len() == limits::SLICE_BYTES {
                    let next = BytesMut::with_capacity(left.min(limits::SLICE_BYTES));
                    list.push(std::mem::replace(&mut slice, next).freeze());
                }
            }
        }
        if !slice.is_empty() {
            list.push(slice.freeze());
        }
        Self { list, length: u64::try_from(length).unwrap_or(u64::MAX) }
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The pieces of a part, without a copy.
    pub(crate) fn part(&self, first: u64, count: u64) -> Vec<Bytes> {
        let mut out = Vec::new();
        let (mut skip, mut left) = (first, count);
        for slice in &self.list {
            let length = u64::try_from(slice.len()).unwrap_or(u64::MAX);
            if skip >= length {
                skip -= length;
                continue;
            }
            let take = left.min(length - skip);
            let (from, to) = (usize::try_from(skip).unwrap_or(0), usize::try_from(skip + take).unwrap_or(0));
            out.push(slice.slice(from..to));
            left -= take;
            skip = 0;
            if left == 0 {
                break;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_part_is_the_same_bytes(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100_000), 0..12),
            first in 0_usize..600_000,
            count in 0_usize..600_000,
        ) {
            let whole: Vec<u8> = pieces.concat();
            let pieces: Vec<Bytes> = pieces.into_iter().map(Bytes::from).collect();
            let slices = Slices::gather(&pieces);
            prop_assert_eq!(slices.length(), whole.len() as u64);
            let first = first.min(whole.len());
            let count = count.min(whole.len() - first);
            let part: Vec<u8> = slices.part(first as u64, count as u64).concat();
            prop_assert!(part == whole[first..first + count]);
        }
    }
}
