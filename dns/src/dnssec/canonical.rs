//! What a signature is made of: the RRSIG's own fields, then the records in canonical form and order (RFC 4034 §3.1.8.1, §6).

use hickory_server::proto::ProtoError;
use hickory_server::proto::dnssec::rdata::SigInput;
use hickory_server::proto::rr::{Record, RecordType};
use hickory_server::proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

/// The bytes that are signed for a record set; all of it has one name and type.
pub(super) fn signed_bytes(input: &SigInput, set: &[Record]) -> Result<Vec<u8>, ProtoError> {
    let Some(first) = set.first() else { return Ok(Vec::new()) };
    let owner = encoded(|encoder| {
        let mut encoder = encoder.with_name_encoding(NameEncoding::UncompressedLowercase);
        first.name.emit(&mut encoder)
    })?;
    let mut data = set.iter().map(canonical_data).collect::<Result<Vec<_>, _>>()?;
    // §6.3: by their data as bytes, each once.
    data.sort();
    data.dedup();
    let mut bytes = encoded(|encoder| input.emit(encoder))?;
    for data in data {
        bytes.extend_from_slice(&owner);
        bytes.extend_from_slice(&u16::from(first.record_type()).to_be_bytes());
        bytes.extend_from_slice(&u16::from(first.dns_class).to_be_bytes());
        bytes.extend_from_slice(&input.original_ttl.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// §6.2: names in it uncompressed, and of the older types in lower case.
fn canonical_data(record: &Record) -> Result<Vec<u8>, ProtoError> {
    encoded(|encoder| {
        encoder.set_canonical_form(record.record_type() != RecordType::NSEC);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        record.data.emit(encoder)
    })
}

fn encoded(emit: impl FnOnce(&mut BinEncoder<'_>) -> Result<(), ProtoError>) -> Result<Vec<u8>, ProtoError> {
    let mut bytes = Vec::with_capacity(64);
    emit(&mut BinEncoder::new(&mut bytes))?;
    Ok(bytes)
}
