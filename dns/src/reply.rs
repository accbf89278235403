//! Replies: composing and cutting them.

use std::net::IpAddr;

use hickory_server::proto::op::{Edns as OutEdns, Message, Query as Question, ResponseCode};
use hickory_server::proto::rr::rdata::opt::EdnsOption;

use config::limits;
use mapping::{Basis, Cause, Family, PopIndex};

use crate::arrival::{Arrival, Transport};
use crate::cookie::{COOKIE, Standing};
use crate::ecs::Asker;
use crate::identity::Identity;
use crate::limiter::Same;
use crate::query::{Asked, Dnssec, Edns, Envelope, Query, SCOPE_AT, Subnet};
use crate::tsig::{self, Refusal, Session};

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
    /// Whether its length is to tell less.
    is_padded: bool,
    /// What it is signed with, and when, if its query was.
    signed: Option<(Result<Session, Refusal>, u64)>,
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
    /// Which other replies are the same to a limit.
    pub(crate) same: Same,
    /// Whether the asker has shown that replies reach it.
    pub(crate) standing: Standing,
}

impl Facts {
    /// Whom a PoP was chosen for: the client of its subnet, or the resolver.
    #[must_use]
    pub fn client(&self, resolver: IpAddr) -> IpAddr {
        Asker::new(self.subnet.as_ref(), resolver).address
    }
}

/// Why something is not answered, for people who look (RFC 8914 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Signatures could not be made.
    Unsigned = 10,
    /// The asker may not have it.
    Prohibited = 18,
    /// The name is in no zone served here.
    NotAuthoritative = 20,
    /// Nobody can have that here.
    NotSupported = 21,
}

