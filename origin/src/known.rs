//! What is known of a name, and what it is good for now.
//!
//! ```text
//!           its TTL is over           a second has passed, or nobody answers
//! fresh ──────────────────> waiting ────────────────────────────────────────> stale, for a day
//!   ^                          │                                                │
//!   └───────── an answer ──────┴────────────────────────────────────────────────┘
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::limits;
use tokio::time::Instant;

use crate::error::FetchError;

/// A name's addresses, never none.
pub(crate) type Addresses = Arc<[IpAddr]>;

/// What asking for a name brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// These addresses, for so long.
    Found(Vec<IpAddr>, Duration),
    /// As [`Self::Found`], and of the other family (IPv4, IPv6) nobody knew.
    Half(Vec<IpAddr>, Duration),
    /// There is no such name, or it has no address.
    Nothing,
    /// Nobody knew.
    Failed(FetchError),
}

/// What is known of a name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    good: Option<Good>,
    /// Why the last look-up brought no addresses, and until when it is not repeated.
    failed: Option<(FetchError, Instant)>,
}

#[derive(Clone, Debug)]
struct Good {
    addresses: Addresses,
    /// Their TTL ends.
    fresh_until: Instant,
}

/// What who asks for the addresses gets now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Addresses within their TTL.
    Fresh(Addresses),
    /// Addresses past it, since nobody answers.
    Stale(Addresses),
    /// Nothing yet: a look-up is to be waited for. From an instant on older addresses stand in, if there are any.
    Wait(Option<(Addresses, Instant)>),
    /// There are none.
    Failed(FetchError),
}

/// What an answer changes, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing worth a word.
    Same,
    /// From now on old addresses stand in.
    Lost,
    /// They need no longer.
    Again,
}

impl Known {
    /// What it is good for, where a look-up has begun then, or none has. One is to begin where none has and the answer is
    /// to wait.
    pub(crate) fn answer(&self, begun: Option<Instant>, now: Instant) -> Answer {
        if let Some(good) = self.good.as_ref().filter(|good| now < good.fresh_until) {
            return Answer::Fresh(Arc::clone(&good.addresses));
        }
        // RFC 8767 §4: stale data is used "only when the refresh fails".
        let kept = self.good.as_ref().filter(|good| now < good.fresh_until + limits::ORIGIN_NAME_STALE);
        let kept = kept.map(|good| Arc::clone(&good.addresses));
        let failed = self.failed.filter(|(_, until)| now < *until);
        if let Some((error, _)) = failed.filter(|_| begun.is_none()) {
            return kept.map_or(Answer::Failed(error), Answer::Stale);
        }
        let from = begun.unwrap_or(now) + limits::ORIGIN_NAME_PATIENCE;
        match kept {
            Some(addresses) if from <= now => Answer::Stale(addresses),
            kept => Answer::Wait(kept.map(|addresses| (addresses, from))),
        }
    }

