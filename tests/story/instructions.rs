//! What a hit costs, in instructions: a clock on a shared machine would not see a twentieth.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{HITHER, Network, Origin, Process, reply, run, wait_for};

const REQUESTS: usize = 500;
/// A hit's instructions over those of an edge's word on its health, asked for by HEAD so that hyper answers, in the same process
/// by the same compiler. Whoever makes a hit dearer by more than a twentieth finds out here; whoever makes the general way cheaper, too,
/// and measures anew.
const RATIO: f64 = 0.72;
const TOLERANCE: f64 = 1.05;

/// Asks on one connection, one after the other.
fn ask(edge: SocketAddr, method: &str, path: &str) {
    let mut reads = BufReader::new(TcpStream::connect(edge).unwrap());
    for _ in 0..REQUESTS {
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: www.shop.example\r\nuser-agent: x\r\naccept: */*\r\n\r\n");
        reads.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(reads.read_line(&mut line).unwrap() > 0, "{path}: closed");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        reads.read_exact(&mut vec![0; if method == "HEAD" { 0 } else { length }]).unwrap();
    }
}

#[test]
fn a_hit_costs_no_more_instructions_than_it_did() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let origin = runtime.block_on(Origin::start(|_, _| {
        reply(200, &[("cache-control", "max-age=3600"), ("etag", "\"a\"")], "x".repeat(1_024))
    }));
    let network = Network::new(179, origin.address, "[[rule]]\nheaders = { set = { X-By = \"${edge}\" } }\n");
    let out = network.path("callgrind");
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "-q", &format!("--callgrind-out-file={}", out.display()), HITHER, "run", "--config"])
        .arg(network.dir.path())
        .args(["--node", "one-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(network.path("one-1.log")).unwrap())
        .spawn()
        .unwrap();
    let edge = Process(child);
    wait_for(Duration::from_secs(90), "the node serves", || {
        TcpStream::connect(network.edge).map(drop).map_err(|error| format!("{error}: {}", network.log("one-1")))
    });
    let pid = edge.0.id().to_string();
    let mut dumps = 0;
    let mut count = |method: &str, path: &str| {
        // Once before: what is learned, stored and allocated at first is not counted.
        ask(network.edge, method, path);
        run("callgrind_control", &["-z", &pid]);
        ask(network.edge, method, path);
        run("callgrind_control", &["-d", &pid]);
        dumps += 1;
        let dump = network.path(&format!("callgrind.{dumps}"));
        let (text, _) = wait_for(Duration::from_secs(20), "callgrind tells", || {
            fs::read_to_string(&dump)
                .ok()
                .filter(|text| text.contains("\ntotals: "))
                .ok_or_else(|| dump.display().to_string())
        });
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
        total.trim().parse::<f64>().unwrap() / REQUESTS as f64
    };
    let (health, hit) = (count("HEAD", "/.hither/health"), count("GET", "/object"));
    println!("a hit takes {hit:.0} instructions, a word on health {health:.0}: {:.3}", hit / health);
    assert!(hit / health <= RATIO * TOLERANCE, "{hit:.0} over {health:.0} is {:.3}, not {RATIO}", hit / health);
}
