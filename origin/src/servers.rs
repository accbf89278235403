//! How a site's servers fare, as all cores see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use config::{Origin, OriginServer, Scheme};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::breaker::{Breaker, Change, Fit, Permit};
use crate::error::FetchError;

/// How a site's servers fare; shared by the fetchers of all cores.
#[derive(Debug)]
pub struct Servers {
    /// Whose they are.
    site: String,
    list: Vec<Standing>,
}

/// How one server fares.
#[derive(Debug)]
pub(crate) struct Standing {
    /// As the config writes it.
    name: Arc<str>,
    breaker: Breaker,
    /// Its probes fail.
    is_down: AtomicBool,
    /// Room for fetches, where the config bounds them.
    room: Option<Arc<Semaphore>>,
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
    /// All of a site's, of which nothing bad is known.
    #[must_use]
    pub fn new(site: &str, origin: &Origin) -> Arc<Self> {
        let standing = |server: &OriginServer| Standing {
            name: written(server).into(),
            breaker: Breaker::default(),
            is_down: AtomicBool::new(false),
            room: origin.max_fetches.map(|most| Arc::new(Semaphore::new(most as usize))),
        };
        Arc::new(Self { site: site.to_owned(), list: origin.servers.iter().map(standing).collect() })
    }

    /// How each fares, in the config's order.
    #[must_use]
    pub fn fare(&self) -> Vec<Fares> {
        let fares = |standing: &Standing| Fares {
            server: standing.name.to_string(),
            is_down: standing.health() == Health::Down,
            is_left_alone: standing.breaker.is_open(),
        };
        self.list.iter().map(fares).collect()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Standing> {
        self.list.get(place)
    }

    /// Notes that a fetch went well.
    pub(crate) fn succeeded(&self, standing: &Standing, permit: Permit<'_>) {
        if permit.succeeded(Instant::now()) == Change::Closed {
            tracing::info!(site = self.site, server = &*standing.name, "the origin server answers again");
        }
    }

    /// Notes that a fetch failed; what is not the server's fault says nothing of it.
    pub(crate) fn failed(&self, standing: &Standing, permit: Permit<'_>, error: FetchError) {
        if error.is_the_servers() && permit.failed(Instant::now()) == Change::Opened {
            let (site, server, error) = (&self.site, &*standing.name, error.name());
            tracing::warn!(site, server, error, "fetches from the origin server fail: it is left alone");
        }
    }

    /// Notes what a server's probes say.
    pub(crate) fn judge(&self, standing: &Standing, health: Health) {
        let is_down = health == Health::Down;
        if standing.is_down.swap(is_down, Ordering::Relaxed) == is_down {
            return;
        }
        match health {
            Health::Down => {
                tracing::warn!(site = self.site, server = &*standing.name, "the origin server's probes fail")
            }
            Health::Up => {
                tracing::info!(site = self.site, server = &*standing.name, "the origin server's probes are well");
            }
        }
    }
}

/// What probes say of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Up,
    Down,
}

impl Standing {
    /// As the config writes it.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Lets a fetch through, if it may be tried there now.
    pub(crate) fn takes(&self, now: Instant, fit: Fit) -> Option<Permit<'_>> {
        self.breaker.lets_through(now, fit)
    }

    /// Room for fetches, if they are bounded.
    pub(crate) fn room(&self) -> Option<&Arc<Semaphore>> {
        self.room.as_ref()
    }

    /// Whether nothing bad is known of it.
    pub(crate) fn is_well(&self) -> bool {
        self.health() == Health::Up && !self.breaker.is_open()
    }

    pub(crate) fn health(&self) -> Health {
        if self.is_down.load(Ordering::Relaxed) { Health::Down } else { Health::Up }
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
