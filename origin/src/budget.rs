//! How many fetches may be tried again in vain: where every server fails, trying again doubles what they have to do.

use std::sync::atomic::{AtomicU32, Ordering};

use config::limits;

/// Tries that are left, in hundredths. One core has it for itself.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU32);

const ONE: u32 = 100;

impl Budget {
    /// A full one.
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(Self::most()))
    }

    fn most() -> u32 {
        limits::ORIGIN_RETRIES * ONE
    }

    /// A fetch begins: it earns a share of a further try.
    pub(crate) fn earn(&self) {
        let earned = self.0.load(Ordering::Relaxed) + limits::ORIGIN_RETRIES_PERCENT;
        self.0.store(earned.min(Self::most()), Ordering::Relaxed);
    }

    /// A further try went well: it is for those in vain.
    pub(crate) fn give_back(&self) {
        let left = self.0.load(Ordering::Relaxed) + ONE;
        self.0.store(left.min(Self::most()), Ordering::Relaxed);
    }

    /// Takes one, if one is left.
    pub(crate) fn take(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed).checked_sub(ONE);
        left.inspect(|left| self.0.store(*left, Ordering::Relaxed)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_may_be_tried_again_and_a_fifth_in_the_long_run() {
        let budget = Budget::new();
        let (crowd, share) = (limits::ORIGIN_RETRIES, limits::ORIGIN_RETRIES_PERCENT);
        let fetches = crowd * 100;
        let again: u32 = (0..fetches)
            .map(|_| {
                budget.earn();
                u32::from(budget.take())
            })
            .sum();
        let in_the_long_run = fetches * share / 100;
        assert!((in_the_long_run..=in_the_long_run + crowd).contains(&again), "{again}");
        assert!(again > in_the_long_run + crowd - 2, "{again}: the crowd, too");
    }
}
