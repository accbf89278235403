//! Of some queries is noted where they came from: as many as cost nothing. Pure: times come in.

use std::net::IpAddr;

use config::limits;
use mapping::PopIndex;

/// A query of which it is noted where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// The network of its client, or of its resolver: no more of an address than /24 or /48.
    pub network: IpAddr,
    /// The PoP that was answered.
    pub pop: PopIndex,
    /// For how many queries it stands: itself, and those since the one before.
    pub queries: u32,
}

/// Takes as many a second as [`limits::FLOW_SAMPLES`], and as many at once; one thread's.
#[derive(Debug)]
pub struct Sampling {
    left: u32,
    filled_us: u64,
    passed: u32,
}

/// The time in which one more may be taken.
const EACH_US: u64 = 1_000_000 / limits::FLOW_SAMPLES as u64;

impl Default for Sampling {
    fn default() -> Self {
        Self { left: limits::FLOW_SAMPLES, filled_us: 0, passed: 0 }
    }
}

impl Sampling {
    /// A query that was answered at a time: for how many it stands, if it is one that is noted.
    #[must_use]
    pub fn take(&mut self, now_us: u64) -> Option<u32> {
        if self.left == 0 {
            let more = now_us.saturating_sub(self.filled_us) / EACH_US;
            if more == 0 {
                self.passed = self.passed.saturating_add(1);
                return None;
            }
            self.left = u32::try_from(more).unwrap_or(u32::MAX).min(limits::FLOW_SAMPLES);
            self.filled_us = now_us;
        }
        self.left -= 1;
        Some(1 + std::mem::take(&mut self.passed))
    }
}

impl Sampled {
    /// Of a client's address nothing is kept but its network.
    #[must_use]
    pub fn new(client: IpAddr, pop: PopIndex, queries: u32) -> Self {
        let network = match client {
            IpAddr::V4(address) => IpAddr::V4((address.to_bits() & !0xff).into()),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 80 << 80).into()),
        };
        Self { network, pop, queries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_queries_are_all_noted_and_of_many_each_stands_for_others() {
        let mut few = Sampling::default();
        assert!((0..1_000).all(|number| few.take(30_000 * number) == Some(1)));
        let mut many = Sampling::default();
        // A million in ten seconds.
        let taken: Vec<u32> = (0..1_000_000).filter_map(|number| many.take(10 * number)).collect();
        let most = usize::try_from(limits::FLOW_SAMPLES).unwrap() * 12;
        assert!(taken.len() <= most && taken.len() > most / 2, "{}", taken.len());
        let stands_for: u64 = taken.iter().map(|queries| u64::from(*queries)).sum();
        assert!((990_000..=1_000_000).contains(&stands_for), "{stands_for}");
    }

    #[test]
    fn of_an_address_its_network_is_kept() {
        for (client, network) in [("198.51.100.77", "198.51.100.0"), ("2001:db8:1:2:3::4", "2001:db8:1::")] {
            let sampled = Sampled::new(client.parse().unwrap(), PopIndex::from_usize(0), 1);
            assert_eq!(sampled.network, network.parse::<IpAddr>().unwrap());
        }
    }
}
