//! A body whose slices are stored apart from its head: each may be there, in part or whole, or not.
//!
//! ```text
//! offset ── slice in the store? ── a fill under way that has it, or will soon? ── fetch it from here on
//! ```

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use config::limits;

use crate::arena::Buffer;
use crate::filling::{Filling, Place};
use crate::kept::Kept;

/// A body whose slices are stored apart.
#[derive(Debug)]
pub(crate) struct Sliced {
    /// By which its slices are found; another body of the same key has another.
    pub(crate) kept: Arc<Kept>,
    /// Its bytes, whether they are there or not.
    pub(crate) length: u64,
    /// Fetches under way of parts of it.
    fills: Mutex<Vec<Weak<Filling>>>,
    /// Slices that are on disk, or on their way there. A set, since a length is only what an origin claims: it takes
    /// what its members take, wherever in the body they are.
    on_disk: Mutex<BTreeSet<u32>>,
    /// Slices of which something came to RAM lately.
    come: Mutex<BTreeSet<u32>>,
    /// Whether the origin sent all of it where a part was asked for.
    ranges_ignored: AtomicBool,
}

/// What is stored of one slice: a run of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The place of the first in the slice.
    pub(crate) first: usize,
    pub(crate) bytes: Bytes,
}

/// Whether a body that claims this length may be stored in slices.
pub(crate) fn may_be_sliced(length: u64) -> bool {
    length <= limits::SLICED_MOST
}

/// Where a byte of a body that may be stored in slices is: the number of its slice, and its place there.
pub(crate) fn slice_of(offset: u64) -> (u32, usize) {
    let within = offset % SLICE;
    (u32::try_from(offset / SLICE).unwrap_or(u32::MAX), usize::try_from(within).unwrap_or(0))
}

/// The first byte of a slice.
pub(crate) fn start_of(number: u32) -> u64 {
    u64::from(number) * SLICE
}

/// Bytes of a slice.
pub(crate) const SLICE: u64 = limits::SLICE_BYTES as u64;
/// Slices that are remembered as come, of one body: a GiB, more than is kept on disk at once.
const MOST_COME: usize = 4_096;

impl Sliced {
    pub(crate) fn new(kept: Kept, length: u64) -> Self {
        Self {
            kept: Arc::new(kept),
            length,
            fills: Mutex::default(),
            on_disk: Mutex::default(),
            come: Mutex::default(),
            ranges_ignored: AtomicBool::new(false),
        }
    }

    /// Notes that the origin sends all of it where a part is asked for.
    pub(crate) fn note_ranges_ignored(&self) {
        self.ranges_ignored.store(true, Ordering::Relaxed);
    }

    /// Whether it is better asked for at once than in parts.
    pub(crate) fn are_ranges_ignored(&self) -> bool {
        self.ranges_ignored.load(Ordering::Relaxed)
    }

    pub(crate) fn id(&self) -> u64 {
        self.kept.id
    }

    /// Bytes of one slice: the last may be shorter.
    pub(crate) fn length_of(&self, number: u32) -> usize {
        usize::try_from(self.length.saturating_sub(start_of(number)).min(SLICE)).unwrap_or(0)
    }

    /// Whether a slice is on disk, as far as is known.
    pub(crate) fn is_on_disk(&self, number: u32) -> bool {
        lock(&self.on_disk).contains(&number)
    }

    /// Notes that a slice is on disk, or is not; whether that is news.
    pub(crate) fn note_on_disk(&self, number: u32, is_there: bool) -> bool {
        let mut on_disk = lock(&self.on_disk);
        if is_there { on_disk.insert(number) } else { on_disk.remove(&number) }
    }

    /// Notes that something of a slice is in RAM. Of too many the first are forgotten: who reads goes forward.
    pub(crate) fn note_come(&self, number: u32) {
        let mut come = lock(&self.come);
        come.insert(number);
        if come.len() > MOST_COME {
            come.pop_first();
        }
    }

    /// Notes that nothing of a slice is in RAM any more.
    pub(crate) fn note_gone(&self, number: u32) {
        lock(&self.come).remove(&number);
    }

