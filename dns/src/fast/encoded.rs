//! Answers kept as bytes, by what they depend on. Bounded: when it is full it begins anew.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use mapping::{Basis, Family, PopIndex};

use super::message::{Common, LONGEST_NAME};
use crate::limiter::Same;

/// What an answer depends on besides its view and fitness, as bytes: the name in lower case, the type,
/// whether signatures are wanted, and for edges the PoP, basis and turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    bytes: [u8; LONGEST_NAME + 2 + 1 + 1 + 8],
    length: usize,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// An answer.
    Answer(Answer),
    /// A routed name: the answer depends on who asks.
    Routed {
        /// The site, by its place in the config.
        site: usize,
        /// Addresses of this family.
        family: Family,
    },
}

/// An answer but for its header's id and flags, its question and OPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The lower half of the header's flags: 0 but for the response code.
    pub(super) code: u8,
    pub(super) authoritative: bool,
    /// Which other replies are the same to a limit.
    pub(super) same: Same,
    /// Records in the answer, authority and additional sections, as in a header.
    pub(super) counts: [u8; 6],
    at: u32,
    length: u16,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    /// Where its entry begins.
    at: u32,
}

/// Answers by key. A look-up in a large table is as long as its misses of the cache: a slot is small, and all that is
/// held of a key lies together.
///
/// ```text
/// entry: key length (2) | held (20) | key | records
/// ```
#[derive(Debug, Default)]
pub(super) struct Encoded {
    slots: HashTable<Slot>,
    entries: Vec<u8>,
    /// Keyed, since names are chosen by who asks.
    hasher: RandomState,
}

/// What is held, as bytes.
const HELD: usize = 20;
const HEAD: usize = 2 + HELD;
/// The first byte of what is held.
const ANSWER: u8 = 0;
const ROUTED: u8 = 1;
/// Slots are 16 bytes: 4 MiB and 36 MiB of entries at most, on each core and address.
const MOST_SLOTS: usize = 1 << 18;
const MOST_BYTES: usize = 36 << 20;

impl Key {
    /// The key of a question.
    pub(super) fn of(query: &Common<'_>) -> Option<Self> {
        let mut key = Self { bytes: [0; _], length: 0 };
        let (name, kind) = query.question().split_last_chunk::<4>()?;
        let [kind_high, kind_low, ..] = kind;
        key.add(name)?;
        // Lengths of labels are below 64, and no letter is.
        key.bytes.get_mut(..name.len())?.make_ascii_lowercase();
        key.add(&[*kind_high, *kind_low, u8::from(query.opt.is_some_and(|opt| opt.dnssec_ok))])?;
        Some(key)
    }

    /// The same for the edges of a PoP.
    pub(super) fn at(mut self, pop: PopIndex, basis: Basis, turn: usize) -> Option<Self> {
        let pop = u32::try_from(pop.as_usize()).ok()?;
        self.add(&[match basis {
            Basis::Settled => 0,
            Basis::Changing => 1,
        }])?;
        self.add(&pop.to_le_bytes())?;
        self.add(&u16::try_from(turn).ok()?.to_le_bytes())?;
        Some(self)
    }

