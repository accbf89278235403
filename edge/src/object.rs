//! A stored response: head and body.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use caching::{Moment, Position};

use crate::head::Head;
use crate::kept::Kept;
use crate::sliced::Sliced;
use crate::slices::Slices;

/// A stored response. Immutable: a 304 makes a new one that shares the body.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) head: Head,
    pub(crate) body: Body,
    /// Up to where in the log of purges it was found to hold.
    judged: AtomicU64,
    /// When the disk was last told that it is asked for, milliseconds.
    touched: AtomicI64,
}

/// The body of a stored response.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// All of it, with the head.
    Whole(Arc<Slices>),
    /// Its slices are stored apart from the head, and any of them may be missing.
    Sliced(Arc<Sliced>),
}

/// Hits do not tell the disk's index each time: it only has to know what was not asked for in a long while.
const TOUCHED_EVERY_MS: i64 = 60_000;

/// What a head costs besides its fields: map, key, lists.
const HEAD_BYTES: usize = 1_024;
/// What a field costs besides its bytes: its places in the map.
const FIELD_BYTES: usize = 128;
/// What a nominated field costs.
const NOMINATED_BYTES: usize = 64;
/// What a tag costs.
const TAG_BYTES: usize = 16;

impl Object {
    pub(crate) fn new(head: Head, body: Body) -> Self {
        let judged = AtomicU64::new(head.since.fetched);
        let touched = AtomicI64::new(head.terms.received_at.millis());
        Self { head, body, judged, touched }
    }

    /// Whether no purge up to this position reaches it, as was found before.
    pub(crate) fn holds_at(&self, position: Position) -> bool {
        self.judged.load(Ordering::Relaxed) == position
    }

    /// Notes that no purge up to this position reaches it.
    pub(crate) fn held_at(&self, position: Position) {
        self.judged.store(position, Ordering::Relaxed);
    }

    /// Whether the disk is to be told, a minute after the last time, that it is asked for.
    pub(crate) fn is_touched_after_a_while(&self, now: Moment) -> bool {
        let before = self.touched.load(Ordering::Relaxed);
        let is_due = now.millis().saturating_sub(before) >= TOUCHED_EVERY_MS;
        if is_due {
            self.touched.store(now.millis(), Ordering::Relaxed);
        }
        is_due
    }

    /// The same, stale since then; no purge up to this position makes it any staler.
    pub(crate) fn stale_since(&self, at: Moment, position: Position) -> Self {
        let mut head = self.head.clone();
        head.terms.expire(at);
        let touched = AtomicI64::new(self.touched.load(Ordering::Relaxed));
        Self { judged: AtomicU64::new(position), touched, head, body: self.body.clone() }
    }

    /// Whether this is its body.
    pub(crate) fn has_body(&self, id: u64) -> bool {
        self.body.kept().id == id
    }

    /// Bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        let fields = self.head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
        let nominated = self.head.selector.nominated.len() * NOMINATED_BYTES;
        let tags = self.head.tags.len() * TAG_BYTES;
        let body = match &self.body {
            Body::Whole(slices) => usize::try_from(slices.length()).unwrap_or(usize::MAX),
            Body::Sliced(_) => 0,
        };
        HEAD_BYTES + nominated + tags + fields.sum::<usize>() + body
    }
}

impl Body {
    /// Its name, and whether it is on disk.
    pub(crate) fn kept(&self) -> &Arc<Kept> {
        match self {
            Self::Whole(slices) => &slices.kept,
            Self::Sliced(sliced) => &sliced.kept,
        }
    }

    /// Its bytes, whether they are there or not.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Whole(slices) => slices.length(),
            Self::Sliced(sliced) => sliced.length,
        }
    }
}
