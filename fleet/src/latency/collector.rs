//! The round trips of an edge's clients, until every name server has had time to ask for them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::limits;
use mapping::latency::{Histogram, PrefixKey, prefix_key};

use super::handover::{Handover, Since};

/// Collects round trips.
#[derive(Debug)]
pub struct Collector {
    boot: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<PrefixKey, Histogram>,
    /// Batches with their numbers, oldest first.
    closed: VecDeque<(u64, Arc<BTreeMap<PrefixKey, Histogram>>)>,
    last: u64,
}

impl Collector {
    /// Begins; `boot` is another number at every start.
    #[must_use]
    pub fn new(boot: u64) -> Self {
        Self { boot, state: Mutex::default() }
    }

    /// Counts a round trip. Once per connection: the lock is hardly ever waited for.
    pub fn add(&self, client: IpAddr, round_trip: Duration) {
        let prefix = prefix_key(client);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open.len() >= limits::LATENCY_BATCH && !state.open.contains_key(&prefix) {
            return;
        }
        state.open.entry(prefix).or_default().add(round_trip.as_secs_f64() * 1_000.0, 1);
    }

    /// What has come since a name server last asked. Several may ask: everyone gets everything.
    pub fn hand_over(&self, since: Since) -> Handover {
        let (batches, last) = self.since(since);
        let mut all: BTreeMap<PrefixKey, Histogram> = BTreeMap::new();
        for (prefix, seen) in batches.iter().flat_map(|batch| batch.iter()) {
            all.entry(*prefix).or_default().merge(seen);
        }
        let narrow = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
        let counts = |seen: &Histogram| seen.counts().map(|(bucket, count)| (bucket, narrow(count))).collect();
        let prefixes = all.iter().map(|((family, key), seen)| (family.address(*key), counts(seen))).collect();
        Handover { until: Since { boot: self.boot, position: last }, prefixes }
    }

    /// The batches since then, and the number of the last: connections that end wait no longer than that takes.
    fn since(&self, since: Since) -> (Vec<Arc<BTreeMap<PrefixKey, Histogram>>>, u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.open.is_empty() {
            let batch = Arc::new(std::mem::take(&mut state.open));
            state.last += 1;
            let number = state.last;
            state.closed.push_back((number, batch));
            let mut kept: usize = state.closed.iter().map(|(_, batch)| batch.len()).sum();
            while kept > limits::LATENCY_KEPT
                && let Some((_, oldest)) = state.closed.pop_front()
            {
                kept -= oldest.len();
            }
        }
        // Of another start, nothing is known.
        let position = if since.boot == self.boot { since.position } else { 0 };
        let batches = state.closed.iter().filter(|(number, _)| *number > position);
        (batches.map(|(_, batch)| Arc::clone(batch)).collect(), state.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(collector: &Collector, client: &str, milliseconds: u64) {
        collector.add(client.parse().unwrap(), Duration::from_millis(milliseconds));
    }

    fn counts(handover: &Handover) -> Vec<(String, u16)> {
        let count = |counts: &Vec<(u8, u16)>| counts.iter().map(|(_, count)| count).sum();
        handover.prefixes.iter().map(|(prefix, counts)| (prefix.to_string(), count(counts))).collect()
    }

    #[test]
    fn everyone_who_asks_gets_everything_once() {
        let collector = Collector::new(7);
        collect(&collector, "192.0.2.1", 20);
        collect(&collector, "192.0.2.200", 30);
        let first = collector.hand_over(Since::default());
        assert_eq!(counts(&first), [("192.0.2.0".to_owned(), 2)]);
        collect(&collector, "2001:db8:1::1", 9);
        let more = collector.hand_over(first.until);
        assert_eq!(counts(&more), [("2001:db8:1::".to_owned(), 1)]);
        assert_eq!(counts(&collector.hand_over(more.until)), []);
        assert_eq!(collector.hand_over(Since::default()).prefixes.len(), 2, "another name server");
        assert_eq!(collector.hand_over(Since { boot: 6, position: 99 }).prefixes.len(), 2, "of an earlier start");
    }

    #[test]
    fn what_nobody_asks_for_is_bounded() {
        let collector = Collector::new(1);
        let address = |number: usize| std::net::Ipv4Addr::from(u32::try_from(number << 8).unwrap()).into();
        for number in 0..limits::LATENCY_BATCH * 2 {
            collector.add(address(number), Duration::from_millis(5));
        }
        assert_eq!(collector.hand_over(Since::default()).prefixes.len(), limits::LATENCY_BATCH);
        for round in 0..20 {
            for number in 0..limits::LATENCY_BATCH {
                collector.add(address(number + round * limits::LATENCY_BATCH), Duration::from_millis(5));
            }
            let _ = collector.hand_over(Since { boot: 1, position: u64::MAX });
        }
        let all = collector.hand_over(Since::default()).prefixes.len();
        assert!((limits::LATENCY_BATCH..=limits::LATENCY_KEPT).contains(&all), "{all}");
    }
}
