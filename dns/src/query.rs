//! Reading a query: strict, bounded, and telling what to answer when it is malformed.

use std::net::IpAddr;

use domain::base::iana::OptionCode;
use domain::base::message::Message as WireMessage;
use domain::base::name::{ToLabelIter, ToName};
use domain::base::opt::{ClientSubnet, UnknownOptData};
use domain::base::{Rtype, Ttl};
use domain::rdata::AllRecordData;
use hickory_server::proto::op::{MessageType, OpCode, Query as Question, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name, RecordType};

use crate::cookie::Cookie;
use crate::dnssec::NXNAME;

/// A well-formed query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) envelope: Envelope,
    /// What is asked, in the case it was asked in.
    pub(crate) question: Question,
    pub(crate) edns: Option<Edns>,
}

/// What a reply repeats of a message's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) id: u16,
    pub(crate) opcode: OpCode,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
}

/// What the asker said by its OPT record (RFC 6891).
#[derive(Clone, Debug)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) dnssec: Dnssec,
    /// Compact answers OK: a name that does not exist may be told by its code (RFC 9824 §5.1).
    pub(crate) compact_ok: bool,
    pub(crate) subnet: Option<Subnet>,
    pub(crate) cookie: Option<Cookie>,
    /// Options that only ask.
    pub(crate) asks: Asks,
}

/// Options that ask for one of ours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asks {
    /// Which server this is (RFC 5001).
    pub(crate) nsid: bool,
    /// How long a connection may be idle (RFC 7828).
    pub(crate) keepalive: bool,
    pub(crate) padding: bool,
}

/// The DO bit: "MUST be copied in the response" (RFC 3225 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dnssec {
    Ok,
    Unasked,
}

/// The client subnet option of a query (RFC 7871).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The prefix's address.
    pub address: IpAddr,
    /// How many of its bits the client told.
    pub source: u8,
    /// The option as it came, to be copied into the answer.
    pub(crate) wire: Vec<u8>,
}

/// Whether a message has an OPT record: the reply has one then (RFC 6891 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    WithEdns(Dnssec),
    Plainly,
}

/// Why there is no query to answer.
#[derive(Clone, Debug)]
pub(crate) enum Flaw {
    /// Not a query at all: silence is the only safe answer.
    Silence,
    /// No question, only a cookie: one of ours is asked for (RFC 7873 §5.4).
    Greeting { envelope: Envelope, edns: Edns },
    /// An answer with this code, repeating the question where it could be read.
    Refuse { envelope: Envelope, question: Option<Question>, asked: Asked, code: ResponseCode },
}

/// Where the scope stands in the option: family (2), source, scope (RFC 7871 §6).
pub(crate) const SCOPE_AT: usize = 3;

/// The label before a name that is to be explained.
const WHY: &[u8] = b"_why";

impl Query {
    /// Reads a message.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        let message = WireMessage::from_slice(bytes).map_err(|_| Flaw::Silence)?;
        let header = message.header();
        if header.qr() {
            return Err(Flaw::Silence);
        }
        let envelope = Envelope {
            id: header.id(),
            opcode: OpCode::from_u8(header.opcode().to_int()),
            recursion_desired: header.rd(),
            checking_disabled: header.cd(),
        };
        let refuse = |question, asked, code| Flaw::Refuse { envelope, question, asked, code };
        if envelope.opcode != OpCode::Query {
            let edns = read_edns(message).flatten();
            let asked = edns.map_or(Asked::Plainly, |opt| Asked::WithEdns(opt.dnssec));
            return Err(refuse(None, asked, ResponseCode::NotImp));
        }
        if let Some(edns) = read_greeting(message) {
            return Err(Flaw::Greeting { envelope, edns });
        }
        let question = read_question(message).ok_or_else(|| refuse(None, Asked::Plainly, ResponseCode::FormErr))?;
        let malformed = || refuse(Some(question.clone()), Asked::Plainly, ResponseCode::FormErr);
        let edns = read_edns(message).ok_or_else(malformed)?;
        let is_malformed = is_of_messages(question.query_type());
        let Some(Opt { version, dnssec, edns }) = edns else {
            return if is_malformed { Err(malformed()) } else { Ok(Self { envelope, question, edns: None }) };
        };
        let refuse = |code| refuse(Some(question.clone()), Asked::WithEdns(dnssec), code);
        // RFC 6891 §6.1.3: "If a responder does not implement the VERSION level of the request, then it MUST respond
        // with RCODE=BADVERS."
        if version > 0 {
            return Err(refuse(ResponseCode::BADVERS));
        }
        let edns = edns.filter(|_| !is_malformed).ok_or_else(|| refuse(ResponseCode::FormErr))?;
        Ok(Self { envelope, question, edns: Some(edns) })
    }
}

impl Query {
    /// Whether signatures are asked for.
    pub(crate) fn wants_dnssec(&self) -> bool {
        self.edns.as_ref().is_some_and(|edns| edns.dnssec == Dnssec::Ok)
    }

    /// Whether an explanation is asked for, as `TXT _why.NAME`: its answer depends on who asks.
    pub(crate) fn asks_why(&self) -> bool {
        let mut labels = self.question.name().iter();
        self.question.query_type() == RecordType::TXT
            && labels.next().is_some_and(|label| label.eq_ignore_ascii_case(WHY))
    }
}

