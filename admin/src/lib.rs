//! The admin address of a node, or of a whole fleet on one machine: status, metrics, explanations.
//!
//! Reading is free on loopback; elsewhere it needs the token. Requests whose Host is a name other
//! than `localhost` are refused, so that no web page can reach it by DNS rebinding.

mod api;
mod guard;
mod merge;

pub use api::{Admin, Facts, Told};
pub use merge::merge_metrics;
