//! Fetching from a customer's origin: resolve, check, connect, ask, stream.
//!
//! ```text
//! request -> server (in order) -> checked addresses -> pooled connection -> head in time -> body with a pulse
//! ```
//!
//! One [`Fetcher`] belongs to one site on one core; its idle connections are its own.

mod body;
mod error;
mod fetch;
mod reach;
mod resolve;

pub use body::{FetchBody, RequestBody};
pub use error::FetchError;
pub use fetch::{Fetched, Fetcher};
