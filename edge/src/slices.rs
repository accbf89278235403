//! A whole body in memory.

use std::sync::Arc;

use bytes::Bytes;
use config::limits;

use crate::arena::Buffer;
use crate::kept::Kept;

/// A whole body in slices of one size, the last may be shorter.
#[derive(Debug)]
pub(crate) struct Slices {
    list: Vec<Bytes>,
    length: u64,
    pub(crate) kept: Arc<Kept>,
}

impl Slices {
    /// Gathers the pieces of a body as they came. They are copied once: small pieces would keep the
    /// large buffers alive that they were read into.
    pub(crate) fn gather(pieces: &[Bytes]) -> Self {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let mut list = Vec::with_capacity(length.div_ceil(limits::SLICE_BYTES));
        let mut slice = Buffer::with_capacity(length.min(limits::SLICE_BYTES));
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
                    let next = Buffer::with_capacity(left.min(limits::SLICE_BYTES));
                    list.push(std::mem::replace(&mut slice, next).freeze());
                }
            }
        }
        if !slice.is_empty() {
            list.push(slice.freeze());
        }
        Self::new(list, Kept::new())
    }

    /// A body of these slices.
    pub(crate) fn new(list: Vec<Bytes>, kept: Kept) -> Self {
        let length = list.iter().map(|slice| u64::try_from(slice.len()).unwrap_or(u64::MAX)).sum();
        Self { list, length, kept: Arc::new(kept) }
    }

    /// Its slices in order.
    pub(crate) fn list(&self) -> &[Bytes] {
        &self.list
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What its slice has from a byte on, without a copy; none at the end.
    pub(crate) fn rest_at(&self, first: u64) -> Option<Bytes> {
        let first = usize::try_from(first).ok()?;
        let slice = self.list.get(first / limits::SLICE_BYTES)?;
        let rest = slice.slice((first % limits::SLICE_BYTES).min(slice.len())..);
        (!rest.is_empty()).then_some(rest)
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
            let mut rest = Vec::new();
            while let Some(piece) = slices.rest_at((first + rest.len()) as u64) {
                rest.extend_from_slice(&piece);
            }
            prop_assert!(rest == whole[first..]);
        }
    }
}
