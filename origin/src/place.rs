//! How many fetches may be under way at once.

use std::sync::Arc;
use std::time::Duration;

use config::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

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

    /// A place for a site, once both have one left, within a time.
    pub(crate) async fn take(&self, all: &Self, time: Duration) -> Option<Place> {
        let take = |places: &Self| Arc::clone(&places.0).acquire_owned();
        let both = async { Some(Place { _site: take(self).await.ok()?, _all: take(all).await.ok()? }) };
        timeout(time, both).await.ok().flatten()
    }
}