    fn add(&mut self, more: &[u8]) -> Option<()> {
        let end = self.length + more.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(more);
        self.length = end;
        Some(())
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Held {
    fn to_bytes(self) -> Option<[u8; HELD]> {
        let mut bytes = [0; HELD];
        let parts = match self {
            Self::Answer(answer) => {
                let (kind, hash) = match answer.same {
                    Same::Refusal => (0, 0),
                    Same::Answer(hash) => (1, hash),
                    Same::Stranger(hash) => (2, hash),
                };
                let [length_high, length_low] = answer.length.to_be_bytes();
                let head = [ANSWER, answer.code, u8::from(answer.authoritative), length_high, length_low, kind];
                [&head[..], &answer.counts, &hash.to_be_bytes()].concat()
            }
            Self::Routed { site, family } => {
                let site = u32::try_from(site).ok()?.to_be_bytes();
                [&[ROUTED, u8::from(family == Family::V6)][..], &site].concat()
            }
        };
        bytes.get_mut(..parts.len())?.copy_from_slice(&parts);
        Some(bytes)
    }

    /// `at`: where the records would begin.
    fn read(bytes: &[u8; HELD], at: usize) -> Option<Self> {
        match *bytes {
            [ANSWER, code, authoritative, length_high, length_low, kind, a, b, c, d, e, f, hash @ ..] => {
                let hash = u64::from_be_bytes(hash);
                Some(Self::Answer(Answer {
                    code,
                    authoritative: authoritative == 1,
                    same: match kind {
                        1 => Same::Answer(hash),
                        2 => Same::Stranger(hash),
                        _ => Same::Refusal,
                    },
                    counts: [a, b, c, d, e, f],
                    at: u32::try_from(at).ok()?,
                    length: u16::from_be_bytes([length_high, length_low]),
                }))
            }
            [_, is_v6, a, b, c, d, ..] => Some(Self::Routed {
                site: usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?,
                family: if is_v6 == 1 { Family::V6 } else { Family::V4 },
            }),
        }
    }
}

impl Encoded {
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.entries.clear();
    }

    pub(super) fn find(&self, key: &Key) -> Option<Held> {
        let hash = self.hash(key);
        let is_it =
            |slot: &Slot| slot.hash == hash && self.entry(slot.at).is_some_and(|(_, found, _)| found == key.bytes());
        let slot = self.slots.find(hash, is_it)?;
        let (held, _, records_at) = self.entry(slot.at)?;
        Held::read(held, records_at)
    }

    /// An entry: what is held, its key, and where records would begin.
    fn entry(&self, at: u32) -> Option<(&[u8; HELD], &[u8], usize)> {
        let at = usize::try_from(at).ok()?;
        let (length, rest) = self.entries.get(at..)?.split_first_chunk::<2>()?;
        let (held, rest) = rest.split_first_chunk::<HELD>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        Some((held, rest.get(..length)?, at + HEAD + length))
    }

    /// A key's hash.
    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key.bytes())
    }

    /// The records of an answer.
    pub(super) fn records(&self, answer: &Answer) -> &[u8] {
        let at = usize::try_from(answer.at).unwrap_or(usize::MAX);
        self.entries.get(at..at.saturating_add(answer.length.into())).unwrap_or_default()
    }

    /// Keeps an answer.
    pub(super) fn add_answer(
        &mut self,
        key: &Key,
        (code, authoritative, same): (u8, bool, Same),
        counts: [u8; 6],
        records: &[u8],
    ) {
        let Ok(length) = u16::try_from(records.len()) else { return };
        self.add(key, Held::Answer(Answer { code, authoritative, same, counts, at: 0, length }), records);
    }

    /// Keeps that a name is routed.
    pub(super) fn add_routed(&mut self, key: &Key, site: usize, family: Family) {
        self.add(key, Held::Routed { site, family }, &[]);
    }

    fn add(&mut self, key: &Key, held: Held, records: &[u8]) {
        if self.find(key).is_some() {
            return;
        }
        let size = HEAD + key.length + records.len();
        if self.slots.len() >= MOST_SLOTS || self.entries.len() + size > MOST_BYTES {
            self.clear();
        }
        let (Ok(at), Ok(length)) = (u32::try_from(self.entries.len()), u16::try_from(key.length)) else { return };
        let Some(held) = held.to_bytes() else { return };
        for part in [&length.to_be_bytes()[..], &held, key.bytes(), records] {
            self.entries.extend_from_slice(part);
        }
        let hash = self.hash(key);
        self.slots.insert_unique(hash, Slot { hash, at }, |slot| slot.hash);
    }
}

#[cfg(test)]
impl Encoded {
    pub(super) fn is_bounded(&self) -> bool {
        self.slots.len() <= MOST_SLOTS && self.entries.len() <= MOST_BYTES
    }
}
