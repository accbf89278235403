//! DNSSEC: answers signed when they are asked for (RFC 4033 to 4035), denial compact (RFC 9824).
//!
//! ```text
//! reply ─> its record sets ─┬─ signed before, still good ─> RRSIG
//!                           └─ else ─> budget (names that are not there) ─> key ─> RRSIG, kept
//! ```
//!
//! Every variant of a routed answer is a record set of its own, signed once for all who get it.

use std::net::IpAddr;
use std::sync::Arc;

use config::ZoneKeys;
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use jiff::Timestamp;

mod canonical;
mod denial;
mod key;
mod signatures;

pub(crate) use denial::{NXNAME, nsec};
pub(crate) use signatures::{Signatures, Unsigned};

pub use key::{KeyFault, ds_record, make_key, tag_of};

use key::Key;

use crate::arrival::Transport;

/// How long resolvers keep the zone's keys.
pub const KEY_TTL: u32 = 3_600;

/// As long again for slow name servers and clocks.
const _: () = assert!(config::KEY_SETTLES.as_secs() >= 2 * KEY_TTL as u64);

/// What signs a zone.
#[derive(Debug)]
pub(crate) struct Signer {
    apex: Name,
    plan: ZoneKeys,
    keys: Vec<Key>,
    signatures: Arc<Signatures>,
}

/// Where a record set came from, and what that allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// A name that is in the zone: there are only so many.
    Known,
    /// One that only was asked for: how, and by whom.
    Stranger { transport: Transport, resolver: IpAddr },
}

impl Signer {
    pub(crate) fn new(apex: &Name, keys: &ZoneKeys, signatures: &Arc<Signatures>) -> Result<Self, KeyFault> {
        let plan = keys.clone();
        let keys = plan.keys.iter().map(|key| Key::read(apex, key)).collect::<Result<_, _>>()?;
        Ok(Self { apex: apex.clone(), plan, keys, signatures: Arc::clone(signatures) })
    }

    /// The zone's own records of a type that the keys make: DNSKEY, CDS (RFC 7344) and CDNSKEY.
    pub(crate) fn records(&self, kind: RecordType, now: Timestamp) -> Option<Vec<Record>> {
        let data: Vec<RData> = match kind {
            RecordType::DNSKEY => self.published(now).map(Key::dnskey).collect(),
            RecordType::CDS => self.entry(now).and_then(|key| key.cds(&self.apex)).into_iter().collect(),
            RecordType::CDNSKEY => self.entry(now).map(Key::cdnskey).into_iter().collect(),
            _ => return None,
        };
        Some(data.into_iter().map(|data| Record::from_rdata(self.apex.clone(), KEY_TTL, data)).collect())
    }

    /// The time by which keys are chosen. Before the first is to sign it does so all the same: the clock is wrong, and an
    /// unsigned zone is no zone to who validates.
    fn chosen_at(&self, now: Timestamp) -> Timestamp {
        self.plan.begin().map_or(now, |begin| begin.max(now))
    }

    fn published(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        let now = self.chosen_at(now);
        self.keys.iter().filter(move |key| key.plan.is_published(now))
    }

    fn entry(&self, now: Timestamp) -> Option<&Key> {
        let tag = self.plan.entry(self.chosen_at(now))?.tag;
        self.keys.iter().find(|key| key.plan.tag == tag)
    }

    /// Signs a record set, by each key that is to: the RRSIG records.
    pub(crate) fn sign(
        &self,
        set: &[Record],
        original_ttl: u32,
        of: Of,
        now: Timestamp,
    ) -> Result<Vec<Record>, Unsigned> {
        let Some(first) = set.first() else { return Ok(Vec::new()) };
        // RFC 4035 §2.2 and RFC 7344 §4.1: by a key that the parent vouches for.
        let by_entry = matches!(first.record_type(), RecordType::DNSKEY | RecordType::CDS | RecordType::CDNSKEY);
        let at = self.chosen_at(now);
        let signs = |key: &&Key| if by_entry { key.plan.role.is_entry() } else { key.plan.is_signing(at) };
        let mut records = Vec::new();
        for key in self.published(now).filter(signs) {
            let data = self.signatures.of(key, &self.apex, set, original_ttl, of, now)?;
            records.push(Record::from_rdata(first.name.clone(), first.ttl, data));
        }
        if records.is_empty() { Err(Unsigned::NoKey) } else { Ok(records) }
    }

    /// From when on there is a key that signs, if that is yet to come.
    pub(crate) fn begins_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.plan.begin().filter(|begin| now < *begin)
    }

    /// When another key begins or ends to do something.
    pub(crate) fn changes_after(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.plan.keys.iter().flat_map(|key| key.times().chain([key.settled()]));
        times.filter(|time| *time > now).min()
    }
}
