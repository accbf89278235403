//! One entry of a zone file as a record, or what is wrong with it.
//!
//! Fields are checked one by one, so that a message can name the one at fault; the library then makes
//! the data, from this entry alone.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use config::Wrong;
use hickory_server::proto::rr::rdata::TXT;
use hickory_server::proto::rr::{DNSClass, Name, RData, RecordType};
use hickory_server::proto::serialize::binary::BinEncodable;
use hickory_server::proto::serialize::txt::{Parser, parse_ttl};

use super::entry::{Entry, Field, Form, escaped};
use super::shape::{Maker, Part, Rest, Shape, kind, kinds, name_of};
use super::{location, service, wire};

/// A record's fields but the owner: `[ttl] [class] type data`.
#[derive(Clone, Debug)]
pub(super) struct Head<'e, 't> {
    /// The TTL, if it says one.
    pub(super) ttl: Option<u32>,
    /// The type.
    pub(super) kind: RecordType,
    /// The fields after the type.
    pub(super) data: &'e [Field<'t>],
}

/// "The TTL is … an unsigned number … with a maximum value of 2147483647" (RFC 2181 §8).
const TTL_MOST: u32 = i32::MAX as u32;
/// How a record is written.
const FORM: &str = "a record is written `name [ttl] [class] type data`, as in `www A 192.0.2.1`";

/// A fault and its mend.
pub(super) fn wrong(message: impl Into<String>, help: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), help: Some(help.into()) }
}

/// The owner, unless the entry continues the one above.
pub(super) fn owner<'t>(entry: &Entry<'t>) -> Option<Field<'t>> {
    entry.fields.first().copied().filter(|_| !entry.is_indented)
}

impl<'e, 't> Head<'e, 't> {
    pub(super) fn read(entry: &'e Entry<'t>) -> Result<Self, Wrong> {
        let mut fields = entry.fields.get(usize::from(!entry.is_indented)..).unwrap_or_default();
        let mut ttl = None;
        while let Some((field, rest)) = fields.split_first() {
            fields = rest;
            if field.text.starts_with(|char: char| char.is_ascii_digit()) && is_ttl(field.text) {
                ttl = Some(self::ttl(field)?);
                continue;
            }
            match class(field.text) {
                Ok(DNSClass::IN) => continue,
                Ok(class) => {
                    return Err(wrong(format!("class {class} is not served"), "write `IN`, or no class"));
                }
                Err(_) => {}
            }
            let kind = kind(field.text).ok_or_else(|| not_a_type(entry, field))?;
            return Ok(Self { ttl, kind, data: rest });
        }
        Err(wrong("the record has no type", FORM))
    }

    /// The data, names in it completed by the origin.
    pub(super) fn data(&self, origin: &Name) -> Result<RData, Wrong> {
        let kind = self.kind;
        let kind_name = name_of(kind);
        if is_ours(kind) {
            let message = format!("{kind_name} records are not served from a file");
            return Err(wrong(message, "remove it: `[dns] dnssec` makes a zone's own, by the keys of `hither keys`"));
        }
        if is_of_messages(kind) {
            return Err(wrong(format!("{kind_name} is no type of records in zones"), "remove it"));
        }
        if let Some(data) = wire::generic(kind, self.data) {
            return data;
        }
        let Some(shape) = Shape::of(kind) else {
            let help = format!(
                "write its bytes, as in `{kind_name} \\# 2 00ff`; types with a form of their own are {}",
                kinds()
            );
            return Err(wrong(format!("{kind_name} records cannot be read here"), help));
        };
        if !shape.takes(self.data.len()) {
            let (has, belong) = (self.data.len(), shape.count());
            let fields = if has == 1 { "field" } else { "fields" };
            let message = format!("the {kind_name} record has {has} {fields} after its type; it takes {belong}");
            return Err(wrong(message, as_in(shape)));
        }
        if kind == RecordType::TXT {
            return self.strings();
        }
        match shape.maker {
            Maker::Text => self.as_text(shape),
            Maker::Bytes => self.as_bytes(shape, origin),
            Maker::Location => {
                let bytes = location::bytes(self.data).ok_or_else(|| wrong("this is no location", as_in(shape)))?;
                wire::data(kind, &bytes).map_err(|reason| unreadable(shape, &reason))
            }
        }
    }

    /// Data that the library makes from text.
    fn as_text(&self, shape: &Shape) -> Result<RData, Wrong> {
        let mut fields = Vec::with_capacity(self.data.len());
        for (index, field) in self.data.iter().enumerate() {
            let part = shape.part(index);
            fields.push(value(part, field).map_err(|message| wrong(message, help(part, field, shape)))?);
        }
        if shape.rest == Rest::Joined {
            let last = fields.split_off(shape.parts.len() - 1).concat();
            fields.push(Cow::Owned(last));
        }
        made(shape.kind, &fields).map_err(|reason| unreadable(shape, &reason))
    }

