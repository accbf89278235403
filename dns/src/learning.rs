//! What a config's map learns of round trips.

use std::collections::BTreeMap;

use config::{Config, Location, Prefix, Problem, RoundTrip};
use mapping::latency::{Histogram, Learned, PrefixKey, Samples, Worth, learn, observe, prefix_key, stretch, worth};
use mapping::{Family, Place, PopIndex};

use crate::geo::World;

/// Learns from samples, whose PoPs are numbered as the config's, and from the operator's own. `before`: what was
/// learned last time, of the same PoPs.
#[must_use]
pub fn learn_of(config: &Config, world: &World, samples: Samples, before: &Learned) -> Learned {
    let (samples, between) = apart(config, with_operators(config, samples));
    let stretched = config
        .network
        .pops
        .iter()
        .zip((0..).map(PopIndex::from_usize))
        .map(|(pop, index)| (pop.location, steady(before.stretch(index), stretch_of(config, &between, index))));
    let pops: Vec<(Location, f64)> = stretched.collect();
    learn(&pops, &world.regions, &observe(&world.geography, &world.regions, &samples), before)
}

/// How much was measured, and what it is worth; samples as for [`learn_of`].
#[must_use]
pub fn worth_of(config: &Config, world: &World, samples: Samples, learned: &Learned) -> Worth {
    let (samples, _) = apart(config, with_operators(config, samples));
    worth(learned, &observe(&world.geography, &world.regions, &samples))
}

/// Round trips between PoPs: from edges of the first to those of the second.
type Between = BTreeMap<(PopIndex, PopIndex), Histogram>;

/// What clients measured, and what nodes did of each other: edges visit edges, name servers probe them.
fn apart(config: &Config, mut samples: Samples) -> (Samples, Between) {
    // Prefixes with nodes in them, and of which PoP alone.
    let mut nodes: BTreeMap<PrefixKey, Option<PopIndex>> = BTreeMap::new();
    for address in config.network.name_servers.iter().flat_map(|server| server.addresses.all()) {
        nodes.insert(prefix_key(*address), None);
    }
    for (pop, index) in config.network.pops.iter().zip((0..).map(PopIndex::from_usize)) {
        for address in pop.edges.iter().flat_map(|edge| edge.addresses.all()) {
            let pop = nodes.entry(prefix_key(*address)).or_insert(Some(index));
            *pop = pop.filter(|pop| *pop == index);
        }
    }
    let mut between = Between::new();
    for (prefix, from) in nodes {
        let measured = samples.take(prefix).unwrap_or_default();
        for (to, seen) in measured.iter().filter(|(to, _)| from.is_some_and(|from| from != **to)) {
            between.entry((from.unwrap_or(*to), *to)).or_default().merge(seen);
        }
    }
    (samples, between)
}

/// Of fewer other PoPs nothing is told.
const LEAST_OTHERS: usize = 3;

/// How much longer a PoP's ways are than distance says, by what other PoPs measured to it; 1 where too few did.
fn stretch_of(config: &Config, between: &Between, pop: PopIndex) -> f64 {
    let location = |pop: PopIndex| config.network.pops.get(pop.as_usize()).map(|pop| pop.location);
    let ways = between.iter().filter(|((_, to), _)| *to == pop).filter_map(|((from, to), seen)| {
        Some((mapping::distance_km(location(*from)?, location(*to)?), seen.median()?))
    });
    let ways: Vec<(f64, f64)> = ways.collect();
    if ways.len() < LEAST_OTHERS { 1.0 } else { stretch(ways) }
}

/// A new stretch is a new map: small changes are none.
fn steady(before: f64, now: f64) -> f64 {
    let rounded = (now * 20.0).round() / 20.0;
    if (before - now).abs() < 0.075 { before } else { rounded }
}

/// Adds the operator's own.
fn with_operators(config: &Config, mut samples: Samples) -> Samples {
    for row in &config.round_trips {
        let Some(pop) = config.network.pops.iter().position(|pop| pop.id == row.pop) else { continue };
        let prefixes: Vec<_> = within(row.prefix).collect();
        // All of them together were measured so often, each at least once.
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
    let least_ms = mapping::least_possible_ms(distance_km);
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
    fn nodes_measure_stretch_and_are_no_clients() {
        let dir = tempfile::tempdir().unwrap();
        let pop = |number: u8| {
            format!(
                "[[pop]]\nid = \"p{number}\"\nlocation = [0, {}]\n[[pop.edge]]\nid = \"e{number}\"\naddresses = [\"192.0.{number}.1\"]\n",
                i32::from(number) * 20
            )
        };
        let server = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"198.51.100.1\"]\n";
        let text = (0..4).map(pop).collect::<String>();
        std::fs::write(dir.path().join("hither.toml"), format!("{server}{text}")).unwrap();
        let config = config::load(dir.path()).unwrap().config;
        let mut samples = Samples::default();
        let mut add = |prefix: &str, pop: usize, ms: f64| {
            let mut seen = Histogram::default();
            seen.add(ms, 9);
            samples.add(prefix_key(prefix.parse().unwrap()), PopIndex::from_usize(pop), &seen);
        };
        // From all the others it takes the last twice as long as distance says: 20 degrees are 2,224 km.
        for from in 0..3_u8 {
            let km =
                mapping::distance_km(config.network.pops[usize::from(from)].location, config.network.pops[3].location);
            add(&format!("192.0.{from}.77"), 3, 2.0 * (km / 50.0 + 5.0));
            add(&format!("192.0.{from}.77"), usize::from(from), 1.0);
        }
        add("198.51.100.9", 0, 3.0);
        add("203.0.113.9", 0, 30.0);
        let (clients, between) = apart(&config, samples);
        assert_eq!((clients.len(), between.len()), (1, 3), "{between:?}");
        let stretch = |pop| stretch_of(&config, &between, PopIndex::from_usize(pop));
        assert!((1.88..2.12).contains(&stretch(3)), "{}", stretch(3));
        assert_eq!(stretch(0), 1.0);
        for (before, now, expected) in [(1.0, 1.05, 1.0), (1.0, 1.13, 1.15), (1.15, 1.1, 1.15), (2.0, 1.0, 1.0)] {
            assert_eq!(steady(before, now), expected, "{before} {now}");
        }
    }

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
