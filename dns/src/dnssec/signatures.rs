//! Signatures, kept until they are to be renewed.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use config::limits;
use hickory_server::proto::dnssec::rdata::{DNSSECRData, RRSIG, SigInput};
use hickory_server::proto::rr::{Name, RData, Record, SerialNumber};
use jiff::Timestamp;
use moka::sync::Cache;

use super::Of;
use super::canonical::signed_bytes;
use super::key::Key;
use crate::arrival::Transport;
use crate::limiter::{Limiter, Same, Verdict};

/// All signatures of a name server, by what was signed and by which key. It outlives views: what has not changed is not
/// signed again.
pub(crate) struct Signatures {
    made: Cache<Arc<[u8]>, Signature>,
    jitter: RandomState,
    /// For names that only were asked for, by datagrams and over connections: whoever asks from false addresses
    /// leaves the others theirs.
    budgets: [Budget; 2],
    /// And of those, what one network gets: an address cannot be forged over a connection, and by datagrams only one at a time.
    networks: Mutex<Limiter>,
    /// How many were sent past half of their life since they could not be renewed.
    late: AtomicU64,
}

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// More was asked for than is signed in a second.
    Busy,
    /// No key is to sign it.
    NoKey,
    /// Signing failed, and what was signed before has expired.
    Failed,
}

#[derive(Clone, Debug)]
struct Signature {
    data: Arc<RRSIG>,
    /// Unix seconds.
    made: i64,
    renewed: i64,
    expires: i64,
}

/// So much before it is made a signature begins, for resolvers whose clocks are slow.
const SLOW_CLOCKS: i64 = 3_600;
/// How long it lasts; half of that later it is made anew. A name server that cannot sign has days to be mended.
const LIFETIME: i64 = 7 * 86_400;
/// Renewals spread over a day.
const JITTER: i64 = 86_400;

impl Signatures {
    /// The RRSIG of a record set by a key.
    pub(super) fn of(
        &self,
        key: &Key,
        apex: &Name,
        set: &[Record],
        original_ttl: u32,
        of: Of,
        now: Timestamp,
    ) -> Result<RData, Unsigned> {
        let now = now.as_second();
        let first = set.first().ok_or(Unsigned::Failed)?;
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: key.algorithm(),
            num_labels: first.name.num_labels(),
            original_ttl,
            sig_expiration: SerialNumber::new(0),
            sig_inception: SerialNumber::new(0),
            key_tag: key.plan.tag,
            signer_name: apex.clone(),
        };
        let name: Arc<[u8]> = signed_bytes(&input, set).map_err(|_| Unsigned::Failed)?.into();
        let before = self.made.get(&name).filter(|before| before.made <= now && now < before.expires);
        if let Some(before) = before.as_ref().filter(|before| now < before.renewed) {
            return Ok(before.rdata());
        }
        if let Of::Stranger { transport, resolver } = of
            && !self.may_sign(transport, resolver, now)
        {
            // Those are too many to be an alarm.
            return before.map(|before| before.rdata()).ok_or(Unsigned::Busy);
        }
        let renewed = now + LIFETIME / 2 + i64::try_from(self.jitter.hash_one(&name) >> 1).unwrap_or(0) % JITTER;
        match sign(key, input, set, now) {
            Some(data) => {
                let signature = Signature { data: Arc::new(data), made: now, renewed, expires: now + LIFETIME };
                let data = signature.rdata();
                self.made.insert(name, signature);
                Ok(data)
            }
            // What was made before still holds.
            None => {
                let before = before.ok_or(Unsigned::Failed)?;
                self.late.fetch_add(1, Ordering::Relaxed);
                Ok(before.rdata())
            }
        }
    }
}

impl Signatures {
    /// How many were sent past half of their life since they could not be renewed, since this was last asked.
    pub(crate) fn take_late(&self) -> u64 {
        // Nearly always none: no line is written that other cores read.
        if self.late.load(Ordering::Relaxed) == 0 { 0 } else { self.late.swap(0, Ordering::Relaxed) }
    }

