//! Memory for bodies on their way, and for compressing them: a pot for all sites, of which one site takes half at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory for bodies on their way. What is used here is used above, too.
#[derive(Debug)]
pub(crate) struct Room {
    /// The most that one filling keeps.
    window_bytes: usize,
    /// What all may keep; beyond it each keeps only the least.
    total_bytes: usize,
    used_bytes: AtomicUsize,
    above: Option<Arc<Room>>,
}

/// What a filling may always keep: enough to go on streaming. Those that wait for their origin are bounded by the fetches at
/// once ([`config::limits::ORIGIN_FETCHES`]), so that they take 128 MiB at most for a site and core.
pub(crate) const LEAST_WINDOW: usize = 128 << 10;
/// Beyond so many times what all may keep, bodies that would be kept whole are kept by nobody.
const SPENT: usize = 2;

impl Room {
    pub(crate) fn new(window_bytes: usize, total_bytes: usize) -> Self {
        Self { window_bytes, total_bytes, used_bytes: AtomicUsize::new(0), above: None }
    }

    /// One site's part: half, so that a site whose origin drips leaves the others something, and one
    /// filling at least.
    pub(crate) fn half_of(above: &Arc<Self>) -> Self {
        let total_bytes = (above.total_bytes / 2).max(above.window_bytes);
        Self { above: Some(Arc::clone(above)), ..Self::new(above.window_bytes, total_bytes) }
    }

    pub(crate) fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    pub(crate) fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// What one filling may keep now.
    pub(crate) fn limit(&self) -> usize {
        if self.is_full() { LEAST_WINDOW } else { self.window_bytes }
    }

    fn is_full(&self) -> bool {
        let is_above = self.above.as_ref().is_some_and(|above| above.is_full());
        is_above || self.used_bytes.load(Ordering::Relaxed) > self.total_bytes
    }

    /// Whether so much is used, as by clients that do not read what they ask for, that a body that comes now is to be passed on
    /// as its client takes it, and kept by nobody.
    pub(crate) fn is_spent(&self) -> bool {
        let is_above = self.above.as_ref().is_some_and(|above| above.is_spent());
        is_above || self.used_bytes.load(Ordering::Relaxed) > self.total_bytes.saturating_mul(SPENT)
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.above.iter().for_each(|above| above.take(bytes));
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.above.iter().for_each(|above| above.give_back(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_has_filled_its_half_leaves_the_other_to_others() {
        let all = Arc::new(Room::new(4 << 20, 20 << 20));
        let [one, other, third] = [(); 3].map(|()| Room::half_of(&all));
        one.take((10 << 20) + 1);
        assert_eq!((one.limit(), other.limit()), (LEAST_WINDOW, 4 << 20));
        other.take(10 << 20);
        assert_eq!(third.limit(), LEAST_WINDOW, "all is taken");
        one.take((10 << 20) + 1);
        assert_eq!([&one, &other, &third].map(Room::is_spent), [true, false, false]);
        third.take(10 << 20);
        assert!(other.is_spent(), "all of all is");
        third.give_back(10 << 20);
        one.give_back((20 << 20) + 2);
        assert_eq!((one.limit(), other.limit(), third.limit()), (4 << 20, 4 << 20, 4 << 20));
        assert_eq!(Room::half_of(&Arc::new(Room::new(8, 10))).total_bytes, 8, "one filling at least");
    }
}
