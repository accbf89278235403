//! Round trips as they were measured, by prefix and PoP.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::address::Family;
use crate::latency::histogram::Histogram;
use crate::topology::PopIndex;

/// The prefix that samples are kept by: /24, or /48.
pub type PrefixKey = (Family, u64);

/// Round trips by prefix and PoP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    by_prefix: BTreeMap<PrefixKey, BTreeMap<PopIndex, Histogram>>,
}

/// What was measured from one prefix.
pub type Measured = BTreeMap<PopIndex, Histogram>;

/// The prefix of an address that its samples are kept by.
#[must_use]
pub fn prefix_key(address: IpAddr) -> PrefixKey {
    let family = Family::of(address);
    let kept = match family {
        Family::V4 => 24,
        Family::V6 => 48,
    };
    (family, Family::key(address) & !((1 << (family.bits() - kept)) - 1))
}

impl Samples {
    /// Adds what was measured from a prefix to a PoP.
    pub fn add(&mut self, prefix: PrefixKey, pop: PopIndex, seen: &Histogram) {
        self.by_prefix.entry(prefix).or_default().entry(pop).or_default().merge(seen);
    }

    /// Prefixes with what was measured from them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&PrefixKey, &Measured)> {
        self.by_prefix.iter()
    }

    /// Takes a prefix out, with what was measured from it.
    pub fn take(&mut self, prefix: PrefixKey) -> Option<Measured> {
        self.by_prefix.remove(&prefix)
    }

    /// How many prefixes were measured.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_prefix.len()
    }

    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_kept_by_what_resolvers_send() {
        assert_eq!(prefix_key("192.0.2.77".parse().unwrap()), (Family::V4, 0xc000_0200));
        assert_eq!(prefix_key("2001:db8:1:2::1".parse().unwrap()), (Family::V6, 0x2001_0db8_0001_0000));
    }
}