    /// The slices of which something came to RAM lately, in order; it may have gone since.
    pub(crate) fn come(&self) -> Vec<u32> {
        lock(&self.come).iter().copied().collect()
    }

    /// A place at a byte in a fetch under way that has it or will have it soon.
    pub(crate) fn join(&self, offset: u64) -> Option<Place> {
        join(&mut lock(&self.fills), offset)
    }

    /// As [`Self::join`]; where there is none, a place in a new one, which is then returned too.
    pub(crate) fn join_or_begin(
        &self,
        offset: u64,
        begin: impl FnOnce() -> Filling,
    ) -> Option<(Place, Option<Arc<Filling>>)> {
        let mut fills = lock(&self.fills);
        if let Some(place) = join(&mut fills, offset) {
            return Some((place, None));
        }
        let filling = Arc::new(begin());
        fills.push(Arc::downgrade(&filling));
        let place = filling.join_at(offset)?;
        Some((place, Some(filling)))
    }

    /// Begins a fetch of a part that has a response already, with a place at its first byte.
    pub(crate) fn begin(&self, filling: Filling) -> (Arc<Filling>, Option<Place>) {
        let filling = Arc::new(filling);
        lock(&self.fills).push(Arc::downgrade(&filling));
        let place = filling.join_at(filling.first_byte());
        (filling, place)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn join(fills: &mut Vec<Weak<Filling>>, offset: u64) -> Option<Place> {
    fills.retain(|fill| fill.strong_count() > 0);
    fills.iter().filter_map(Weak::upgrade).find_map(|fill| fill.join_at(offset))
}

impl Span {
    /// The bytes from a place in the slice on, if they are there.
    pub(crate) fn from(&self, within: usize) -> Option<Bytes> {
        let at = within.checked_sub(self.first)?;
        (at < self.bytes.len()).then(|| self.bytes.slice(at..))
    }

    /// Both, where they touch or overlap (they are of one version, so that what both have is the same); else
    /// the longer one.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let (low, high) = if self.first <= other.first { (self, other) } else { (other, self) };
        let low_end = low.first + low.bytes.len();
        if high.first > low_end {
            return if self.bytes.len() > other.bytes.len() { self.clone() } else { other.clone() };
        }
        let rest = high.bytes.get(low_end - high.first..).unwrap_or_default();
        if rest.is_empty() {
            return low.clone();
        }
        let mut bytes = Buffer::with_capacity(low.bytes.len() + rest.len());
        bytes.extend_from_slice(&low.bytes);
        bytes.extend_from_slice(rest);
        Self { first: low.first, bytes: bytes.freeze() }
    }
}

/// Cuts a body into slices while it comes. The bytes are copied: pieces keep the large buffers alive that
/// they were read into.
#[derive(Debug)]
pub(crate) struct Slicer {
    /// The place in the body of the first byte in `bytes`.
    first: u64,
    bytes: Buffer,
    /// Bytes to come, as far as is known.
    left: u64,
}

impl Slicer {
    /// Begins at a byte; so many are to come.
    pub(crate) fn at(first: u64, left: u64) -> Self {
        let mut this = Self { first, bytes: Buffer::default(), left };
        this.bytes = this.buffer();
        this
    }

    fn buffer(&self) -> Buffer {
        Buffer::with_capacity(usize::try_from((SLICE - self.first % SLICE).min(self.left)).unwrap_or(0))
    }

    /// Takes a piece in; hands out the slices that end in it.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<(u32, Span)> {
        let mut done = Vec::new();
        let mut rest = piece;
        while !rest.is_empty() {
            let (_, within) = slice_of(self.first);
            let room = limits::SLICE_BYTES - within - self.bytes.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.bytes.extend_from_slice(now);
            self.left = self.left.saturating_sub(u64::try_from(now.len()).unwrap_or(0));
            rest = later;
            if now.len() == room {
                done.extend(self.take());
            }
        }
        done
    }

