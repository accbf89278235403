//! The queries that nearly everybody sends, read in place: one question by an uncompressed name, and at most an OPT.
//!
//! Whatever else a message holds, [`crate::query`] reads it. What is read here it reads alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cookie::{COOKIE, Cookie};
use crate::reply::{CLIENT_SUBNET, KEEPALIVE, NSID};

/// A query, with where its parts stand in the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common<'m> {
    /// The message.
    bytes: &'m [u8],
    /// The end of the question.
    pub(super) question_end: usize,
    pub(super) opt: Option<Opt<'m>>,
}

/// An OPT record (RFC 6891 §6.1.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt<'m> {
    /// The largest UDP reply the asker takes.
    pub(super) payload: u16,
    /// Whether the DO bit is set (RFC 3225 §3).
    pub(super) dnssec_ok: bool,
    /// Whether the CO bit is (RFC 9824 §7.2).
    pub(super) compact_ok: bool,
    pub(super) subnet: Option<CommonSubnet<'m>>,
    pub(super) cookie: Option<Cookie>,
}

/// A client subnet option (RFC 7871 §6).
#[derive(Clone, Copy, Debug)]
pub(super) struct CommonSubnet<'m> {
    pub(super) address: IpAddr,
    pub(super) source: u8,
    /// The option as it came.
    pub(super) wire: &'m [u8],
}

/// The header's length (RFC 1035 §4.1.1), after which the question begins.
pub(super) const HEADER: usize = 12;
/// "The total length of a domain name ... is restricted to 255 octets or less" (RFC 1035 §3.1).
pub(super) const LONGEST_NAME: usize = 255;
/// Type and class behind the name.
const TYPE_AND_CLASS: usize = 4;
/// An OPT record before its options: root, type, payload, extended code, version, flags, length.
pub(super) const OPT_HEADER: usize = 11;
/// Class IN (RFC 1035 §3.2.4).
const IN: [u8; 2] = [0, 1];
/// The counts of a query without and with one additional record.
const ONE_QUESTION: [u8; 7] = [0, 1, 0, 0, 0, 0, 0];

impl<'m> Common<'m> {
    /// Reads a message; `None` if it is not a common one.
    pub(super) fn read(bytes: &'m [u8]) -> Option<Self> {
        let [_, _, flags, _, counts @ .., additional] = bytes.first_chunk::<HEADER>()?;
        // A query (QR 0) with opcode 0.
        if flags & 0b1111_1000 != 0 || *counts != ONE_QUESTION || *additional > 1 {
            return None;
        }
        let question_end = name_end(bytes)? + TYPE_AND_CLASS;
        if bytes.get(question_end - 2..question_end)? != IN {
            return None;
        }
        let rest = bytes.get(question_end..)?;
        let opt = match (additional, rest) {
            (0, []) => None,
            (1, [0, 0, 41, ..]) => Some(Opt::read(rest)?),
            _ => return None,
        };
        Some(Self { bytes, question_end, opt })
    }

    pub(super) fn header(&self) -> &'m [u8] {
        self.bytes.get(..HEADER).unwrap_or_default()
    }

    pub(super) fn question(&self) -> &'m [u8] {
        self.bytes.get(HEADER..self.question_end).unwrap_or_default()
    }

    pub(super) fn name(&self) -> &'m [u8] {
        self.bytes.get(HEADER..self.question_end - TYPE_AND_CLASS).unwrap_or_default()
    }

    /// The same message with its name in lower case.
    pub(super) fn in_lower_case(&self) -> impl Iterator<Item = u8> {
        let name = HEADER..HEADER + self.name().len();
        let lower = move |(at, byte): (usize, &u8)| if name.contains(&at) { byte.to_ascii_lowercase() } else { *byte };
        self.bytes.iter().enumerate().map(lower)
    }

    pub(super) fn id(&self) -> u16 {
        self.bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id))
    }
}

/// Where the name of the question ends.
fn name_end(bytes: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match bytes.get(at)? {
            0 => break,
            label @ 1..=63 => at += 1 + usize::from(*label),
            // A pointer: nothing stands before that it could lead to.
            _ => return None,
        }
    }
    let end = at + 1;
    (end - HEADER <= LONGEST_NAME).then_some(end)
}

impl<'m> Opt<'m> {
    fn read(bytes: &'m [u8]) -> Option<Self> {
        let [_, _, _, payload_high, payload_low, _, version, flags, _, length @ ..] =
            bytes.first_chunk::<OPT_HEADER>()?;
        let options = bytes.get(OPT_HEADER..)?;
        if *version != 0 || usize::from(u16::from_be_bytes(*length)) != options.len() {
            return None;
        }
        let payload = u16::from_be_bytes([*payload_high, *payload_low]);
        let (dnssec_ok, compact_ok) = (flags & 0x80 != 0, flags & 0x40 != 0);
        let opt = Self { payload, dnssec_ok, compact_ok, subnet: None, cookie: None };
        opt.with(options)
    }

    /// Takes options in; `None` where one is malformed, or is not for here.
    fn with(mut self, mut options: &'m [u8]) -> Option<Self> {
        while let [code_high, code_low, length_high, length_low, rest @ ..] = options {
            let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
            let (option, after) = rest.split_at_checked(length)?;
            let is_second = match u16::from_be_bytes([*code_high, *code_low]) {
                CLIENT_SUBNET => self.subnet.replace(CommonSubnet::read(option)?).is_some(),
                COOKIE => self.cookie.replace(Cookie::read(option)?).is_some(),
                NSID | KEEPALIVE => return None,
                _ => false,
            };
            if is_second {
                return None;
            }
            options = after;
        }
        options.is_empty().then_some(self)
    }
}

impl<'m> CommonSubnet<'m> {
    /// Reads an option as strictly as RFC 7871 §6 has it written.
    fn read(wire: &'m [u8]) -> Option<Self> {
        let [0, family, source, 0, told @ ..] = wire else { return None };
        if told.len() != usize::from(source.div_ceil(8)) {
            return None;
        }
        // Bits beyond the source are 0.
        let beyond = 0xff_u8.checked_shr(u32::from(source % 8)).unwrap_or(0);
        if source % 8 != 0 && told.last().is_some_and(|last| last & beyond != 0) {
            return None;
        }
        let mut octets = [0; 16];
        octets.get_mut(..told.len())?.copy_from_slice(told);
        let address = match (family, source) {
            (1, 0..=32) => IpAddr::V4(Ipv4Addr::from(*octets.first_chunk::<4>()?)),
            (2, 0..=128) => IpAddr::V6(Ipv6Addr::from(octets)),
            _ => return None,
        };
        Some(Self { address, source: *source, wire })
    }
}
