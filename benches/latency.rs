//! What the map learns in worlds whose truth is known: people's places, and ways that are longer from some than from others.
//!
//! `cargo xtask bench -p hither-benches --bench latency -- [SEED...]`, after `cargo build --release`. 400 nodes stand where people
//! live. A round trip is distance by 50 km for a millisecond, times a factor of each end (lognormal, 0.2), times one of the pair
//! (0.1), and 5 ms. `hither map bench` then judges random, geography, prior, learned and optimal by it: with coordinates that are
//! true, the prior (the stretch of each PoP, as PoPs measure each other, and no client's sample) has something to find.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that fails panics")]

#[path = "load/chance.rs"]
mod chance;

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use chance::Chance;
use config::Location;
use mapping::Region;

const NODES: usize = 400;
/// Spreads of the factors of an end and of a pair.
const OF_END: f64 = 0.2;
const OF_PAIR: f64 = 0.1;

fn main() {
    let mut seeds: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if seeds.is_empty() {
        seeds = vec![1, 2, 3];
    }
    let geo = config::Geo { database: Vec::new(), asn: None, geofeed: Vec::new(), home: None };
    let regions = dns::geo::load(&geo, None, SystemTime::now()).unwrap().regions;
    let dir = tempfile::tempdir().unwrap();
    for seed in seeds {
        write(dir.path(), &regions, seed);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/hither");
        let mut command = Command::new(program);
        command.args(["map", "bench", "--matrix", "matrix", "--nodes", "nodes", "--seed", &seed.to_string()]);
        assert!(command.current_dir(dir.path()).status().unwrap().success());
    }
}

/// Writes a world's nodes and round trips.
fn write(dir: &Path, regions: &[Region], seed: u64) {
    let mut chance = Chance(seed);
    let all: f64 = regions.iter().map(|region| region.population).sum();
    let nodes: Vec<Location> = (0..NODES).map(|_| place(regions, all, &mut chance)).collect();
    let factors: Vec<f64> = nodes.iter().map(|_| chance.about_one(OF_END)).collect();
    let mut round_trips = vec![vec![f64::NAN; NODES]; NODES];
    for a in 0..NODES {
        for b in 0..a {
            let distance_km = mapping::distance_km(nodes[a], nodes[b]);
            let factor = factors[a] * factors[b] * chance.about_one(OF_PAIR);
            // Light in fibre takes a millisecond for 100 km and back.
            let ms = (distance_km / 50.0 * factor + 5.0).max(distance_km / 100.0);
            (round_trips[a][b], round_trips[b][a]) = (ms, ms);
        }
    }
    let row = |row: &Vec<f64>| row.iter().map(|ms| format!("{ms:.2}").to_lowercase()).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = round_trips.iter().map(row).collect();
    std::fs::write(dir.join("matrix"), rows.join("\n") + "\n").unwrap();
    let line = |(number, node): (usize, &Location)| format!("n{number},{:.3},{:.3}", node.latitude, node.longitude);
    let lines: Vec<String> = nodes.iter().enumerate().map(line).collect();
    std::fs::write(dir.join("nodes"), lines.join("\n") + "\n").unwrap();
}

/// Somewhere within half a degree or so of where a region's people are; of large ones more often.
fn place(regions: &[Region], all: f64, chance: &mut Chance) -> Location {
    let mut left = chance.uniform() * all;
    let found = regions.iter().find(|region| {
        left -= region.population;
        left <= 0.0
    });
    let Location { latitude, longitude } = found.unwrap_or(&regions[0]).location;
    let near = |degrees: f64, most: f64, chance: &mut Chance| (degrees + 0.5 * chance.normal()).clamp(-most, most);
    Location { latitude: near(latitude, 85.0, chance), longitude: near(longitude, 179.9, chance) }
}
