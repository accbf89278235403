//! Load: moving units between PoPs by prices.
//!
//! ```text
//! reports ── learn ─> demand by unit, weight by PoP ── predict ─> load each PoP will settle at
//!                                                                   │ too much, or a price needless
//! answers <── Assignment: unit (or part) -> PoP <── parts move <── solve: each to argmin(cost + price)
//! ```
//!
//! A PoP's *price* is the least at which its load keeps its limit, in milliseconds: the dual of the transport
//! problem, so that who moves is who loses least by it. A *unit* is here one ranked list of the map; one too
//! heavy to move whole is cut into *parts* by hash.
//!
//! DNS acts within a TTL and the tail of resolvers that keep answers longer. In the first minute of a surge
//! the edges themselves have to refuse or redirect.

mod assignment;
mod by_pop;
mod history;
mod learn;
mod limit;
mod market;
mod parts;
mod rate;
mod solve;
mod state;
mod statuses;
mod step;
mod trail;

pub use assignment::{Assignment, Tried, Use, Width};
pub use learn::{LoadReport, Reports};
pub use limit::{Limit, Room};
pub use parts::{Parts, block_bits};
pub use rate::Rate;
pub use solve::{Parcel, Problem, Solution, solve};
pub use state::{Admission, PopStatus, Reason, Settings, State, UnitIndex};
pub use statuses::statuses;
use step::FILLED;
pub use step::step;

#[cfg(test)]
mod tests;
