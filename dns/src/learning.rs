//! What a config's map learns of round trips.

use config::{Config, Location};
use mapping::latency::{Learned, Samples, learn, observe};

use crate::geo::World;

/// Learns from samples, whose PoPs are numbered as the config's. `before`: what was learned last time, of the
/// same PoPs.
#[must_use]
pub fn learn_of(config: &Config, world: &World, samples: &Samples, before: &Learned) -> Learned {
    let pops: Vec<(Location, f64)> = config.network.pops.iter().map(|pop| (pop.location, 1.0)).collect();
    learn(&pops, &observe(&world.geography, &world.regions, samples), before)
}
