//! What the data of each record type is written as.

use std::str::FromStr;

use hickory_server::proto::rr::RecordType;

/// One field of a record's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `192.0.2.1`
    Ipv4,
    /// `2001:db8::1`
    Ipv6,
    /// A name, from the origin if it has no last dot.
    Name,
    /// A number up to 255.
    U8,
    /// A number up to 65535.
    U16,
    /// A time or serial: `7200` or `2h`.
    Seconds,
    /// A string of at most 255 bytes (RFC 1035 §3.3).
    Text,
    /// A string of any length.
    Value,
    /// A word in a form of the type's own, which the library or [`super::service`] reads.
    Word,
    /// Bytes, two digits each.
    Hex,
    /// Bytes in base64.
    Base64,
}

/// Who makes the data from its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// The library, from text.
    Text,
    /// [`super::wire`], as bytes: the library does not know the type's text, or not all of it.
    Bytes,
    /// [`super::location`].
    Location,
}

/// What may follow the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    Nothing,
    /// More of the last part's kind.
    More,
    /// Words.
    Words,
    /// Pieces of the last part, which spaces may cut.
    Joined,
}

/// How one type's data is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The type.
    pub(super) kind: RecordType,
    /// Who makes its data.
    pub(super) maker: Maker,
    /// Its fields.
    pub(super) parts: &'static [Part],
    /// What may follow them.
    pub(super) rest: Rest,
    /// A whole record that is right.
    pub(super) example: &'static str,
}

impl Shape {
    pub(super) fn of(kind: RecordType) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.kind == kind)
    }

    /// The part that a field is, counted from 0.
    pub(super) fn part(&self, index: usize) -> Part {
        let further = if self.rest == Rest::Words { None } else { self.parts.last() };
        self.parts.get(index).or(further).copied().unwrap_or(Part::Word)
    }

    /// Whether so many fields are right.
    pub(super) fn takes(&self, fields: usize) -> bool {
        match self.rest {
            Rest::Nothing => fields == self.parts.len(),
            Rest::More | Rest::Words | Rest::Joined => fields >= self.parts.len(),
        }
    }

    /// The fields a record should have, in words.
    pub(super) fn count(&self) -> String {
        let more = if self.rest == Rest::Nothing { "" } else { " or more" };
        format!("{}{more}", self.parts.len())
    }
}

/// The types that can be served, in words.
pub(super) fn kinds() -> String {
    let kinds: Vec<String> = SHAPES.iter().map(|shape| name_of(shape.kind)).collect();
    kinds.join(", ")
}

/// A type by its name, or as `TYPE65534` (RFC 3597 §5); in any case.
pub(super) fn kind(text: &str) -> Option<RecordType> {
    let text = text.to_ascii_uppercase();
    let number = || text.strip_prefix("TYPE")?.parse::<u16>().ok().map(RecordType::from);
    let ours = || NAMED.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
    RecordType::from_str(&text).ok().or_else(ours).or_else(number)
}

/// A type as it is written.
pub(super) fn name_of(kind: RecordType) -> String {
    let ours = NAMED.iter().find(|(_, named)| *named == kind);
    match (ours, kind) {
        (Some((name, _)), _) => (*name).to_owned(),
        (None, RecordType::Unknown(number)) => format!("TYPE{number}"),
        (None, kind) => kind.to_string(),
    }
}

/// Location (RFC 1876), which the library does not know by name; as all of these.
const LOC: RecordType = RecordType::Unknown(29);
/// Uniform resource identifier (RFC 7553).
const URI: RecordType = RecordType::Unknown(256);
/// Responsible person (RFC 1183 §2.2).
const RP: RecordType = RecordType::Unknown(17);
/// AFS data base location (RFC 1183 §1).
const AFSDB: RecordType = RecordType::Unknown(18);
const NAMED: [(&str, RecordType); 4] = [("LOC", LOC), ("URI", URI), ("RP", RP), ("AFSDB", AFSDB)];

const fn row(kind: RecordType, parts: &'static [Part], rest: Rest, example: &'static str) -> Shape {
    Shape { kind, maker: Maker::Text, parts, rest, example }
}

