//! Data put together here as bytes, which the library then reads: of types whose text it does not know, and in the form
//! of RFC 3597 for any.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hickory_server::proto::rr::{Name, RData, RecordType};
use hickory_server::proto::serialize::binary::{
    BinDecodable, BinDecoder, BinEncodable, BinEncoder, NameEncoding, Restrict,
};
use hickory_server::proto::serialize::txt::parse_ttl;

use super::entry::{Field, Form};
use super::record::{name, shown, wrong};
use super::shape::{Part, Shape};
use config::Wrong;

/// The bytes of one field, or what is wrong with it.
pub(super) fn field(kind: RecordType, part: Part, field: &Field<'_>, origin: &Name) -> Result<Vec<u8>, String> {
    let text = field.text;
    let is_not = |what: &str| format!("`{}` is not {what}", shown(text));
    match part {
        Part::U8 => text.parse().map(|number: u8| vec![number]).map_err(|_| is_not("a number from 0 to 255")),
        Part::U16 => {
            let number = text.parse::<u16>().map_err(|_| is_not("a number from 0 to 65535"))?;
            Ok(number.to_be_bytes().to_vec())
        }
        Part::Name => {
            let name = name(field, origin).map_err(|wrong| wrong.message)?;
            // Where the library knows no names it signs them as they stand: in lower case validators take it for the same
            // (RFC 4034 §6.2).
            let name = if knows_names(kind) { name } else { name.to_lowercase() };
            uncompressed(&name).ok_or_else(|| is_not("a name"))
        }
        Part::Seconds => {
            let seconds = parse_ttl(text).map_err(|_| is_not("a number or time"))?;
            Ok(seconds.to_be_bytes().to_vec())
        }
        Part::Text => {
            let bytes = field.bytes().ok_or_else(|| is_not("text whose `\\` can be read"))?;
            let length = u8::try_from(bytes.len());
            let length = length.map_err(|_| format!("a string of {} bytes is longer than 255", bytes.len()))?;
            Ok([&[length], &*bytes].concat())
        }
        Part::Hex => HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| is_not("bytes of two hex digits each")),
        Part::Base64 => BASE64.decode(text.as_bytes()).map_err(|_| is_not("base64")),
        _ => field.bytes().map(std::borrow::Cow::into_owned).ok_or_else(|| is_not("text whose `\\` can be read")),
    }
}

/// Data of a type from its bytes: those of a type that is known must be right.
pub(super) fn data(kind: RecordType, bytes: &[u8]) -> Result<RData, String> {
    let length = u16::try_from(bytes.len()).map_err(|_| "it is longer than a record may be".to_owned())?;
    let mut decoder = BinDecoder::new(bytes);
    RData::read(&mut decoder, kind, Restrict::new(length)).map_err(|error| error.to_string())
}

/// `\# LENGTH HEX...` (RFC 3597 §5), as data of any type; `None` where the fields begin in another way.
pub(super) fn generic(kind: RecordType, fields: &[Field<'_>]) -> Option<Result<RData, Wrong>> {
    let (mark, rest) = fields.split_first()?;
    if mark.text != "\\#" || mark.form != Form::Bare {
        return None;
    }
    let help = "as in `\\# 4 c0000201`: how many bytes, then their digits";
    let read = || {
        let (length, digits) = rest.split_first().ok_or_else(|| wrong("behind `\\#` is nothing", help))?;
        let digits: String = digits.iter().map(|field| field.text).collect();
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
        let bytes =
            bytes.map_err(|_| wrong(format!("`{}` is not bytes of two hex digits each", shown(&digits)), help))?;
        if length.text.parse() != Ok(bytes.len()) {
            let message = format!("`\\#` says {} bytes; there are {}", shown(length.text), bytes.len());
            return Err(wrong(message, help));
        }
        let kind_name = super::shape::name_of(kind);
        let bytes = in_lower_case(kind, bytes);
        let bytes =
            bytes.ok_or_else(|| wrong(format!("the bytes are no {kind_name} data: a name in them is broken"), help))?;
        data(kind, &bytes).map_err(|reason| wrong(format!("the bytes are no {kind_name} data: {reason}"), help))
    };
    Some(read())
}

/// The names of types that are put together here in lower case, as [`field`] writes them: the library, which knows no
/// names in them, signs them as they stand. They are numbers of 16 bits, then names. `None` where one is broken.
fn in_lower_case(kind: RecordType, bytes: Vec<u8>) -> Option<Vec<u8>> {
    let has_names = |shape: &&Shape| shape.parts.contains(&Part::Name) && !knows_names(kind);
    let Some(shape) = Shape::of(kind).filter(has_names) else { return Some(bytes) };
    let mut decoder = BinDecoder::new(&bytes);
    let mut out = Vec::with_capacity(bytes.len());
    for part in shape.parts {
        match part {
            Part::U16 => out.extend_from_slice(decoder.read_slice(2).ok()?.unverified()),
            _ => {
                let start = decoder.index();
                let name = uncompressed(&Name::read(&mut decoder).ok()?.to_lowercase())?;
                // There is nothing that a pointer could lead to (RFC 3597 §4).
                let is_whole = decoder.index() == start + name.len();
                out.extend(is_whole.then_some(name)?);
            }
        }
    }
    (decoder.index() == bytes.len()).then_some(out)
}

/// Whether the library reads the names in a type's data.
fn knows_names(kind: RecordType) -> bool {
    !matches!(kind, RecordType::DNAME | RecordType::Unknown(_))
}

fn uncompressed(name: &Name) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    name.emit(&mut encoder.with_name_encoding(NameEncoding::Uncompressed)).ok()?;
    Some(bytes)
}
