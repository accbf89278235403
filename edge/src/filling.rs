//! A response on its way in, read by any number of clients while it comes.
//!
//! ```text
//! origin -> pieces (from `kept_from` on) -> every reader at its own place
//!                 └-> whole and within the window: an object for the store, in which they go on
//! ```
//!
//! What fits the window is kept whole: readers may join at any time, and none holds the fill back.
//! A larger body slides: pieces that every reader has passed are dropped, the fill waits for its
//! slowest reader a while, and nobody new can join.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use config::limits;
use origin::FetchError;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::head::{Head, Storing};
use crate::room::Room;
use crate::slices::Slices;

/// A response on its way in.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) head: Head,
    /// Content-Length, if the origin sent one.
    pub(crate) length: Option<u64>,
    /// Whether it is stored once it has come whole.
    pub(crate) storing: Storing,
    state: Mutex<State>,
    /// Raised with every piece and at the end.
    pieces: watch::Sender<usize>,
    /// Told when a reader has moved or gone.
    moved: Notify,
    room: Arc<Room>,
    kind: Kind,
}

/// What becomes of the pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// They are gathered for the store, or slide past its readers.
    Whole,
    /// They are cut into slices on their way, and slide: this many bytes are kept for readers. Where the
    /// first of them is in the body.
    Sliced { first: u64, window_bytes: usize },
}

/// A place to read from: a reader, and how many bytes to leave out first.
#[derive(Debug)]
pub(crate) struct Place {
    reader: Reader,
    skip: u64,
    /// The byte of the body that it begins at.
    pub(crate) at: u64,
}

impl Place {
    /// The next bytes, when they are there; `None` at the end of the fetch.
    pub(crate) async fn read(&mut self) -> Option<Result<Bytes, FetchError>> {
        loop {
            let piece = match self.reader.read().await? {
                Ok(piece) => piece,
                Err(error) => return Some(Err(error)),
            };
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if self.skip < length {
                let skip = usize::try_from(std::mem::take(&mut self.skip)).unwrap_or(0);
                return Some(Ok(piece.slice(skip..)));
            }
            self.skip -= length;
        }
    }

    /// Whether what it would read next has been dropped: it was too slow.
    pub(crate) fn is_left_behind(&self) -> bool {
        self.reader.next < self.reader.filling.state().kept_from
    }
}

#[derive(Debug, Default)]
struct State {
    pieces: std::collections::VecDeque<Bytes>,
    /// The number of the first piece kept.
    kept_from: usize,
    /// Bytes before the first piece kept, and of all that came.
    passed_bytes: u64,
    come_bytes: u64,
    kept_bytes: usize,
    end: Option<Result<(), FetchError>>,
    /// What is stored of it, in place of the pieces.
    stored: Option<Arc<Slices>>,
    /// Places of the readers, by their number.
    readers: std::collections::BTreeMap<u64, usize>,
    next_reader: u64,
    /// When its pace was last looked at, and what has come since.
    paced: Option<(Instant, u64)>,
}

/// A reader's place.
#[derive(Debug)]
pub(crate) struct Reader {
    filling: Arc<Filling>,
    number: u64,
    next: usize,
    /// Bytes read.
    read: u64,
    pieces: watch::Receiver<usize>,
}

/// What a reader finds at its place.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Bytes),
    NotYet,
    End,
    Failed(FetchError),
}

/// Whether anybody still wants what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Go on.
    Yes,
    /// It slides and the last reader has gone.
    No,
}

/// What a fill that is cut into slices keeps for its readers: who falls behind reads slices from the store.
const SLICED_WINDOW: usize = 4 << 20;
/// How long it waits for its slowest reader.
const SLICED_PATIENCE: Duration = Duration::from_secs(1);
/// Who is so far ahead of a fill waits for it; who is further fetches.
const SOON: u64 = 1 << 20;

/// A fill that nobody reads, and whose origin sends less, is ended: it would hold its room for as long
/// as the origin likes.
const LEAST_PACE: (Duration, u64) = (Duration::from_secs(30), 30 << 10);

impl Filling {
    pub(crate) fn new(head: Head, length: Option<u64>, storing: Storing, room: Arc<Room>) -> Self {
        Self::of_kind(Kind::Whole, head, length, storing, room)
    }

