//! Sockets and the HTTP connections on them: what edges, name servers and the admin API share.
//!
//! ```text
//! bind -> accept -> (header) -> (TLS) -> HTTP/1.1 or 2 ─┬─> Mounts: path -> Handler
//! bind -> QUIC ----------------------> HTTP/3 ──────────┘
//! ```
//!
//! Nothing here knows what a site or a cache is. The program hands in [`Mounts`]; each core runs its
//! own accept loop on its own socket of the same address (SO_REUSEPORT).

mod activity;
mod answer;
mod batched;
mod bind;
mod body;
mod congestion;
mod connection;
mod cores;
mod crowd;
mod deferred;
mod delivery;
mod drive;
mod exchange;
mod extended;
mod fast;
mod holder;
mod http;
mod http2;
mod http3;
mod incoming;
mod inline;
mod interim;
mod linger;
mod mount;
mod open;
mod outgoing;
mod proxies;
mod quic;
mod quitting;
mod rewind;
mod round_trip;
mod steer;
mod tcp_info;
mod tls_stream;
mod tunnel;
mod turns;
mod waiting;
mod wire;

pub use bind::{BindError, Sharing, bind_tcp, bind_udp, is_own};
pub use body::{Body, BoxError, empty, full};
pub use congestion::{CongestionNow, warn_of_congestion};
pub use connection::{Connection, Scheme};
pub use cores::{Cores, Job, Stop, available_cores};
pub use fast::{AtOnce, Plain, Sent, Whole};
pub use http::Server;
pub use http3::serve_http3;
pub use incoming::Incoming;
pub use interim::Interim;
pub use mount::{Handler, Mount, Mounts, Reply};
pub use proxies::{Naming, Proxies};
pub use quic::{Arrived, Quic, QuicConfig};
pub use round_trip::RoundTrips;
pub use steer::Seat;
pub use tcp_info::round_trip;
pub use tunnel::Tunnel;
pub use waiting::accept_waiting;