const fn bytes(kind: RecordType, parts: &'static [Part], rest: Rest, example: &'static str) -> Shape {
    Shape { kind, maker: Maker::Bytes, parts, rest, example }
}

const SHAPES: [Shape; 28] = {
    use Part::{Base64, Hex, Ipv4, Ipv6, Name, Seconds, Text, U8, U16, Value, Word};
    use Rest::{Joined, More, Nothing, Words};
    [
        row(RecordType::A, &[Ipv4], Nothing, "www A 192.0.2.1"),
        row(RecordType::AAAA, &[Ipv6], Nothing, "www AAAA 2001:db8::1"),
        bytes(AFSDB, &[U16, Name], Nothing, "@ AFSDB 1 afs"),
        row(RecordType::CAA, &[U8, Text, Value], Nothing, "@ CAA 0 issue \"ca.example\""),
        bytes(RecordType::CDNSKEY, &[U16, U8, U8, Base64], Joined, "@ CDNSKEY 257 3 13 AQAB"),
        bytes(RecordType::CDS, &[U16, U8, U8, Hex], Joined, "@ CDS 20326 13 2 0123456789abcdef"),
        row(RecordType::CERT, &[U16, U16, U8, Word], Joined, "@ CERT 1 0 8 AQAB"),
        bytes(RecordType::CNAME, &[Name], Nothing, "www CNAME shop"),
        row(RecordType::CSYNC, &[Word, U16], Words, "@ CSYNC 66 3 A NS AAAA"),
        bytes(RecordType::DNAME, &[Name], Nothing, "old DNAME new.example."),
        bytes(RecordType::DS, &[U16, U8, U8, Hex], Joined, "sub DS 20326 13 2 0123456789abcdef"),
        row(RecordType::HINFO, &[Text, Text], Nothing, "@ HINFO \"x86\" \"linux\""),
        bytes(RecordType::HTTPS, &[U16, Name], Words, "@ HTTPS 1 . alpn=h2"),
        Shape {
            kind: LOC,
            maker: Maker::Location,
            parts: &[Word, Word, Word, Word, Word],
            rest: Words,
            example: "@ LOC 50 6 40 N 8 40 55 E 112m",
        },
        bytes(RecordType::MX, &[U16, Name], Nothing, "@ MX 10 mail"),
        bytes(
            RecordType::NAPTR,
            &[U16, U16, Text, Text, Text, Name],
            Nothing,
            "@ NAPTR 1 1 \"S\" \"SIP+D2U\" \"\" _sip._udp",
        ),
        bytes(RecordType::NS, &[Name], Nothing, "@ NS ns1"),
        row(RecordType::OPENPGPKEY, &[Word], Joined, "key OPENPGPKEY AQAB"),
        bytes(RecordType::PTR, &[Name], Nothing, "1 PTR www.shop.example."),
        row(RecordType::SMIMEA, &[U8, U8, U8, Word], Joined, "key SMIMEA 3 1 1 0123456789abcdef"),
        bytes(RP, &[Name, Name], Nothing, "@ RP hostmaster.shop.example. ."),
        bytes(
            RecordType::SOA,
            &[Name, Name, Seconds, Seconds, Seconds, Seconds, Seconds],
            Nothing,
            "@ SOA ns1 hostmaster 1 2h 1h 2w 5m",
        ),
        bytes(RecordType::SRV, &[U16, U16, U16, Name], Nothing, "_sip._tcp SRV 0 5 5060 sip"),
        row(RecordType::SSHFP, &[U8, U8, Word], Joined, "host SSHFP 4 2 0123456789abcdef"),
        bytes(RecordType::SVCB, &[U16, Name], Words, "_dns SVCB 1 ns1 alpn=dot"),
        row(RecordType::TLSA, &[U8, U8, U8, Word], Joined, "_443._tcp TLSA 3 1 1 0123456789abcdef"),
        row(RecordType::TXT, &[Text], More, "@ TXT \"one string\" \"another\""),
        bytes(URI, &[U16, U16, Value], Nothing, "_http._tcp URI 10 1 \"https://www.shop.example/\""),
    ]
};
