//! What is measured over TLS and QUIC.

use std::collections::BTreeMap;
use std::time::Duration;

use hither_benches::median;

use crate::h2load::{self, Asked, Version};
use crate::servers::Server;
use crate::{handshakes, http3, idle, tls};

/// What can be asked for by name.
pub(crate) const MODES: [&str; 5] = ["tls", "h2", "handshakes", IDLE, "h3"];
/// The one that starts servers of its own.
pub(crate) const IDLE: &str = "idle";

/// Connections, and open requests on each: of HTTP/1.1, and of HTTP/2 and 3.
const OVER_HTTP1: (usize, usize) = (64, 1);
const OVER_STREAMS: (usize, usize) = (16, 8);
const KIB: (&str, usize) = ("1 KiB", 1 << 10);
const TEN_KIB: (&str, usize) = ("10 KiB", 10 << 10);
const HITHER: &str = "hither";

/// How a server is asked for an object of a size for some time.
type Ask = fn(&Server, usize, Duration) -> Asked;

struct Row {
    mode: &'static str,
    object: (&'static str, usize),
    /// By what, and of whom it is asked.
    asks: &'static [(&'static str, Ask)],
}

const ROWS: [Row; 5] = [
    Row {
        mode: "tls",
        object: TEN_KIB,
        asks: &[
            (HITHER, over_http1),
            ("nginx", over_http1),
            ("HAProxy", over_http1),
            ("Traffic Server", over_http1),
            ("h2o", over_http1),
        ],
    },
    Row { mode: "h2", object: KIB, asks: &[(HITHER, over_http2), ("nginx", over_http2), ("h2o", over_http2)] },
    Row { mode: "h2", object: TEN_KIB, asks: &[(HITHER, over_http2), ("nginx", over_http2), ("h2o", over_http2)] },
    Row { mode: "handshakes", object: ("no object", 1 << 10), asks: &[(HITHER, shake), ("nginx", shake)] },
    // Against itself: over HTTP/3, then over HTTP/2.
    Row { mode: "h3", object: TEN_KIB, asks: &[(HITHER, over_http3), (HITHER, over_http2)] },
];

fn over_http1(server: &Server, size: usize, time: Duration) -> Asked {
    h2load::ask(server.secure_address(), Version::Http1, OVER_HTTP1, size, time)
}

fn over_http2(server: &Server, size: usize, time: Duration) -> Asked {
    h2load::ask(server.secure_address(), Version::Http2, OVER_STREAMS, size, time)
}

fn over_http3(server: &Server, size: usize, time: Duration) -> Asked {
    http3::ask(server.secure_address(), OVER_STREAMS, size, time)
}

fn shake(server: &Server, _: usize, time: Duration) -> Asked {
    handshakes::shake(server.secure_address(), time)
}

/// Measures each of these modes in turn, and prints medians.
pub(crate) fn measure(servers: &[Server], is_wanted: &dyn Fn(&str) -> bool, time: Duration, rounds: u64) {
    for row in ROWS.iter().filter(|row| is_wanted(row.mode)) {
        let asks: Vec<(&Server, Ask)> = row
            .asks
            .iter()
            .filter_map(|(name, ask)| Some((servers.iter().find(|server| server.name == *name)?, *ask)))
            .collect();
        let mut results: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        for _ in 0..rounds {
            for (at, (server, ask)) in asks.iter().enumerate() {
                // A server of files has no numbers, which are the same then.
                assert!(tls::is_hit(server.secure_address(), row.object.1), "{} stores nothing", server.name);
                ask(server, row.object.1, time / 4);
                let before = server.cpu_s();
                let asked = ask(server, row.object.1, time);
                let cpu_us = (server.cpu_s() - before) * 1e6 / asked.answered as f64;
                results.entry(at).or_default().push((asked.rate, cpu_us));
            }
        }
        let names = asks.iter().map(|(server, _)| server.name);
        print(&format!("{}, {}", row.mode, row.object.0), names, &results);
    }
}

/// By rates and by CPU, times that of the first row: of hither's own way that is asked for.
fn print<'a>(title: &str, names: impl Iterator<Item = &'a str>, results: &BTreeMap<usize, Vec<(f64, f64)>>) {
    println!("\n{title}\n{:16}{:>10}{:>10}{:>16}{:>16}", "", "a second", "CPU us", "hither's times", "by CPU");
    let of = |at: usize| {
        let all = &results[&at];
        (median(all.iter().map(|one| one.0)), median(all.iter().map(|one| one.1)))
    };
    let mut first = None;
    for (at, name) in names.enumerate() {
        let (rate, cpu_us) = of(at);
        let (first_rate, first_cpu_us) = *first.get_or_insert((rate, cpu_us));
        let (times, by_cpu) = (first_rate / rate, cpu_us / first_cpu_us);
        println!("{name:16}{rate:>10.0}{cpu_us:>10.2}{times:>16.2}{by_cpu:>16.2}");
    }
}

/// Starts servers again and again, since memory that was used once is used again, and prints what each holds for an idle
/// connection.
pub(crate) fn measure_idle(rounds: u64) {
    idle::raise_limit();
    let mut results: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        let servers = Server::all(dir.path(), &[HITHER, "nginx"].map(str::to_owned));
        for server in servers.iter().filter(|server| server.name != crate::ORIGIN) {
            results.entry(server.name).or_default().push(idle::held_bytes(server));
        }
    }
    println!("\n{IDLE}, a TLS connection\n{:16}{:>10}", "", "KiB");
    for (name, held) in results {
        println!("{name:16}{:>10.1}", median(held.into_iter()) / 1_024.0);
    }
}