    /// Whether one more is signed this second for a name that is not there.
    pub(crate) fn may_sign(&self, transport: Transport, resolver: IpAddr, now: i64) -> bool {
        let place = usize::from(transport.is_connection());
        let now_us = u64::try_from(now).unwrap_or(0).saturating_mul(1_000_000);
        let same = Same::Stranger(place as u64);
        let rate = limits::DNS_STRANGERS_OF_ONE;
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        networks.judge(rate, resolver, same, now_us) == Verdict::Send
            && self.budgets.get(place).is_some_and(|budget| budget.take(now))
    }
}

impl Default for Signatures {
    fn default() -> Self {
        let weigh = |name: &Arc<[u8]>, _: &Signature| u32::try_from(name.len() + SIGNATURE_BYTES).unwrap_or(u32::MAX);
        let made = Cache::builder().weigher(weigh).max_capacity(limits::DNS_SIGNATURE_BYTES).build();
        Self {
            made,
            jitter: RandomState::new(),
            budgets: [Budget::default(), Budget::default()],
            networks: Mutex::new(Limiter::new()),
            late: AtomicU64::new(0),
        }
    }
}

/// What a kept signature takes besides its name: RRSIG data, its signer's name, and the cache's own.
const SIGNATURE_BYTES: usize = 400;

impl std::fmt::Debug for Signatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signatures({})", self.made.entry_count())
    }
}

impl Signature {
    fn rdata(&self) -> RData {
        RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::clone(&self.data)))
    }
}

fn sign(key: &Key, input: SigInput, set: &[Record], now: i64) -> Option<RRSIG> {
    // Serial numbers of seconds go round in 2106 (RFC 4034 §3.1.5).
    let serial = |seconds: i64| u32::try_from(seconds & 0xffff_ffff).map(SerialNumber::new).ok();
    let input =
        SigInput { sig_inception: serial(now - SLOW_CLOCKS)?, sig_expiration: serial(now + LIFETIME)?, ..input };
    let bytes = signed_bytes(&input, set).ok()?;
    let (input, signature) = key.sign(input, &bytes)?;
    Some(RRSIG::from_sig(input, signature))
}

/// So many a second.
#[derive(Debug, Default)]
struct Budget {
    second: AtomicI64,
    taken: AtomicI64,
}

impl Budget {
    /// Whether there is one more this second.
    fn take(&self, now: i64) -> bool {
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.taken.store(0, Ordering::Relaxed);
        }
        self.taken.fetch_add(1, Ordering::Relaxed) < limits::DNS_STRANGERS_SIGNED
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use config::{KeyAlgorithm, KeyRole, ZoneKey};
    use hickory_server::proto::dnssec::{Algorithm, DnsSecResult, PublicKeyBuf, SigningKey, TBS};
    use hickory_server::proto::rr::rdata::A;

    use super::super::key::{make_key, tag_of};
    use super::*;

    fn key(algorithm: KeyAlgorithm) -> Key {
        let private = make_key(algorithm).unwrap();
        let tag = tag_of(algorithm, KeyRole::Csk, &private).unwrap();
        let published = Timestamp::UNIX_EPOCH;
        let times = (Some(published), None, None);
        let (signs, retired, removed) = times;
        let plan = ZoneKey { tag, role: KeyRole::Csk, algorithm, published, signs, retired, removed, private };
        Key::read(&apex(), &plan).unwrap()
    }

    fn apex() -> Name {
        Name::from_ascii("cdn.example.").unwrap()
    }