    /// Takes in what a look-up brought. That a name has no addresses is an answer as good as others (RFC 8767 §4); that
    /// nobody knows is none.
    pub(crate) fn learn(&mut self, asked: Asked, now: Instant) -> Change {
        let is_standing_in = self.failed.is_some() && self.good.is_some();
        let until = now + limits::ORIGIN_NAME_FAILED;
        match asked {
            Asked::Found(addresses, ttl) if !addresses.is_empty() => {
                let ttl = ttl.clamp(limits::ORIGIN_NAME_TTL_LEAST, limits::ORIGIN_NAME_TTL_MOST);
                *self = Self { good: Some(Good { addresses: addresses.into(), fresh_until: now + ttl }), failed: None };
                if is_standing_in { Change::Again } else { Change::Same }
            }
            Asked::Half(addresses, ttl) if !addresses.is_empty() => {
                // What was known of the other stays, and is asked for again soon.
                let is_known = |family: bool| addresses.iter().any(|address| address.is_ipv4() == family);
                let kept = self.good.iter().filter(|good| now < good.fresh_until + limits::ORIGIN_NAME_STALE);
                let kept = kept.flat_map(|good| good.addresses.iter().copied());
                let other: Vec<IpAddr> = kept.filter(|address| !is_known(address.is_ipv4())).collect();
                let ttl = ttl.clamp(limits::ORIGIN_NAME_TTL_LEAST, limits::ORIGIN_NAME_OF_SYSTEM);
                self.learn(Asked::Found([addresses, other].concat(), ttl), now)
            }
            Asked::Found(..) | Asked::Half(..) | Asked::Nothing => {
                *self = Self { good: None, failed: Some((FetchError::DnsError, until)) };
                Change::Same
            }
            Asked::Failed(error) => {
                self.failed = Some((error, until));
                if self.good.is_some() && !is_standing_in { Change::Lost } else { Change::Same }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn addresses() -> Addresses {
        Arc::from([IpAddr::from([192, 0, 2, 1])])
    }

    fn found(seconds: u64) -> Asked {
        Asked::Found(addresses().to_vec(), SECOND * u32::try_from(seconds).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_fresh_then_waited_for_then_stale() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let (fresh, stale) = (Answer::Fresh(addresses()), Answer::Stale(addresses()));
        let wait = |from: u64| Answer::Wait(Some((addresses(), at(from))));
        let failed = Answer::Failed(FetchError::DnsTimeout);
        let day = limits::ORIGIN_NAME_STALE.as_secs();
        // What was learnt when, when a look-up began, now, and the answer.
        type Row<'a> = (&'a [(Asked, u64)], Option<u64>, u64, Answer);
        let table: [Row<'_>; 14] = [
            (&[], None, 0, Answer::Wait(None)),
            (&[], Some(0), 4, Answer::Wait(None)),
            (&[(found(60), 0)], None, 59, fresh.clone()),
            (&[(found(60), 0)], None, 60, wait(61)),
            (&[(found(60), 0)], Some(60), 60, wait(61)),
            (&[(found(60), 0)], Some(60), 61, stale.clone()),
            (&[(found(60), 0), (Asked::Failed(FetchError::DnsTimeout), 70)], None, 71, stale.clone()),
            (&[(found(60), 0), (Asked::Failed(FetchError::DnsTimeout), 70)], None, 72, wait(73)),
            (&[(found(60), 0), (Asked::Failed(FetchError::DnsTimeout), 70)], Some(72), 73, stale),
            (&[(found(60), 0), (Asked::Failed(FetchError::DnsTimeout), 70)], None, 60 + day, Answer::Wait(None)),
            (&[(found(60), 0), (Asked::Nothing, 70)], None, 71, Answer::Failed(FetchError::DnsError)),
            (&[(Asked::Failed(FetchError::DnsTimeout), 0)], None, 1, failed),
            (&[(Asked::Failed(FetchError::DnsTimeout), 0)], None, 2, Answer::Wait(None)),
            (&[(Asked::Nothing, 0), (found(60), 2)], None, 3, fresh),
        ];
        for (row, (learnt, begun, now, expected)) in table.into_iter().enumerate() {
            let mut known = Known::default();
            for (asked, then) in learnt {
                known.learn(asked.clone(), at(*then));
            }
            assert_eq!(known.answer(begun.map(at), at(now)), expected, "row {row}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_nobody_knows_of_keeps_its_addresses() {
        let now = Instant::now();
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
        let other = IpAddr::from([192, 0, 2, 7]);
        let mut known = Known::default();
        known.learn(Asked::Found(vec![one, two], SECOND * 60), now);
        let later = now + SECOND * 61;
        known.learn(Asked::Half(vec![other], SECOND * 60), later);
        assert_eq!(known.answer(None, later), Answer::Fresh(Arc::from([other, two])));
        let soon = later + limits::ORIGIN_NAME_OF_SYSTEM;
        assert!(matches!(known.answer(None, soon), Answer::Wait(Some(_))), "it is asked for again soon");
    }

    #[tokio::test(start_paused = true)]
    async fn a_ttl_is_bounded_and_no_addresses_are_nothing() {
        let now = Instant::now();
        let (least, most) = (limits::ORIGIN_NAME_TTL_LEAST, limits::ORIGIN_NAME_TTL_MOST);
        for (ttl, held) in [(0, least), (60, SECOND * 60), (86_400, most)] {
            let mut known = Known::default();
            known.learn(found(ttl), now);
            let almost = now + held - Duration::from_millis(1);
            assert!(matches!(known.answer(None, almost), Answer::Fresh(_)), "{ttl}");
            assert!(matches!(known.answer(None, now + held), Answer::Wait(_)), "{ttl}");
        }
        let mut known = Known::default();
        known.learn(Asked::Found(Vec::new(), SECOND), now);
        assert_eq!(known.answer(None, now), Answer::Failed(FetchError::DnsError));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_once() {
        let now = Instant::now();
        let mut known = Known::default();
        let failed = || Asked::Failed(FetchError::DnsError);
        let told = [failed(), found(1), failed(), failed(), found(1), found(1), Asked::Nothing, found(1)];
        let told = told.map(|asked| known.learn(asked, now));
        use Change::{Again, Lost, Same};
        assert_eq!(told, [Same, Same, Lost, Same, Again, Same, Same, Same]);
    }
}
