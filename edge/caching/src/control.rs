//! Cache-Control directives (RFC 9111 §5.2).

use std::time::Duration;

use http::HeaderName;
use http::header::{CACHE_CONTROL, HeaderMap};

use crate::field;

/// What a message's directives say. Unknown directives are ignored: RFC 9111 §5.2.3, "A cache
/// MUST ignore unrecognized cache directives."
///
/// A lifetime that is given but malformed is zero: RFC 9111 §4.2.1 encourages caches "to consider
/// responses that have invalid freshness information … to be stale".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-store` (RFC 9111 §5.2.2.5, §5.2.1.5).
    pub no_store: bool,
    /// `no-cache` (RFC 9111 §5.2.2.4).
    pub no_cache: Reach,
    /// `private` (RFC 9111 §5.2.2.7).
    pub private: Reach,
    /// `public` (RFC 9111 §5.2.2.9).
    pub public: bool,
    /// `must-understand` (RFC 9111 §5.2.2.3).
    pub must_understand: bool,
    /// `must-revalidate` (RFC 9111 §5.2.2.2).
    pub must_revalidate: bool,
    /// `proxy-revalidate` (RFC 9111 §5.2.2.8).
    pub proxy_revalidate: bool,
    /// `no-transform` (RFC 9111 §5.2.2.6).
    pub no_transform: bool,
    /// `only-if-cached`, in requests (RFC 9111 §5.2.1.7).
    pub only_if_cached: bool,
    /// `max-age` (RFC 9111 §5.2.2.1).
    pub max_age: Option<Duration>,
    /// `s-maxage` (RFC 9111 §5.2.2.10).
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

/// How much of a response `private` or `no-cache` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nothing: the directive is absent.
    #[default]
    Nothing,
    /// The fields it names.
    Fields(Vec<HeaderName>),
    /// The whole response.
    Whole,
}

/// The largest number of seconds a directive or Age can hold: RFC 9111 §1.2.2, a cache "MUST
/// consider the value to be 2147483648 (2^31) or the greatest positive integer it can conveniently
/// represent".
pub(crate) const MOST_SECONDS: u64 = 1 << 31;

impl Directives {
    /// Reads all Cache-Control lines of a request or a response.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for member in field::members(headers, &CACHE_CONTROL) {
            directives.read(member);
        }
        directives
    }

    fn read(&mut self, member: &[u8]) {
        let mut parts = member.splitn(2, |byte| *byte == b'=');
        let written = parts.next().unwrap_or_default();
        let argument = parts.next();
        // RFC 9111 §5.2: "Cache directives are identified by a token, to be compared case-insensitively".
        let name = field::trim(written).to_ascii_lowercase();
        // RFC 9111 §5.2 allows no space around the equals sign: the directive is there, its argument
        // is not.
        let spaced = written.len() != name.len();
        let seconds = || if spaced { Duration::ZERO } else { seconds(argument) };
        match name.as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache.widen(reach(argument)),
            b"private" => self.private.widen(reach(argument)),
            b"public" => self.public = true,
            b"must-understand" => self.must_understand = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"no-transform" => self.no_transform = true,
            b"only-if-cached" => self.only_if_cached = true,
            // RFC 9111 §4.2.1: of duplicates, "either the first occurrence should be used or the
            // response should be considered stale".
            b"max-age" => _ = self.max_age.get_or_insert_with(seconds),
            b"s-maxage" => _ = self.s_maxage.get_or_insert_with(seconds),
            b"stale-while-revalidate" => _ = self.stale_while_revalidate.get_or_insert_with(seconds),
            b"stale-if-error" => _ = self.stale_if_error.get_or_insert_with(seconds),
            _ => {}
        }
    }
}

