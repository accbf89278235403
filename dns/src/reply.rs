//! Replies: composing and cutting them.

use hickory_server::proto::op::{Edns as OutEdns, Message, Query as Question, ResponseCode};
use hickory_server::proto::rr::rdata::opt::EdnsOption;

use config::limits;
use mapping::{Basis, Cause, Family, PopIndex};

use crate::query::{Asked, Dnssec, Envelope, Query, SCOPE_AT, Subnet};

/// A reply, and what is counted and logged about it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The message.
    pub message: Message,
    /// What it was about.
    pub facts: Facts,
    /// The largest UDP reply the asker takes.
    pub(crate) payload: u16,
    /// For whom else it is the answer.
    pub(crate) reuse: Reuse,
    /// Whether it is to be asked for again over a connection, whatever its size.
    pub(crate) is_cut: bool,
}

/// For whom else the records of a reply are the answer to the same question, by the same view and fitness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// For nobody that can be told.
    #[default]
    Never,
    /// For everybody.
    Always,
    /// For whoever is sent to this PoP for this site, on the same basis and with the same turn.
    Routed { site: usize, family: Family, pop: PopIndex, basis: Basis },
}

/// What is counted and logged about a reply.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The PoP of the answer.
    pub pop: Option<PopIndex>,
    /// Why that PoP.
    pub cause: Option<Cause>,
    /// The client subnet that was sent along.
    pub subnet: Option<Subnet>,
    /// The scope that was answered.
    pub scope: u8,
}

/// The option's code (RFC 7871 §6).
pub(crate) const CLIENT_SUBNET: u16 = 8;
/// The least a requestor may announce (RFC 6891 §6.2.3).
pub(crate) const LEAST_PAYLOAD: u16 = 512;

impl Reply {
    /// An empty authoritative reply to a query.
    pub(crate) fn to(query: &Query) -> Self {
        let mut message = bare(&query.envelope, Some(&query.question));
        message.metadata.authoritative = true;
        let mut payload = LEAST_PAYLOAD;
        let mut facts = Facts::default();
        if let Some(edns) = &query.edns {
            payload = edns.payload.clamp(LEAST_PAYLOAD, limits::DNS_UDP_BYTES);
            facts.subnet.clone_from(&edns.subnet);
            message.edns = Some(opt(edns.dnssec));
        }
        Self { message, facts, payload, reuse: Reuse::Never, is_cut: false }
    }

    /// A reply that only refuses.
    pub(crate) fn refusing(envelope: &Envelope, question: Option<&Question>, asked: Asked, code: ResponseCode) -> Self {
        let mut message = bare(envelope, question);
        message.metadata.response_code = code;
        message.edns = match asked {
            Asked::WithEdns(dnssec) => Some(opt(dnssec)),
            Asked::Plainly => None,
        };
        Self { message, facts: Facts::default(), payload: LEAST_PAYLOAD, reuse: Reuse::Never, is_cut: false }
    }

    /// Leaves nothing but that it could not be answered.
    pub(crate) fn fail(&mut self) {
        self.message.metadata.response_code = ResponseCode::ServFail;
        for section in [&mut self.message.answers, &mut self.message.authorities, &mut self.message.additionals] {
            section.clear();
        }
        self.reuse = Reuse::Never;
    }

    /// Adds the client subnet option: the query's, with our scope (RFC 7871 §7.2.1).
    pub(crate) fn seal(&mut self) {
        let (Some(edns), Some(subnet)) = (self.message.edns.as_mut(), self.facts.subnet.as_ref()) else {
            return;
        };
        let mut wire = subnet.wire.clone();
        if let Some(scope) = wire.get_mut(SCOPE_AT) {
            *scope = self.facts.scope;
        }
        edns.options_mut().insert(EdnsOption::Unknown(CLIENT_SUBNET, wire));
    }

    /// The bytes for UDP. What does not fit is cut to the question and OPT, with TC set, so that
    /// the asker comes back by TCP knowing our limits and scope.
    #[must_use]
    pub fn to_udp(&self) -> Option<Vec<u8>> {
        if self.is_cut {
            return self.cut();
        }
        let bytes = self.message.to_vec().ok()?;
        if bytes.len() <= usize::from(self.payload) {
            return Some(bytes);
        }
        self.cut()
    }

    /// The bytes for TCP: the length in two bytes, then the message (RFC 1035 §4.2.2). What is
    /// longer than a length can tell is cut as for UDP.
    #[must_use]
    pub fn to_tcp(&self) -> Option<Vec<u8>> {
        let mut bytes = self.message.to_vec().ok()?;
        if bytes.len() > usize::from(u16::MAX) {
            bytes = self.cut()?;
        }
        let length = u16::try_from(bytes.len()).ok()?;
        bytes.splice(..0, length.to_be_bytes());
        Some(bytes)
    }

    /// The question and OPT alone, with TC set.
    fn cut(&self) -> Option<Vec<u8>> {
        let mut cut = self.message.clone();
        cut.answers.clear();
        cut.authorities.clear();
        cut.additionals.clear();
        cut.metadata.truncation = true;
        cut.to_vec().ok()
    }
}

fn bare(envelope: &Envelope, question: Option<&Question>) -> Message {
    let mut message = Message::response(envelope.id, envelope.opcode);
    message.metadata = envelope.metadata();
    if let Some(question) = question {
        message.add_query(question.clone());
    }
    message
}

fn opt(dnssec: Dnssec) -> OutEdns {
    let mut edns = OutEdns::new();
    edns.set_dnssec_ok(dnssec == Dnssec::Ok);
    edns.set_max_payload(limits::DNS_UDP_BYTES);
    edns
}
