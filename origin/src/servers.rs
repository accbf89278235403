//! How a site's servers fare, as all cores see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use config::{Origin, OriginServer, Scheme};
use tokio::time::Instant;

use crate::breaker::{Breaker, Change};

/// How a site's servers fare; shared by the fetchers of all cores.
#[derive(Debug)]
pub struct Servers {
    list: Vec<Standing>,
}

/// How one server fares.
#[derive(Debug)]
pub(crate) struct Standing {
    /// As the config writes it.
    name: String,
    breaker: Breaker,
    /// Its probes fail.
    is_down: AtomicBool,
}

/// How a server fares, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fares {
    /// As the config writes it.
    pub server: String,
    /// Its probes fail.
    pub is_down: bool,
    /// It is left alone since fetches from it failed.
    pub is_left_alone: bool,
}

impl Servers {
    /// All of an origin's, of which nothing bad is known.
    #[must_use]
    pub fn new(origin: &Origin) -> Arc<Self> {
        let standing = |server: &OriginServer| Standing {
            name: written(server),
            breaker: Breaker::default(),
            is_down: AtomicBool::new(false),
        };
        Arc::new(Self { list: origin.servers.iter().map(standing).collect() })
    }

    /// How each fares, in the config's order.
    #[must_use]
    pub fn fare(&self) -> Vec<Fares> {
        let fares = |standing: &Standing| Fares {
            server: standing.name.clone(),
            is_down: standing.is_down(),
            is_left_alone: standing.breaker.is_open(),
        };
        self.list.iter().map(fares).collect()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Standing> {
        self.list.get(place)
    }

    /// Whether every one's probes fail: then these say nothing of which to ask.
    pub(crate) fn are_all_down(&self) -> bool {
        self.list.iter().all(Standing::is_down)
    }
}

impl Standing {
    /// Whether a fetch may be tried there now.
    pub(crate) fn takes(&self, now: Instant, are_all_down: bool) -> bool {
        (are_all_down || !self.is_down()) && self.breaker.lets_through(now)
    }

    pub(crate) fn succeeded(&self) {
        if self.breaker.succeeded() == Change::Closed {
            tracing::info!(server = %self.name, "the origin server answers again");
        }
    }

    pub(crate) fn failed(&self, now: Instant, why: &'static str) {
        if let Change::Opened(time) = self.breaker.failed(now) {
            tracing::warn!(server = %self.name, why, ?time, "fetches from the origin server fail: it is left alone");
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Notes what its probes say.
    pub(crate) fn set_down(&self, is_down: bool) {
        if self.is_down.swap(is_down, Ordering::Relaxed) == is_down {
            return;
        }
        if is_down {
            tracing::warn!(server = %self.name, "the origin server's probes fail");
        } else {
            tracing::info!(server = %self.name, "the origin server's probes are well again");
        }
    }
}

/// As the config writes it.
fn written(server: &OriginServer) -> String {
    let scheme = match server.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    format!("{scheme}://{}:{}", server.host, server.port)
}
