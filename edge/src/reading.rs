//! Reading a body whose slices are stored apart: from the store, from a fetch under way, or by fetching what
//! is missing.

use std::sync::Arc;

use bytes::Bytes;
use caching::Part;
use futures_util::stream::{self, Stream};
use http_body::Frame;
use listen::BoxError;
use origin::FetchError;

use crate::filling::Place;
use crate::object::Object;
use crate::part::Source;
use crate::sliced::{SLICE, Sliced, slice_of, start_of};

/// A reader of a part of a body.
pub(crate) struct Reading {
    source: Source,
    object: Arc<Object>,
    sliced: Arc<Sliced>,
    next: u64,
    end: u64,
    /// Where it reads while a fetch brings what it wants.
    following: Option<Place>,
    /// Whether all came from the store so far.
    has_fetched: bool,
}

/// Slices fetched at once, at most: who reads on asks for the next.
const SLICES_AT_ONCE: u64 = 16;
/// What is asked for at once where nothing is stored.
pub(crate) const MOST_AT_ONCE: u64 = SLICES_AT_ONCE * SLICE;

impl Reading {
    /// Reads a part, from a place if there is one.
    pub(crate) fn new(
        source: Source,
        object: Arc<Object>,
        sliced: Arc<Sliced>,
        part: Part,
        place: Option<Place>,
    ) -> Self {
        let (next, end) = (part.first, part.last.saturating_add(1));
        // A place is one at the first byte of a fetch: what the client wants may begin later.
        let following = place.filter(|place| place.at == next);
        Self { source, object, sliced, next, end, following, has_fetched: false }
    }

    /// Whether something had to be fetched.
    pub(crate) fn has_fetched(&self) -> bool {
        self.has_fetched
    }

    /// Whether the next byte is stored or on its way.
    pub(crate) fn is_there(&self) -> bool {
        let stored = self.source.shared.store.bytes_at(self.sliced.id(), self.next);
        let number = slice_of(self.next).0;
        self.following.is_some()
            || stored.is_some()
            || self.sliced.is_on_disk(number)
            || self.sliced.join(self.next).is_some()
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn read(&mut self) -> Option<Result<Bytes, FetchError>> {
        while self.next < self.end {
            if let Some(place) = &mut self.following {
                match place.read().await {
                    Some(Ok(bytes)) => return Some(Ok(self.take(bytes))),
                    Some(Err(error)) if !place.is_left_behind() => return Some(Err(error)),
                    // What it fell behind has been stored; where a fetch ends, another goes on.
                    Some(Err(_)) | None => self.following = None,
                }
                continue;
            }
            let store = &self.source.shared.store;
            if let Some(bytes) = store.bytes_at(self.sliced.id(), self.next) {
                // What the disk had no time for when it came.
                store.keep_slice(&self.source.ask.key, &self.sliced, slice_of(self.next), &bytes);
                return Some(Ok(self.take(bytes)));
            }
            self.following = self.sliced.join(self.next);
            if self.following.is_some() {
                continue;
            }
            let (number, within) = slice_of(self.next);
            if let Some(bytes) = self.source.shared.store.read_slice(&self.sliced, number).await {
                return Some(Ok(self.take(bytes.slice(within..))));
            }
            self.has_fetched = true;
            self.following = self.source.fetch(&self.object, &self.sliced, self.missing(), self.next);
            if self.following.is_none() {
                return Some(Err(FetchError::ProxyInternalError));
            }
        }
        None
    }

    /// Counts bytes as read, without those beyond the end.
    fn take(&mut self, mut bytes: Bytes) -> Bytes {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        bytes.truncate(left);
        self.next += u64::try_from(bytes.len()).unwrap_or(0);
        bytes
    }

    /// The run of missing bytes around the next: whole slices, but for the one in which it begins if that is
    /// there up to the next byte.
    fn missing(&self) -> Part {
        let store = &self.source.shared.store;
        let (number, within) = slice_of(self.next);
        let begun = store.span(self.sliced.id(), number).is_some_and(|span| span.first + span.bytes.len() == within);
        let first = if begun { self.next } else { start_of(number) };
        if self.sliced.are_ranges_ignored() {
            return Part { first, last: self.end.saturating_sub(1) };
        }
        let most = start_of(number).saturating_add(MOST_AT_ONCE);
        let mut end = start_of(number) + SLICE;
        let is_missing = |number| !self.sliced.is_on_disk(number) && store.span(self.sliced.id(), number).is_none();
        while end < self.end.min(most) && is_missing(slice_of(end).0) {
            end += SLICE;
        }
        Part { first, last: end.min(self.sliced.length).saturating_sub(1) }
    }

    /// The rest as a body, after what was read first.
    pub(crate) fn into_frames(self, first: Bytes) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
        stream::unfold((Some(first), Some(self)), |(first, reading)| async move {
            let mut reading = reading?;
            match first {
                Some(first) => Some((Ok(Frame::data(first)), (None, Some(reading)))),
                None => match reading.read().await? {
                    Ok(bytes) => Some((Ok(Frame::data(bytes)), (None, Some(reading)))),
                    Err(error) => Some((Err(Box::new(error) as BoxError), (None, None))),
                },
            }
        })
    }
}
