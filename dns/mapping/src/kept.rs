//! A map as bytes, and from bytes, so that a restarted name server need not compile it before it answers.
//!
//! ```text
//! head: lists, units, rules longer than scopes, and the lengths of the pieces
//! pieces: roots, nodes and entries of both families, as they lie in memory
//! ```

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::address::Family;
use crate::compile::Map;
use crate::runs::Run;
use crate::table::Table;
use crate::unit::List;

/// All of a map but its tables.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    lists: Cow<'a, [List]>,
    lists_by_unit: Cow<'a, [u32]>,
    classes: usize,
    fine: Vec<Fine>,
    lengths: [usize; 6],
}

/// A unit with rules longer than scopes: starts and units of its runs.
type Fine = (u32, Family, Vec<(u64, u32)>);

/// Before the head: its own length.
const LENGTH: usize = 8;

impl Map {
    /// The map in pieces, to be written one after the other.
    #[must_use]
    pub fn pieces(&self) -> Vec<Cow<'_, [u8]>> {
        let tables = [self.v4.pieces(), self.v6.pieces()].concat();
        let mut lengths = [0; 6];
        lengths.iter_mut().zip(&tables).for_each(|(length, piece)| *length = piece.len());
        let of_rules = |(unit, (family, runs)): (&u32, &(Family, Vec<Run<u32>>))| {
            (*unit, *family, runs.iter().map(|run| (run.start, run.value)).collect())
        };
        let head = Head {
            lists: Cow::Borrowed(&self.lists),
            lists_by_unit: Cow::Borrowed(&self.lists_by_unit),
            classes: self.classes,
            fine: self.fine.iter().map(of_rules).collect(),
            lengths,
        };
        // Writing to memory cannot fail.
        let head = postcard::to_stdvec(&head).unwrap_or_default();
        let length = (head.len() as u64).to_le_bytes().to_vec();
        let tables = tables.into_iter().map(Cow::Borrowed);
        [Cow::Owned(length), Cow::Owned(head)].into_iter().chain(tables).collect()
    }

    /// The map that such pieces are of; `None` where they are of none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
        let (head, mut rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let head: Head<'_> = postcard::from_bytes(head).ok()?;
        let mut pieces = [&[][..]; 6];
        for (piece, length) in pieces.iter_mut().zip(head.lengths) {
            (*piece, rest) = rest.split_at_checked(length)?;
        }
        let [roots_v4, nodes_v4, entries_v4, roots_v6, nodes_v6, entries_v6] = pieces;
        let run = |(start, value)| Run { start, value };
        let of_rules = |(unit, family, runs): Fine| (unit, (family, runs.into_iter().map(run).collect()));
        let is_whole = rest.is_empty() && head.classes > 0;
        is_whole.then_some(Self {
            lists: head.lists.into_owned(),
            lists_by_unit: head.lists_by_unit.into_owned(),
            classes: head.classes,
            v4: Table::from_pieces(Family::V4, [roots_v4, nodes_v4, entries_v4])?,
            v6: Table::from_pieces(Family::V6, [roots_v6, nodes_v6, entries_v6])?,
            fine: head.fine.into_iter().map(of_rules).collect::<HashMap<_, _>>(),
        })
    }
}
