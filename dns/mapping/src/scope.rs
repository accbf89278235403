//! For how wide a prefix an answer holds (RFC 7871 §7.2.1).

use crate::address::Family;

/// Scopes of one address, by how many of the list's PoPs the answer depends on.
///
/// The answer is a function of the first fit PoP of the unit's list. While the best PoP is fit,
/// every client with the same best PoP gets the same; when it is not, those with the same first two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// The first PoP decides.
    pub first: u8,
    /// The first two decide.
    pub second: u8,
    /// The whole list, or a cost, decides.
    pub whole: u8,
}

/// The shortest prefix around `key` that lies within the run `[first, last]`: a run's canonical CIDR cut.
#[must_use]
pub(crate) fn scope(family: Family, key: u64, first: u64, last: u64) -> u8 {
    let unused = 64 - family.bits();
    let bits_shared = |other: u64| u8::try_from((key ^ other).leading_zeros()).unwrap_or(64) - unused + 1;
    let left = if first == 0 { 0 } else { bits_shared(first - 1) };
    let right = if last >= family.last() { 0 } else { bits_shared(last + 1) };
    left.max(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_cut_into_its_widest_prefixes() {
        for (key, first, last, expected) in [
            (0x0a00_0000, 0x0a00_0000, 0x0aff_ffff, 8),
            (0x0a00_0000, 0, 0xffff_ffff, 0),
            (0x0a00_0100, 0x0a00_0100, 0x0a00_04ff, 24),
            (0x0a00_0200, 0x0a00_0100, 0x0a00_04ff, 23),
            (0x0a00_0400, 0x0a00_0100, 0x0a00_04ff, 24),
        ] {
            assert_eq!(scope(Family::V4, key, first, last), expected, "{key:x}");
        }
        assert_eq!(scope(Family::V6, 0x2001_0db8_0000_0000, 0x2001_0db8_0000_0000, 0x2001_0db8_ffff_ffff), 32);
    }
}
