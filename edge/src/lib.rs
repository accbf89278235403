//! The HTTP edge: requests in, responses out.
//!
//! ```text
//! request -> site -> admit -> store -> reuse: fresh | grace | stale | nothing
//!                                        │ (stale, nothing)
//!                                      flight: one fetch for all who ask -> judge -> fill -> respond
//! ```
//!
//! The rules are in `caching`; this crate awaits, stores and streams. [`Shared`] is what all cores
//! share; [`mounts`] makes what answers on one core.

mod access;
mod accounts;
mod address;
mod answered;
mod arena;
mod ask;
mod bookkeeping;
mod client;
mod clock;
mod compress;
mod cors;
mod counted;
mod counters;
mod device;
mod disk;
mod draining;
mod edge;
mod effect;
mod explain;
mod fallback;
mod fast;
mod fetching;
mod fields;
mod filling;
mod flight;
mod handover;
mod head;
mod health;
mod intake;
mod kept;
mod memory;
mod object;
mod order;
mod origins;
mod outgoing;
mod panics;
mod part;
mod passing;
mod purging;
mod query;
mod ram;
mod rate;
mod reading;
mod respond;
mod room;
mod shared;
mod signature;
mod sites;
mod sliced;
mod slices;
mod store;
mod stored;
mod switching;
#[cfg(test)]
mod tests;
mod variables;
mod variants;

pub use crate::access::Access;
pub use crate::accounts::ledger::Sums;
pub use crate::bookkeeping::keep_accounts;
pub use crate::origins::watch_origins;
pub use ::origin::check as check_origins;
pub use disk::warn_of_disk;
pub use draining::Draining;
pub use edge::mounts;
pub use explain::{Asked, Ruled};
pub use memory::default_memory;
pub use order::PurgeError;
pub use purging::Witness;
pub use ram::{Change, Ram};
pub use shared::Shared;
pub use signature::sign;
pub use sites::{Sites, asks_for_countries, warn_of_keys, warn_of_origins};
