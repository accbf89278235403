//! What round trips teach: which PoP is really the quickest for whom.
//!
//! ```text
//! samples by prefix and PoP ── group ──> pooled medians ── estimate (prior + samples) ──> decide: moved, trials
//!                                 prior: distance, stretch, what neighbours measured
//! ```
//!
//! Measured on 245 clients of PlanetLab, `hither map bench` shows what each step is worth; docs/mapping.md has
//! the table.

mod decide;
mod estimate;
mod floor;
mod group;
mod histogram;
mod learn;
mod observe;
mod prior;
mod samples;
mod worth;

pub use decide::{Candidate, Trial};
pub use estimate::Estimate;
pub use group::GroupKey;
pub use histogram::Histogram;
pub use learn::{Group, Learned, Observed, learn};
pub use observe::observe;
pub use prior::{prior_ms, stretch};
pub use samples::{Measured, PrefixKey, Samples, prefix_key};
pub use worth::{Worth, worth};
