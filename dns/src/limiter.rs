//! Response rate limiting: how often one network may get the same reply by datagrams, whose senders may be forged.
//!
//! Each network (/24, IPv6 /56) and reply has a place in a table of fixed size, in which its replies of the last second
//! are counted as a time (GCRA, ITU-T I.371). Of what is too much every second reply is cut to nothing but "ask again over
//! a connection", so that a client whose address is forged is not shut out, and the others are not sent.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use config::limits::DNS_LIMITER_SETS;

/// The replies of one socket.
#[derive(Debug)]
pub(crate) struct Limiter {
    sets: Vec<[Place; WAYS]>,
    hasher: RandomState,
    over: u64,
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes as it is.
    Send,
    /// It goes without records, cut.
    Slip,
    /// It does not go.
    Drop,
}

/// What replies are the same, for a limit.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub(crate) enum Same {
    /// All about a name and type that the zone has: a hash of both.
    Answer(u64),
    /// All about names that a zone does not have, or only by a wildcard: a hash of its apex.
    Stranger(u64),
    /// All that refuse.
    #[default]
    Refusal,
}

/// One network's replies of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tag: u64,
    /// When all that went is within the rate again, in microseconds.
    until_us: u64,
}

/// Places that a network and reply may have: the one that is through the longest makes room.
const WAYS: usize = 4;
const SECOND_US: u64 = 1_000_000;

impl Limiter {
    pub(crate) fn new() -> Self {
        Self { sets: vec![[Place::default(); WAYS]; DNS_LIMITER_SETS], hasher: RandomState::new(), over: 0 }
    }

    /// Judges one reply of at most `rate` a second; 0 is no limit. `now_us` counts from any start.
    pub(crate) fn judge(&mut self, rate: u32, client: IpAddr, same: Same, now_us: u64) -> Verdict {
        let Some(each_us) = SECOND_US.checked_div(rate.into()) else { return Verdict::Send };
        let tag = self.hasher.hash_one((network(client), same));
        let set = usize::try_from(tag).unwrap_or(0) % self.sets.len().max(1);
        let Some(set) = self.sets.get_mut(set) else { return Verdict::Send };
        let known = set.iter().position(|place| place.tag == tag);
        let stalest = || set.iter().enumerate().min_by_key(|(_, place)| place.until_us).map(|(at, _)| at);
        let Some(place) = known.or_else(stalest).and_then(|at| set.get_mut(at)) else { return Verdict::Send };
        if place.tag != tag {
            *place = Place { tag, until_us: now_us };
        }
        let until_us = place.until_us.max(now_us) + each_us;
        if until_us <= now_us + SECOND_US {
            place.until_us = until_us;
            return Verdict::Send;
        }
        self.over += 1;
        if self.over.is_multiple_of(2) { Verdict::Slip } else { Verdict::Drop }
    }
}

/// The network of an address, as far as whoever forges it can choose it.
fn network(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(v4) => u64::from(u32::from(v4) >> 8),
        IpAddr::V6(v6) => u64::try_from(u128::from(v6) >> 72).unwrap_or(u64::MAX) | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn sent(limiter: &mut Limiter, client: IpAddr, same: Same, now_us: u64, count: usize) -> usize {
        (0..count).filter(|_| limiter.judge(100, client, same, now_us) == Verdict::Send).count()
    }

    #[test]
    fn a_network_gets_so_many_of_the_same_a_second() {
        let mut limiter = Limiter::new();
        let (one, other) = (Same::Answer(1), Same::Answer(2));
        assert_eq!(sent(&mut limiter, A, one, 0, 500), 100, "a second's worth at once");
        assert_eq!(sent(&mut limiter, A, other, 0, 500), 100, "of another reply as many");
        let neighbour = IpAddr::from([192, 0, 2, 200]);
        assert_eq!(sent(&mut limiter, neighbour, one, 0, 500), 0, "the network is one");
        assert_eq!(sent(&mut limiter, IpAddr::from([192, 0, 3, 1]), one, 0, 500), 100);
        assert_eq!(sent(&mut limiter, A, one, 100_000, 500), 10, "a tenth of a second later a tenth");
        assert_eq!(sent(&mut limiter, A, one, 10_000_000, 500), 100);
        let v6 = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, 0x0100, last, 0, 0, 1]);
        assert_eq!(sent(&mut limiter, v6(1), one, 0, 500) + sent(&mut limiter, v6(2), one, 0, 500), 100);
        assert_eq!(limiter.judge(0, A, one, 10_000_000), Verdict::Send, "0 is no limit");
    }

    #[test]
    fn every_second_reply_too_many_is_cut() {
        let mut limiter = Limiter::new();
        let verdicts: Vec<Verdict> = (0..300).map(|_| limiter.judge(100, A, Same::Refusal, 0)).collect();
        let count = |verdict| verdicts.iter().filter(|other| **other == verdict).count();
        assert_eq!([Verdict::Send, Verdict::Slip, Verdict::Drop].map(count), [100, 100, 100]);
    }

    #[test]
    fn a_flood_of_networks_takes_no_more_room_and_hides_nobody_long() {
        let mut limiter = Limiter::new();
        assert_eq!(sent(&mut limiter, A, Same::Refusal, 0, 100), 100);
        for number in 0..500_000_u32 {
            limiter.judge(100, IpAddr::from(number.rotate_right(8).to_be_bytes()), Same::Refusal, u64::from(number));
        }
        assert_eq!(limiter.sets.len(), DNS_LIMITER_SETS);
        assert!(sent(&mut limiter, A, Same::Refusal, 500_000, 500) <= 100);
    }
}
