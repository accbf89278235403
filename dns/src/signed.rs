//! Signing a reply's record sets, and proving what is not there, for who asks for it.

use std::net::IpAddr;

use hickory_server::proto::dnssec::rdata::DNSSECRData;
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType, SerialNumber};
use jiff::Timestamp;

use crate::arrival::{Arrival, Transport};
use crate::dnssec::{NXNAME, Of, Signer, Unsigned, nsec};
use crate::query::Query;
use crate::reply::{Reply, Reuse};
use crate::view::View;
use crate::zone::Zone;

impl View {
    /// Adds the signatures; a reply that cannot be signed is none (RFC 4035 §3.1).
    pub(crate) fn sign(&self, reply: &mut Reply, query: &Query, arrival: &Arrival) {
        let Some(now) = self.signs_for(query, arrival) else { return };
        let from = (arrival.transport, arrival.resolver);
        let kind = query.question.query_type();
        let answers = self.signed(std::mem::take(&mut reply.message.answers), kind, from, now);
        let authorities = self.signed(std::mem::take(&mut reply.message.authorities), kind, from, now);
        match (answers, authorities) {
            (Ok(answers), Ok(authorities)) => {
                // One that could not be renewed may expire while an answer is kept as bytes.
                let kept = i64::try_from(config::limits::DNS_ANSWERS_KEPT.as_secs()).unwrap_or(i64::MAX);
                let ends = now.as_second().saturating_add(kept);
                if answers.iter().chain(&authorities).any(|record| expires_before(record, ends)) {
                    reply.reuse = Reuse::Never;
                }
                (reply.message.answers, reply.message.authorities) = (answers, authorities);
                if kind == RecordType::RRSIG {
                    reply.message.answers.retain(|record| record.record_type() == RecordType::RRSIG);
                }
            }
            // Who asks from an address of its own comes back over a connection; one that asks too much there loses it.
            (Err(Unsigned::Busy), _) | (_, Err(Unsigned::Busy)) => {
                (reply.is_cut, reply.reuse) = (true, Reuse::Never);
            }
            _ => reply.fail(),
        }
    }

    /// The time to sign at, if signatures are asked for and any zone is signed.
    fn signs_for(&self, query: &Query, arrival: &Arrival) -> Option<Timestamp> {
        (self.zones.are_signed() && query.wants_dnssec()).then(|| Timestamp::try_from(arrival.at).ok()).flatten()
    }

    /// A section of a reply to this type with the signatures behind each record set.
    fn signed(
        &self,
        section: Vec<Record>,
        asked: RecordType,
        (transport, resolver): (Transport, IpAddr),
        now: Timestamp,
    ) -> Result<Vec<Record>, Unsigned> {
        let mut out = Vec::with_capacity(section.len() * 2);
        let same_set = |a: &Record, b: &Record| a.name == b.name && a.record_type() == b.record_type();
        for set in section.chunk_by(same_set) {
            out.extend_from_slice(set);
            let Some(first) = set.first() else { continue };
            let Some((zone, signer)) = self.zone_to_sign(first, asked) else { continue };
            // That a name is not there was allowed before.
            let is_allowed = zone.has(&first.name) || zone.types(&first.name).is_none();
            let of = if is_allowed { Of::Known } else { Of::Stranger { transport, resolver } };
            out.extend(signer.sign(set, zone.original_ttl(first, self.ttl), of, now)?);
        }
        Ok(out)
    }

    /// The signed zone that a record is of; a delegation's NS records are the child's (RFC 4035 §2.2), and an alias made
    /// from a DNAME record is vouched for by that (RFC 6672 §5.3.1).
    fn zone_to_sign(&self, record: &Record, asked: RecordType) -> Option<(&Zone, &Signer)> {
        // That a child has no DS is its parent's to say, also where both are served here.
        let of_parent = asked == RecordType::DS && record.record_type() == RecordType::NSEC;
        let zone = self.zones.having(&record.name, if of_parent { RecordType::DS } else { record.record_type() })?;
        let is_unsigned = match record.record_type() {
            RecordType::NS => !zone.is_apex(&record.name),
            RecordType::CNAME => zone.redirection(&LowerName::new(&record.name)).is_some(),
            _ => false,
        };
        zone.signer.as_deref().filter(|_| !is_unsigned).map(|signer| (zone, signer))
    }

