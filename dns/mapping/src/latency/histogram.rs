//! Round trips counted in logarithmic buckets: merging is addition, and no outlier weighs more than one.

/// Buckets from 1 ms to about 2.5 s.
const BUCKETS: u8 = 64;
/// From one bucket to the next: a median is true to 6 %.
const FACTOR: f64 = 1.13;

/// How often which round trip was seen, in two epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By number; only those that are not empty.
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    number: u8,
    /// Seen in this epoch.
    now: u32,
    /// What is left of earlier ones.
    before: u32,
}

impl Histogram {
    /// Counts a round trip of so many milliseconds so many times; what lies outside the range counts at
    /// its end, and what is no number not at all.
    pub fn add(&mut self, milliseconds: f64, times: u16) {
        if milliseconds.is_nan() {
            return;
        }
        self.add_to(Self::bucket(milliseconds), times);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for bucket in &other.buckets {
            let mine = self.bucket_mut(bucket.number);
            mine.now = mine.now.saturating_add(bucket.now);
            mine.before = mine.before.saturating_add(bucket.before);
        }
    }

    /// Begins a new epoch: what was seen counts half.
    pub fn age(&mut self) {
        for bucket in &mut self.buckets {
            bucket.before = bucket.before.saturating_add(bucket.now) / 2;
            bucket.now = 0;
        }
        self.buckets.retain(|bucket| bucket.before > 0);
    }

    /// How many round trips count.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.buckets.iter().map(Bucket::count).fold(0, u32::saturating_add)
    }

    /// The median, milliseconds: within its bucket as if all lay evenly there.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let half = f64::from(self.count()) / 2.0;
        let mut below = 0.0;
        for bucket in &self.buckets {
            let count = f64::from(bucket.count());
            if count > 0.0 && below + count >= half {
                return Some(FACTOR.powf(f64::from(bucket.number) + (half - below) / count));
            }
            below += count;
        }
        None
    }

    /// The counts by bucket number, of both epochs: as they travel and are saved.
    pub fn counts(&self) -> impl Iterator<Item = (u8, u32)> + '_ {
        self.buckets.iter().map(|bucket| (bucket.number, bucket.count()))
    }

    /// Counts in a bucket; numbers beyond the last are the last.
    pub fn add_to(&mut self, number: u8, times: u16) {
        let bucket = self.bucket_mut(number.min(BUCKETS - 1));
        bucket.now = bucket.now.saturating_add(u32::from(times));
    }

    /// The bucket of a round trip.
    #[must_use]
    pub fn bucket(milliseconds: f64) -> u8 {
        let number = milliseconds.max(1.0).ln() / FACTOR.ln();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 63")]
        let number = number.min(f64::from(BUCKETS - 1)) as u8;
        number
    }

    fn bucket_mut(&mut self, number: u8) -> &mut Bucket {
        let at = self.buckets.partition_point(|bucket| bucket.number < number);
        if self.buckets.get(at).is_none_or(|bucket| bucket.number != number) {
            self.buckets.insert(at, Bucket { number, now: 0, before: 0 });
        }
        // It was put there just now if it was not there.
        #[expect(clippy::indexing_slicing, reason = "see above")]
        &mut self.buckets[at]
    }
}

impl Bucket {
    fn count(&self) -> u32 {
        self.now.saturating_add(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_median_is_true_to_six_per_cent(mut round_trips in proptest::collection::vec(1.0_f64..2_000.0, 1..200)) {
            let mut histogram = Histogram::default();
            round_trips.iter().for_each(|milliseconds| histogram.add(*milliseconds, 1));
            round_trips.sort_by(f64::total_cmp);
            let (low, high) = (round_trips[(round_trips.len() - 1) / 2], round_trips[round_trips.len() / 2]);
            let median = histogram.median().unwrap();
            prop_assert!(median >= low / FACTOR && median <= high * FACTOR, "{low} to {high}: {median}");
        }
    }

    #[test]
    fn no_number_breaks_a_histogram() {
        let mut histogram = Histogram::default();
        for wild in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e300] {
            histogram.add(wild, u16::MAX);
            histogram.add(wild, u16::MAX);
        }
        assert!(histogram.median().is_some_and(f64::is_finite));
    }

    #[test]
    fn what_ages_counts_half_and_is_forgotten() {
        let mut histogram = Histogram::default();
        histogram.add(20.0, 8);
        histogram.age();
        assert_eq!(histogram.count(), 4);
        histogram.add(100.0, 8);
        assert!(histogram.median().unwrap() > 50.0, "the new outweighs the old");
        (0..20).for_each(|_| histogram.age());
        assert_eq!(histogram, Histogram::default());
    }
}
