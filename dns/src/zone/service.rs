//! Parameters of SVCB and HTTPS records (RFC 9460 §2.1, appendix A), from text to bytes: the library's own reader takes no
//! escapes, no other order than the wire's, and not all that must go together.

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64;

use super::entry::{Field, unescaped};
use super::record::shown;

/// Keys by their names (RFC 9460 §14.3.2, RFC 9461, RFC 9540).
const KEYS: [(&str, u16); 9] = [
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4_HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6_HINT),
    ("dohpath", 7),
    ("ohttp", OHTTP),
];
const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const OHTTP: u16 = 8;
/// RFC 9460 §14.3.2: "65535 is reserved ("Invalid key")".
const INVALID: u16 = u16::MAX;

/// The bytes of a record's parameters, whatever their order, or what is wrong with them.
pub(super) fn parameters(words: &[Field<'_>]) -> Result<Vec<u8>, String> {
    let mut all: Vec<(u16, Vec<u8>)> = words.iter().map(|word| parameter(word.text)).collect::<Result<_, _>>()?;
    // §2.2: "SvcParamKeys SHALL appear in increasing numeric order."
    all.sort_by_key(|(key, _)| *key);
    // §2.1: "SvcParams in presentation format MAY appear in any order, but keys MUST NOT be repeated."
    if let Some([(key, _), _]) = all.array_windows().find(|[one, next]| one.0 == next.0) {
        return Err(format!("`{}` is there twice", name_of(*key)));
    }
    let has = |key: u16| all.iter().any(|(other, _)| *other == key);
    // §7.1.1: "alpn" MUST also be there.
    if has(NO_DEFAULT_ALPN) && !has(ALPN) {
        return Err("`no-default-alpn` is of no use without `alpn`".to_owned());
    }
    if let Some((_, keys)) = all.first().filter(|(key, _)| *key == MANDATORY) {
        let named = keys.chunks_exact(2).filter_map(|key| Some(u16::from_be_bytes(key.try_into().ok()?)));
        // §8: "Each SvcParamKey in the list MUST also appear".
        if let Some(missing) = named.into_iter().find(|key| !has(*key)) {
            return Err(format!("`mandatory` names `{0}`, and there is no `{0}`", name_of(missing)));
        }
    }
    let mut bytes = Vec::new();
    for (key, value) in all {
        let length = u16::try_from(value.len()).map_err(|_| format!("`{}` is too long", name_of(key)))?;
        bytes.extend(key.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(value);
    }
    Ok(bytes)
}

/// One parameter: its key, and its value's bytes.
fn parameter(word: &str) -> Result<(u16, Vec<u8>), String> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let (key, is_generic) = key_of(name).ok_or_else(|| format!("`{}` is no parameter known here", shown(name)))?;
    let wrong = |what: &str| format!("`{}` is not {what}", shown(word));
    let is_open = |value: &str| value.len() == 1 || !value.ends_with('"');
    let value = match value {
        Some(value) if value.starts_with('"') && is_open(value) => return Err(wrong("a value with both its quotes")),
        Some(value) => value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value),
        None => "",
    };
    let bytes = unescaped(value).ok_or_else(|| wrong("a value whose `\\` can be read"))?.into_owned();
    if is_generic {
        // RFC 9460 §2.1: the value of `keyNNNNN` is its bytes.
        return Ok((key, bytes));
    }
    let text = || std::str::from_utf8(&bytes).ok().filter(|text| !text.is_empty());
    let value = match key {
        MANDATORY => text().and_then(mandatory).ok_or_else(|| wrong("a list of parameters, each once"))?,
        ALPN => protocols(&bytes).ok_or_else(|| wrong("a list of protocols of 1 to 255 bytes"))?,
        NO_DEFAULT_ALPN | OHTTP if bytes.is_empty() => Vec::new(),
        NO_DEFAULT_ALPN | OHTTP => return Err(wrong("without a value, as it must be")),
        PORT => {
            let port = text().and_then(|text| text.parse::<u16>().ok()).ok_or_else(|| wrong("a port"))?;
            port.to_be_bytes().to_vec()
        }
        IPV4_HINT => {
            let addresses = text().and_then(|text| listed(text, |one| Some(one.parse::<Ipv4Addr>().ok()?.octets())));
            addresses.ok_or_else(|| wrong("a list of IPv4 addresses"))?
        }
        IPV6_HINT => {
            let addresses = text().and_then(|text| listed(text, |one| Some(one.parse::<Ipv6Addr>().ok()?.octets())));
            addresses.ok_or_else(|| wrong("a list of IPv6 addresses"))?
        }
        ECH => text().and_then(|text| BASE64.decode(text.as_bytes()).ok()).ok_or_else(|| wrong("base64"))?,
        _ if bytes.is_empty() => return Err(wrong("with a value, as it must be")),
        _ => bytes,
    };
    Ok((key, value))
}

