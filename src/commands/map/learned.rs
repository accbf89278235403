//! `hither map stats` and `export`: what a running name server has learned.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Network, Problem, RoundTrip, Source};
use http::StatusCode;
use serde_json::{Value, json};

use crate::cli::{MapExport, MapStats};
use crate::client;
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::marker::running_name_servers;
use crate::say::say;
use crate::waiting::wait_for;

pub(crate) fn stats(args: &MapStats, dir: Option<PathBuf>) -> Done {
    let stats: Value = serde_json::from_str(&ask(dir, "/latency")?).map_err(Failure::ours)?;
    let text = if args.json { format!("{stats:#}") } else { show(&stats) };
    say(text.trim_end());
    Ok(Exit::Done)
}

pub(crate) fn export(args: &MapExport, dir: Option<PathBuf>) -> Done {
    let csv = ask(dir, "/latency.csv")?;
    if args.json {
        say(format!("{:#}", rows(csv).map_err(Failure::ours)?));
    } else {
        say(csv.trim_end());
    }
    Ok(Exit::Done)
}

/// What was measured, as JSON.
fn rows(csv: String) -> Result<Value, Problem> {
    let measured = RoundTrip::read_all(&Source::new(Path::new("latency.csv"), csv))?;
    let row = |one: &RoundTrip| {
        let (prefix, pop) = (one.prefix.to_string(), one.pop.as_str());
        json!({ "prefix": prefix, "pop": pop, "rtt_ms": one.rtt_ms, "samples": one.samples })
    };
    let rows: Vec<Value> = measured.iter().map(row).collect();
    Ok(json!({ "rows": rows }))
}

/// Asks a name server that runs on this machine, else the admin address.
fn ask(dir: Option<PathBuf>, path: &str) -> Result<String, Failure> {
    let network = directory::known(&directory::find(dir))?.network;
    let address = name_server(&network).unwrap_or(network.admin.listen);
    let told = wait_for(client::fetch(address, path, network.admin.token.as_ref()))?;
    let (status, body) = told.map_err(|why| {
        Failure::operator(format!("nobody answers at {address}: {why}; run it where a name server runs"))
    })?;
    let text = String::from_utf8_lossy(&body).into_owned();
    match status {
        StatusCode::OK => Ok(text),
        StatusCode::NOT_FOUND => {
            Err(Failure::operator(format!("what answers at {address} is no name server: run it where one runs")))
        }
        _ => Err(Failure::operator(format!("{address} answered {status}: {}", text.trim()))),
    }
}

fn name_server(network: &Network) -> Option<SocketAddr> {
    running_name_servers(network).first().map(|node| node.marker.admin)
}

fn show(stats: &Value) -> String {
    let number = |key: &str| stats.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let share = |part: f64, all: f64| if all > 0.0 { 100.0 * part / all } else { 0.0 };
    let heard = stats.get("heard_s_ago").and_then(Value::as_u64);
    let heard =
        heard.map_or_else(|| "no edge asked since the start".to_owned(), |ago| format!("edges last asked {ago} s ago"));
    let (then, now) = (number("geography_ms"), number("learned_ms"));
    let mut out = format!(
        "measured  {} prefixes, {} round trips, {heard}; counts halve every day\n",
        number("prefixes"),
        number("round_trips")
    );
    out.push_str(&format!(
        "grouped   {} of the prefixes, in {} groups\n",
        number("prefixes_grouped"),
        number("groups")
    ));
    out.push_str(&format!(
        "moved     {} prefixes with {:.1} % of the round trips go elsewhere than distance says\n",
        number("prefixes_moved"),
        share(number("round_trips_moved"), number("round_trips"))
    ));
    if number("prefixes_grouped") == 0.0 {
        return out + "worth     nothing yet: no prefix is in a group, and all go as distance says\n";
    }
    out.push_str(&format!(
        "worth     {then:.1} ms by geography, {now:.1} ms as they go: {:.1} ms ({:.1} %) less for the grouped\n",
        then - now,
        share(then - now, then)
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let stats = json!({
            "prefixes": 1_204, "round_trips": 48_210.0, "heard_s_ago": 12, "groups": 31, "prefixes_grouped": 1_150,
            "prefixes_moved": 82, "round_trips_moved": 1_976.0, "geography_ms": 38.2, "learned_ms": 36.9,
        });
        insta::assert_snapshot!(show(&stats));
        let early = json!({ "prefixes": 3, "round_trips": 12.0, "heard_s_ago": 2, "groups": 0, "prefixes_grouped": 0 });
        assert!(
            show(&early).ends_with("\nworth     nothing yet: no prefix is in a group, and all go as distance says\n")
        );
    }

    #[test]
    fn an_export_is_rows_to_a_program() {
        let rows = |lines: &str| rows(format!("prefix,pop,rtt_ms,samples\n{lines}"));
        let told = rows("93.192.7.0/24,fra,20.5,12\n2001:db8::/48,syd,281.0,3\n").unwrap();
        assert_eq!(
            told["rows"],
            json!([
                { "prefix": "93.192.7.0/24", "pop": "fra", "rtt_ms": 20.5, "samples": 12 },
                { "prefix": "2001:db8::/48", "pop": "syd", "rtt_ms": 281.0, "samples": 3 },
            ])
        );
        assert_eq!(rows("").unwrap(), json!({ "rows": [] }));
        let wrong = rows("93.192.7.0/24,fra,near,12\n").unwrap_err().to_string();
        assert!(wrong.starts_with("latency.csv:2:1: `near` is no round trip"), "{wrong}");
    }
}
