//! Saying what is not there: one NSEC record made for the name that was asked (RFC 9824 §3).

use hickory_server::proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

/// The type that a name has which does not exist (RFC 9824 §3.4); "an explicit query for the NXNAME RR type" is malformed.
pub(crate) const NXNAME: RecordType = RecordType::Unknown(128);

/// The NSEC record of a name: it has these types and no others, and nothing lies up to the next name there could be.
/// `None` where no name follows, since this one is as long as names may be. The next name is in lower case, however this one
/// was asked for: it is signed as it stands (RFC 6840 §5.1), and resolvers that vary the case should share one signature.
pub(crate) fn nsec(name: &Name, types: impl IntoIterator<Item = RecordType>, ttl: u32) -> Option<Record> {
    let next = name.to_lowercase().prepend_label([0].as_slice()).ok()?;
    let types = types.into_iter().chain([RecordType::RRSIG, RecordType::NSEC]);
    let data = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(next, types)));
    Some(Record::from_rdata(name.clone(), ttl, data))
}
