//! What of a request for a transfer was wrong.

use std::fmt;

/// Why a zone is not handed over. It is for the operator: who asks is told less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The request's signature stands where none may, or cannot be read.
    Malformed,
    /// No zone of this name is handed to anybody.
    Zone,
    /// Nor is this one to that address.
    Address,
    /// A key is wanted, and the request is not signed.
    Unsigned,
    /// It is signed with a key that is known, and not the one that is wanted.
    OtherKey,
    /// It is signed with a key that is not known by this name and algorithm (BADKEY).
    UnknownKey,
    /// It is not signed with the key whose name it gives (BADSIG).
    Signature,
    /// It was signed too long ago, or is yet to be (BADTIME).
    Time,
}

/// As the end of a sentence, with what to look at.
impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "its signature is malformed",
            Self::Zone => "no `[[transfer]]` is of a plain zone of this name",
            Self::Address => "no `[[transfer]]` of the zone has this address in its `to`",
            Self::Unsigned => "it is not signed, and the zone's `[[transfer]]` has a `key`",
            Self::OtherKey => "it is signed with another key than that of the zone's `[[transfer]]`",
            Self::UnknownKey => "no `[[transfer]]` has a key of the name and the algorithm that it is signed with",
            Self::Signature => "its signature is wrong: the other side has another secret by the key's name",
            Self::Time => "its signature is of another time: one of both clocks is wrong",
        })
    }
}