    /// What has come of the slice that has not ended.
    pub(crate) fn take(&mut self) -> Option<(u32, Span)> {
        if self.bytes.is_empty() {
            return None;
        }
        let (number, first) = slice_of(self.first);
        self.first += u64::try_from(self.bytes.len()).unwrap_or(0);
        let next = self.buffer();
        let bytes = std::mem::replace(&mut self.bytes, next).freeze();
        Some((number, Span { first, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_claims_more_than_a_tib_is_not_sliced_and_of_all_else_each_slice_has_a_number() {
        let table = [
            (0, true),
            (SLICE, true),
            (limits::SLICED_MOST - 1, true),
            (limits::SLICED_MOST, true),
            (limits::SLICED_MOST + 1, false),
            (1 << 50, false),
            (1 << 51, false),
            (1 << 60, false),
            (1 << 62, false),
            ((1 << 63) - 1, false),
            (u64::MAX, false),
        ];
        for (length, expected) in table {
            assert_eq!(may_be_sliced(length), expected, "{length}");
            if let Some(last) = length.checked_sub(1).filter(|_| expected) {
                let (number, within) = slice_of(last);
                assert_eq!(start_of(number) + u64::try_from(within).unwrap(), last, "{length}");
            }
        }
    }

    #[test]
    fn what_is_known_of_slices_takes_what_is_there_and_nothing_for_the_length() {
        let sliced = Sliced::new(Kept::new(), limits::SLICED_MOST);
        let last = slice_of(limits::SLICED_MOST - 1).0;
        assert!(sliced.note_on_disk(last, true) && !sliced.note_on_disk(last, true));
        assert!(sliced.is_on_disk(last) && !sliced.is_on_disk(0));
        assert_eq!(lock(&sliced.on_disk).len(), 1);
        assert!(sliced.note_on_disk(last, false) && !sliced.note_on_disk(last, false));
        assert!(lock(&sliced.on_disk).is_empty());
        for number in (0..=last).rev().step_by(100) {
            sliced.note_come(number);
        }
        assert_eq!(sliced.come().len(), MOST_COME);
        sliced.note_gone(last);
        assert_eq!((sliced.come().len(), sliced.come().contains(&last)), (MOST_COME - 1, false));
    }

    proptest! {
        #[test]
        fn spans_that_touch_become_one_and_no_byte_moves(
            first in (0_usize..50, 1_usize..50), second in (0_usize..50, 1_usize..50),
        ) {
            let whole: Vec<u8> = (0..200).collect();
            let span = |(first, length): (usize, usize)| Span {
                first,
                bytes: Bytes::copy_from_slice(&whole[first..first + length]),
            };
            let (one, two) = (span(first), span(second));
            let both = one.with(&two);
            prop_assert_eq!(&both.bytes[..], &whole[both.first..both.first + both.bytes.len()]);
            let touch = first.0 <= second.0 + second.1 && second.0 <= first.0 + first.1;
            let end = |(first, length): (usize, usize)| first + length;
            let expected = if touch {
                end(first).max(end(second)) - first.0.min(second.0)
            } else {
                first.1.max(second.1)
            };
            prop_assert_eq!(both.bytes.len(), expected);
        }

        #[test]
        fn slices_are_the_body_in_order(
            start in 0_u64..600_000,
            pieces in proptest::collection::vec(1_usize..300_000, 0..8),
        ) {
            let length: usize = pieces.iter().sum();
            let body: Vec<u8> = (0..length).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            let mut slicer = Slicer::at(start, u64::try_from(length).unwrap());
            let (mut at, mut found) = (0, Vec::new());
            for piece in pieces {
                found.extend(slicer.push(&body[at..at + piece]));
                at += piece;
            }
            found.extend(slicer.take());
            let mut offset = start;
            for (number, span) in &found {
                prop_assert_eq!(slice_of(offset), (*number, span.first));
                prop_assert!(span.first + span.bytes.len() <= limits::SLICE_BYTES);
                offset += u64::try_from(span.bytes.len()).unwrap();
            }
            let bytes: Vec<u8> = found.iter().flat_map(|(_, span)| span.bytes.to_vec()).collect();
            prop_assert!(bytes == body);
            // All but the first and the last are whole.
            prop_assert!(found.iter().skip(1).rev().skip(1).all(|(_, span)| span.bytes.len() == limits::SLICE_BYTES));
        }
    }
}
