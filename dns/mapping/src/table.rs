//! The lookup table: 65,536 roots on the top 16 bits, then nodes of 8 bits each.
//!
//! ```text
//! root[key >> top] -> leaf                       unit and scopes
//!                  -> node: 256 slots, a bit where a new entry begins -> leaf or node
//! ```
//!
//! IPv4 ends after one node (/24), IPv6 after five (/56). An entry is 8 bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::address::Family;
use crate::runs::Run;
use crate::scope::{Scopes, scope};

/// A block of addresses: its unit and scopes, or the node that splits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
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
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
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

/// Runs of units, which are merged to two more depths: by best PoP and by the first two.
pub(crate) struct Depths {
    /// By unit: equal numbers where the best PoP is the same.
    pub(crate) first: Vec<u32>,
    /// By unit: equal numbers where the first two are.
    pub(crate) second: Vec<u32>,
    pub(crate) whole: Vec<Run<u32>>,
}

const ROOT_BITS: u8 = 16;
const NODE_BITS: u8 = 8;

impl Table {
    /// Builds the table; runs begin at 0 and have borders only at blocks of the longest scope.
    pub(crate) fn build(family: Family, depths: &Depths) -> Self {
        let table = Self { family, root: Vec::with_capacity(1 << ROOT_BITS), nodes: Vec::new(), entries: Vec::new() };
        let mut builder = Builder { table, depths: depths.cursors() };
        let shift = family.bits() - ROOT_BITS;
        let mut first = 0;
        loop {
            let (entry, last) = builder.entry(first, shift);
            let slots = ((last - first) >> shift) + 1;
            builder.table.root.extend((0..slots).map(|_| entry));
            if last == family.last() {
                return builder.table;
            }
            first = last + 1;
        }
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

    /// The table as it lies in memory: roots, nodes, entries.
    pub(crate) fn pieces(&self) -> [&[u8]; 3] {
        [self.root.as_bytes(), self.nodes.as_bytes(), self.entries.as_bytes()]
    }

    /// A table from such pieces; `None` where one has another length than a table's.
    pub(crate) fn from_pieces(family: Family, [root, nodes, entries]: [&[u8]; 3]) -> Option<Self> {
        Some(Self { family, root: values(root)?, nodes: values(nodes)?, entries: values(entries)? })
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
        let index = (self.base + u32::from(*self.before.get(word)?) + within).checked_sub(1)?;
        usize::try_from(index).ok()
    }
}

/// The values that lie in bytes, one after the other.
fn values<T: FromBytes>(bytes: &[u8]) -> Option<Vec<T>> {
    let chunks = bytes.chunks_exact(size_of::<T>());
    chunks.remainder().is_empty().then(|| chunks.filter_map(|chunk| T::read_from_bytes(chunk).ok()).collect())
}

/// Builds a table in the order of keys, so that each run is looked at once.
struct Builder<'a> {
    table: Table,
    /// By best PoP, by the first two, by unit.
    depths: [Cursor<'a>; 3],
}

/// A place in runs that only moves forward; neighbours of one class are one run.
struct Cursor<'a> {
    runs: &'a [Run<u32>],
    /// By unit; without, every unit is its own.
    classes: Option<&'a [u32]>,
    /// The first run of the class.
    at: usize,
    /// The first run of the next.
    next: usize,
}

impl Depths {
    fn cursors(&self) -> [Cursor<'_>; 3] {
        let cursor = |classes| Cursor { runs: &self.whole, classes, at: 0, next: 0 };
        [cursor(Some(&self.first)), cursor(Some(&self.second)), cursor(None)]
    }
}

impl Cursor<'_> {
    /// The run around a key: first key, last key, the unit at its start.
    fn around(&mut self, family: Family, key: u64) -> (u64, u64, u32) {
        while self.next < self.runs.len() && self.runs.get(self.next).is_none_or(|run| run.start <= key) {
            self.at = self.next;
            let class = self.class(self.at);
            while self.next < self.runs.len() && self.class(self.next) == class {
                self.next += 1;
            }
        }
        let last = self.runs.get(self.next).map_or(family.last(), |run| run.start - 1);
        self.runs.get(self.at).map_or((0, last, 0), |run| (run.start, last, run.value))
    }

    fn class(&self, at: usize) -> Option<u32> {
        let unit = self.runs.get(at)?.value;
        self.classes.map_or(Some(unit), |classes| classes.get(usize::try_from(unit).ok()?).copied())
    }
}

impl Builder<'_> {
    /// The entry of the slot that begins at `first`, and the last key up to which it is the same.
    fn entry(&mut self, first: u64, shift: u8) -> (Entry, u64) {
        let family = self.table.family;
        let slot_last = first | ((1 << shift) - 1);
        let [best, two, whole] = &mut self.depths;
        let (run_first, run_last, unit) = whole.around(family, first);
        if run_last < slot_last && shift >= NODE_BITS {
            return (self.node(first, shift - NODE_BITS), slot_last);
        }
        let cut = |cursor: &mut Cursor<'_>| {
            let (run_first, run_last, _) = cursor.around(family, first);
            scope(family, first, run_first, run_last)
        };
        let whole = scope(family, first, run_first, run_last);
        let entry = Entry { unit, first: cut(best), second: cut(two), whole, unused: 0 };
        // The wider scopes hold wherever the narrowest does.
        let free = family.bits().saturating_sub(whole);
        let block_last = if free >= 64 { u64::MAX } else { first | ((1 << free) - 1) };
        (entry, block_last.max(slot_last))
    }

    fn node(&mut self, first: u64, shift: u8) -> Entry {
        let node_last = first | ((1 << (shift + NODE_BITS)) - 1);
        let mut node = Node::default();
        let mut entries: Vec<Entry> = Vec::new();
        let mut key = first;
        loop {
            let (entry, last) = self.entry(key, shift);
            if entries.last() != Some(&entry) {
                let slot = (key >> shift) & 0xff;
                if let Some(word) = node.bits.get_mut(usize::try_from(slot / 64).unwrap_or(0)) {
                    *word |= 1 << (slot % 64);
                }
                entries.push(entry);
            }
            if last >= node_last {
                break;
            }
            key = last + 1;
        }
        let mut before = 0_u32;
        for (count, word) in node.before.iter_mut().zip(node.bits) {
            *count = u8::try_from(before).unwrap_or(u8::MAX);
            before += word.count_ones();
        }
        node.base = u32::try_from(self.table.entries.len()).unwrap_or(u32::MAX);
        self.table.entries.extend(entries);
        self.table.nodes.push(node);
        let index = u32::try_from(self.table.nodes.len() - 1).unwrap_or(0);
        Entry { unit: CHILD | index, first: 0, second: 0, whole: 0, unused: 0 }
    }
}
