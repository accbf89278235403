//! How many fetches may be under way at once.

use std::sync::Arc;

use config::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for fetches: a core's for all origins, or a server's.
#[derive(Clone, Debug)]
pub struct Places(Arc<Semaphore>);

/// A fetch's place, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _server: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Places {
    /// Places for one core's fetches from all origins.
    #[must_use]
    pub fn of_all() -> Self {
        Self::new(limits::ORIGIN_FETCHES_OF_ALL)
    }

    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// A place at a server, if both have one left.
    pub(crate) fn take(&self, all: &Self) -> Option<Place> {
        let take = |places: &Self| Arc::clone(&places.0).try_acquire_owned().ok();
        Some(Place { _server: take(self)?, _all: take(all)? })
    }
}
