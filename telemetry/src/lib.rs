//! What a node tells about itself: counters, and records of requests and queries.
//!
//! [`Metrics`] holds every series in one table; [`Log`] writes records through a bounded queue that
//! never blocks who hands one in.

mod address;
mod counted;
mod log;
mod metrics;
mod record;

pub use address::Clients;
pub use counted::{Counted, OfSite};
pub use log::Log;
pub use metrics::{Metrics, reference};
pub use record::{QueryRecord, RequestRecord};
