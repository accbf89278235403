//! The lookup table: 65,536 roots on the top 16 bits, then nodes of 8 bits each.
//!
//! ```text
//! root[key >> top] -> leaf                       unit and scopes
//!                  -> node: 256 slots, a bit where a new entry begins -> leaf or node
//! ```
//!
//! IPv4 ends after one node (/24), IPv6 after five (/56). An entry is 8 bytes.

use crate::address::Family;
use crate::runs::Run;
use crate::scope::{Scopes, scope};

/// A block of addresses: its unit and scopes, or the node that splits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// The unit, or with [`CHILD`] set a node's index.
    unit: u32,
    first: u8,
    second: u8,
    whole: u8,
    unused: u8,
}

/// Marks an entry that is a node.
const CHILD: u32 = 1 << 31;

/// 256 slots.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Bit q of word w: slot 64 w + q begins a new entry.
    bits: [u64; 4],
    /// Index of the first entry.
    base: u32,
    /// Entries before each word.
    before: [u8; 4],
}

/// Unit and scopes of every address of a family.
#[derive(Debug)]
pub(crate) struct Table {
    family: Family,
    root: Vec<Entry>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
}

/// The same runs merged to three depths: by best PoP, by the first two, by unit.
pub(crate) struct Depths {
    pub(crate) first: Vec<Run<u32>>,
    pub(crate) second: Vec<Run<u32>>,
    pub(crate) whole: Vec<Run<u32>>,
}

const ROOT_BITS: u8 = 16;
const NODE_BITS: u8 = 8;

impl Table {
    /// Builds the table; runs begin at 0 and have borders only at blocks of the longest scope.
    pub(crate) fn build(family: Family, depths: &Depths) -> Self {
        let mut table =
            Self { family, root: Vec::with_capacity(1 << ROOT_BITS), nodes: Vec::new(), entries: Vec::new() };
        let shift = family.bits() - ROOT_BITS;
        for slot in 0..1_u64 << ROOT_BITS {
            let entry = table.entry(depths, slot << shift, shift);
            table.root.push(entry);
        }
        table
    }

    fn entry(&mut self, depths: &Depths, first: u64, shift: u8) -> Entry {
        let last = first | ((1 << shift) - 1);
        let (run_first, run_last, unit) = around(self.family, &depths.whole, first);
        if run_last >= last || shift < NODE_BITS {
            let cut = |runs: &[Run<u32>]| {
                let (run_first, run_last, _) = around(self.family, runs, first);
                scope(self.family, first, run_first, run_last)
            };
            let whole = scope(self.family, first, run_first, run_last);
            return Entry { unit, first: cut(&depths.first), second: cut(&depths.second), whole, unused: 0 };
        }
        let shift = shift - NODE_BITS;
        let mut node = Node::default();
        let mut entries: Vec<Entry> = Vec::new();
        for slot in 0..256_u64 {
            let entry = self.entry(depths, first | (slot << shift), shift);
            if entries.last() == Some(&entry) {
                continue;
            }
            if let Some(word) = node.bits.get_mut(usize::try_from(slot / 64).unwrap_or(0)) {
                *word |= 1 << (slot % 64);
            }
            entries.push(entry);
        }
        let mut before = 0_u32;
        for (count, word) in node.before.iter_mut().zip(node.bits) {
            *count = u8::try_from(before).unwrap_or(u8::MAX);
            before += word.count_ones();
        }
        node.base = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.extend(entries);
        self.nodes.push(node);
        let index = u32::try_from(self.nodes.len() - 1).unwrap_or(0);
        Entry { unit: CHILD | index, first: 0, second: 0, whole: 0, unused: 0 }
    }

    /// Unit and scopes of a key.
    pub(crate) fn find(&self, key: u64) -> (u32, Scopes) {
        let mut shift = self.family.bits() - ROOT_BITS;
        let mut entry = usize::try_from(key >> shift).ok().and_then(|slot| self.root.get(slot));
        while let Some(node) = entry.filter(|entry| entry.unit & CHILD != 0).and_then(|entry| self.node(entry)) {
            shift -= NODE_BITS;
            let slot = (key >> shift) & 0xff;
            entry = node.slot(slot).and_then(|index| self.entries.get(index));
        }
        entry.map_or((0, Scopes::default()), |entry| {
            (entry.unit, Scopes { first: entry.first, second: entry.second, whole: entry.whole })
        })
    }

    fn node(&self, entry: &Entry) -> Option<&Node> {
        self.nodes.get(usize::try_from(entry.unit & !CHILD).ok()?)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        (self.root.len() + self.entries.len()) * size_of::<Entry>() + self.nodes.len() * size_of::<Node>()
    }
}

impl Node {
    /// The index of the entry that covers a slot.
    fn slot(&self, slot: u64) -> Option<usize> {
        let word = usize::try_from(slot / 64).ok()?;
        let upto = u64::MAX >> (63 - slot % 64);
        let within = (self.bits.get(word)? & upto).count_ones();
        let index = self.base + u32::from(*self.before.get(word)?) + within - 1;
        usize::try_from(index).ok()
    }
}

/// The run around a key: first key, last key, value.
fn around(family: Family, runs: &[Run<u32>], key: u64) -> (u64, u64, u32) {
    let next = runs.partition_point(|run| run.start <= key);
    let last = runs.get(next).map_or(family.last(), |run| run.start - 1);
    next.checked_sub(1).and_then(|at| runs.get(at)).map_or((0, last, 0), |run| (run.start, last, run.value))
}
