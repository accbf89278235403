//! One fetch for all who ask for the same at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caching::{CacheKey, Variant};
use http::{HeaderMap, HeaderName, StatusCode};
use origin::FetchError;
use tokio::sync::watch;

use crate::filling::Filling;
use crate::head::Head;
use crate::object::Object;
use crate::store::Generation;

/// What a flight is for: a key, and the variant where the store knows what the key varies by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    pub(crate) key: CacheKey,
    pub(crate) variant: Option<Variant>,
}

/// What came of a flight, for everyone who waited.
#[derive(Clone, Debug)]
pub(crate) enum Landing {
    /// A response to be shared, still coming.
    Filling(Arc<Filling>),
    /// The stored response holds.
    Holds(Arc<Object>),
    /// A response whose body is stored apart, as it comes; its status.
    Brought(Arc<Object>, StatusCode),
    /// A part that only its leader may have: the others ask again, together.
    Again,
    /// A response that only its leader may have: the others go alone.
    Alone,
    /// The origin answered with this error, which the stored response may hide.
    Hidden(StatusCode),
    /// No response.
    Failed(FetchError),
}

impl Landing {
    /// The head of what landed, where it is a stored response or one to be.
    pub(crate) fn head(&self) -> Option<&Head> {
        match self {
            Self::Filling(filling) => Some(&filling.head),
            Self::Holds(object) | Self::Brought(object, _) => Some(&object.head),
            Self::Again | Self::Alone | Self::Hidden(_) | Self::Failed(_) => None,
        }
    }

    /// The fields that decide, where what landed is not for a request with these.
    pub(crate) fn of_another_variant(&self, request: &HeaderMap, seed: u64) -> Option<Vec<HeaderName>> {
        let selector = &self.head()?.selector;
        (!selector.matches(request, seed)).then(|| selector.nominated.clone())
    }
}

/// The flights under way. Touched on misses only; split so that cores rarely meet.
#[derive(Debug)]
pub(crate) struct Flights {
    shards: Vec<Mutex<Listed>>,
}

/// Flights that others find, each with its key's generation before it began.
type Listed = HashMap<FlightKey, (Generation, watch::Receiver<Option<Landing>>)>;

/// A request's part in a flight.
#[derive(Debug)]
pub(crate) enum Part {
    /// The first: it fetches, and tells what came of it.
    Leader(Pilot),
    /// Another does.
    Follower(watch::Receiver<Option<Landing>>),
}

/// Ends a flight when it lands, or is dropped: followers are never left waiting.
#[derive(Debug)]
pub(crate) struct Pilot {
    /// Where others find the flight; nowhere, if it is one request's own.
    listed: Option<(Arc<Flights>, FlightKey)>,
    sender: watch::Sender<Option<Landing>>,
}

const SHARDS: usize = 64;

impl Flights {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Joins the flight of a key, or begins it. One that began before the key was emptied is not for who comes
    /// after: another begins in its place.
    pub(crate) fn join(self: &Arc<Self>, key: FlightKey, generation: Generation) -> Part {
        let mut shard = self.shard(&key);
        if let Some((_, receiver)) = shard.get(&key).filter(|(begun, _)| *begun == generation) {
            return Part::Follower(receiver.clone());
        }
        let (sender, receiver) = watch::channel(None);
        shard.insert(key.clone(), (generation, receiver));
        drop(shard);
        Part::Leader(Pilot { listed: Some((Arc::clone(self), key)), sender })
    }

    /// Keeps others from joining a flight that is no longer good for them: the next begins another.
    pub(crate) fn retire(&self, key: &FlightKey, flight: &watch::Receiver<Option<Landing>>) {
        let mut shard = self.shard(key);
        if shard.get(key).is_some_and(|(_, listed)| listed.same_channel(flight)) {
            shard.remove(key);
        }
    }

    fn shard(&self, key: &FlightKey) -> MutexGuard<'_, Listed> {
        let index = usize::try_from(key.key.hash() % 64).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "there are 64 shards")]
        let shard = &self.shards[index];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pilot {
    /// A flight that nobody can join.
    pub(crate) fn unlisted() -> Self {
        Self { listed: None, sender: watch::channel(None).0 }
    }

    /// Whether others wait for it.
    pub(crate) fn is_followed(&self) -> bool {
        // The list itself has a receiver.
        self.sender.receiver_count() > usize::from(self.listed.is_some())
    }

    /// Tells everyone what came of it. The flight stays open for joining until the pilot is dropped.
    pub(crate) fn land(&self, landing: Landing) {
        self.sender.send_replace(Some(landing));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if let Some((flights, key)) = &self.listed {
            flights.retire(key, &self.sender.subscribe());
        }
        // A leader that ended without a word, by a panic, leaves its followers to go alone.
        self.sender.send_if_modified(|landing| {
            let silent = landing.is_none();
            if silent {
                *landing = Some(Landing::Alone);
            }
            silent
        });
    }
}

/// Waits for a flight to land.
pub(crate) async fn landed(mut receiver: watch::Receiver<Option<Landing>>) -> Landing {
    match receiver.wait_for(Option::is_some).await {
        Ok(landing) => landing.clone().unwrap_or(Landing::Alone),
        Err(_) => Landing::Alone,
    }
}
