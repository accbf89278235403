//! How often clients ask: each has a place in a table of fixed size, in which its requests are counted as a time (GCRA,
//! ITU-T I.371).

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::{Rate, limits};

/// The requests of all clients of an edge. Its locks are one for each few clients: nobody waits for one.
#[derive(Debug)]
pub(crate) struct Rates {
    sets: Vec<Mutex<[Place; WAYS]>>,
    hasher: RandomState,
    started: Instant,
}

/// One client's requests.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tag: u64,
    /// When all that it asked is within the rate again, in nanoseconds.
    until_ns: u64,
}

/// Places that a client may have: the one that is through the longest makes room.
const WAYS: usize = 4;

impl Rates {
    pub(crate) fn new() -> Self {
        let sets = (0..limits::RATE_SETS).map(|_| Mutex::default()).collect();
        Self { sets, hasher: RandomState::new(), started: Instant::now() }
    }

    /// Counts a request of a client of a site; after how long it may ask again, if that is too much.
    pub(crate) fn take(&self, site: &str, rate: &Rate, who: u64) -> Result<(), Duration> {
        let now_ns = nanoseconds(self.started.elapsed());
        let tag = self.hasher.hash_one((site, rate.requests, rate.per, who));
        let set = usize::try_from(tag).unwrap_or(0) % self.sets.len().max(1);
        let Some(set) = self.sets.get(set) else { return Ok(()) };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        judge(&mut set, tag, (rate.requests, rate.per), now_ns)
    }
}

fn judge(set: &mut [Place; WAYS], tag: u64, (requests, per): (u32, Duration), now_ns: u64) -> Result<(), Duration> {
    let known = set.iter().position(|place| place.tag == tag);
    let stalest = || set.iter().enumerate().min_by_key(|(_, place)| place.until_ns).map(|(at, _)| at);
    let Some(place) = known.or_else(stalest).and_then(|at| set.get_mut(at)) else { return Ok(()) };
    if place.tag != tag {
        *place = Place { tag, until_ns: now_ns };
    }
    let per_ns = nanoseconds(per);
    let until_ns = place.until_ns.max(now_ns) + per_ns / u64::from(requests.max(1));
    let most_ns = now_ns + per_ns;
    if until_ns > most_ns {
        return Err(Duration::from_nanos(until_ns - most_ns));
    }
    place.until_ns = until_ns;
    Ok(())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn so_many_at_once_and_then_at_that_pace() {
        let mut set = [Place::default(); WAYS];
        let mut taken = |tag, now, count| {
            (0..count).filter(|_| judge(&mut set, tag, (10, Duration::from_secs(1)), now).is_ok()).count()
        };
        assert_eq!(taken(1, 0, 50), 10);
        assert_eq!(taken(2, 0, 50), 10, "another client");
        assert_eq!(taken(1, SECOND / 10, 50), 1);
        assert_eq!(taken(1, 5 * SECOND, 50), 10);
        let wait = judge(&mut set, 1, (10, Duration::from_secs(1)), 5 * SECOND).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
    }

    #[test]
    fn a_flood_of_clients_takes_no_more_room() {
        let rates = Rates::new();
        let rate = Rate { requests: 1, per: Duration::from_secs(60), by: config::RateBy::Client };
        for who in 0..200_000 {
            let _ = rates.take("shop", &rate, who);
        }
        assert_eq!(rates.sets.len(), limits::RATE_SETS);
        assert!(rates.take("shop", &rate, 199_999).is_err(), "the last is still known");
        assert!(rates.take("other", &rate, 199_999).is_ok(), "another site counts for itself");
    }
}
