//! The identifiers an operator gives to things.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;

use crate::shape;
use crate::wrong::Wrong;

/// Longest identifier: an id is also a DNS label (RFC 1035 §2.3.4).
const MOST_BYTES: usize = 63;
/// Letters, digits and inner hyphens.
const ID_PATTERN: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(with = "String", transform = shape::text_within("id", ID_PATTERN, MOST_BYTES))]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Reads an identifier: lower-case letters, digits and inner hyphens, 1 to 63 bytes.
            ///
            /// # Errors
            /// Says what is wrong and what would be right.
            pub fn parse(text: &str) -> Result<Self, Wrong> {
                check_label(text).map(|()| Self(Arc::from(text)))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// One customer's site: the name of its file under `sites/`, and its label under the zone.
    SiteId
}
id! {
    /// A point of presence.
    PopId
}
id! {
    /// A running `hither`: a name server, an edge, or both under one id.
    NodeId
}

/// An ISO 3166-1 alpha-2 country code, in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String", transform = shape::text("country code `\"DE\"`", "^[A-Za-z]{2}$"))]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// Reads two letters of either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// As [`Self::parse`], for what a person wrote.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn read(text: &str) -> Result<Self, Wrong> {
        let wrong = || Wrong::new(format!("`{text}` is not a country code")).help("two letters, as in \"DE\"");
        match Self::parse(text).ok_or_else(wrong)? {
            // ISO 3166-1 reserves it, and databases say GB.
            Self(code) if code == *b"UK" => Err(wrong().help("the United Kingdom's is \"GB\"")),
            code => Ok(code),
        }
    }

    /// The two capitals.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn check_label(text: &str) -> Result<(), Wrong> {
    let help = "an id has 1 to 63 lower-case letters, digits and hyphens, and no hyphen at either end";
    let bytes = text.as_bytes();
    let lawful = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    if bytes.is_empty() || bytes.len() > MOST_BYTES || !bytes.iter().all(lawful) {
        return Err(Wrong::new(format!("`{text}` is not an id")).help(help));
    }
    if bytes.first() == Some(&b'-') || bytes.last() == Some(&b'-') {
        return Err(Wrong::new(format!("`{text}` is not an id")).help(help));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dns_labels() {
        for good in ["a", "fra-1", "0", &"x".repeat(63)] {
            assert!(PopId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "../x", &"x".repeat(64)] {
            assert!(PopId::parse(bad).is_err(), "{bad}");
        }
    }
}
