//! Messages signed with a shared key (TSIG, RFC 8945): checking requests, signing the replies.

use config::{TransferAlgorithm, TransferKey};
use domain::base::Rtype;
use domain::base::message::Message as WireMessage;
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::TSIG;
use hickory_server::proto::rr::rdata::tsig::{TsigAlgorithm, TsigError, make_tsig_record, signed_bitmessage_to_buf};
use hickory_server::proto::rr::{Name, TSigner};
use hickory_server::proto::serialize::binary::{BinEncodable, BinEncoder};

use crate::withheld::Withheld;

/// A key, ready to use.
#[derive(Clone)]
pub(crate) struct Key(TSigner);

/// A request that was signed well, and what its replies are signed with.
#[derive(Clone)]
pub(crate) struct Session {
    key: TSigner,
    /// Of the message before: the request, then each reply.
    mac: Vec<u8>,
    place: Place,
}

/// Which reply of a session is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Later,
}

/// A request that was signed, and not well: the reply says so, unsigned where nobody would believe it.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// The record cannot be read.
    Malformed,
    /// Key or signature are wrong: what is told of it cannot be signed.
    Unsigned(Name, TSIG),
    /// Its time is too far from ours.
    Late(Session, TSIG),
}

/// How far clocks may differ (RFC 8945 §10: "300 seconds is recommended").
const FUDGE: u16 = 300;
/// Where a message has its count of additional records (RFC 1035 §4.1.1).
const ADDITIONALS: std::ops::Range<usize> = 10..12;
/// No record is longer: two names, the longest MAC, our time, and the fields between (RFC 8945 §4.2).
pub(crate) const MOST_BYTES: usize = 255 + 10 + 32 + 16 + 64 + 6;
/// More records than any signed request has: NOTIFY's SOA, IXFR's SOA, OPT and TSIG.
const MOST_RECORDS: u16 = 4;

impl Key {
    pub(crate) fn new(key: &TransferKey) -> Option<Self> {
        let algorithm = match key.algorithm {
            TransferAlgorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            TransferAlgorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
            TransferAlgorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        let name = Name::from_ascii(format!("{}.", key.name)).ok()?;
        TSigner::new(key.secret.clone(), algorithm, name, FUDGE).ok().map(Self)
    }

    fn name(&self) -> &Name {
        self.0.signer_name()
    }

    /// Whether it signed a session's request.
    pub(crate) fn opened(&self, session: &Session) -> bool {
        let (ours, theirs) = (&self.0, &session.key);
        ours.signer_name() == theirs.signer_name()
            && ours.algorithm() == theirs.algorithm()
            && ours.key() == theirs.key()
    }

    /// Signs a request of our own.
    pub(crate) fn sign(&self, message: &mut Vec<u8>, now: u64) -> Option<()> {
        let stub = stub(&self.0, message, now);
        let mut pseudo = Vec::new();
        stub.emit_tsig_for_mac(&mut BinEncoder::new(&mut pseudo), self.name()).ok()?;
        let mac = self.0.sign(&[message.as_slice(), &pseudo].concat()).ok()?;
        append(message, self.name(), stub.set_mac(mac))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.name())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.key.signer_name())
    }
}

/// Checks a request; `None` where it is not signed. `now` in seconds since 1970.
pub(crate) fn open(keys: &[Key], message: &[u8], now: u64) -> Option<Result<Session, Refusal>> {
    match signature(message) {
        Signature::None => return None,
        Signature::Misplaced => return Some(Err(Refusal::Malformed)),
        Signature::Last => {}
    }
    let Ok((signed, record)) = signed_bitmessage_to_buf(message, None, true) else {
        return Some(Err(Refusal::Malformed));
    };
    let tsig = &record.data;
    let told =
        |error, other| TSIG::new(tsig.algorithm.clone(), tsig.time, FUDGE, Vec::new(), tsig.oid, Some(error), other);
    let refuse = |error| Some(Err(Refusal::Unsigned(record.name.clone(), told(error, Vec::new()))));
    let key = keys.iter().find(|key| *key.name() == record.name && *key.0.algorithm() == tsig.algorithm);
    let Some(Key(key)) = key else { return refuse(TsigError::BadKey) };
    // A MAC cut short is verified as none (RFC 8945 §5.2.2.1 leaves that to local policy).
    if key.verify(&signed, &tsig.mac).is_err() {
        return refuse(TsigError::BadSig);
    }
    let session = Session { key: key.clone(), mac: tsig.mac.clone(), place: Place::First };
    if tsig.time.abs_diff(now) > tsig.fudge.min(FUDGE).into() {
        // Our time goes with it (RFC 8945 §5.2.3).
        let ours = seconds(now).to_vec();
        return Some(Err(Refusal::Late(session, told(TsigError::BadTime, ours))));
    }
    Some(Ok(session))
}

