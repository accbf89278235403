//! Memory for slices, nearly all of which are of one size: what one has left the next takes.
//!
//! The first touch of a page costs up to 13 µs on a virtual machine, and an allocator that gets hundreds of
//! them back from other threads keeps more than it hands out.

use std::io::Read;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use config::limits;

/// Bytes of a slice while it is filled.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

/// What was left, for all cores: touched when a slice begins or is dropped, never by a hit.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// Buffers kept for the next: what the store drops and what comes in keep pace.
const MOST_SPARE: usize = 16;

impl Buffer {
    /// An empty buffer for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let spare = || SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let left = if bytes == limits::SLICE_BYTES { spare() } else { None };
        Self(left.unwrap_or_else(|| Vec::with_capacity(bytes)))
    }

    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Reads all that there is.
    pub(crate) fn read_from(&mut self, from: &mut impl Read) -> std::io::Result<usize> {
        from.read_to_end(&mut self.0)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As bytes that give the memory back when the last who has them is done. A buffer that is mostly empty gives it back
    /// at once: what is stored is counted by its length.
    pub(crate) fn freeze(self) -> Bytes {
        if self.0.len() < self.0.capacity() / 2 { Bytes::copy_from_slice(&self.0) } else { Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.0.capacity() != limits::SLICE_BYTES {
            return;
        }
        let mut left = std::mem::take(&mut self.0);
        left.clear();
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MOST_SPARE {
            spare.push(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_empty_and_only_when_the_last_reader_is_done() {
        let mut buffer = Buffer::with_capacity(limits::SLICE_BYTES);
        buffer.extend_from_slice(b"first");
        buffer.extend_from_slice(&[b'x'; limits::SLICE_BYTES / 2]);
        let place = buffer.as_ref().as_ptr();
        let bytes = buffer.freeze();
        let part = bytes.slice(1..3);
        drop(bytes);
        let other = Buffer::with_capacity(limits::SLICE_BYTES);
        assert_ne!(other.as_ref().as_ptr(), place);
        assert_eq!(part, &b"ir"[..]);
        drop(part);
        let again = Buffer::with_capacity(limits::SLICE_BYTES);
        assert!(again.is_empty());
        assert_eq!(again.as_ref().as_ptr(), place, "what was left last is warm");
        assert_eq!(Buffer::with_capacity(7).0.capacity(), 7);
        drop(again);
        let mut little = Buffer::with_capacity(limits::SLICE_BYTES);
        little.extend_from_slice(b"first");
        let kept = little.freeze();
        let again = Buffer::with_capacity(limits::SLICE_BYTES);
        assert_eq!(
            (again.as_ref().as_ptr(), &kept[..]),
            (place, &b"first"[..]),
            "a mostly empty one comes back at once"
        );
    }
}