    /// Data that is put together here.
    fn as_bytes(&self, shape: &Shape, origin: &Name) -> Result<RData, Wrong> {
        let joined: String;
        let mut fields = self.data.to_vec();
        if shape.rest == Rest::Joined {
            let pieces = fields.split_off(shape.parts.len() - 1);
            joined = pieces.iter().map(|field| field.text).collect();
            fields.push(Field { text: &joined, form: Form::Bare });
        }
        let mut bytes = Vec::new();
        let words = if shape.rest == Rest::Words { fields.split_off(shape.parts.len()) } else { Vec::new() };
        for (index, field) in fields.iter().enumerate() {
            let part = shape.part(index);
            let more = wire::field(shape.kind, part, field, origin);
            bytes.extend(more.map_err(|message| wrong(message, help(part, field, shape)))?);
        }
        bytes.extend(service::parameters(&words).map_err(|message| wrong(message, as_in(shape)))?);
        wire::data(shape.kind, &bytes).map_err(|reason| unreadable(shape, &reason))
    }

    /// TXT data: any bytes, which the library's text form cannot say.
    fn strings(&self) -> Result<RData, Wrong> {
        let mut strings = Vec::with_capacity(self.data.len());
        for field in self.data {
            let string = field.bytes().ok_or_else(|| wrong(bad_escape(field.text), ESCAPES))?;
            if string.len() > 255 {
                let message = format!("a string of {} bytes is longer than a TXT string may be", string.len());
                return Err(wrong(message, "cut it into strings of at most 255: `TXT ( \"one\" \"two\" )`"));
            }
            strings.push(string);
        }
        let data = RData::TXT(TXT::from_bytes(strings.iter().map(AsRef::as_ref).collect()));
        let too_long = || wrong("the TXT record is longer than a record may be", "a record holds at most 65535 bytes");
        fits(&data).then_some(data).ok_or_else(too_long)
    }

    /// Names in the data, as written.
    pub(super) fn names(&self) -> impl Iterator<Item = &'e Field<'t>> {
        let shape = Shape::of(self.kind);
        let is_name = move |index| shape.is_some_and(|shape| shape.part(index) == Part::Name);
        self.data.iter().enumerate().filter(move |(index, _)| is_name(*index)).map(|(_, field)| field)
    }
}

/// Types that a signed zone makes itself, and that would contradict it in a file (RFC 4034 §2 to §4, RFC 5155).
fn is_ours(kind: RecordType) -> bool {
    let made = [RecordType::DNSKEY, RecordType::RRSIG, RecordType::NSEC, RecordType::NSEC3, RecordType::NSEC3PARAM];
    made.contains(&kind)
}

/// Types that only messages have: OPT, and "meta-TYPEs" and "QTYPEs" (RFC 6895 §3.1).
fn is_of_messages(kind: RecordType) -> bool {
    matches!(u16::from(kind), 0 | 41 | 128..=255)
}

/// A class by its name, or as `CLASS1` (RFC 3597 §5).
fn class(text: &str) -> Result<DNSClass, ()> {
    let text = text.to_ascii_uppercase();
    let number = || text.strip_prefix("CLASS")?.parse::<u16>().ok().map(DNSClass::from);
    DNSClass::from_str(&text).ok().or_else(number).ok_or(())
}

fn unreadable(shape: &Shape, reason: &str) -> Wrong {
    wrong(format!("the {} record cannot be read: {}", name_of(shape.kind), plain(reason)), as_in(shape))
}

/// A TTL: seconds, or numbers with units.
pub(super) fn ttl(field: &Field<'_>) -> Result<u32, Wrong> {
    let help = "a TTL is seconds or has units, as in `300` or `1h30m`";
    match parse_ttl(field.text) {
        Ok(ttl) if ttl <= TTL_MOST => Ok(ttl),
        Ok(_) => Err(wrong(format!("the TTL `{}` is longer than 2147483647 seconds", field.text), help)),
        Err(_) => Err(wrong(format!("`{}` is not a TTL", shown(field.text)), help)),
    }
}

/// Whether a field is meant as a TTL: digits and units, also where the number is too large.
fn is_ttl(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b"smhdwSMHDW".contains(&byte))
}

/// A name, completed by the origin if it has no last dot; `@` is the origin.
pub(super) fn name(field: &Field<'_>, origin: &Name) -> Result<Name, Wrong> {
    if field.is("@") {
        return Ok(origin.clone());
    }
    let fault = || wrong(format!("`{}` is not a name", shown(field.text)), NAMES);
    if field.text.is_empty() {
        return Err(fault());
    }
    if !field.text.is_ascii() {
        if field.text.contains('\\') {
            return Err(fault());
        }
        // In the form that resolvers ask for (RFC 5890 §2.3.2.1).
        let mut name = Name::parse(field.text, Some(origin)).map_err(|_| fault())?;
        name.set_fqdn(true);
        return Ok(name);
    }
    let (labels, is_whole) = labels(field.text).ok_or_else(|| wrong(bad_escape(field.text), ESCAPES))?;
    let above = origin.iter().filter(|_| !is_whole);
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice).chain(above)).map_err(|_| fault())?;
    let is_right = labels.iter().all(|label| (1..=LONGEST_LABEL).contains(&label.len()));
    name.set_fqdn(true);
    is_right.then_some(name).ok_or_else(fault)
}

