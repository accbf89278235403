//! What a config's map learns of round trips.

use config::{Config, Location, Prefix, Problem, RoundTrip};
use mapping::latency::{Histogram, Learned, Samples, Worth, learn, observe, prefix_key, worth};
use mapping::{Family, Place, PopIndex};

use crate::geo::World;

/// Learns from samples, whose PoPs are numbered as the config's, and from the operator's own. `before`: what was
/// learned last time, of the same PoPs.
#[must_use]
pub fn learn_of(config: &Config, world: &World, samples: Samples, before: &Learned) -> Learned {
    let pops: Vec<(Location, f64)> = config.network.pops.iter().map(|pop| (pop.location, 1.0)).collect();
    let samples = with_operators(config, samples);
    learn(&pops, &observe(&world.geography, &world.regions, &samples), before)
}

/// How much was measured, and what it is worth; samples as for [`learn_of`].
#[must_use]
pub fn worth_of(config: &Config, world: &World, samples: Samples, learned: &Learned) -> Worth {
    let samples = with_operators(config, samples);
    worth(learned, &observe(&world.geography, &world.regions, &samples))
}

/// Adds the operator's own.
fn with_operators(config: &Config, mut samples: Samples) -> Samples {
    for row in &config.round_trips {
        let Some(pop) = config.network.pops.iter().position(|pop| pop.id == row.pop) else { continue };
        let prefixes: Vec<_> = within(row.prefix).collect();
        // All of them together were measured so often.
        let each = row.samples / u16::try_from(prefixes.len()).unwrap_or(u16::MAX);
        let mut seen = Histogram::default();
        seen.add(row.rtt_ms, each.max(1));
        for prefix in prefixes {
            samples.add(prefix, PopIndex::from_usize(pop), &seen);
        }
    }
    samples
}

/// The prefixes by which round trips are kept that lie in one.
fn within(prefix: Prefix) -> impl Iterator<Item = (Family, u64)> {
    let (family, first) = prefix_key(prefix.address());
    let length = match family {
        Family::V4 => 24,
        Family::V6 => 48,
    };
    let (count, step) =
        (1_u64 << length.max(prefix.length()).abs_diff(prefix.length()).min(8), 1_u64 << (family.bits() - length));
    (0..count).map(move |number| (family, first + number * step))
}

/// Light in fibre goes 200 km in a millisecond, and a round trip there and back.
const FIBRE_KM_PER_MS: f64 = 100.0;
/// How far databases are off where they name a city, km.
const OFF_KM: f64 = 100.0;

/// The operator's round trips that cannot be: quicker than light in fibre goes the distance.
#[must_use]
pub fn impossible_round_trips(config: &Config, world: &World) -> Vec<Problem> {
    config.round_trips.iter().filter_map(|row| impossible(config, world, row)).collect()
}

fn impossible(config: &Config, world: &World, row: &RoundTrip) -> Option<Problem> {
    let pop = config.network.pops.iter().find(|pop| pop.id == row.pop)?;
    let (family, key) = prefix_key(row.prefix.address());
    let (place @ Place::Point { .. }, _) = world.geography.find(family, key)? else {
        return None;
    };
    let distance_km = place.distance_km(pop.location, &world.regions, pop.location);
    let least_ms = (distance_km - OFF_KM) / FIBRE_KM_PER_MS;
    if row.rtt_ms >= least_ms {
        return None;
    }
    let message = format!(
        "{} ms from {} to {} cannot be: light in fibre takes {least_ms:.1} ms for the {distance_km:.0} km from {place}",
        row.rtt_ms, row.prefix, row.pop
    );
    let help = "is the prefix elsewhere than the database says (correct it in a geofeed), or the number in seconds?";
    Some(Problem::fault(row.place.clone(), message).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_prefix_is_all_that_lie_in_it() {
        for (prefix, count, last) in [
            ("192.0.2.0/24", 1, "192.0.2.0"),
            ("10.1.0.0/16", 256, "10.1.255.0"),
            ("2001:db8::/40", 256, "2001:db8:ff::"),
        ] {
            let all: Vec<_> = within(Prefix::parse(prefix).unwrap()).collect();
            let (family, key) = *all.last().unwrap();
            assert_eq!((all.len(), family.address(key).to_string().as_str()), (count, last));
        }
    }
}
