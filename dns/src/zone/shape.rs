//! What the data of each record type is written as.

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
    /// A word in a form of the type's own, which the library reads.
    Word,
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
    let kinds: Vec<String> = SHAPES.iter().map(|shape| shape.kind.to_string()).collect();
    kinds.join(", ")
}

const fn row(kind: RecordType, parts: &'static [Part], rest: Rest, example: &'static str) -> Shape {
    Shape { kind, parts, rest, example }
}

const SHAPES: [Shape; 20] = {
    use Part::{Ipv4, Ipv6, Name, Seconds, Text, U8, U16, Value, Word};
    use Rest::{Joined, More, Nothing, Words};
    [
        row(RecordType::A, &[Ipv4], Nothing, "www A 192.0.2.1"),
        row(RecordType::AAAA, &[Ipv6], Nothing, "www AAAA 2001:db8::1"),
        row(RecordType::CAA, &[U8, Text, Value], Nothing, "@ CAA 0 issue \"ca.example\""),
        row(RecordType::CERT, &[U16, U16, U8, Word], Joined, "@ CERT 1 0 8 AQAB"),
        row(RecordType::CNAME, &[Name], Nothing, "www CNAME shop"),
        row(RecordType::CSYNC, &[Word, U16], Words, "@ CSYNC 66 3 A NS AAAA"),
        row(RecordType::HINFO, &[Text, Text], Nothing, "@ HINFO \"x86\" \"linux\""),
        row(RecordType::HTTPS, &[U16, Name], Words, "@ HTTPS 1 . alpn=h2"),
        row(RecordType::MX, &[U16, Name], Nothing, "@ MX 10 mail"),
        row(
            RecordType::NAPTR,
            &[U16, U16, Text, Text, Text, Name],
            Nothing,
            "@ NAPTR 1 1 \"S\" \"SIP+D2U\" \"\" _sip._udp",
        ),
        row(RecordType::NS, &[Name], Nothing, "@ NS ns1"),
        row(RecordType::OPENPGPKEY, &[Word], Joined, "key OPENPGPKEY AQAB"),
        row(RecordType::PTR, &[Name], Nothing, "1 PTR www.shop.example."),
        row(RecordType::SMIMEA, &[U8, U8, U8, Word], Joined, "key SMIMEA 3 1 1 0123456789abcdef"),
        row(
            RecordType::SOA,
            &[Name, Name, Seconds, Seconds, Seconds, Seconds, Seconds],
            Nothing,
            "@ SOA ns1 hostmaster 1 2h 1h 2w 5m",
        ),
        row(RecordType::SRV, &[U16, U16, U16, Name], Nothing, "_sip._tcp SRV 0 5 5060 sip"),
        row(RecordType::SSHFP, &[U8, U8, Word], Joined, "host SSHFP 4 2 0123456789abcdef"),
        row(RecordType::SVCB, &[U16, Name], Words, "_dns SVCB 1 ns1 alpn=dot"),
        row(RecordType::TLSA, &[U8, U8, U8, Word], Joined, "_443._tcp TLSA 3 1 1 0123456789abcdef"),
        row(RecordType::TXT, &[Text], More, "@ TXT \"one string\" \"another\""),
    ]
};
