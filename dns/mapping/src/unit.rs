//! Ranked lists, and the units that share them.

use serde::{Deserialize, Serialize};

use crate::topology::PopIndex;

/// A PoP with its cost, in tenths of a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ranked {
    /// The PoP.
    pub pop: PopIndex,
    /// Its cost for these clients.
    pub cost: u32,
}

/// Why a list is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// The operator's rule of this number, from 0, in `routes.toml`.
    Rule(u32),
    /// Measured round trips, of the group of this number in what was learned.
    Latency(u32),
    /// Distance.
    Geography,
}

/// PoPs in the order in which clients are sent to them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct List {
    /// Best first, at most eight.
    pub ranked: Vec<Ranked>,
    /// PoPs that a rule forbids: they come after all others, also after those not listed.
    pub forbidden: Vec<PopIndex>,
    /// Why.
    pub cause: Cause,
}

/// A set of prefixes with the same lists: one list for each class of sites.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unit {
    /// Indices into the map's lists, by class.
    pub(crate) lists: Vec<u32>,
}
