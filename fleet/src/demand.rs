//! What an edge's clients take, by prefix, for name servers that move load.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::limits;
use mapping::latency::{PrefixKey, prefix_key};
use serde::{Deserialize, Serialize};

/// What the clients of an edge take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Prefixes (/24, /48) by their first address, with bits per second, the greatest first.
    pub prefixes: Vec<(IpAddr, u64)>,
}

/// Measures what clients take.
#[derive(Debug)]
pub struct Meter {
    start: Instant,
    /// Apart by prefix, so that requests seldom wait for each other.
    shards: Vec<Mutex<HashMap<PrefixKey, Flow>>>,
    hasher: RandomState,
}

/// Traffic of late.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// Bits per second at that time.
    rate: f64,
    at: Duration,
}

const SHARDS: usize = 64;
/// Traffic counts by `e^(-age / SPAN)`: long enough to smooth pages over, short against a surge that lasts.
const SPAN: Duration = Duration::from_secs(30);
/// Below this, in bits per second, a prefix is forgotten.
const LEAST: f64 = 100.0;

impl Default for Meter {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { start: Instant::now(), shards, hasher: RandomState::new() }
    }
}

impl Meter {
    /// Counts what was sent to a client by now.
    pub fn add(&self, client: IpAddr, bytes: u64, now: Instant) {
        self.add_at(client, bytes, now.saturating_duration_since(self.start));
    }

    /// What clients take now. Those that take least are left out where they are many.
    pub fn demand(&self) -> Demand {
        self.demand_at(self.start.elapsed())
    }

    fn add_at(&self, client: IpAddr, bytes: u64, now: Duration) {
        let prefix = prefix_key(client);
        let [number, ..] = self.hasher.hash_one(prefix).to_le_bytes();
        let Some(shard) = self.shards.get(usize::from(number) % SHARDS) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= limits::DEMAND_PREFIXES / SHARDS && !shard.contains_key(&prefix) {
            return;
        }
        let flow = shard.entry(prefix).or_default();
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
        let more = 8.0 * bytes as f64 / SPAN.as_secs_f64();
        *flow = Flow { rate: flow.rate_at(now) + more, at: now };
    }

    fn demand_at(&self, now: Duration) -> Demand {
        let mut all: Vec<(PrefixKey, f64)> = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, flow| flow.rate_at(now) >= LEAST);
            all.extend(shard.iter().map(|(prefix, flow)| (*prefix, flow.rate_at(now))));
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(limits::DEMAND_TOLD);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates")]
        let told = all.into_iter().map(|((family, key), rate)| (family.address(key), rate as u64));
        Demand { prefixes: told.collect() }
    }
}

impl Flow {
    fn rate_at(&self, now: Duration) -> f64 {
        self.rate * (-now.saturating_sub(self.at).as_secs_f64() / SPAN.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_stream_has_its_rate_and_ends_within_minutes() {
        let meter = Meter::default();
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "2001:db8:1::7".parse().unwrap());
        for second in 0..180 {
            meter.add_at(a, 125_000, at(second));
            meter.add_at(b, 12_500, at(second));
        }
        let told = meter.demand_at(at(180)).prefixes;
        assert_eq!(
            told.iter().map(|(prefix, _)| prefix.to_string()).collect::<Vec<_>>(),
            ["192.0.2.0", "2001:db8:1::"]
        );
        assert!((950_000..1_050_000).contains(&told[0].1), "{told:?}");
        assert!((95_000..105_000).contains(&told[1].1), "{told:?}");
        assert_eq!(meter.demand_at(at(600)).prefixes, []);
    }

    #[test]
    fn prefixes_are_bounded_and_the_greatest_are_told() {
        let meter = Meter::default();
        for number in 0..u32::try_from(limits::DEMAND_PREFIXES * 2).unwrap() {
            meter.add_at(std::net::Ipv4Addr::from(number << 8).into(), 10_000 + u64::from(number % 7), at(0));
        }
        let kept: usize = meter.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= limits::DEMAND_PREFIXES, "{kept}");
        let told = meter.demand_at(at(0)).prefixes;
        assert_eq!(told.len(), limits::DEMAND_TOLD);
        assert!(told.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }
}
