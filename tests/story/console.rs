//! The console, in a browser: what it shows, what it does, and that everybody can use it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{HITHER, Network, Process, Signal, signal};
use crate::up::{NO_ORIGIN, Up};

const TOKEN: &str = "a token for the story of the console";

/// A network of two PoPs: one edge in the first, two in the second.
fn two_pops() -> Network {
    let network = Network::new(228, NO_ORIGIN, "");
    fs::write(network.path("secrets/admin.token"), TOKEN).unwrap();
    let second = "[[pop]]\nid = \"two\"\nname = \"Tokyo\"\nlocation = [35.7, 139.7]\n\
                  [[pop.edge]]\nid = \"two-1\"\naddresses = [\"127.0.2.229\"]\n\
                  [[pop.edge]]\nid = \"two-2\"\naddresses = [\"127.0.2.230\"]\n";
    network.edit(|text| text.replace("[admin]\n", "[admin]\ntoken = { file = \"admin.token\" }\n") + second);
    network
}

/// The process of a node.
fn pid(network: &Network, node: &str) -> u32 {
    let marker = fs::read_to_string(network.path(&format!(".state/{node}/node.json"))).unwrap();
    serde_json::from_str::<serde_json::Value>(&marker).unwrap()["pid"].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn a_browser_sees_an_edge_die_asks_why_and_purges() {
    let up = Up::of(two_pops(), 4);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/console.mjs");
    let dir = up.network.dir.path().display().to_string();
    let mut command = Command::new("node");
    command.arg(script).args(["http://127.0.2.228:9400/", TOKEN, "shop.cdn.example"]);
    command.args([HITHER, "-C", &dir, "explain", "shop.cdn.example"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut browser = Process(command.spawn().unwrap());
    let mut answers = browser.0.stdin.take().unwrap();
    // It says what it needs done, and is told when that is.
    for line in BufReader::new(browser.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("kill", node)) => signal(pid(&up.network, node), Signal::SIGKILL),
            _ if line == "end" => signal(up.pid(), Signal::SIGTERM),
            _ => panic!("{line}"),
        }
        answers.write_all(b"done\n").unwrap();
    }
    let ended = browser.0.wait().unwrap();
    assert!(ended.success(), "{ended}: what it saw is told above");
}
