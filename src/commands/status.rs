//! `hither status`: nodes, health, load, versions.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::table;
use crate::cli::Status;
use crate::exit::{Done, Exit, Failure};
use crate::{client, directory};

pub(crate) fn run(args: Status, dir: Option<PathBuf>) -> Done {
    let config = directory::load(&directory::find(dir))?;
    let address = config.network.admin.listen;
    loop {
        let status = client::get_json(address, "/status").map_err(|error| {
            Failure::operator(format!(
                "nobody answers at the admin address {address}: {error}; is `hither up` or the node running?"
            ))
        })?;
        let text = if args.json { format!("{status:#}\n") } else { show(&status) };
        if !args.watch {
            print!("{text}");
            return Ok(Exit::Done);
        }
        // Home, then clear what is below: no flicker.
        print!("\x1b[H\x1b[J{text}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn show(status: &Value) -> String {
    let nodes = match status.get("nodes").and_then(Value::as_array) {
        Some(nodes) => nodes.clone(),
        None => vec![status.clone()],
    };
    let rows: Vec<Vec<String>> = nodes.iter().map(|node| row(node, &nodes)).collect();
    table::draw(&["node", "state", "health", "version", "uptime", "requests", "hit ratio", "stored"], &rows)
}

fn row(node: &Value, nodes: &[Value]) -> Vec<String> {
    let text = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let number = |value: Option<&Value>| value.and_then(Value::as_u64);
    let id = text("id");
    let edge = node.get("edge");
    let of_edge = |key: &str| number(edge.and_then(|edge| edge.get(key)));
    let requests = of_edge("requests");
    let ratio = requests.filter(|requests| *requests > 0).map(|requests| 100 * of_edge("hits").unwrap_or(0) / requests);
    let shown = |value: Option<u64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value}{unit}"));
    vec![
        id.clone(),
        if node.get("pid").is_some() { "running".to_owned() } else { "down".to_owned() },
        health(&id, nodes),
        shown(number(node.get("config_version")), ""),
        shown(number(node.get("uptime_s")), " s"),
        shown(requests, ""),
        shown(ratio, " %"),
        shown(of_edge("stored_bytes").map(|bytes| bytes >> 10), " KiB"),
    ]
}

/// What the name servers think of an edge: `up`, `down`, or how many of them say up.
fn health(id: &str, nodes: &[Value]) -> String {
    let seen = nodes.iter().filter_map(|node| node.get("edges")?.get(id)?.get("addresses")?.as_object());
    let verdicts: Vec<bool> = seen.map(|addresses| addresses.values().any(|verdict| verdict == "up")).collect();
    match (verdicts.iter().filter(|up| **up).count(), verdicts.len()) {
        (_, 0) => "-".to_owned(),
        (up, all) if up == all => "up".to_owned(),
        (0, _) => "down".to_owned(),
        (up, all) => format!("up for {up} of {all}"),
    }
}
