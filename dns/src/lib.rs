//! The name server: names in, addresses out.
//!
//! ```text
//! bytes -> query -> zones: records | nothing | routed -> who asks -> map -> choose -> reply -> bytes
//! ```
//!
//! [`View::answer`] does all of that without IO; every transport, test and tool calls it.
//! [`geo`] reads the databases that the map is compiled from.

mod arrival;
mod challenge;
mod compiled;
mod cookie;
pub mod dnssec;
mod doh;
mod ecs;
mod explain;
mod fast;
pub mod geo;
mod identity;
mod kept;
mod learning;
mod limiter;
mod load;
mod notice;
mod others;
mod placed;
mod query;
mod reply;
mod routed;
mod sampling;
mod sent;
mod service;
mod signed;
mod transfer;
mod transfers;
pub mod transport;
mod tsig;
mod view;
mod why;
mod withheld;
mod zone;
mod zones;

pub use arrival::{Arrival, Transport};
pub use cookie::Cookies;
pub use doh::{Doh, PATH as DOH_PATH};
pub use explain::{Candidate, Explanation, Group, Measured, Unfit};
pub use fast::{Answered, Fast};
pub use identity::Identity;
pub use kept::KeptMap;
pub use learning::{impossible_round_trips, learn_of, worth_of};
pub use notice::Notice;
pub use placed::Placed;
pub use query::Subnet;
pub use reply::{Facts, Reply};
pub use sampling::{Sampled, Sampling};
pub use sent::Sent;
pub use transfer::Transfer;
pub use view::View;
pub use withheld::Withheld;
pub use zones::{check_zones, largest_ttl};