impl Reach {
    /// Adds another occurrence: the wider one wins, names add up.
    pub(crate) fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Whole, _) | (_, Self::Nothing) => {}
            (Self::Fields(names), Self::Fields(more)) => names.extend(more),
            (_, other) => *self = other,
        }
    }

    /// The reach of an argument that lists field names. One that lists none, or something else, is
    /// about the whole response: too careful beats too generous.
    pub(crate) fn of_list(list: &[u8]) -> Self {
        let names = list.split(|byte| *byte == b',').map(field::trim).filter(|name| !name.is_empty());
        match names.map(HeaderName::from_bytes).collect::<Result<Vec<_>, _>>() {
            Ok(names) if !names.is_empty() => Self::Fields(names),
            _ => Self::Whole,
        }
    }
}

/// RFC 9111 §5.2: an argument "can use both token and quoted-string syntax".
fn reach(argument: Option<&[u8]>) -> Reach {
    let Some(argument) = argument else {
        return Reach::Whole;
    };
    match field::unquote(argument) {
        Some(list) => Reach::of_list(&list),
        None => Reach::of_list(argument),
    }
}

fn seconds(argument: Option<&[u8]>) -> Duration {
    let argument = argument.unwrap_or_default();
    let plain = field::unquote(argument);
    let seconds = field::number(plain.as_deref().unwrap_or(argument)).unwrap_or(0);
    Duration::from_secs(seconds.min(MOST_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(lines: &[&str]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
        }
        Directives::of(&headers)
    }

    #[test]
    fn delta_seconds_are_digits_else_zero() {
        let table: [(&[&str], Option<u64>); 21] = [
            (&["max-age=3600"], Some(3600)),
            (&["MAX-AGE=3600"], Some(3600)),
            (&["max-age=003600"], Some(3600)),
            (&[r#"max-age="3600""#], Some(3600)),
            (&["max-age=2147483648"], Some(MOST_SECONDS)),
            (&["max-age=99999999999999999999999999"], Some(MOST_SECONDS)),
            (&["max-age=-1"], Some(0)),
            (&["max-age=+1"], Some(0)),
            (&["max-age=1.5"], Some(0)),
            (&["max-age='3600'"], Some(0)),
            (&["max-age=3600a"], Some(0)),
            (&["max-age="], Some(0)),
            (&["max-age"], Some(0)),
            (&["max-age =3600"], Some(0)),
            (&["max-age= 3600"], Some(0)),
            (&["max-age=1, max-age=3600"], Some(1)),
            (&["max-age=3600", "max-age=1"], Some(3600)),
            (&["foo, , ,max-age=3600,"], Some(3600)),
            (&[r#"foo="max-age=1", bar"#, "max-age=3600"], Some(3600)),
            (&[r#"foo="\"max-age=1""#], None),
            (&["max-ages=3600"], None),
        ];
        for (lines, expected) in table {
            assert_eq!(read(lines).max_age, expected.map(Duration::from_secs), "{lines:?}");
        }
    }

    #[test]
    fn an_unclosed_quote_hides_nothing() {
        assert!(read(&[r#"foo="bar, no-store"#]).no_store);
    }

    #[test]
    fn private_and_no_cache_reach_as_far_as_they_say() {
        let fields =
            |names: &[&'static str]| Reach::Fields(names.iter().map(|name| HeaderName::from_static(name)).collect());
        let table = [
            ("foo", Reach::Nothing),
            ("private", Reach::Whole),
            (r#"private="A, b""#, fields(&["a", "b"])),
            ("private=a", fields(&["a"])),
            (r#"private="""#, Reach::Whole),
            (r#"private="a b""#, Reach::Whole),
            (r#"private="a", private"#, Reach::Whole),
            (r#"private, private="a""#, Reach::Whole),
            (r#"private="a", private="b""#, fields(&["a", "b"])),
        ];
        for (line, expected) in table {
            assert_eq!(read(&[line]).private, expected, "{line}");
            assert_eq!(read(&[&line.replace("private", "No-Cache")]).no_cache, expected, "{line}");
        }
    }
}
