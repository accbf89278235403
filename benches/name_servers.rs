//! DNS over UDP: queries per second of one core beside the field's name servers, with the same zone, the same places and
//! the same queries.
//!
//! `cargo xtask bench -p hither-benches --bench name_servers -- [SECONDS [ROUNDS [SERVER...]]]`, after `cargo build --release` and
//! `apt-get install gdnsd knot knot-module-geoip nsd pdns-server pdns-backend-geoip bind9`. Servers have one core and the generator the other; each is asked
//! for some seconds in turn, again and again, and medians are printed, of waits also the least (NSD answers in a child, whose CPU is not seen). The bare loop receives, puts a record behind the
//! question and sends: what the kernel leaves to be had.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark that fails panics")]

#[path = "name_servers/bare.rs"]
mod bare;
#[path = "name_servers/connections.rs"]
mod connections;
#[path = "name_servers/generator.rs"]
mod generator;
#[path = "name_servers/queries.rs"]
mod queries;
#[path = "name_servers/servers.rs"]
mod servers;
#[path = "name_servers/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use generator::{Pace, ask};
use hither_benches::median;
use nix::sched::{CpuSet, sched_setaffinity};
use queries::Kind;
use servers::Server;
use world::World;

/// Queries a second at which waits are measured.
const CALM: u32 = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.as_slice() {
        [bare, address] if bare == "bare" => bare::serve::<32>(address),
        [bare, address] if bare == "bare-one" => bare::serve::<1>(address),
        _ => {}
    }
    let number = |at: usize, default| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, rounds) = (number(0, 2), number(1, 5) as u32);
    let mut core = CpuSet::new();
    core.set(1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let world = World::write(dir.path());
    let servers = Server::all(dir.path(), &world, arguments.get(2..).unwrap_or_default());
    sched_setaffinity(nix::unistd::Pid::from_raw(0), &core).unwrap();
    for kind in Kind::ALL {
        let queries = kind.queries();
        let mut results: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
        for _ in 0..rounds {
            for server in servers.iter().filter(|server| server.has(kind)) {
                results.entry(server.name).or_default().push(measure(server, &queries, Duration::from_secs(seconds)));
            }
        }
        print(kind, &servers, results);
    }
    over_connections(&servers, Duration::from_secs(seconds), rounds);
}

fn over_connections(servers: &[Server], time: Duration, rounds: u32) {
    let query = Kind::Edns.queries().remove(0);
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        for server in servers.iter().filter(|server| server.has_tcp()) {
            rates.entry(server.name).or_default().push(connections::rate(server.address, &query, time));
        }
    }
    println!("\nover TCP, 8 connections with up to 32 open queries\n{:14}{:>10}", "", "q/s");
    for server in servers {
        let Some(rates) = rates.get(server.name) else { continue };
        println!("{:14}{:>10.0}", server.name, median(rates.iter().copied()));
    }
}

/// What one turn of a server gave.
#[derive(Clone, Copy)]
struct Figures {
    rate: f64,
    cpu_us: f64,
    p99_us: f64,
    bad: f64,
}

fn measure(server: &Server, queries: &[Vec<u8>], time: Duration) -> Figures {
    // What it fills at first is not what is measured.
    ask(server.address, queries, time / 4, Pace::Full);
    let before = server.cpu_s();
    let seen = ask(server.address, queries, time, Pace::Full);
    let cpu_us = (server.cpu_s() - before) * 1e6 / seen.answered.max(1) as f64;
    let mut calm = ask(server.address, queries, time / 2, Pace::Rate(CALM));
    let bad = (seen.wrong + seen.lost) as f64 / (seen.answered + seen.wrong).max(1) as f64;
    Figures { rate: seen.rate(), cpu_us, p99_us: f64::from(calm.wait_us(990)), bad }
}

fn print(kind: Kind, servers: &[Server], results: BTreeMap<&str, Vec<Figures>>) {
    println!(
        "\n{}\n{:14}{:>10}{:>12}{:>14}{:>14}{:>16}{:>12}",
        kind.name(),
        "",
        "q/s",
        "CPU us",
        "p99 us, 20k",
        "at best",
        "of bare loop",
        "bad"
    );
    let bare = results.get("bare loop").map_or(f64::NAN, |figures| median(figures.iter().map(|one| one.rate)));
    for server in servers {
        let Some(figures) = results.get(server.name) else { continue };
        let rate = median(figures.iter().map(|one| one.rate));
        println!(
            "{:14}{rate:>10.0}{:>12.2}{:>14.0}{:>14.0}{:>16.2}{:>11.2}%",
            server.name,
            median(figures.iter().map(|one| one.cpu_us)),
            median(figures.iter().map(|one| one.p99_us)),
            // What disturbs a round on a shared machine only makes waits longer: the calmest says what is the server's.
            figures.iter().map(|one| one.p99_us).fold(f64::INFINITY, f64::min),
            rate / bare,
            100.0 * median(figures.iter().map(|one| one.bad)),
        );
    }
}
