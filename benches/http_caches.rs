//! HTTP/1.1 hits of one core beside the field's caches: requests per second, CPU and waits, with the same objects.
//!
//! `cargo xtask bench -p hither-benches --bench http_caches -- [SECONDS [ROUNDS [SERVER...]]]`, after `cargo build --release` and
//! `apt-get install nginx-light varnish haproxy`. Servers have one core and the generator the other; each is asked for some seconds in turn,
//! again and again, over 64 connections with one open request each, and medians are printed. Logs are off, stores are warm, and each answer's
//! status and length are checked. The bare loop reads a request and writes bytes made before: what the kernel leaves to be had; it is everybody's
//! origin too.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark that fails panics")]

#[path = "http_caches/bare.rs"]
mod bare;
#[path = "http_caches/generator.rs"]
mod generator;
#[path = "http_caches/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::time::Duration;

use generator::ask;
use hither_benches::median;
use nix::sched::{CpuSet, sched_setaffinity};
use servers::Server;

/// Objects by their names and sizes.
const OBJECTS: [(&str, usize); 4] =
    [("1 KiB", 1 << 10), ("10 KiB", 10 << 10), ("100 KiB", 100 << 10), ("1 MiB", 1 << 20)];
/// Connections, each with one open request.
const CONNECTIONS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [bare, address] = arguments.as_slice()
        && bare == "bare"
    {
        bare::serve(address);
    }
    let number = |at: usize, default| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, rounds) = (number(0, 2), number(1, 5));
    let dir = tempfile::tempdir().unwrap();
    let servers = Server::all(dir.path(), arguments.get(2..).unwrap_or_default());
    let mut core = CpuSet::new();
    core.set(1).unwrap();
    sched_setaffinity(nix::unistd::Pid::from_raw(0), &core).unwrap();
    for (name, size) in OBJECTS {
        let mut results: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
        for _ in 0..rounds {
            for server in &servers {
                results.entry(server.name).or_default().push(measure(server, size, Duration::from_secs(seconds)));
            }
        }
        print(name, &servers, &results);
    }
}

/// What one turn of a server gave.
#[derive(Clone, Copy)]
struct Figures {
    rate: f64,
    cpu_us: f64,
    p99_us: f64,
}

fn measure(server: &Server, size: usize, time: Duration) -> Figures {
    // What it stores and fills at first is not what is measured.
    ask(server.address, size, CONNECTIONS, time / 4);
    let before = server.cpu_s();
    let mut seen = ask(server.address, size, CONNECTIONS, time);
    let cpu_us = (server.cpu_s() - before) * 1e6 / seen.answered.max(1) as f64;
    Figures { rate: seen.rate(), cpu_us, p99_us: f64::from(seen.wait_us(990)) }
}

fn print(name: &str, servers: &[Server], results: &BTreeMap<&str, Vec<Figures>>) {
    println!("\n{name}\n{:16}{:>10}{:>10}{:>10}{:>16}", "", "hits/s", "CPU us", "p99 us", "of bare loop");
    let bare = results.get("bare loop").map_or(f64::NAN, |figures| median(figures.iter().map(|one| one.rate)));
    for server in servers {
        let figures = &results[server.name];
        let rate = median(figures.iter().map(|one| one.rate));
        let (cpu_us, p99_us) =
            (median(figures.iter().map(|one| one.cpu_us)), median(figures.iter().map(|one| one.p99_us)));
        println!("{:16}{rate:>10.0}{cpu_us:>10.2}{p99_us:>10.0}{:>16.2}", server.name, rate / bare);
    }
}
