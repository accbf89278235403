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
    _server: Option<OwnedSemaphorePermit>,
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

    /// A place for a site, once it, all of them and the server, where that has so many, have one left, within a time.
    pub(crate) async fn take(&self, all: &Self, server: Option<&Arc<Semaphore>>, time: Duration) -> Option<Place> {
        let take = |room: &Arc<Semaphore>| Arc::clone(room).acquire_owned();
        let taken = async {
            // Who waits for one server keeps no other's place.
            let server = match server {
                Some(server) => Some(take(server).await.ok()?),
                None => None,
            };
            Some(Place { _site: take(&self.0).await.ok()?, _all: take(&all.0).await.ok()?, _server: server })
        };
        timeout(time, taken).await.ok().flatten()
    }
}