/// Whether authorities of certificates ask at this name (RFC 8555 §8.4): what they are told is another a moment later.
pub(crate) fn is_challenge(name: &Name) -> bool {
    name.iter().next().is_some_and(|label| label.eq_ignore_ascii_case(b"_acme-challenge"))
}

/// Types that only stand in messages: RFC 6895 §3.1; NXNAME by RFC 9824 §3.4.
fn is_of_messages(kind: RecordType) -> bool {
    kind == NXNAME || matches!(u16::from(kind), 0 | 41 | 249 | 250)
}

impl Envelope {
    /// The header of a reply.
    pub(crate) fn metadata(&self) -> hickory_server::proto::op::Metadata {
        let mut metadata = hickory_server::proto::op::Metadata::new(self.id, MessageType::Response, self.opcode);
        metadata.recursion_desired = self.recursion_desired;
        metadata.checking_disabled = self.checking_disabled;
        metadata
    }
}

/// The one question; none or two are malformed.
fn read_question(message: &WireMessage<[u8]>) -> Option<Question> {
    let question = message.sole_question().ok()?;
    let labels: Vec<Vec<u8>> = question
        .qname()
        .iter_labels()
        .filter(|label| !label.is_root())
        .map(|label| label.as_slice().to_vec())
        .collect();
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).ok()?;
    name.set_fqdn(true);
    let mut out = Question::query(name, RecordType::from(question.qtype().to_int()));
    out.set_query_class(DNSClass::from(question.qclass().to_int()));
    Some(out)
}

struct Opt {
    version: u8,
    dnssec: Dnssec,
    /// `None`: its options are malformed.
    edns: Option<Edns>,
}

/// The OPT record, if any. `None`: the message is malformed, or has two (RFC 6891 §6.1.1).
fn read_edns(message: &WireMessage<[u8]>) -> Option<Option<Opt>> {
    let mut found = None;
    for record in message.additional().ok()? {
        let record = record.ok()?;
        if record.rtype() != Rtype::OPT {
            continue;
        }
        if found.is_some() || !record.owner().to_vec().is_root() {
            return None;
        }
        found = Some(record);
    }
    let Some(record) = found else {
        return Some(None);
    };
    let (payload, (version, dnssec, compact_ok)) = (record.class().to_int(), unfold(record.ttl()));
    let AllRecordData::Opt(opt) = record.into_any_record::<AllRecordData<_, _>>().ok()?.into_data() else {
        return None;
    };
    let mut edns = Edns { payload, dnssec, compact_ok, subnet: None, cookie: None, asks: Asks::default() };
    let mut is_right = true;
    for option in opt.iter::<UnknownOptData<_>>() {
        let option = option.ok()?;
        is_right &= edns.take(option.code(), option.as_slice()).is_some();
    }
    Some(Some(Opt { version, dnssec, edns: is_right.then_some(edns) }))
}

impl Edns {
    /// Takes an option in; `None` where it is malformed.
    fn take(&mut self, code: OptionCode, option: &[u8]) -> Option<()> {
        match code {
            // Two are not one (RFC 7871 §7.1.2 has no word for it).
            OptionCode::CLIENT_SUBNET if self.subnet.is_some() => return None,
            OptionCode::CLIENT_SUBNET => self.subnet = Some(read_subnet(option)?),
            // "If multiple COOKIE options occur, all but the first one MUST be ignored" (RFC 7873 §5.2).
            OptionCode::COOKIE if self.cookie.is_some() => {}
            OptionCode::COOKIE => self.cookie = Some(Cookie::read(option)?),
            OptionCode::NSID => self.asks.nsid = true,
            OptionCode::TCP_KEEPALIVE => self.asks.keepalive = true,
            OptionCode::PADDING => self.asks.padding = true,
            _ => {}
        }
        Some(())
    }
}

/// A message without a question and with a cookie.
fn read_greeting(message: &WireMessage<[u8]>) -> Option<Edns> {
    if message.header_counts().qdcount() > 0 {
        return None;
    }
    let opt = read_edns(message)??;
    opt.edns.filter(|edns| opt.version == 0 && edns.cookie.is_some())
}

/// What other records keep their TTL in: extended rcode, version, flags of which DO is the first
/// (RFC 6891 §6.1.3) and CO the second (RFC 9824 §7.2).
fn unfold(ttl: Ttl) -> (u8, Dnssec, bool) {
    let [_, version, flags, _] = ttl.as_secs().to_be_bytes();
    (version, if flags & 0x80 == 0 { Dnssec::Unasked } else { Dnssec::Ok }, flags & 0x40 != 0)
}

/// RFC 7871 §6: in queries the scope "MUST be set to 0", the address holds no more bytes than the
/// source needs and its bits beyond "MUST be set to 0"; what departs from it is answered with FORMERR
/// (§7.1.2), as is a family that is neither 1 nor 2.
fn read_subnet(wire: &[u8]) -> Option<Subnet> {
    let mut parser = domain::dep::octseq::Parser::from_ref(&wire);
    let subnet = ClientSubnet::parse(&mut parser).ok()?;
    if subnet.scope_prefix_len() != 0 {
        return None;
    }
    Some(Subnet { address: subnet.addr(), source: subnet.source_prefix_len(), wire: wire.to_vec() })
}
