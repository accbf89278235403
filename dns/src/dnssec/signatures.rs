//! Signatures, kept until they are to be renewed.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use config::limits;
use hickory_server::proto::dnssec::rdata::{DNSSECRData, RRSIG, SigInput};
use hickory_server::proto::rr::{Name, RData, Record, SerialNumber};
use jiff::Timestamp;
use moka::sync::Cache;

use super::Of;
use super::canonical::signed_bytes;
use super::key::Key;

/// All signatures of a name server, by what was signed and by which key. It outlives views: what has not changed is not
/// signed again.
pub(crate) struct Signatures {
    made: Cache<Arc<[u8]>, Signature>,
    jitter: RandomState,
    /// For names that only were asked for, by datagrams and over connections: whoever asks from false addresses
    /// leaves the others theirs.
    budgets: [Budget; 2],
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
        if let Of::Stranger { over_connection } = of
            && !self.budgets.get(usize::from(over_connection)).is_some_and(|budget| budget.take(now))
        {
            return Err(Unsigned::Busy);
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
            None => before.map(|before| before.rdata()).ok_or(Unsigned::Failed),
        }
    }
}

impl Default for Signatures {
    fn default() -> Self {
        let weigh = |name: &Arc<[u8]>, _: &Signature| u32::try_from(name.len() + SIGNATURE_BYTES).unwrap_or(u32::MAX);
        let made = Cache::builder().weigher(weigh).max_capacity(limits::DNS_SIGNATURE_BYTES).build();
        Self { made, jitter: RandomState::new(), budgets: [Budget::default(), Budget::default()] }
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

    #[test]
    fn names_that_only_were_asked_for_are_signed_so_often_a_second() {
        let signatures = Signatures::default();
        let key = key(KeyAlgorithm::Ed25519);
        let signed = |last: u8, ttl, over_connection, now| {
            let of = Of::Stranger { over_connection };
            signatures.of(&key, &apex(), &set(last), ttl, of, at(now)).map(drop)
        };
        let asked = (0..).take(usize::try_from(limits::DNS_STRANGERS_SIGNED).unwrap() + 1);
        let results: Vec<_> = asked.map(|ttl| signed(1, ttl, false, 1_800_000_000)).collect();
        let (last, others) = results.split_last().unwrap();
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(*last, Err(Unsigned::Busy));
        assert_eq!(signed(1, 0, false, 1_800_000_000), Ok(()), "what was signed before costs nothing");
        assert_eq!(signed(2, 0, true, 1_800_000_000), Ok(()), "connections have a budget of their own");
        assert_eq!(signed(2, 1, false, 1_800_000_001), Ok(()), "the next second begins anew");
    }
}
