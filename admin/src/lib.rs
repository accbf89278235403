//! The admin address of a node, or of a whole fleet on one machine: status, metrics, explanations, purging,
//! draining.
//!
//! Reading is free on loopback; elsewhere, and to change anything, it needs the token. Nodes reach each other
//! by the same paths at an address of their own, and sign what they ask. Requests whose Host is a name other
//! than `localhost` are refused, so that no web page can reach it by DNS rebinding.

mod api;
mod guard;
mod merge;

pub use api::{Admin, Asked, Drain, Facts, Purged, Refused, Told};
pub use guard::{Door, Keys, Reach};
pub use merge::merge_metrics;
