//! Sockets and the HTTP connections on them: what edges, name servers and the admin API share.
//!
//! ```text
//! bind -> accept -> (TLS) -> HTTP/1.1 or 2 -> Mounts: path -> Handler
//! ```
//!
//! Nothing here knows what a site or a cache is. The program hands in [`Mounts`]; each core runs its
//! own accept loop on its own socket of the same address (SO_REUSEPORT).

mod activity;
mod answer;
mod bind;
mod body;
mod connection;
mod cores;
mod crowd;
mod drive;
mod fast;
mod holder;
mod http;
mod interim;
mod mount;
mod reset;
mod rewind;
mod round_trip;
mod turns;

pub use bind::{BindError, Sharing, bind_tcp, bind_udp, probe_free};
pub use body::{Body, BoxError, empty, full};
pub use connection::{Connection, Scheme};
pub use cores::{Cores, Job, Stop};
pub use fast::{AtOnce, Plain, Sent};
pub use http::Server;
pub use interim::Interim;
pub use mount::{Handler, Mount, Mounts, Reply};
pub use round_trip::{RoundTrips, round_trip};
