//! Where a name server's queries come from: of some of them the place of their network is noted, never an address.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

use admin::{Flow, Flows};
use dns::{Sampled, Sampling, View};
use fleet::wall_clock_ms;
use mapping::PopIndex;

use super::lock;

/// What was noted of the last seconds.
#[derive(Debug)]
pub(crate) struct Noted {
    flows: Mutex<Flows>,
    /// For queries that are answered the general way, on whatever thread.
    sampling: Mutex<Sampling>,
    started: Instant,
}

impl Default for Noted {
    fn default() -> Self {
        Self { flows: Mutex::default(), sampling: Mutex::default(), started: Instant::now() }
    }
}

impl Noted {
    /// Notes a query whose thread has chosen it.
    pub(super) fn note(&self, view: &View, sampled: Sampled) {
        let Some((location, country)) = view.whereabouts(sampled.network) else { return };
        // Nobody who answers waits for another: then it is not noted.
        if let Ok(mut flows) = self.flows.try_lock() {
            let pop = view.pop_name(sampled.pop);
            let place = (location.latitude, location.longitude);
            flows.note(wall_clock_ms() / 1_000, place, country, &pop, sampled.queries);
        }
    }

    /// Chooses whether a query is noted, and does so.
    pub(super) fn offer(&self, view: &View, client: IpAddr, pop: PopIndex) {
        let now_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let taken = self.sampling.try_lock().ok().and_then(|mut sampling| sampling.take(now_us));
        if let Some(queries) = taken {
            self.note(view, Sampled::new(client, pop, queries));
        }
    }

    /// What was noted in the last ten seconds.
    pub(super) fn rows(&self) -> Vec<Flow> {
        lock(&self.flows).rows(wall_clock_ms() / 1_000)
    }
}
