//! How many fetches may be under way at once.

use std::sync::Arc;

use config::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for fetches: a core's for all sites, or for one.
#[derive(Clone, Debug)]
pub struct Places(Arc<Semaphore>);

/// A fetch's place, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _site: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Places {
    /// Places for one core's fetches for all sites.
    #[must_use]
    pub fn of_all() -> Self {
        Self::new(limits::ORIGIN_FETCHES_OF_ALL)
    }

    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// A place for a site, if both have one left.
    pub(crate) fn take(&self, all: &Self) -> Option<Place> {
        let take = |places: &Self| Arc::clone(&places.0).try_acquire_owned().ok();
        Some(Place { _site: take(self)?, _all: take(all)? })
    }
}
