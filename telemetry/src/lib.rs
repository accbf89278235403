//! What a node tells about itself: counters, and records of requests and queries.
//!
//! [`Metrics`] holds every series in one table; [`hit_ratio`] and [`byte_offload`] are what they come to; [`Log`] writes records through a bounded queue that
//! never blocks who hands one in; [`Seldom`] keeps the log of events short.

mod address;
mod counted;
mod log;
mod metrics;
mod record;
mod seldom;
mod shares;

pub use address::Clients;
pub use counted::{Counted, OfSite};
pub use log::{Log, let_go};
pub use metrics::{Metrics, reference};
pub use record::QueryRecord;
pub use seldom::Seldom;
pub use shares::{byte_offload, hit_ratio};