    fn set(last: u8) -> Vec<Record> {
        let name = Name::from_ascii("Shop.cdn.example.").unwrap();
        vec![Record::from_rdata(name, 20, RData::A(A(Ipv4Addr::new(192, 0, 2, last))))]
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn expiry(data: &RData) -> u32 {
        let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = data else { panic!("{data}") };
        signature.input().sig_expiration.get()
    }

    #[test]
    fn a_signature_is_kept_until_about_half_of_its_life_and_never_past_it() {
        let signatures = Signatures::default();
        let key = key(KeyAlgorithm::EcdsaP256Sha256);
        let signed = |now| signatures.of(&key, &apex(), &set(1), 20, Of::Known, at(now)).unwrap();
        let start = 1_800_000_000;
        let first = signed(start);
        assert_eq!(signed(start + LIFETIME / 2 - 1), first, "kept");
        let second = signed(start + LIFETIME / 2 + JITTER);
        assert!(expiry(&second) > expiry(&first), "renewed");
        let back = signed(start - 86_400);
        assert!(i64::from(expiry(&back)) < start + LIFETIME, "a clock set back makes new ones");
    }

    /// A key that no longer signs.
    struct Lost;

    impl SigningKey for Lost {
        fn sign(&self, _: &TBS) -> DnsSecResult<Vec<u8>> {
            Err("the key is lost".into())
        }

        fn to_public_key(&self) -> DnsSecResult<PublicKeyBuf> {
            Err("the key is lost".into())
        }

        fn algorithm(&self) -> Algorithm {
            Algorithm::ECDSAP256SHA256
        }
    }

    #[test]
    fn what_cannot_be_renewed_is_sent_while_it_holds_and_told() {
        let signatures = Signatures::default();
        let mut key = key(KeyAlgorithm::EcdsaP256Sha256);
        let signed = |key: &Key, now| signatures.of(key, &apex(), &set(1), 20, Of::Known, at(now));
        let start = 1_800_000_000;
        let first = signed(&key, start).unwrap();
        key.replace_pair(Box::new(Lost));
        assert_eq!((signed(&key, start + 60), signatures.take_late()), (Ok(first.clone()), 0), "not to be renewed yet");
        let late = start + LIFETIME / 2 + JITTER;
        assert_eq!((signed(&key, late), signatures.take_late()), (Ok(first), 1), "it holds");
        assert_eq!(signed(&key, start + LIFETIME), Err(Unsigned::Failed), "it has expired");
    }

    #[test]
    fn names_that_only_were_asked_for_are_signed_so_often_a_second() {
        let signatures = Signatures::default();
        let key = key(KeyAlgorithm::Ed25519);
        let signed = |ttl: u32, network: u32, transport, now| {
            let of = Of::Stranger { transport, resolver: IpAddr::from((network << 8).to_be_bytes()) };
            signatures.of(&key, &apex(), &set(1), ttl, of, at(now)).map(drop)
        };
        let (udp, tcp, now) = (Transport::Udp, Transport::Tcp, 1_800_000_000);
        let of_one = limits::DNS_STRANGERS_OF_ONE;
        let results: Vec<_> = (0..=of_one).map(|ttl| signed(ttl, 1, udp, now)).collect();
        let (last, others) = results.split_last().unwrap();
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(*last, Err(Unsigned::Busy), "one network has had its part");
        assert_eq!(signed(0, 1, udp, now), Ok(()), "what was signed before costs nothing");
        assert_eq!(signed(of_one, 2, udp, now), Ok(()), "others have theirs");
        let most = u32::try_from(limits::DNS_STRANGERS_SIGNED).unwrap();
        let all: Vec<_> = (of_one + 1..=most).map(|ttl| signed(ttl, ttl, udp, now)).collect();
        assert_eq!(all.iter().filter(|result| result.is_ok()).count(), usize::try_from(most - of_one - 1).unwrap());
        assert_eq!(signed(most + 1, 3, udp, now), Err(Unsigned::Busy), "all networks have had theirs");
        assert_eq!(signed(most + 1, 3, tcp, now), Ok(()), "connections have a budget of their own");
        assert_eq!(signed(most + 2, 3, udp, now + 1), Ok(()), "the next second begins anew");
        let old = now + LIFETIME - 1;
        let others: Vec<_> = (0..=of_one).map(|ttl| signed(1_000_000 + ttl, 1, udp, old)).collect();
        assert_eq!(others.last(), Some(&Err(Unsigned::Busy)));
        assert_eq!(signed(0, 1, udp, old), Ok(()), "what cannot be renewed for that is sent while it holds");
    }
}
