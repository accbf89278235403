//! Whether a body is on disk too, and under which name.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU8, Ordering};

/// A body's name in the store and on disk, and whether it is there.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Random: no other body has it.
    pub(crate) id: u64,
    state: AtomicU8,
}

const IN_RAM: u8 = 0;
const ON_DISK: u8 = 1;
const DROPPED: u8 = 2;

impl Kept {
    /// A new body.
    pub(crate) fn new() -> Self {
        Self { id: RandomState::new().hash_one("body"), state: AtomicU8::new(IN_RAM) }
    }

    /// One that was found on disk.
    pub(crate) fn on_disk(id: u64) -> Self {
        Self { id, state: AtomicU8::new(ON_DISK) }
    }

    /// Whether it is on disk, or on its way there.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.state.load(Ordering::Acquire) == ON_DISK
    }

    /// Whether it may go to disk and has not begun to: true for one caller.
    pub(crate) fn begin(&self) -> bool {
        self.state.compare_exchange(IN_RAM, ON_DISK, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// It has not got there.
    pub(crate) fn give_up(&self) {
        let _ = self.state.compare_exchange(ON_DISK, IN_RAM, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Its object was removed or replaced: it must not be found on disk.
    pub(crate) fn drop_it(&self) {
        self.state.store(DROPPED, Ordering::Release);
    }

    /// Whether its object was removed or replaced.
    pub(crate) fn is_dropped(&self) -> bool {
        self.state.load(Ordering::Acquire) == DROPPED
    }
}
