//! How many connections each address has, so that none takes them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by address, of one listener on one core: the lock is never waited for.
#[derive(Debug, Default)]
pub(crate) struct Crowd(Mutex<HashMap<IpAddr, usize>>);

/// One of an address's connections, until it is dropped.
#[derive(Debug)]
pub(crate) struct One {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Crowd {
    /// One more of an address, unless it has so many; hosts of IPv6 count by their /64, of which each has all (RFC 6177).
    pub(crate) fn join(self: &Arc<Self>, client: IpAddr, most: usize) -> Option<One> {
        let address = match client.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        };
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(One { crowd: Arc::clone(self), address })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_another_its_own() {
        let crowd = Arc::<Crowd>::default();
        let join = |text: &str| crowd.join(text.parse().unwrap(), 2);
        let (one, _two) = (join("192.0.2.1").unwrap(), join("::ffff:192.0.2.1").unwrap());
        assert!(join("192.0.2.1").is_none());
        let other = join("192.0.2.2").unwrap();
        drop(one);
        let three = join("192.0.2.1").unwrap();
        let (_a, _b) = (join("2001:db8::1").unwrap(), join("2001:db8::2").unwrap());
        assert!(join("2001:db8::3").is_none() && join("2001:db8:0:1::1").is_some());
        drop((other, three));
        assert_eq!(crowd.counts().len(), 2, "who has none is not remembered");
    }
}
