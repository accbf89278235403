//! Domain names, and the host names a site answers to.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;

use crate::shape;
use crate::wrong::Wrong;

/// A domain name in lower case, without the last dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String", transform = shape::text_within("domain name", NAME_PATTERN, MOST_BYTES))]
pub struct DomainName(Arc<str>);

/// Longest domain name (RFC 1035 §2.3.4), without the last dot.
const MOST_BYTES: usize = 253;
/// What [`DomainName::parse`] takes.
const NAME_PATTERN: &str = r"^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$";
/// What [`HostPattern::parse`] takes.
const HOST_PATTERN: &str = r"^((\*\.)?[A-Za-z0-9._-]+(:[0-9]{1,5})?|[0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?)$";

/// What a host pattern names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostName {
    /// This name alone.
    Exact(DomainName),
    /// Every name below this one, at any depth, not the name itself.
    Below(DomainName),
    /// A literal address.
    Address(IpAddr),
}

/// A host a site answers to: a name, a wildcard or an address, with or without a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String", transform = shape::text("host", HOST_PATTERN))]
pub struct HostPattern {
    /// The name.
    pub name: HostName,
    /// Only this port, or any.
    pub port: Option<u16>,
}

impl DomainName {
    /// Reads a name of letters, digits, hyphens and underscores; lower-cased; a last dot is dropped.
    ///
    /// # Errors
    /// Labels are 1 to 63 bytes and the whole at most 253 (RFC 1035 §2.3.4).
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let wrong = |why: &str| Wrong::new(format!("`{text}` is not a domain name")).help(why);
        if name.is_empty() {
            return Err(wrong("write a name such as \"www.shop.example\""));
        }
        if name.len() > MOST_BYTES {
            return Err(wrong("a name has at most 253 bytes"));
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(wrong("every part between dots has 1 to 63 bytes"));
            }
            if label.contains('*') {
                return Err(wrong("a wildcard stands first and alone, as in \"*.shop.example\""));
            }
            let lawful = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if !label.bytes().all(lawful) {
                return Err(wrong("a name has letters, digits, hyphens and dots; write others in punycode (xn--…)"));
            }
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `zone` or a name below it.
    #[must_use]
    pub fn is_in(&self, zone: &Self) -> bool {
        match self.0.strip_suffix(zone.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HostPattern {
    /// Reads `name`, `*.name`, an address, or one of these with `:port`.
    ///
    /// # Errors
    /// As [`DomainName::parse`].
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some((_, host)) = text.split_once("://") {
            let host = host.split('/').next().unwrap_or_default();
            return Err(Wrong::new(format!("`{text}` is a URL")).help(format!("write the host alone: \"{host}\"")));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { name: HostName::Address(address), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => match port.parse::<u16>() {
                Ok(port) if port > 0 => (host, Some(port)),
                _ => return Err(Wrong::new(format!("`{text}` has no valid port")).help("a port is 1 to 65535")),
            },
            None => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let name = match (bare.parse::<IpAddr>(), host.strip_prefix("*.")) {
            (Ok(address), _) => HostName::Address(address),
            (Err(_), Some(rest)) => HostName::Below(DomainName::parse(rest)?),
            (Err(_), None) => HostName::Exact(DomainName::parse(host)?),
        };
        Ok(Self { name, port })
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            HostName::Address(IpAddr::V6(address)) if self.port.is_some() => write!(f, "[{address}]")?,
            name => write!(f, "{name}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_wildcards_or_addresses() {
        for (text, shown) in [
            ("WWW.Shop.example.", "www.shop.example"),
            ("*.img.shop.example", "*.img.shop.example"),
            ("shop.example:8080", "shop.example:8080"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", "a..b", "a b", "*.*.x", "x:0", "x:99999", "bücher.example"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_in_a_zone_only_at_a_label_border() {
        let name = |text| DomainName::parse(text).unwrap();
        assert!(name("a.shop.example").is_in(&name("shop.example")));
        assert!(name("shop.example").is_in(&name("shop.example")));
        assert!(!name("workshop.example").is_in(&name("shop.example")));
    }
}
