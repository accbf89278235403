//! Chance, so that edges that start together do nothing together.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// A share of one, by chance.
pub(crate) fn share() -> f64 {
    f64::from(u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
