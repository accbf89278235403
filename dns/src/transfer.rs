//! Handing plain zones to secondaries: whole (AXFR, RFC 5936), or what has changed (IXFR, RFC 1995).
//!
//! ```text
//! AXFR   SOA, every record, SOA
//! IXFR   SOA, for each change: SOA before, what went, SOA after, what came; SOA
//! ```
//!
//! Records are put into messages as these are written: a large zone holds nobody up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use hickory_server::proto::op::{Header, HeaderCounts, Message, MessageType, Metadata, OpCode, Query as Question};
use hickory_server::proto::rr::{DNSClass, RData, Record, RecordType, SerialNumber};
use hickory_server::proto::serialize::binary::{BinEncodable, BinEncoder};

use crate::arrival::{Arrival, Transport, seconds};
use crate::query::Query;
use crate::reply::Reply;
#[cfg(test)]
use crate::tsig::Key;
use crate::tsig::{self, Session};
use crate::view::{View, same};
use crate::withheld::Withheld;
use crate::zone::{Change, Zone};

/// A transfer that has been asked for and is allowed: its messages, in order.
#[derive(Debug)]
pub struct Transfer {
    zone: Arc<Zone>,
    metadata: Metadata,
    question: Option<Question>,
    session: Option<Session>,
    parts: VecDeque<Part>,
    /// Records of the part that is under way.
    records: VecDeque<Record>,
    /// How far the zone's names have been told.
    names: usize,
}

#[derive(Debug)]
enum Part {
    Soa(Box<Record>),
    Removed(Arc<Change>),
    Added(Arc<Change>),
    Everything,
}

/// Names are compressed by pointers into the first 16 KiB of a message (RFC 1035 §4.1.4).
const MESSAGE_BYTES: usize = 16 << 10;
const HEADER: usize = 12;

impl View {
    /// The transfer that a message asks for; `None` where it asks for none, or may not have it: then
    /// [`View::answer`] says so.
    #[must_use]
    pub fn transfer(&self, message: &[u8], arrival: &Arrival) -> Option<Transfer> {
        if !matches!(arrival.transport, Transport::Tcp | Transport::Tls | Transport::Quic) || !asks_for_one(message) {
            return None;
        }
        let session = match tsig::open(self.transfers.keys(), message, arrival.seconds().into()) {
            None => None,
            Some(Ok(session)) => Some(session),
            Some(Err(_)) => return None,
        };
        let asked = Message::from_vec(message).ok()?;
        let question = asked.queries.first()?;
        if asked.metadata.op_code != OpCode::Query || question.query_class() != DNSClass::IN {
            return None;
        }
        let zone = self.zone_for(question, arrival, session.as_ref()).ok()?;
        let mut metadata = Metadata::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        metadata.authoritative = true;
        let parts = match question.query_type() {
            RecordType::IXFR => changes(zone, &asked),
            _ => whole(zone),
        };
        Some(Transfer {
            zone: Arc::clone(zone),
            metadata,
            question: Some(question.clone()),
            session,
            parts: parts.into(),
            records: VecDeque::new(),
            names: 0,
        })
    }
}

impl View {
    /// Why a transfer that was asked for over a connection is refused; `None` where that is not for zone, address or key.
    #[must_use]
    pub fn withheld(&self, message: &[u8], arrival: &Arrival) -> Option<Withheld> {
        let signed = tsig::open(self.transfers.keys(), message, arrival.seconds().into());
        let asked = Message::from_vec(message).ok()?;
        let session = signed.as_ref().and_then(|signed| signed.as_ref().ok());
        match (signed.as_ref(), self.zone_for(asked.queries.first()?, arrival, session)) {
            // What is signed badly is taken for not signed.
            (Some(Err(refusal)), Ok(_) | Err(Withheld::Unsigned)) => Some(refusal.why()),
            (_, zone) => zone.err(),
        }
    }

    /// The zone of a question for a transfer, if who asks may have it.
    fn zone_for(
        &self,
        question: &Question,
        arrival: &Arrival,
        session: Option<&Session>,
    ) -> Result<&Arc<Zone>, Withheld> {
        let zone = self.zones.at(question.name()).filter(|zone| zone.is_for_secondaries() && zone.is_plain());
        let zone = zone.ok_or(Withheld::Zone)?;
        self.transfers.allow(zone.apex(), arrival, session)?;
        Ok(zone)
    }