    /// A part of a body, from its byte `first` on and for so many, that is cut into slices on its way.
    pub(crate) fn sliced(head: Head, first: u64, length: u64, room: Arc<Room>) -> Self {
        let window_bytes = room.window_bytes().min(SLICED_WINDOW);
        Self::of_kind(Kind::Sliced { first, window_bytes }, head, Some(length), Storing::Yes, room)
    }

    fn of_kind(kind: Kind, head: Head, length: Option<u64>, storing: Storing, room: Arc<Room>) -> Self {
        let (state, pieces) = (Mutex::default(), watch::Sender::new(0));
        Self { head, length, storing, state, pieces, moved: Notify::new(), room, kind }
    }

    /// Whether it is known to be too large to be kept whole.
    pub(crate) fn is_long(&self) -> bool {
        let window = u64::try_from(self.room.window_bytes()).unwrap_or(u64::MAX);
        self.length.is_some_and(|length| length > window)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader from the first byte; `None` when that has been dropped, or the fetch has failed.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state();
        if state.kept_from > 0 || matches!(state.end, Some(Err(_))) {
            return None;
        }
        let number = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(number, 0);
        drop(state);
        let pieces = self.pieces.subscribe();
        Some(Reader { filling: Arc::clone(self), number, next: 0, read: 0, pieces })
    }

    /// Where its first byte is in the body.
    pub(crate) fn first_byte(&self) -> u64 {
        match self.kind {
            Kind::Whole => 0,
            Kind::Sliced { first, .. } => first,
        }
    }

    /// What of a piece, which begins at a byte of the body, it is for: an origin that ignores ranges sends more.
    pub(crate) fn wanted_of(&self, mut piece: Bytes, at: u64) -> Bytes {
        let first = self.first_byte();
        let end = first.saturating_add(self.length.unwrap_or(u64::MAX));
        let within = |place: u64| usize::try_from(place.saturating_sub(at)).unwrap_or(usize::MAX).min(piece.len());
        let (from, to) = (within(first), within(end));
        piece.truncate(to);
        piece.split_off(from.min(to))
    }

    /// Whether all that it is for lies before a byte of the body.
    pub(crate) fn is_all_before(&self, at: u64) -> bool {
        self.length.is_some_and(|length| self.first_byte().saturating_add(length) <= at)
    }

    /// A place at a byte of the body; `None` where that has been dropped, will not come, or not soon.
    pub(crate) fn join_at(self: &Arc<Self>, at: u64) -> Option<Place> {
        let Kind::Sliced { first, .. } = self.kind else {
            return None;
        };
        let offset = at.checked_sub(first).filter(|offset| self.length.is_none_or(|length| *offset < length))?;
        let mut state = self.state();
        let has_ended = state.end.is_some() && offset >= state.come_bytes;
        if has_ended || offset < state.passed_bytes || offset > state.come_bytes.saturating_add(SOON) {
            return None;
        }
        let (mut next, mut skip) = (state.kept_from, offset - state.passed_bytes);
        for piece in &state.pieces {
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if skip < length {
                break;
            }
            (next, skip) = (next + 1, skip - length);
        }
        let number = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(number, next);
        drop(state);
        let pieces = self.pieces.subscribe();
        Some(Place { reader: Reader { filling: Arc::clone(self), number, next, read: 0, pieces }, skip, at })
    }

    /// Adds a piece; waits while a sliding window is full.
    pub(crate) async fn add(&self, piece: Bytes) -> Wanted {
        let mut waited = Duration::ZERO;
        loop {
            let moved = self.moved.notified();
            if self.has_room(cost(&piece), waited) {
                break;
            }
            let step = Duration::from_secs(1);
            let start = Instant::now();
            let _ = tokio::time::timeout(step, moved).await;
            waited += start.elapsed();
        }
        let mut state = self.state();
        // What is cut into slices on its way is kept without readers too, unless it is long.
        let slides = (state.kept_from > 0 && self.kind == Kind::Whole) || self.is_long();
        let lags = state.lags(piece.len());
        let wanted = if (slides || lags) && state.readers.is_empty() { Wanted::No } else { Wanted::Yes };
        state.kept_bytes += cost(&piece);
        state.come_bytes += u64::try_from(piece.len()).unwrap_or(0);
        self.room.take(cost(&piece));
        state.pieces.push_back(piece);
        drop(state);
        self.pieces.send_modify(|count| *count += 1);
        wanted
    }

