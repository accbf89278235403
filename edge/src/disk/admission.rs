//! Which objects are worth the disk: those asked for again within a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use caching::Moment;
use fastbloom::BloomFilter;

/// Remembers which keys were asked for lately, in two Bloom filters: the older is thrown away when the newer is
/// full or old.
#[derive(Debug)]
pub(crate) struct Admission {
    filters: Mutex<Filters>,
    /// Keys in a filter before the next begins.
    most: usize,
}

#[derive(Debug)]
struct Filters {
    newer: BloomFilter,
    older: BloomFilter,
    count: usize,
    since: Moment,
}

/// How long a filter is filled: a key is remembered once to twice as long.
const FILLED_FOR: Duration = Duration::from_hours(12);
/// One key in a hundred is taken for another: it goes to disk with its first request.
const FALSE_POSITIVES: f64 = 0.01;

impl Admission {
    /// Remembers so many keys at least.
    pub(crate) fn new(most: usize, now: Moment) -> Self {
        let filters = Filters { newer: filter(most), older: filter(most), count: 0, since: now };
        Self { filters: Mutex::new(filters), most }
    }

    /// Whether a key was asked for before; it is remembered.
    pub(crate) fn was_asked(&self, key: u128, now: Moment) -> bool {
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.since(filters.since);
        if filters.count >= self.most || age >= FILLED_FOR {
            let before = std::mem::replace(&mut filters.newer, filter(self.most));
            filters.older = if age >= FILLED_FOR * 2 { filter(self.most) } else { before };
            (filters.count, filters.since) = (0, now);
        }
        if filters.newer.contains(&key) {
            return true;
        }
        filters.newer.insert(&key);
        filters.count += 1;
        filters.older.contains(&key)
    }
}

fn filter(most: usize) -> BloomFilter {
    BloomFilter::with_false_pos(FALSE_POSITIVES).expected_items(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_second_request_and_forgotten_after_a_while() {
        let now = Moment::from_seconds(0);
        let admission = Admission::new(1_000, now);
        assert!(!admission.was_asked(7, now));
        assert!(admission.was_asked(7, now));
        let later = |hours: u64| now.after(Duration::from_secs(hours * 3_600));
        assert!(!admission.was_asked(8, later(13)), "the next filter begins");
        assert!(admission.was_asked(7, later(14)), "still known");
        assert!(admission.was_asked(8, later(26)));
        assert!(!admission.was_asked(8, later(60)), "too long ago");
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_memory_and_few_of_them_the_disk() {
        let now = Moment::from_seconds(0);
        let admission = Admission::new(1_000, now);
        let admitted = (0..100_000_u128).filter(|key| admission.was_asked(*key, now)).count();
        assert!(admitted < 3_000, "{admitted} of 100,000");
    }
}