    /// Answers IXFR by a datagram, from who may have the zone, with the version of now: what has changed is had over
    /// a connection (RFC 1995 §2). Whether it did.
    pub(crate) fn tells_version(
        &self,
        reply: &mut Reply,
        query: &Query,
        arrival: &Arrival,
        session: Option<&Session>,
    ) -> bool {
        let is_asked = query.question.query_type() == RecordType::IXFR && arrival.transport == Transport::Udp;
        let zone = self.zone_for(&query.question, arrival, session).ok().filter(|_| is_asked);
        if let Some(zone) = zone {
            reply.message.answers.push(zone.soa().clone());
            reply.facts.same = same(zone, query, reply);
        }
        zone.is_some()
    }
}

/// Whether a message's type is AXFR or IXFR, as far as can be told without reading it all.
fn asks_for_one(message: &[u8]) -> bool {
    let kind = domain::base::Message::from_slice(message).ok().and_then(|message| message.sole_question().ok());
    kind.is_some_and(|question| {
        matches!(RecordType::from(question.qtype().to_int()), RecordType::AXFR | RecordType::IXFR)
    })
}

fn soa(record: &Record) -> Part {
    Part::Soa(Box::new(record.clone()))
}

fn whole(zone: &Zone) -> Vec<Part> {
    vec![soa(zone.soa()), Part::Everything, soa(zone.soa())]
}

/// What has changed since the version that is told in the question's authority section; the whole zone where that is
/// not known any more (RFC 1995 §4).
fn changes(zone: &Zone, asked: &Message) -> Vec<Part> {
    let theirs = asked.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(SerialNumber::new(soa.serial)),
        _ => None,
    });
    let Some(theirs) = theirs else { return whole(zone) };
    if theirs >= zone.serial() {
        // "the same or newer": one record (RFC 1995 §2).
        return vec![soa(zone.soa())];
    }
    let mut parts = vec![soa(zone.soa())];
    for change in zone.changes().iter().skip_while(|change| change.before_serial() != theirs) {
        parts.push(soa(&change.before));
        parts.push(Part::Removed(Arc::clone(change)));
        parts.push(soa(&change.after));
        parts.push(Part::Added(Arc::clone(change)));
    }
    parts.push(soa(zone.soa()));
    if parts.len() > 2 { parts } else { whole(zone) }
}

impl Transfer {
    /// The zone's name.
    #[must_use]
    pub fn zone(&self) -> String {
        self.zone.apex().to_string()
    }

    fn record(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Some(record);
            }
            match self.parts.front()? {
                Part::Soa(soa) => self.records.push_back(Record::clone(soa)),
                Part::Removed(change) => self.records.extend(change.removed.iter().cloned()),
                Part::Added(change) => self.records.extend(change.added.iter().cloned()),
                Part::Everything => {
                    if let Some(records) = self.zone.records_of(self.names) {
                        self.records.extend(records.cloned());
                        self.names += 1;
                        continue;
                    }
                }
            }
            self.parts.pop_front();
        }
    }

    /// The next message, signed at this time if its request was; `None` where nothing is left.
    pub(crate) fn next(&mut self, now: SystemTime) -> Option<Vec<u8>> {
        let mut bytes = self.message()?;
        if let Some(session) = &mut self.session {
            session.sign(&mut bytes, seconds(now).into())?;
        }
        Some(bytes)
    }

    fn message(&mut self) -> Option<Vec<u8>> {
        let first = self.record()?;
        let question = self.question.take();
        let mut bytes = vec![0; HEADER];
        let mut counts = HeaderCounts { queries: question.iter().count().try_into().ok()?, ..HeaderCounts::default() };
        let mut encoder = BinEncoder::with_offset(&mut bytes, u32::try_from(HEADER).ok()?);
        question.map(|question| question.emit(&mut encoder)).transpose().ok()?;
        let mut next = Some(first);
        let mut end = encoder.len();
        while let Some(record) = next {
            if record.emit(&mut encoder).is_err() {
                // It has no room behind the others.
                self.records.push_front(record);
                break;
            }
            counts.answers += 1;
            end = encoder.len();
            next = (end < MESSAGE_BYTES).then(|| self.record()).flatten();
        }
        bytes.truncate(end);
        if counts.answers == 0 {
            return None;
        }
        let mut header = Vec::with_capacity(HEADER);
        Header { metadata: self.metadata, counts }.emit(&mut BinEncoder::new(&mut header)).ok()?;
        bytes.get_mut(..HEADER)?.copy_from_slice(&header);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests;