/// A key by its name, or as `key65333`; whether it is written so.
fn key_of(name: &str) -> Option<(u16, bool)> {
    if let Some((_, key)) = KEYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Some((*key, false));
    }
    let digits = name.strip_prefix("key").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    // "without leading zeros".
    let key = digits.parse().ok().filter(|key| *key != INVALID && digits == u16::to_string(key))?;
    Some((key, true))
}

fn name_of(key: u16) -> String {
    let known = KEYS.iter().find(|(_, known)| *known == key);
    known.map_or_else(|| format!("key{key}"), |(name, _)| (*name).to_owned())
}

/// Keys that a client must know, in increasing order (RFC 9460 §8).
fn mandatory(text: &str) -> Option<Vec<u8>> {
    let keys = text.split(',').map(|name| key_of(name).map(|(key, _)| key));
    let mut keys: Vec<u16> = keys.collect::<Option<_>>()?;
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    let is_right = keys.len() == count && !keys.contains(&MANDATORY);
    is_right.then(|| keys.iter().flat_map(|key| key.to_be_bytes()).collect())
}

/// A list in which `\,` is a comma and `\\` a backslash of an item (RFC 9460 appendix A.1), each with its length.
fn protocols(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(*rest.next()?),
            byte => items.last_mut()?.push(*byte),
        }
    }
    let mut out = Vec::new();
    for item in items {
        out.push(u8::try_from(item.len()).ok().filter(|length| *length > 0)?);
        out.extend(item);
    }
    Some(out)
}

/// A list of items of so many bytes each.
fn listed<const N: usize>(text: &str, read: impl Fn(&str) -> Option<[u8; N]>) -> Option<Vec<u8>> {
    let items: Option<Vec<[u8; N]>> = text.split(',').map(read).collect();
    items.map(|items| items.concat())
}

#[cfg(test)]
mod tests {
    use super::super::entry::Form;
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let words: Vec<Field<'_>> = text.split(' ').map(|text| Field { text, form: Form::Bare }).collect();
        parameters(&words).map(|bytes| data_encoding::HEXLOWER.encode(&bytes))
    }

    /// The vectors of RFC 9460 appendix D, and what others' zones have.
    #[test]
    fn parameters_are_the_standards_bytes() {
        for (text, bytes) in [
            ("port=53", "000300020035"),
            ("key667=hello", "029b000568656c6c6f"),
            ("key667=\"hello\\210qoo\"", "029b000968656c6c6fd2716f6f"),
            (
                "ipv6hint=\"2001:db8::1,2001:db8::53:1\"",
                "0006002020010db800000000000000000000000120010db8000000000000000000530001",
            ),
            (
                "alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
                concat!("0000000400010004", "00010009026832", "0568332d3139", "00040004c0000201"),
            ),
            ("alpn=\"f\\\\\\\\oo\\\\,bar,h2\"", "0001000c08665c6f6f2c626172026832"),
            ("alpn=f\\\\\\092oo\\092,bar,h2", "0001000c08665c6f6f2c626172026832"),
            ("key1=\"\\002h2\"", "00010003026832"),
            ("port=8443 alpn=h2", "000100030268320003000220fb"),
            ("dohpath=/dns-query{?dns}", "000700102f646e732d71756572797b3f646e737d"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(bytes), "{text}");
        }
        for (text, wrong) in [
            ("key65535=x", "is no parameter"),
            ("key01=x", "is no parameter"),
            ("alpn=h2 alpn=h3", "`alpn` is there twice"),
            ("alpn=h2, port=1", "is not a list of protocols"),
            ("mandatory=port alpn=h2", "there is no `port`"),
            ("mandatory=mandatory", "is not a list of parameters"),
            ("mandatory=alpn,alpn alpn=h2", "is not a list of parameters"),
            ("no-default-alpn", "without `alpn`"),
            ("no-default-alpn=1 alpn=h2", "without a value"),
            ("alpn", "is not a list of protocols"),
            ("port=", "is not a port"),
            ("port=70000", "is not a port"),
            ("ipv4hint=::1", "is not a list of IPv4"),
            ("ech=%", "is not base64"),
            ("key9=\"", "both its quotes"),
            ("key9=\\999", "can be read"),
        ] {
            assert!(read(text).unwrap_err().contains(wrong), "{text}: {:?}", read(text));
        }
    }
}
