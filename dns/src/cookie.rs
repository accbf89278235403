//! DNS cookies (RFC 7873, RFC 9018): who has shown that replies reach it.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// What makes and knows the server cookies of all name servers that have the same key.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    key: [u8; 16],
}

/// The cookie option of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    client: [u8; 8],
    /// `None`: the asker has none, or none of ours.
    server: Option<[u8; 16]>,
}

/// What a cookie says of who sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has got a reply of ours at its address, lately.
    Proven,
    /// Anybody may have written this address.
    #[default]
    Unproven,
}

/// The option's code (RFC 7873 §4).
pub(crate) const COOKIE: u16 = 10;
/// A reply's option: the client's cookie, then ours.
pub(crate) const REPLY: usize = 24;
/// The version of RFC 9018 §4.2, and its reserved bytes.
const VERSION: [u8; 4] = [1, 0, 0, 0];
/// "within 1 hour in the past and 5 minutes into the future", renewed after half an hour (RFC 9018 §4.3).
const VALID_S: i32 = 3_600;
const AHEAD_S: i32 = 300;
const RENEWED_S: i32 = 1_800;

impl Cookies {
    /// Those of a key.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The option to answer with, and what the query's says; `now` in seconds since 1970.
    pub(crate) fn answer(&self, cookie: &Cookie, client: IpAddr, now: u32) -> ([u8; REPLY], Standing) {
        let age = cookie.server.and_then(|server| self.age(cookie, &server, client, now));
        let server = match (age, cookie.server) {
            (Some(age), Some(server)) if age <= RENEWED_S => server,
            _ => self.made(cookie, now, client),
        };
        let mut option = [0; REPLY];
        let (first, second) = option.split_at_mut(cookie.client.len());
        first.copy_from_slice(&cookie.client);
        second.copy_from_slice(&server);
        (option, if age.is_some() { Standing::Proven } else { Standing::Unproven })
    }

    /// How old a server cookie is, in seconds; `None` where it is not ours, not this client's, or out of date.
    fn age(&self, cookie: &Cookie, server: &[u8; 16], client: IpAddr, now: u32) -> Option<i32> {
        let [version @ .., _, _, _, _, _, _, _, _] = server;
        let (_, time) = version.split_at(VERSION.len());
        let made = u32::from_be_bytes(time.try_into().ok()?);
        // Serial numbers (RFC 1982): they go round in 2106.
        let age = now.wrapping_sub(made).cast_signed();
        let is_ours = self.made_as(cookie, *version, client) == *server;
        (is_ours && (-AHEAD_S..=VALID_S).contains(&age)).then_some(age)
    }

    fn made(&self, cookie: &Cookie, now: u32, client: IpAddr) -> [u8; 16] {
        let mut head = [0; 8];
        let (version, time) = head.split_at_mut(VERSION.len());
        version.copy_from_slice(&VERSION);
        time.copy_from_slice(&now.to_be_bytes());
        self.made_as(cookie, head, client)
    }

    /// "Hash = SipHash-2-4(Client Cookie | Version | Reserved | Timestamp | Client-IP, Server Secret)" (RFC 9018 §4.4).
    fn made_as(&self, cookie: &Cookie, head: [u8; 8], client: IpAddr) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&cookie.client);
        hasher.write(&head);
        match client {
            IpAddr::V4(v4) => hasher.write(&v4.octets()),
            IpAddr::V6(v6) => hasher.write(&v6.octets()),
        }
        let mut made = [0; 16];
        let (first, hash) = made.split_at_mut(head.len());
        first.copy_from_slice(&head);
        hash.copy_from_slice(&hasher.finish().to_le_bytes());
        made
    }
}

impl Cookie {
    /// Reads an option; `None` where its length is wrong: "8 octets or 16 to 40 octets" (RFC 7873 §5.2.2).
    pub(crate) fn read(option: &[u8]) -> Option<Self> {
        let (client, server) = option.split_first_chunk::<8>()?;
        match server.len() {
            0 => Some(Self { client: *client, server: None }),
            // Of other lengths than ours are other servers'.
            8..=32 => Some(Self { client: *client, server: server.try_into().ok() }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
    }

    /// RFC 9018 appendix A.
    #[test]
    fn cookies_are_those_of_the_standard() {
        let first = Cookies::new(bytes("e5e973e5a6b2a43f48e7dc849e37bfcf"));
        let later = Cookies::new(bytes("445536bcd2513298075a5d379663c962"));
        let by_ipv6 = Cookies::new(bytes("dd3bdf9344b678b185a6f5cb60fca715"));
        for (cookies, client, option, now, expected, standing) in [
            // A.1: learning a new server cookie.
            (
                first,
                "198.51.100.100",
                "2464c4abcf10c957",
                1_559_731_985,
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
                Standing::Unproven,
            ),
            // A.2: the same client, later.
            (
                first,
                "198.51.100.100",
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
                1_559_734_385,
                "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
                Standing::Proven,
            ),
            // A.3: one that is too old, with reserved bits; the new one has none.
            (
                first,
                "203.0.113.203",
                "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
                1_559_734_700,
                "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
                Standing::Unproven,
            ),
            // A.4: made with the key before, and by a server that has that still.
            (
                later,
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                1_559_741_961,
                "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
                Standing::Unproven,
            ),
            (
                by_ipv6,
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                1_559_741_961,
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                Standing::Proven,
            ),
        ] {
            let option = HEXLOWER.decode(option.as_bytes()).unwrap();
            let cookie = Cookie::read(&option).unwrap();
            let (told, found) = cookies.answer(&cookie, client.parse().unwrap(), now);
            assert_eq!(found, standing, "{expected}");
            assert_eq!(HEXLOWER.encode(&told), expected);
        }
    }

    #[test]
    fn a_cookie_is_one_clients_for_an_hour() {
        let cookies = Cookies::new([7; 16]);
        let client = IpAddr::from([192, 0, 2, 1]);
        let (option, _) = cookies.answer(&Cookie::read(&[1; 8]).unwrap(), client, 10_000);
        let standing = |option: &[u8], client, now| cookies.answer(&Cookie::read(option).unwrap(), client, now).1;
        for (client, now, expected) in [
            (client, 10_000, Standing::Proven),
            (client, 13_600, Standing::Proven),
            (client, 13_601, Standing::Unproven),
            (client, 9_700, Standing::Proven),
            (client, 9_699, Standing::Unproven),
            (IpAddr::from([192, 0, 2, 2]), 10_000, Standing::Unproven),
        ] {
            assert_eq!(standing(&option, client, now), expected, "{client} {now}");
        }
        let mut forged = option;
        forged[23] ^= 1;
        assert_eq!(standing(&forged, client, 10_000), Standing::Unproven);
        for length in [0, 7, 9, 15, 41] {
            assert_eq!(Cookie::read(&vec![1; length]), None, "{length}");
        }
        assert!([8, 16, 24, 40].iter().all(|length| Cookie::read(&vec![1; *length]).is_some()));
    }
}
