//! Telling secondaries that a zone has changed (NOTIFY, RFC 1996).

use std::net::SocketAddr;

use hickory_server::proto::op::{Message, MessageType, Metadata, OpCode, Query as Question};
use hickory_server::proto::rr::{Name, Record, RecordType};

use crate::tsig::Key;
use crate::view::View;

/// What one secondary is to be told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Whom.
    pub target: SocketAddr,
    soa: Record,
    key: Option<Key>,
}

impl View {
    /// Who is to be told what has changed since `before`, or, without one, which versions there are.
    #[must_use]
    pub fn notices(&self, before: Option<&Self>) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (apex, zone) in self.zones.for_secondaries() {
            let earlier = before.and_then(|before| before.zones.at(&Name::from(apex.clone())));
            if earlier.is_some_and(|earlier| earlier.serial() == zone.serial()) {
                continue;
            }
            for (target, key) in self.transfers.told_of(apex) {
                notices.push(Notice { target, soa: zone.soa().clone(), key: key.cloned() });
            }
        }
        notices
    }
}

impl Notice {
    /// The zone's name.
    #[must_use]
    pub fn zone(&self) -> String {
        self.soa.name.to_string()
    }

    /// The message, with an id; `now` in seconds since 1970.
    #[must_use]
    pub fn message(&self, id: u16, now: u64) -> Option<Vec<u8>> {
        let mut metadata = Metadata::new(id, MessageType::Query, OpCode::Notify);
        metadata.authoritative = true;
        let mut message = Message::query();
        message.metadata = metadata;
        message.add_query(Question::query(self.soa.name.clone(), RecordType::SOA));
        message.answers.push(self.soa.clone());
        let mut bytes = message.to_vec().ok()?;
        if let Some(key) = &self.key {
            key.sign(&mut bytes, now)?;
        }
        Some(bytes)
    }

    /// The response code of a message that is the answer to it; whatever it is, asking again is of no use
    /// (RFC 1996 §4.8).
    #[must_use]
    pub fn answer_of(&self, reply: &[u8], id: u16) -> Option<u8> {
        let [high, low, flags, more_flags, ..] = reply else { return None };
        (u16::from_be_bytes([*high, *low]) == id && flags & 0x80 != 0).then_some(more_flags & 0x0f)
    }
}