/// The option's code (RFC 7871 §6).
pub(crate) const CLIENT_SUBNET: u16 = 8;
/// Name server identifier (RFC 5001 §2.3).
pub(crate) const NSID: u16 = 3;
/// How long a connection may be idle, in tenths of a second (RFC 7828 §3.1).
pub(crate) const KEEPALIVE: u16 = 11;
/// Padding (RFC 7830 §3).
const PADDING: u16 = 12;
/// Servers "SHOULD pad the corresponding response to a multiple of 468 octets" (RFC 8467 §4.1).
const PADDED_TO: usize = 468;
/// Extended DNS error (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;
/// Compact answers OK, in the flags of OPT (RFC 9824 §7.2): said to who says it.
pub(crate) const COMPACT_OK: u16 = 0x4000;
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
            let mut opt = opt(edns.dnssec);
            opt.flags_mut().z = if edns.compact_ok { COMPACT_OK } else { 0 };
            message.edns = Some(opt);
        }
        Self { message, facts, payload, reuse: Reuse::Never, is_cut: false, is_padded: false, signed: None }
    }

    /// A reply that only refuses.
    pub(crate) fn refusing(envelope: &Envelope, question: Option<&Question>, asked: Asked, code: ResponseCode) -> Self {
        let mut message = bare(envelope, question);
        message.metadata.response_code = code;
        message.edns = match asked {
            Asked::WithEdns(dnssec) => Some(opt(dnssec)),
            Asked::Plainly => None,
        };
        Self::without_records(message)
    }

    /// A reply to who only asks for a cookie (RFC 7873 §5.4).
    pub(crate) fn greeting(envelope: &Envelope, edns: &Edns) -> Self {
        let mut message = bare(envelope, None);
        message.edns = Some(opt(edns.dnssec));
        Self::without_records(message)
    }

    fn without_records(message: Message) -> Self {
        let facts = Facts { same: Same::Refusal, ..Facts::default() };
        let (payload, reuse) = (LEAST_PAYLOAD, Reuse::Never);
        Self { message, facts, payload, reuse, is_cut: false, is_padded: false, signed: None }
    }

    /// Refuses, and says why.
    pub(crate) fn refuse(&mut self, why: Why) {
        self.message.metadata.authoritative = false;
        self.message.metadata.response_code = ResponseCode::Refused;
        self.facts.same = Same::Refusal;
        self.say(why);
    }

    /// Says why, to who takes options.
    pub(crate) fn say(&mut self, why: Why) {
        self.add(EXTENDED_ERROR, (why as u16).to_be_bytes().to_vec());
    }

    fn add(&mut self, code: u16, option: Vec<u8>) {
        if let Some(edns) = self.message.edns.as_mut() {
            edns.options_mut().insert(EdnsOption::Unknown(code, option));
        }
    }

    /// Leaves nothing but that it could not be answered.
    pub(crate) fn fail(&mut self) {
        self.say(Why::Unsigned);
        self.message.metadata.response_code = ResponseCode::ServFail;
        for section in [&mut self.message.answers, &mut self.message.authorities, &mut self.message.additionals] {
            section.clear();
        }
        self.reuse = Reuse::Never;
    }

    /// Adds the client subnet option: the query's, with our scope (RFC 7871 §7.2.1).
    pub(crate) fn seal(&mut self) {
        let Some(subnet) = &self.facts.subnet else { return };
        let mut wire = subnet.wire.clone();
        if let Some(scope) = wire.get_mut(SCOPE_AT) {
            *scope = self.facts.scope;
        }
        self.add(CLIENT_SUBNET, wire);
    }

    /// Adds the options that were asked for.
    pub(crate) fn introduce(&mut self, identity: &Identity, edns: &Edns, arrival: &Arrival) {
        if let Some(cookie) = &edns.cookie {
            let (option, standing) = identity.cookies.answer(cookie, arrival.resolver, arrival.seconds());
            self.facts.standing = standing;
            self.add(COOKIE, option.to_vec());
        }
        if edns.asks.nsid && !identity.id.is_empty() {
            self.add(NSID, identity.id.as_bytes().to_vec());
        }
        // "MUST NOT" be sent by datagrams (RFC 7828 §3.2.2).
        if edns.asks.keepalive && matches!(arrival.transport, Transport::Tcp | Transport::Tls) {
            let tenths = u16::try_from(limits::DNS_TCP_IDLE.as_millis() / 100).unwrap_or(u16::MAX);
            self.add(KEEPALIVE, tenths.to_be_bytes().to_vec());
        }
        self.is_padded = edns.asks.padding && arrival.transport.is_encrypted();
    }

    /// The message, padded where that was asked for.
    fn composed(&self) -> Option<Vec<u8>> {
        let bytes = self.message.to_vec().ok()?;
        if !self.is_padded {
            return Some(bytes);
        }
        // With the option's own four bytes, and what is signed behind it.
        let length = bytes.len() + 4 + self.overhead();
        let mut padded = self.clone();
        padded.add(PADDING, vec![0; length.next_multiple_of(PADDED_TO) - length]);
        padded.message.to_vec().ok()
    }

    /// The bytes for UDP. What does not fit is cut to the question and OPT, with TC set, so that
    /// the asker comes back by TCP knowing our limits and scope.
    #[must_use]
    pub fn to_udp(&self) -> Option<Vec<u8>> {
        if self.is_cut {
            return self.cut();
        }
        let bytes = self.message.to_vec().ok()?;
        if bytes.len() + self.overhead() <= usize::from(self.payload) {
            return self.signed(bytes);
        }
        self.cut()
    }

    /// The bytes for TCP, or nothing where the connection is to be closed: the length in two bytes, then the message (RFC 1035 §4.2.2). What is
    /// longer than a length can tell is cut as for UDP.
    #[must_use]
    pub fn to_tcp(&self) -> Option<Vec<u8>> {
        if self.is_cut {
            // To be asked for again elsewhere: there is no better way to say that here.
            return None;
        }
        let mut bytes = self.to_stream()?;
        let length = u16::try_from(bytes.len()).ok()?;
        bytes.splice(..0, length.to_be_bytes());
        Some(bytes)
    }

    /// As [`Self::to_tcp`], without the length.
    #[must_use]
    pub fn to_stream(&self) -> Option<Vec<u8>> {
        if self.is_cut {
            return None;
        }
        let bytes = self.composed()?;
        if bytes.len() + self.overhead() > usize::from(u16::MAX) { self.cut() } else { self.signed(bytes) }
    }

    /// The question and OPT alone, with TC set.
    pub(crate) fn cut(&self) -> Option<Vec<u8>> {
        let mut cut = self.message.clone();
        cut.answers.clear();
        cut.authorities.clear();
        cut.additionals.clear();
        cut.metadata.truncation = true;
        self.signed(cut.to_vec().ok()?)
    }

    /// Signs it as its query was (RFC 8945 §5.3), or, where that was not signed well, says so alone.
    pub(crate) fn seal_with(&mut self, signed: Result<Session, Refusal>, now: u64) {
        if let Err(refusal) = &signed {
            let message = &mut self.message;
            [&mut message.answers, &mut message.authorities, &mut message.additionals].into_iter().for_each(Vec::clear);
            message.metadata.response_code = refusal.code();
            self.facts.same = Same::Refusal;
        }
        self.reuse = Reuse::Never;
        self.signed = Some((signed, now));
    }

    fn overhead(&self) -> usize {
        self.signed.as_ref().map_or(0, |_| tsig::MOST_BYTES)
    }

    fn signed(&self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        match &self.signed {
            None => {}
            Some((Ok(session), now)) => session.clone().sign(&mut bytes, *now)?,
            Some((Err(refusal), _)) => refusal.add(&mut bytes)?,
        }
        Some(bytes)
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

#[cfg(test)]
mod tests {
    use hickory_server::proto::op::Message;
    use hickory_server::proto::op::{Edns as AskedEdns, Query as AskedQuery};
    use hickory_server::proto::rr::rdata::opt::EdnsCode;
    use hickory_server::proto::rr::{DNSClass, Name, RecordType};

    use super::*;
    use crate::Cookies;
    use crate::view::tests::view;

    /// A query with these options.
    fn query(name: &str, (class, kind): (DNSClass, RecordType), options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = Message::query();
        let mut question = AskedQuery::query(Name::from_ascii(name).unwrap(), kind);
        question.set_query_class(class);
        message.add_query(question);
        let mut edns = AskedEdns::new();
        for (code, option) in options {
            edns.options_mut().insert(EdnsOption::Unknown(*code, option.to_vec()));
        }
        message.set_edns(edns);
        message.to_vec().unwrap()
    }

    fn options(reply: &Reply) -> Vec<(u16, Vec<u8>)> {
        let edns = reply.message.edns.as_ref().unwrap();
        let told = |(code, option): &(EdnsCode, EdnsOption)| (u16::from(*code), Vec::<u8>::try_from(option).unwrap());
        edns.options().as_ref().iter().map(told).collect()
    }

    #[test]
    fn who_asks_for_an_option_gets_it_where_it_is_due() {
        let view = view().with_identity(Identity { id: "ns1".into(), cookies: Cookies::new([1; 16]) });
        let (by_udp, by_tcp) = (Arrival::by_udp([10, 0, 0, 1].into()), Arrival::by_tcp([10, 0, 0, 1].into()));
        let (www, a) = ("www.shop.example.", (DNSClass::IN, RecordType::A));
        for (name, kind, asked, arrival, expected) in [
            (www, a, &[(3, &[][..])][..], &by_udp, &[(3, &b"ns1"[..])][..]),
            (www, a, &[(11, &[])], &by_udp, &[]),
            (www, a, &[(11, &[])], &by_tcp, &[(11, &[0, 50])]),
            (www, a, &[(65_001, &[1])], &by_udp, &[]),
            ("www.elsewhere.example.", a, &[], &by_udp, &[(15, &[0, 20])]),
            ("shop.example.", (DNSClass::IN, RecordType::AXFR), &[], &by_tcp, &[(15, &[0, 18])]),
            ("version.bind.", (DNSClass::CH, RecordType::TXT), &[], &by_udp, &[(15, &[0, 21])]),
        ] {
            let reply = view.answer(&query(name, kind, asked), arrival).unwrap();
            let expected: Vec<(u16, Vec<u8>)> =
                expected.iter().map(|(code, option)| (*code, option.to_vec())).collect();
            assert_eq!(options(&reply), expected, "{name} {asked:?}");
        }
    }

    #[test]
    fn a_cookie_of_ours_proves_who_asks() {
        let view = view();
        let arrival = Arrival::by_udp([10, 0, 0, 1].into());
        let ask = |cookie: &[u8], arrival| {
            view.answer(&query("www.shop.example.", (DNSClass::IN, RecordType::A), &[(10, cookie)]), arrival).unwrap()
        };
        let first = ask(&[7; 8], &arrival);
        assert_eq!(first.facts.standing, Standing::Unproven);
        let told = options(&first);
        let cookie = told[0].1.clone();
        assert_eq!((told.len(), told[0].0, cookie.len(), &cookie[..8]), (1, 10, 24, &[7; 8][..]));
        let second = ask(&cookie, &arrival);
        assert_eq!((second.facts.standing, options(&second)), (Standing::Proven, vec![(10, cookie.clone())]));
        let elsewhere = Arrival::by_udp([10, 0, 0, 2].into());
        assert_eq!(ask(&cookie, &elsewhere).facts.standing, Standing::Unproven);
        let malformed = ask(&[7; 9], &arrival);
        assert_eq!(malformed.message.metadata.response_code, ResponseCode::FormErr);

        // Without a question a cookie is all that is asked for.
        let mut greeting = query(".", (DNSClass::IN, RecordType::NS), &[(10, &[7; 8])]);
        greeting[5] = 0;
        greeting.drain(12..17);
        let told = view.answer(&greeting, &arrival).unwrap();
        assert_eq!((told.message.metadata.response_code, options(&told)), (ResponseCode::NoError, vec![(10, cookie)]));
    }
}