    /// Whether that a name is not there may be proved to who asks for proof. Asked before anything is made: what is too much
    /// is to cost no more than an answer without a proof.
    pub(crate) fn may_deny(&self, zone: &Zone, query: &Query, arrival: &Arrival) -> bool {
        let now = self.signs_for(query, arrival).filter(|_| zone.signer.is_some());
        now.is_none_or(|now| self.signatures.may_sign(arrival.transport, arrival.resolver, now.as_second()))
    }

    /// Proves that a name has no records of this type, or does not exist (RFC 9824 §3).
    pub(crate) fn deny(&self, reply: &mut Reply, zone: &Zone, name: &Name, query: &Query, arrival: &Arrival) {
        if zone.signer.is_none() || self.signs_for(query, arrival).is_none() {
            return;
        }
        let kind = query.question.query_type();
        let types = zone.types(name);
        if types.is_none() && !query.edns.as_ref().is_some_and(|edns| edns.compact_ok) {
            // A code for the name would contradict its NSEC record.
            reply.message.metadata.response_code = ResponseCode::NoError;
        }
        // A zone served here without a delegation to it is there all the same.
        let is_child = kind == RecordType::DS && self.zones.at(name).is_some();
        let types = types.unwrap_or_else(|| vec![if is_child { RecordType::NS } else { NXNAME }]);
        let has = types.into_iter().filter(|other| *other != kind);
        // No longer than the answer that it is part of: that a routed name has no address may soon be otherwise.
        let soa = reply.message.authorities.iter().find(|record| record.record_type() == RecordType::SOA);
        let ttl = soa.map_or(zone.negative().ttl, |soa| soa.ttl);
        match nsec(name, has, ttl) {
            // Of the signatures that are made for each answer, the one that is always there; as for NSEC, to deny them would
            // contradict what says so.
            Some(record) if matches!(kind, RecordType::NSEC | RecordType::RRSIG) && zone.types(name).is_some() => {
                reply.message.authorities.clear();
                reply.message.answers.push(record);
            }
            Some(record) => reply.message.authorities.push(record),
            None => reply.fail(),
        }
    }

    /// Tells a delegation's DS records, or proves that it has none (RFC 4035 §3.1.4).
    pub(crate) fn vouch(&self, reply: &mut Reply, zone: &Zone, servers: &[Record], query: &Query, arrival: &Arrival) {
        let Some(cut) = servers.first().map(|server| &server.name) else { return };
        if zone.signer.is_none() || self.signs_for(query, arrival).is_none() {
            return;
        }
        let ds = zone.delegation_signer(cut);
        if ds.is_empty() {
            let types = [RecordType::NS];
            reply.message.authorities.extend(nsec(cut, types, zone.negative().ttl));
        } else {
            reply.message.authorities.extend_from_slice(ds);
        }
    }

    /// Until when answers may be kept: signatures are renewed, and keys change.
    pub(crate) fn good_until(&self, now: std::time::SystemTime) -> std::time::SystemTime {
        let at_most = now + config::limits::DNS_ANSWERS_KEPT;
        let changes = Timestamp::try_from(now).ok().and_then(|now| self.zones.keys_change_after(now));
        changes.map_or(at_most, |changes| std::time::SystemTime::from(changes).min(at_most))
    }
}

/// Whether a record is a signature that expires before a time, in Unix seconds.
fn expires_before(record: &Record, time: i64) -> bool {
    let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return false };
    // Serial numbers of seconds (RFC 4034 §3.1.5).
    let time = u32::try_from(time & 0xffff_ffff).unwrap_or(0);
    signature.input().sig_expiration < SerialNumber::new(time)
}

#[cfg(test)]
mod tests;