/// "Labels are restricted to 63 octets or less" (RFC 1035 §3.1).
const LONGEST_LABEL: usize = 63;

/// The labels of a name in lower case, of any bytes else (RFC 2181 §11), and whether its last dot makes it whole. None where a `\` cannot be
/// read.
fn labels(text: &str) -> Option<(Vec<Vec<u8>>, bool)> {
    let mut labels = vec![Vec::new()];
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'.' => labels.push(Vec::new()),
            b'\\' => labels.last_mut()?.push(escaped(&mut rest)?.to_ascii_lowercase()),
            byte => labels.last_mut()?.push(byte.to_ascii_lowercase()),
        }
    }
    // Behind the last dot is the root; that alone is `.`.
    let is_whole = labels.pop_if(|last| last.is_empty()).is_some();
    if is_whole && text == "." {
        labels.clear();
    }
    Some((labels, is_whole))
}

/// A field as the library is to see it, or what is wrong.
fn value<'t>(part: Part, field: &Field<'t>) -> Result<Cow<'t, str>, String> {
    let text = field.text;
    let is_not = |what: &str| format!("`{}` is not {what}", shown(text));
    let right = match part {
        Part::Ipv4 => Ipv4Addr::from_str(text).is_ok().then_some(()).ok_or_else(|| is_not("an IPv4 address")),
        Part::Ipv6 => Ipv6Addr::from_str(text).is_ok().then_some(()).ok_or_else(|| is_not("an IPv6 address")),
        Part::U8 => text.parse::<u8>().map(drop).map_err(|_| is_not("a number from 0 to 255")),
        Part::U16 => text.parse::<u16>().map(drop).map_err(|_| is_not("a number from 0 to 65535")),
        Part::Word | Part::Hex | Part::Base64 | Part::Seconds | Part::Name => Ok(()),
        Part::Text | Part::Value => {
            let bytes = field.bytes().ok_or_else(|| bad_escape(text))?;
            if part == Part::Text && bytes.len() > 255 {
                return Err(format!("a string of {} bytes is longer than 255", bytes.len()));
            }
            let text = String::from_utf8(bytes.into_owned());
            return text.map(Cow::Owned).map_err(|_| is_not("UTF-8 text"));
        }
    };
    right.map(|()| Cow::Borrowed(text))
}

/// Has the library make the data: every field goes quoted, so that no mark in it is special.
fn made(kind: RecordType, fields: &[Cow<'_, str>]) -> Result<RData, String> {
    let mut text = format!(". 0 IN {kind}");
    for field in fields {
        text.push_str(" \"");
        for char in field.chars() {
            if matches!(char, '"' | '\\') {
                text.push('\\');
            }
            text.push(char);
        }
        text.push('"');
    }
    text.push('\n');
    let (_, sets) = Parser::new(text, None, Some(Name::root())).parse().map_err(|error| error.to_string())?;
    let set = sets.into_values().next().ok_or("it is empty")?;
    let data = set.into_parts().records.into_iter().next().map(|record| record.data);
    data.filter(fits).ok_or_else(|| "it is longer than a record may be".to_owned())
}

/// Whether data can be sent: its strings and the whole are not too long.
fn fits(data: &RData) -> bool {
    data.to_bytes().is_ok_and(|bytes| u16::try_from(bytes.len()).is_ok())
}

fn not_a_type(entry: &Entry<'_>, field: &Field<'_>) -> Wrong {
    let message = format!("`{}` is not a record type known here", shown(field.text));
    let is_type = |field: &Field<'_>| kind(field.text).is_some();
    let first = entry.fields.first().map(|field| shown(field.text)).unwrap_or_default();
    if entry.is_indented && entry.fields.first() == Some(field) && entry.fields.iter().skip(1).any(is_type) {
        return wrong(message, format!("take away the space before it if the record is about `{first}`"));
    }
    if !entry.is_indented && entry.fields.first().is_some_and(is_type) {
        return wrong(message, format!("put a space before `{first}` if the record is about the name above"));
    }
    wrong(message, format!("{FORM}; types are {}", kinds()))
}

fn help(part: Part, field: &Field<'_>, shape: &Shape) -> String {
    match part {
        Part::Ipv4 if Ipv6Addr::from_str(field.text).is_ok() => "an IPv6 address makes an AAAA record".into(),
        Part::Ipv6 if Ipv4Addr::from_str(field.text).is_ok() => "an IPv4 address makes an A record".into(),
        Part::Name => NAMES.into(),
        _ => as_in(shape),
    }
}

fn as_in(shape: &Shape) -> String {
    format!("as in `{}`", shape.example)
}

const NAMES: &str = "a name is of labels of 1 to 63 bytes with dots between them, at most 255 bytes in all";
const ESCAPES: &str = "write `\\\\` for a backslash, and a byte as `\\` and three decimal digits up to 255";

fn bad_escape(text: &str) -> String {
    format!("`{}` has a `\\` that cannot be read", shown(text))
}

/// A field for a message: not longer than a line, and plain.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => plain(text.get(..end).unwrap_or_default()) + "…",
        None => plain(text),
    }
}

/// Text without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
