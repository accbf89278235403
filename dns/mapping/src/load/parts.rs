//! Parts of a unit that is too heavy to move whole.

use xxhash_rust::xxh3::xxh3_64;

use crate::address::Family;
use crate::topology::PopIndex;

/// Into how many parts a unit is cut. Powers of two, so that each part of a coarser cut is a union of parts
/// of a finer one, and cutting finer moves nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parts {
    /// It moves whole.
    #[default]
    Whole,
    /// 16 parts.
    Sixteen,
    /// 32 parts.
    ThirtyTwo,
    /// 64 parts.
    SixtyFour,
}

impl Parts {
    /// Parts for a unit that weighs so many times what may move whole; from 16 to 64, since a part's share
    /// of a PoP has to be small against the 5 % between filling and solving anew.
    #[must_use]
    pub fn of_weight(times_movable: f64) -> Self {
        match times_movable {
            times if times > 16.0 => Self::SixtyFour,
            times if times > 4.0 => Self::ThirtyTwo,
            times if times > 1.0 => Self::Sixteen,
            _ => Self::Whole,
        }
    }

    /// How many they are.
    #[must_use]
    pub fn count(self) -> u8 {
        match self {
            Self::Whole => 1,
            Self::Sixteen => 16,
            Self::ThirtyTwo => 32,
            Self::SixtyFour => 64,
        }
    }

    /// The part of an address key, by the hash of its /20 (IPv6: /36): the same on every name server, and
    /// for every address of such a block, so that this is the widest scope an answer may have.
    #[must_use]
    pub fn part_of(self, family: Family, key: u64) -> u8 {
        if self == Self::Whole {
            return 0;
        }
        let block = key >> (family.bits() - block_bits(family));
        let mut bytes = [family.bits(); 9];
        bytes.iter_mut().zip(block.to_le_bytes()).for_each(|(to, from)| *to = from);
        let [low, ..] = xxh3_64(&bytes).to_le_bytes();
        low & (self.count() - 1)
    }
}

/// The prefix length of the blocks that parts are made of: the widest scope while a unit is cut.
#[must_use]
pub fn block_bits(family: Family) -> u8 {
    match family {
        Family::V4 => 20,
        Family::V6 => 36,
    }
}

/// What sets parcels of one cost apart, in tenths of a millisecond: up to 2 ms for a part, so that the parts
/// of a unit leave one after the other as a price rises; up to 0.1 ms for a whole unit, which is what its
/// costs were rounded by.
pub(super) fn apart(salt: u64, part: u8, parts: Parts, pop: PopIndex) -> f64 {
    let most = if parts == Parts::Whole { 1.0 } else { 20.0 };
    let mut bytes = [part; 17];
    let words = salt.to_le_bytes().into_iter().chain(pop.as_usize().to_le_bytes());
    bytes.iter_mut().zip(words).for_each(|(to, from)| *to = from);
    let [a, b, ..] = xxh3_64(&bytes).to_le_bytes();
    most * f64::from(u16::from_le_bytes([a, b])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heavier_units_are_cut_finer() {
        for (times, parts) in [(0.2, 1), (1.0, 1), (1.1, 16), (5.0, 32), (17.0, 64), (1e9, 64), (f64::NAN, 1)] {
            assert_eq!(Parts::of_weight(times).count(), parts, "{times}");
        }
    }

    #[test]
    fn a_block_has_one_part_and_blocks_spread_evenly() {
        for (family, step) in [(Family::V4, 1_u64 << 12), (Family::V6, 1 << 28)] {
            let mut count = [0_u32; 64];
            for block in 0..6_400 {
                let part = Parts::SixtyFour.part_of(family, block * step);
                assert_eq!(part, Parts::SixtyFour.part_of(family, block * step + step - 1));
                assert_eq!(part % 16, Parts::Sixteen.part_of(family, block * step), "cuts are nested");
                assert_eq!(Parts::Whole.part_of(family, block * step), 0);
                count[usize::from(part)] += 1;
            }
            assert!(count.iter().all(|count| (50..170).contains(count)), "{count:?}");
        }
    }

    #[test]
    fn parcels_are_set_apart_by_little() {
        let pop = PopIndex::from_usize(3);
        let of = |part| apart(9, part, Parts::Sixteen, pop);
        assert!((0..16).all(|part| (0.0..=20.0).contains(&of(part))));
        assert!(of(0) != of(1) && of(0) == of(0));
        assert!(apart(9, 0, Parts::Whole, pop) <= 1.0);
    }
}
