//! Answers kept as bytes, by what they depend on. Bounded: when it is full it begins anew.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use mapping::{Basis, Family, PopIndex};

use super::message::{Common, LONGEST_NAME};

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
    /// Records in the answer, authority and additional sections, as in a header.
    pub(super) counts: [u8; 6],
    at: u32,
    length: u16,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    key_at: u32,
    key_length: u16,
    held: Held,
}

/// Answers by key.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    slots: HashTable<Slot>,
    /// Keys and records.
    bytes: Vec<u8>,
    /// Keyed, since names are chosen by who asks.
    hasher: RandomState,
}

/// Slots are 56 bytes: 15 MiB and 32 MiB of keys and records at most, on each core and address.
const MOST_SLOTS: usize = 1 << 18;
const MOST_BYTES: usize = 32 << 20;

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

impl Encoded {
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.bytes.clear();
    }

    pub(super) fn find(&self, key: &Key) -> Option<Held> {
        let hash = self.hasher.hash_one(key.bytes());
        let is_it = |slot: &Slot| slot.hash == hash && self.part(slot.key_at, slot.key_length) == key.bytes();
        self.slots.find(hash, is_it).map(|slot| slot.held)
    }

    /// A key's hash.
    pub(super) fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key.bytes())
    }

    /// The records of an answer.
    pub(super) fn records(&self, answer: &Answer) -> &[u8] {
        self.part(answer.at, answer.length)
    }

    fn part(&self, at: u32, length: u16) -> &[u8] {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        self.bytes.get(at..at.saturating_add(length.into())).unwrap_or_default()
    }

    /// Keeps an answer.
    pub(super) fn add_answer(&mut self, key: &Key, (code, authoritative): (u8, bool), counts: [u8; 6], records: &[u8]) {
        self.make_room(key, records.len());
        let (Some(at), Ok(length)) = (self.end(), u16::try_from(records.len())) else { return };
        self.bytes.extend_from_slice(records);
        self.add(key, Held::Answer(Answer { code, authoritative, counts, at, length }));
    }

    /// Keeps that a name is routed.
    pub(super) fn add_routed(&mut self, key: &Key, site: usize, family: Family) {
        self.make_room(key, 0);
        self.add(key, Held::Routed { site, family });
    }

    fn make_room(&mut self, key: &Key, records: usize) {
        if self.slots.len() >= MOST_SLOTS || self.bytes.len() + key.length + records > MOST_BYTES {
            self.clear();
        }
    }

    fn end(&self) -> Option<u32> {
        u32::try_from(self.bytes.len()).ok()
    }

    fn add(&mut self, key: &Key, held: Held) {
        if self.find(key).is_some() {
            return;
        }
        let (Some(key_at), Ok(key_length)) = (self.end(), u16::try_from(key.length)) else { return };
        self.bytes.extend_from_slice(key.bytes());
        let hash = self.hasher.hash_one(key.bytes());
        self.slots.insert_unique(hash, Slot { hash, key_at, key_length, held }, |slot| slot.hash);
    }
}

#[cfg(test)]
impl Encoded {
    pub(super) fn is_bounded(&self) -> bool {
        self.slots.len() <= MOST_SLOTS && self.bytes.len() <= MOST_BYTES
    }
}
