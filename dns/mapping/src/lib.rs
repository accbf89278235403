//! The map: client address -> ranked PoPs -> edges. Pure: no clock, no file, no socket, no randomness.
//!
//! ```text
//! places of prefixes ─┐                     ┌─ Map::find(address) -> list + scopes
//! region points ──────┼─ compile ─> Map ────┤
//! operator's rules ───┘                     └─ choose(unit, fitness, site, family) -> edges
//! ```
//!
//! A *unit* is a set of prefixes with the same ranked lists. Everything is decided when the map is
//! compiled; a lookup walks one small immutable table per address family.

mod address;
mod choose;
mod compile;
mod distance;
mod fitness;
mod geography;
mod kept;
pub mod latency;
pub mod load;
mod place;
mod rank;
mod rules;
mod runs;
mod scope;
mod snap;
mod table;
mod topology;
mod unit;

pub use address::Family;
pub use choose::{Basis, Choice, Chosen, LEAST_SHARING, Picked, Wanted, choose, is_fit, pick};
pub use compile::{Inputs, Map, Mapped, compile};
pub use distance::{COST_PER_MS, EARTH_KM, KM_PER_MS, cost, distance_km, least_possible_ms};
pub use fitness::Fitness;
pub use geography::Geography;
pub use place::{Place, PlaceIndex, Region};
pub use rank::rank;
pub use rules::{Classes, class_of_sites};
pub use runs::{Collector, Run, Span, fill_gaps, layer, overlay};
pub use scope::Scopes;
pub use topology::{EdgeIndex, EdgeSpec, PopIndex, PopSpec, Topology, site_hash};
pub use unit::{Cause, List, Ranked};