/// Where a message has a TSIG record.
enum Signature {
    None,
    Last,
    /// "If multiple TSIG records are detected or a TSIG record is present in any other position" than the last, FORMERR
    /// (RFC 8945 §5.1); also among more records than a request has.
    Misplaced,
}

fn signature(message: &[u8]) -> Signature {
    let Ok(message) = WireMessage::from_slice(message) else { return Signature::None };
    let counts = message.header_counts();
    let records = [counts.ancount(), counts.nscount(), counts.arcount()].into_iter().try_fold(0, u16::checked_add);
    let Ok(additional) = message.additional() else { return Signature::None };
    let is_tsig = |record: Result<domain::base::ParsedRecord<'_, [u8]>, _>| {
        record.is_ok_and(|record| record.rtype() == Rtype::TSIG)
    };
    let (mut found, mut count) = (None, 0);
    for record in additional {
        found = if is_tsig(record) { Some(if found.is_some() { usize::MAX - 1 } else { count }) } else { found };
        count += 1;
        if count > usize::from(MOST_RECORDS) {
            break;
        }
    }
    match found {
        None => Signature::None,
        Some(at) if at + 1 == count && records.is_some_and(|records| records <= MOST_RECORDS) => Signature::Last,
        Some(_) => Signature::Misplaced,
    }
}

impl Session {
    /// Signs a reply, the next of the session.
    pub(crate) fn sign(&mut self, message: &mut Vec<u8>, now: u64) -> Option<()> {
        let stub = stub(&self.key, message, now);
        let signed = match self.place {
            Place::First => self.key.encode_response_tbs(&self.mac, message, &stub).ok()?,
            // RFC 8945 §5.3.1: the digest of those that follow is over the MAC before, the message and the timers.
            Place::Later => {
                let length = u16::try_from(self.mac.len()).ok()?.to_be_bytes();
                [&length[..], &self.mac, message, &seconds(now), &FUDGE.to_be_bytes()].concat()
            }
        };
        let mac = self.key.sign(&signed).ok()?;
        self.mac.clone_from(&mac);
        self.place = Place::Later;
        append(message, self.key.signer_name(), stub.set_mac(mac))
    }
}

impl Refusal {
    /// The code of the reply (RFC 8945 §5.2).
    pub(crate) fn code(&self) -> ResponseCode {
        match self {
            Self::Malformed => ResponseCode::FormErr,
            Self::Unsigned(..) | Self::Late(..) => ResponseCode::NotAuth,
        }
    }

    /// What is wrong, for the operator.
    pub(crate) fn why(&self) -> Withheld {
        match self {
            Self::Malformed => Withheld::Malformed,
            Self::Unsigned(_, told) if told.error == Some(TsigError::BadKey) => Withheld::UnknownKey,
            Self::Unsigned(..) => Withheld::Signature,
            Self::Late(..) => Withheld::Time,
        }
    }

    /// Adds what is wrong to the reply.
    pub(crate) fn add(&self, message: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Malformed => Some(()),
            Self::Unsigned(name, told) => append(message, name, told.clone()),
            Self::Late(session, told) => {
                let signed = session.key.encode_response_tbs(&session.mac, message, told).ok()?;
                let mac = session.key.sign(&signed).ok()?;
                append(message, session.key.signer_name(), told.clone().set_mac(mac))
            }
        }
    }
}

/// A time as 48 bits (RFC 8945 §4.2).
fn seconds(now: u64) -> [u8; 6] {
    let [_, _, time @ ..] = now.to_be_bytes();
    time
}

/// The record but for its MAC.
fn stub(key: &TSigner, message: &[u8], now: u64) -> TSIG {
    let id = message.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    TSIG::new(key.algorithm().clone(), now, FUDGE, Vec::new(), id, None, Vec::new())
}

fn append(message: &mut Vec<u8>, name: &Name, tsig: TSIG) -> Option<()> {
    message.extend(encoded(name, tsig)?);
    count_one_more(message)
}

fn encoded(name: &Name, tsig: TSIG) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(128);
    make_tsig_record(name.clone(), tsig).emit(&mut BinEncoder::new(&mut bytes)).ok()?;
    Some(bytes)
}

fn count_one_more(message: &mut [u8]) -> Option<()> {
    let count = message.get_mut(ADDITIONALS)?;
    let more = u16::from_be_bytes(count.try_into().ok()?).checked_add(1)?;
    count.copy_from_slice(&more.to_be_bytes());
    Some(())
}

#[cfg(test)]
impl Key {
    /// The MAC of a reply, if it is signed well after the one before.
    pub(crate) fn verify_reply(&self, message: &[u8], before: &[u8], is_first: bool) -> Option<Vec<u8>> {
        self.0.verify_message_byte(message, Some(before), is_first).ok().map(|(mac, ..)| mac)
    }
}
