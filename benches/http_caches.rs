//! One core beside the field's caches: hits, misses that are stored, and what only passes through, HTTP/1.1 in the clear;
//! hits over TLS and QUIC; requests per second, CPU and waits.
//!
//! `cargo xtask bench -p hither-benches --bench http_caches -- [SECONDS [ROUNDS [WHAT or SERVER...]]]`, after
//! `cargo build --release` and `apt-get install nginx-light varnish haproxy trafficserver squid h2o nghttp2-client`; what is `hits`, `misses`,
//! `pass`, `tls` (HTTP/1.1), `h2`, `handshakes` (full ones), `idle` (memory of a TLS connection), `h3` or `flood`: how long a good client's hits take beside a flood of misses, and whether they stay hits. Servers have
//! one core, the generator and everybody's origin the other; each is asked for some seconds in turn, again and again, over
//! 64 connections with one open request each, and medians are printed. Logs are off, but for hither's; stores are warm for
//! hits, and were filled once for misses, so that memory is recycled. Each answer's status and length are checked, and by
//! the origin's numbers that hits are hits and misses none. The bare loop reads a request and writes bytes made before: what
//! the kernel leaves to be had. h2o serves files. Over TLS the client is h2load, of one thread, for all; over QUIC one in Rust.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark that fails panics")]

#[path = "http_caches/bare.rs"]
mod bare;
#[path = "http_caches/flood.rs"]
mod flood;
#[path = "http_caches/generator.rs"]
mod generator;
#[path = "http_caches/h2load.rs"]
mod h2load;
#[path = "http_caches/handshakes.rs"]
mod handshakes;
#[path = "http_caches/http3.rs"]
mod http3;
#[path = "http_caches/idle.rs"]
mod idle;
#[path = "http_caches/secure.rs"]
mod secure;
#[path = "http_caches/servers.rs"]
mod servers;
#[path = "http_caches/tls.rs"]
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use generator::{Target, ask};
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
    let is_what = |name: &String| {
        name == FLOOD || WHAT.iter().any(|what| what.name == *name) || secure::MODES.contains(&name.as_str())
    };
    let (wanted, only): (Vec<String>, Vec<String>) = arguments.into_iter().skip(2).partition(is_what);
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    let mut core = CpuSet::new();
    core.set(1).unwrap();
    // What is started has cores of its own.
    sched_setaffinity(nix::unistd::Pid::from_raw(0), &core).unwrap();
    if is_wanted(secure::IDLE) {
        secure::measure_idle(rounds);
        if wanted.len() == 1 {
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let servers = Server::all(dir.path(), &only);
    for what in WHAT.iter().filter(|what| is_wanted(what.name)) {
        let servers: Vec<&Server> = servers.iter().filter(|server| what.is_for(server.name)).collect();
        for (name, size) in what.objects {
            let mut results: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
            for _ in 0..rounds {
                for server in &servers {
                    let figures = measure(server, what, *size, Duration::from_secs(seconds));
                    results.entry(server.name).or_default().extend(figures);
                }
            }
            print(&format!("{}, {name}", what.name), &servers, &results);
        }
    }
    secure::measure(&servers, &is_wanted, Duration::from_secs(seconds), rounds);
    if is_wanted(FLOOD) {
        print_floods(&servers, rounds);
    }
}

/// Everybody's origin, and what has no store.
const ORIGIN: &str = "origin";
const BARE: &str = "bare loop";
const FLOOD: &str = "flood";

/// Something that is measured.
struct What {
    name: &'static str,
    target: Target,
    /// Objects by their names and sizes.
    objects: &'static [(&'static str, usize)],
    /// Who has nothing to do with it.
    without: &'static [&'static str],
    /// What is asked for before: enough to fill a store once.
    before_bytes: usize,
}

const WHAT: [What; 3] = [
    What { name: "hits", target: Target::Stored, objects: &OBJECTS, without: &[], before_bytes: 0 },
    What {
        name: "misses",
        target: Target::New,
        objects: &[("10 KiB", 10 << 10)],
        without: &[BARE, "nginx sendfile", "h2o"],
        before_bytes: 300 << 20,
    },
    What {
        name: "pass",
        target: Target::Passed,
        objects: &[("1 KiB", 1 << 10), ("10 KiB", 10 << 10)],
        without: &[BARE, "nginx sendfile", "h2o"],
        before_bytes: 0,
    },
];

impl What {
    fn is_for(&self, server: &str) -> bool {
        server != ORIGIN && !self.without.contains(&server)
    }
}

/// What one turn of a server gave.
#[derive(Clone, Copy)]
struct Figures {
    rate: f64,
    cpu_us: f64,
    p99_us: f64,
}

/// Nothing where the server does not do what is measured: HAProxy stores no object of 1 MiB.
fn measure(server: &Server, what: &What, size: usize, time: Duration) -> Option<Figures> {
    // What it stores and fills at first is not what is measured.
    let before = u64::try_from(what.before_bytes / size).unwrap();
    ask(server.address, (what.target, size), CONNECTIONS, time / 4, before);
    if server.name != BARE && !what.target.is_served(server.address, size) {
        return None;
    }
    let before = server.cpu_s();
    let mut seen = ask(server.address, (what.target, size), CONNECTIONS, time, 0);
    let cpu_us = (server.cpu_s() - before) * 1e6 / seen.answered.max(1) as f64;
    Some(Figures { rate: seen.rate(), cpu_us, p99_us: f64::from(seen.wait_us(990)) })
}

fn print(name: &str, servers: &[&Server], results: &BTreeMap<&str, Vec<Figures>>) {
    println!("\n{name}\n{:16}{:>10}{:>10}{:>10}{:>16}", "", "a second", "CPU us", "p99 us", "of bare loop");
    let bare = results.get(BARE).map_or(f64::NAN, |figures| median(figures.iter().map(|one| one.rate)));
    for server in servers {
        let figures = &results[server.name];
        if figures.is_empty() {
            println!("{:16}{:>10}", server.name, "not so");
            continue;
        }
        let rate = median(figures.iter().map(|one| one.rate));
        let (cpu_us, p99_us) =
            (median(figures.iter().map(|one| one.cpu_us)), median(figures.iter().map(|one| one.p99_us)));
        println!("{:16}{rate:>10.0}{cpu_us:>10.2}{p99_us:>10.0}{:>16.2}", server.name, rate / bare);
    }
}

/// Floods each server in turn, and prints medians.
fn print_floods(servers: &[Server], rounds: u64) {
    let servers: Vec<&Server> = servers.iter().filter(|server| ![ORIGIN, BARE, "h2o"].contains(&server.name)).collect();
    let mut results: BTreeMap<&str, Vec<flood::Flooded>> = BTreeMap::new();
    for _ in 0..rounds {
        for server in &servers {
            results.entry(server.name).or_default().push(flood::flood(server.address));
        }
    }
    println!(
        "\n{FLOOD}\n{:16}{:>13}{:>16}{:>8}{:>10}{:>10}",
        "", "idle p99 us", "flooded p99 us", "ratio", "hits", "misses/s"
    );
    for server in servers {
        let of = |figure: fn(&flood::Flooded) -> f64| median(results[server.name].iter().map(figure));
        let (idle, flooded) = (of(|one| f64::from(one.idle_us)), of(|one| f64::from(one.flooded_us)));
        let (hits, misses) = (of(|one| one.hits), of(|one| one.misses_per_second));
        println!("{:16}{idle:>13.0}{flooded:>16.0}{:>8.2}{hits:>10.3}{misses:>10.0}", server.name, flooded / idle);
    }
}
