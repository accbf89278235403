//! What is known of a request, as it goes to the writer: a head of one size, and texts behind it.

use std::net::{IpAddr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A request that is over. A text that is empty is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// When it began, milliseconds since the Unix epoch.
    pub(crate) time_ms: u64,
    /// As far as it may be written.
    pub(crate) client: Option<IpAddr>,
    pub(crate) status: u16,
    /// Bytes of body sent.
    pub(crate) bytes: u64,
    pub(crate) duration_ms: u64,
    /// Until there was an answer to send.
    pub(crate) first_byte_ms: u64,
    pub(crate) complete: bool,
    pub(crate) site: &'a [u8],
    pub(crate) method: &'a [u8],
    pub(crate) scheme: &'a [u8],
    /// As the client wrote it.
    pub(crate) host: &'a [u8],
    /// Path and query, as the client wrote them.
    pub(crate) target: &'a [u8],
    pub(crate) version: &'a [u8],
    pub(crate) tls: &'a [u8],
    pub(crate) cache: &'a [u8],
    /// The origin's server that answered.
    pub(crate) origin: &'a [u8],
    pub(crate) user_agent: &'a [u8],
    pub(crate) referer: &'a [u8],
    pub(crate) request_id: &'a [u8],
}

/// How many texts a record has.
const TEXTS: usize = 12;

/// What a record begins with. Who reads it is the process that wrote it.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Head {
    time_ms: u64,
    bytes: u64,
    duration_ms: u64,
    first_byte_ms: u64,
    /// IPv4 as IPv6 writes it.
    client: [u8; 16],
    /// Of the texts, in the record's order.
    lengths: [u32; TEXTS],
    status: u16,
    has_client: u8,
    is_complete: u8,
    _unused: [u8; 4],
}

impl<'a> Record<'a> {
    /// Adds it to others; nothing, where a text is longer than any can be. Whether it did.
    pub(super) fn pack(&self, out: &mut Vec<u8>) -> bool {
        let texts = [
            self.site,
            self.method,
            self.scheme,
            self.host,
            self.target,
            self.version,
            self.tls,
            self.cache,
            self.origin,
            self.user_agent,
            self.referer,
            self.request_id,
        ];
        let mut lengths = [0; TEXTS];
        for (length, text) in lengths.iter_mut().zip(&texts) {
            let Ok(fits) = u32::try_from(text.len()) else { return false };
            *length = fits;
        }
        let client = self.client.map_or(Ipv6Addr::UNSPECIFIED, |client| match client {
            IpAddr::V4(client) => client.to_ipv6_mapped(),
            IpAddr::V6(client) => client,
        });
        let head = Head {
            time_ms: self.time_ms,
            bytes: self.bytes,
            duration_ms: self.duration_ms,
            first_byte_ms: self.first_byte_ms,
            client: client.octets(),
            lengths,
            status: self.status,
            has_client: u8::from(self.client.is_some()),
            is_complete: u8::from(self.complete),
            _unused: [0; 4],
        };
        out.extend_from_slice(head.as_bytes());
        texts.iter().for_each(|text| out.extend_from_slice(text));
        true
    }

    /// The first of several, and the others; none where there is none whole.
    pub(super) fn unpack(packed: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, mut rest) = Head::read_from_prefix(packed).ok()?;
        let mut texts = [<&[u8]>::default(); TEXTS];
        for (text, length) in texts.iter_mut().zip(head.lengths) {
            (*text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        }
        let [site, method, scheme, host, target, version, tls, cache, origin, user_agent, referer, request_id] = texts;
        let client = IpAddr::V6(Ipv6Addr::from(head.client)).to_canonical();
        let record = Self {
            time_ms: head.time_ms,
            client: (head.has_client == 1).then_some(client),
            status: head.status,
            bytes: head.bytes,
            duration_ms: head.duration_ms,
            first_byte_ms: head.first_byte_ms,
            complete: head.is_complete == 1,
            site,
            method,
            scheme,
            host,
            target,
            version,
            tls,
            cache,
            origin,
            user_agent,
            referer,
            request_id,
        };
        Some((record, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_what_is_cut_is_nothing() {
        let record = Record {
            time_ms: u64::MAX,
            client: Some("192.0.2.7".parse().unwrap()),
            status: 599,
            bytes: 1,
            duration_ms: 2,
            first_byte_ms: 3,
            complete: true,
            site: b"site",
            method: b"method",
            scheme: b"scheme",
            host: b"host",
            target: b"target",
            version: b"version",
            tls: b"tls",
            cache: b"cache",
            origin: b"origin",
            user_agent: b"\xff\x00",
            referer: b"referer",
            request_id: b"request id",
        };
        let others = [
            record.clone(),
            Record { client: Some("2001:db8::7".parse().unwrap()), complete: false, ..record.clone() },
            Record { client: None, tls: b"", origin: b"", user_agent: b"", referer: b"", request_id: b"", ..record },
        ];
        let mut packed = Vec::new();
        assert!(others.iter().all(|record| record.pack(&mut packed)));
        let mut rest = packed.as_slice();
        for record in &others {
            let (unpacked, more) = Record::unpack(rest).unwrap();
            assert_eq!(&unpacked, record);
            rest = more;
        }
        assert!(rest.is_empty() && Record::unpack(rest).is_none());
        let mut one = Vec::new();
        others[0].pack(&mut one);
        assert!((0..one.len()).all(|length| Record::unpack(&one[..length]).is_none()));
    }
}
