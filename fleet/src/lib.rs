//! What nodes know of each other: probes and the verdicts drawn from them, and the credential by
//! which nodes recognise each other.
//!
//! ```text
//! probe (every address, every second) -> judge (pure) -> Fitness, swapped for dns to read
//! ```

mod credential;
mod demand;
mod health;
mod judge;
pub mod latency;
mod outliers;
mod probe;
mod purge_log;
mod purge_order;
mod rates;
mod report;
mod saved;
mod version;
pub mod votes;
mod watch;

pub use credential::{Credential, HEADER, cookie_key, hex, sealing_key, wall_clock_ms};
pub use demand::{Demand, Meter};
pub use health::{Health, Outcome, Rules, Verdict};
pub use judge::{EdgeState, unprobed_fitness};
pub use probe::{BY, visit};
pub use purge_log::{NewLog, PurgeEntry, PurgeLog, PurgeLogError, PurgesBefore};
pub use purge_order::PurgeOrder;
pub use rates::{Rate, Rates};
pub use report::{Report, site_digest};
pub use version::ConfigVersion;
pub use watch::Watch;
