//! Round trips on their way: edges collect them, name servers ask for them and keep them.
//!
//! ```text
//! connection ends ── Collector (edge) ── GET /round-trips on `peer`, once a minute ── Store (name server) ── learning
//! ```

mod collector;
mod handover;
mod store;

pub use collector::Collector;
pub use handover::{Counts, Handover, Since};
pub use store::Store;
