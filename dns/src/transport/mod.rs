//! Carrying messages: by UDP, TCP, TLS and QUIC, each by a loop of our own; DNS over HTTPS is `doh.rs`. All call one [`Answer`].

mod quic;
mod tcp;
mod udp;

pub use quic::serve_quic;
pub use tcp::serve_tcp;
pub use udp::serve_udp;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::arrival::{Arrival, Transport};
use crate::fast::Answered;
use crate::reply::Reply;
use crate::sampling::Sampled;
use crate::transfer::Transfer;
use crate::view::View;

/// What became of a reply that was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// It was cut, so that who really asked asks again over TCP.
    Cut,
    /// It was not sent.
    Dropped,
}

/// What answers messages: the program's current view, with its counting around it.
pub trait Answer: Send + Sync + 'static {
    /// Answers a message; `None` is silence.
    fn answer(&self, message: &[u8], peer: SocketAddr, arrival: &Arrival) -> Option<Reply>;

    /// The transfer that a message asks for and may have.
    fn transfer(&self, message: &[u8], arrival: &Arrival) -> Option<Transfer>;

    /// The view by which [`Answer::answer`] answers now, if a reply by UDP may go without it once it has answered the
    /// same.
    fn view(&self) -> Option<Arc<View>>;

    /// How often in a second one network may get the same reply by UDP; 0 is no limit.
    fn rate_limit(&self) -> u32;

    /// Counts a reply that went without.
    fn count(&self, view: &Arc<View>, transport: Transport, answered: &Answered);

    /// Notes where a query that was answered by UDP without it came from: one of some, see [`crate::Sampling`].
    fn sampled(&self, _view: &View, _sampled: Sampled) {}

    /// Counts a reply that was too much for its network.
    fn limited(&self, limited: Limited);
}
