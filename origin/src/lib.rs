//! Fetching from a customer's origin: resolve, check, connect, ask, stream.
//!
//! ```text
//! request -> server (in order) -> idle connection, else checked addresses -> TCP (a race) -> TLS
//!            a name's addresses: kept by its TTL, and past it while nobody answers
//!         -> body out -> head in time -> body in with a pulse -> connection idle again
//! ```
//!
//! One [`Fetcher`] belongs to one site on one core; its idle connections are its own.

mod aws;
mod balance;
mod body;
mod breaker;
mod budget;
mod chance;
mod connect;
mod connection;
mod dial;
mod error;
mod families;
mod fetch;
mod framing;
mod head;
mod known;
mod names;
mod pace;
mod place;
mod pool;
mod probe;
mod reach;
mod resolve;
mod secret;
mod servers;
mod shared;
mod switched;
mod system;
mod times;
mod tls;
mod upload;
mod warm;

pub use body::FetchBody;
pub use error::FetchError;
pub use fetch::{Fetched, Fetcher};
pub use head::{Head, OnInterim};
pub use place::Places;
pub use probe::watch;
pub use reach::{is_public, prohibited};
pub use servers::{Fares, Servers};
pub use switched::Switched;
pub use tls::{Unfit, check};
pub use upload::RequestBody;