    /// Makes room by dropping what every reader has passed; after too long a wait, more.
    fn has_room(&self, bytes: usize, waited: Duration) -> bool {
        let mut state = self.state();
        let (limit, patience) = match self.kind {
            Kind::Whole => (self.room.limit(), limits::FILL_SLOWEST_READER),
            Kind::Sliced { window_bytes, .. } => (self.room.limit().min(window_bytes), SLICED_PATIENCE),
        };
        while state.kept_bytes + bytes > limit {
            let slowest = state.readers.values().min().copied().unwrap_or(usize::MAX);
            if state.kept_from >= slowest && waited < patience {
                return false;
            }
            let Some(dropped) = state.pieces.pop_front() else {
                break;
            };
            state.kept_bytes -= cost(&dropped);
            state.passed_bytes += u64::try_from(dropped.len()).unwrap_or(0);
            self.room.give_back(cost(&dropped));
            state.kept_from += 1;
            // Whoever has not passed it is cut, and holds nobody up any more.
            let kept_from = state.kept_from;
            state.readers.retain(|_, next| *next >= kept_from);
        }
        true
    }

    /// Ends it. Returns the whole body's pieces, if they were all kept and it ended well.
    pub(crate) fn end(&self, end: Result<(), FetchError>) -> Option<Vec<Bytes>> {
        let mut state = self.state();
        let whole = end.is_ok() && state.kept_from == 0;
        state.end = Some(end);
        let pieces = whole.then(|| state.pieces.iter().cloned().collect());
        drop(state);
        self.pieces.send_modify(|count| *count += 1);
        pieces
    }

    /// Lets its readers go on in what is stored of a body that has come whole, so that it is not held twice. It is counted
    /// until they are done: the store may drop it before.
    pub(crate) fn go_on_in(&self, stored: Arc<Slices>) {
        let mut state = self.state();
        state.stored = Some(stored);
        let pieces = std::mem::take(&mut state.pieces);
        drop(state);
        drop(pieces);
    }
}

impl State {
    /// Whether hardly anything has come in a while, with the piece that has come now.
    fn lags(&mut self, bytes: usize) -> bool {
        let (time, least) = LEAST_PACE;
        let now = Instant::now();
        let (since, before) = self.paced.unwrap_or((now, 0));
        let come = before + u64::try_from(bytes).unwrap_or_default();
        let is_due = now - since >= time;
        self.paced = Some(if is_due { (now, 0) } else { (since, come) });
        is_due && come < least
    }
}

/// What a piece takes in memory: tiny ones cost more than their bytes.
fn cost(piece: &Bytes) -> usize {
    piece.len() + PIECE_BYTES
}

/// A piece's place in the list, and its share of the buffer's own head.
const PIECE_BYTES: usize = 64;

impl Drop for Filling {
    fn drop(&mut self) {
        let kept = self.state().kept_bytes;
        self.room.give_back(kept);
    }
}

impl Reader {
    /// The next piece, when it is there; `None` at the end.
    pub(crate) async fn read(&mut self) -> Option<Result<Bytes, FetchError>> {
        loop {
            // Marked as seen before looking: what comes in between is noticed.
            self.pieces.borrow_and_update();
            match self.look() {
                Piece::Bytes(piece) => return Some(Ok(piece)),
                Piece::End => return None,
                Piece::Failed(error) => return Some(Err(error)),
                Piece::NotYet => {
                    if self.pieces.changed().await.is_err() {
                        return Some(Err(FetchError::HttpResponseIncomplete));
                    }
                }
            }
        }
    }

    fn look(&mut self) -> Piece {
        let mut state = self.filling.state();
        if let Some(stored) = &state.stored {
            let Some(rest) = stored.rest_at(self.read) else { return Piece::End };
            self.read += u64::try_from(rest.len()).unwrap_or(u64::MAX);
            return Piece::Bytes(rest);
        }
        let Some(index) = self.next.checked_sub(state.kept_from) else {
            // Too slow: its next piece is gone.
            return Piece::Failed(FetchError::HttpResponseIncomplete);
        };
        if let Some(piece) = state.pieces.get(index).cloned() {
            self.next += 1;
            self.read += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if let Some(place) = state.readers.get_mut(&self.number) {
                *place = self.next;
            }
            drop(state);
            self.filling.moved.notify_one();
            return Piece::Bytes(piece);
        }
        match state.end {
            None => Piece::NotYet,
            Some(Ok(())) => Piece::End,
            Some(Err(error)) => Piece::Failed(error),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.filling.state().readers.remove(&self.number);
        self.filling.moved.notify_one();
    }
}

#[cfg(test)]
mod tests;
