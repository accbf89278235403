//! Round trips counted in logarithmic buckets: merging is addition, and no outlier weighs more than one.

/// Buckets from 1 ms to about 2.5 s.
const BUCKETS: u8 = 64;
/// From one bucket to the next: a median is true to 6 %.
const FACTOR: f64 = 1.13;

/// Parts of a sample: what was seen once counts for four epochs more.
const PARTS: u32 = 16;

/// How often which round trip was seen; less with every epoch since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By number; only those that are not empty.
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    number: u8,
    /// How often, in sixteenths.
    parts: u32,
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
        self.merge_above(other, 0);
    }

    /// The same; what lies below a bucket counts in it.
    pub fn merge_above(&mut self, other: &Self, least: u8) {
        for bucket in &other.buckets {
            let mine = self.bucket_mut(bucket.number.max(least));
            mine.parts = mine.parts.saturating_add(bucket.parts);
        }
    }

    /// Begins a new epoch: what was seen counts half.
    pub fn age(&mut self) {
        self.buckets.iter_mut().for_each(|bucket| bucket.parts /= 2);
        self.buckets.retain(|bucket| bucket.parts > 0);
    }

    /// How many round trips count; a part of one is one.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.parts().div_ceil(PARTS)
    }

    fn parts(&self) -> u32 {
        self.buckets.iter().map(|bucket| bucket.parts).fold(0, u32::saturating_add)
    }

    /// The median, milliseconds: within its bucket as if all lay evenly there.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let half = f64::from(self.parts()) / 2.0;
        let mut below = 0.0;
        for bucket in &self.buckets {
            let count = f64::from(bucket.parts);
            if count > 0.0 && below + count >= half {
                return Some(FACTOR.powf(f64::from(bucket.number) + (half - below) / count));
            }
            below += count;
        }
        None
    }

    /// The counts by bucket number: as they travel.
    pub fn counts(&self) -> impl Iterator<Item = (u8, u32)> + '_ {
        self.buckets.iter().map(|bucket| (bucket.number, bucket.parts.div_ceil(PARTS)))
    }

    /// The counts by bucket number with what is left of aged ones: as they are saved.
    pub fn exact_counts(&self) -> impl Iterator<Item = (u8, f64)> + '_ {
        self.buckets.iter().map(|bucket| (bucket.number, f64::from(bucket.parts) / f64::from(PARTS)))
    }

    /// Counts in a bucket what was saved; what is no count is none.
    pub fn add_exactly(&mut self, number: u8, times: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates, NaN is 0")]
        let parts = (times.clamp(0.0, f64::from(u16::MAX)) * f64::from(PARTS)) as u32;
        if parts > 0 {
            let bucket = self.bucket_mut(number.min(BUCKETS - 1));
            bucket.parts = bucket.parts.saturating_add(parts);
        }
    }

    /// Counts in a bucket; numbers beyond the last are the last.
    pub fn add_to(&mut self, number: u8, times: u16) {
        let bucket = self.bucket_mut(number.min(BUCKETS - 1));
        bucket.parts = bucket.parts.saturating_add(PARTS * u32::from(times));
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
            self.buckets.insert(at, Bucket { number, parts: 0 });
        }
        // It was put there just now if it was not there.
        #[expect(clippy::indexing_slicing, reason = "see above")]
        &mut self.buckets[at]
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
        (0..24).for_each(|_| histogram.age());
        assert_eq!(histogram, Histogram::default());
    }

    #[test]
    fn what_is_spread_over_buckets_halves_as_what_is_not() {
        let mut histogram = Histogram::default();
        for milliseconds in [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1_280.0] {
            histogram.add(milliseconds, 1);
        }
        let median = histogram.median();
        for expected in [4, 2, 1] {
            histogram.age();
            assert_eq!((histogram.count(), histogram.median()), (expected, median));
        }
        let mut saved = Histogram::default();
        histogram.exact_counts().for_each(|(bucket, times)| saved.add_exactly(bucket, times));
        assert_eq!(saved, histogram);
        for wild in [f64::NAN, -1.0, 0.0] {
            saved.add_exactly(9, wild);
        }
        assert_eq!(saved, histogram);
    }
}
