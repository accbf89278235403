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
        if let Some(place) = self.take_at_once(all, server) {
            return Some(place);
        }
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

    /// The same where nobody has to wait, as nearly always. Who waits goes first: what is given back is theirs.
    fn take_at_once(&self, all: &Self, server: Option<&Arc<Semaphore>>) -> Option<Place> {
        let take = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_owned().ok();
        let server = match server {
            Some(server) => Some(take(server)?),
            None => None,
        };
        Some(Place { _site: take(&self.0)?, _all: take(&all.0)?, _server: server })
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    const TIME: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_waits_has_a_place_before_who_comes() {
        let (site, all) = (Places::new(1), Places::new(9));
        let first = site.take(&all, None, TIME).await.unwrap();
        let comes = async {
            yield_now().await;
            drop(first);
            site.take(&all, None, Duration::ZERO).await
        };
        let (waited, came) = tokio::join!(site.take(&all, None, TIME), comes);
        assert!(waited.is_some() && came.is_none());
        drop(waited);
        assert!(site.take(&all, None, Duration::ZERO).await.is_some());
    }

    #[tokio::test]
    async fn who_finds_not_all_of_a_place_keeps_none_of_it() {
        let (site, all, server) = (Places::new(1), Places::new(0), Arc::new(Semaphore::new(1)));
        assert!(site.take_at_once(&all, Some(&server)).is_none());
        assert_eq!((site.0.available_permits(), server.available_permits()), (1, 1));
    }
}
