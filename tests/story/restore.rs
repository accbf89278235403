//! What a node keeps in its state directory: it serves without any part of it, and without all.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::logs::end;
use crate::support::{Network, Origin, addresses, dig, get, reply, runtime, wait_for};

/// What each node keeps, of what a short life brings; more may be there.
const KEPT: [(&str, &[&str]); 2] = [
    ("one-1", &["drained", "last-good", "purges.redb", "purges.seal", "report", "requests.jsonl", "version"]),
    ("ns1", &["health.json", "last-good", "map.bin", "queries.jsonl", "version"]),
];

#[test]
fn a_node_serves_without_any_part_of_its_state() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], "page")).await;
        let network = Network::new(250, origin.address, "");
        for (node, kept) in KEPT {
            let home = network.path(".state").join(node);
            live(&network, node, &home, kept).await;
            if node == "one-1" {
                assert_eq!(health_after_a_start(&network).await, 503, "it stays drained");
            }
            for path in entries(&home) {
                lose(&path);
                let process = network.start(node);
                assert!(serves(&network, node).await, "without {}: {}", path.display(), network.log(node));
                end(process);
            }
            if node == "one-1" {
                assert_eq!(health_after_a_start(&network).await, 200, "that it was drained is lost");
            }
            fs::remove_dir_all(&home).unwrap();
            let process = network.start(node);
            assert!(serves(&network, node).await, "{node} without all of it: {}", network.log(node));
            end(process);
        }
    });
}

#[test]
fn a_version_goes_up_with_an_older_file_and_over_a_restart() {
    let network = Network::new(251, SocketAddr::from(([127, 0, 0, 1], 9)), "");
    let path = network.path("sites/shop.toml");
    let (text, old) = (fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let higher_than = |before: u64| {
        wait_for(Duration::from_secs(5), "a change is of a higher version", || {
            let now = version(&network);
            if now > before { Ok(()) } else { Err(format!("{now} after {before}")) }
        });
        version(&network)
    };
    let process = network.start("one-1");
    let first = version(&network);
    assert!(first > 0, "{}", network.log("one-1"));
    fs::write(&path, format!("{text}\n# A remark.\n")).unwrap();
    let edited = higher_than(first);
    fs::write(&path, &text).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    let restored = higher_than(edited);
    wait_for(Duration::from_secs(5), "it is written down", || {
        let kept = fs::read_to_string(network.path(".state/one-1/version")).unwrap_or_default();
        if kept.contains(&restored.to_string()) { Ok(()) } else { Err(kept) }
    });
    end(process);
    // Before a minute is over nothing but the first config is kept as good.
    let process = network.start("one-1");
    assert_eq!(version(&network), restored);
    let (shown, _) = network.hither(&["status"]);
    assert!(shown.contains("newest") && !shown.contains("behind"), "{shown}");
    end(process);
}

/// The version that the edge tells.
fn version(network: &Network) -> u64 {
    let (told, _) = network.hither(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let node = status["nodes"].as_array().unwrap().iter().find(|node| node["id"] == "one-1").unwrap();
    node["config_version"].as_u64().unwrap_or_default()
}

/// Has a node live until it has written down all that it keeps.
async fn live(network: &Network, node: &str, home: &Path, kept: &[&str]) {
    let process = network.start(node);
    assert!(serves(network, node).await, "{}", network.log(node));
    if node == "one-1" {
        fs::write(home.join("drained"), "").unwrap();
    }
    // What sites took is written at its end.
    let lacks = || kept.iter().filter(|name| **name != "report" && !home.join(name).exists()).collect::<Vec<_>>();
    wait_for(Duration::from_secs(10), "it has written down what it keeps", || {
        let lacks = lacks();
        if lacks.is_empty() { Ok(()) } else { Err(format!("{node} lacks {lacks:?}")) }
    });
    end(process);
    assert!(!kept.contains(&"report") || home.join("report").is_dir(), "{node} has written no report");
}

/// What there is in a directory.
fn entries(home: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn lose(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

async fn serves(network: &Network, node: &str) -> bool {
    if node == "ns1" {
        let server = format!("@{}", network.dns.ip());
        return addresses(&dig(&server, network.dns.port(), &["shop.cdn.example", "+short"])) == [network.edge.ip()];
    }
    get(network.edge, "/page", &[]).await.is_ok_and(|got| got.status == 200 && got.body == "page")
}

/// What a load balancer is told by an edge that has just started.
async fn health_after_a_start(network: &Network) -> u16 {
    let process = network.start("one-1");
    let health = get(network.edge, "/.hither/health", &[]).await.unwrap();
    end(process);
    health.status.as_u16()
}
