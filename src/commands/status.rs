//! `hither status`: nodes, health, load, versions.

use std::path::{Path, PathBuf};

use fleet::ConfigVersion;
use serde_json::Value;
use telemetry::hit_ratio;

use super::table;
use crate::cli::Status;
use crate::client::{self, AskError};
use crate::directory::{self, Known};
use crate::exit::{Done, Exit, Failure};
use crate::gathering;
use crate::marker::{Marker, running};
use crate::say::say;
use crate::waiting::wait_for;

mod rates;
mod screen;
mod seen;
mod terminal;
mod watch;

use watch::Form;

pub(crate) fn run(args: Status, dir: Option<PathBuf>) -> Done {
    let dir = directory::find(dir);
    let known = directory::known(&dir)?;
    let form = if args.json { Form::Json } else { Form::Table };
    if args.watch {
        return wait_for(watch::run(&dir, known, form))?;
    }
    let status = wait_for(ask(&dir, &known, form))??;
    let text = if args.json { format!("{status:#}") } else { show(&status, known.version.as_ref()) };
    say(text.trim_end());
    Ok(Exit::Done)
}

/// Asks every node on this machine; where none runs, the admin address. As JSON a running `up` tells it, which has heard the
/// nodes before and knows how much goes on.
async fn ask(dir: &Path, known: &Known, form: Form) -> Result<Value, Failure> {
    let network = &known.network;
    let token = network.admin.token.as_ref();
    if form == Form::Json
        && let Some(up) = Marker::read(&Marker::path_of_up(&network.state))
        && let Ok(status) = client::fetch_json(up.admin, "/status", token).await
    {
        return Ok(status);
    }
    if !running(network).is_empty() {
        let ground = gathering::ground("status", dir, network, &known.sites);
        let overview = gathering::once(ground, gathering::here(network)).await;
        return serde_json::to_value(&*overview).map_err(Failure::ours);
    }
    let address = network.admin.listen;
    client::fetch_json(address, "/status", token).await.map_err(|error| match error {
        AskError::NobodyThere(why) => Failure::operator(format!(
            "nobody answers at the admin address {address}: {why}; is `hither up` or the node running?"
        )),
        AskError::Refused(why) | AskError::Failed(why) => Failure::operator(why),
    })
}

/// A table of the nodes; `files` is what lies in the directory.
fn show(status: &Value, files: Option<&ConfigVersion>) -> String {
    let nodes = nodes_of(status);
    let newest = newest(&nodes, files);
    let cells = |node: &Value| row(node, &nodes, newest.as_ref()).cells().iter().map(|cell| plain(cell)).collect();
    let rows: Vec<Vec<String>> = nodes.iter().map(cells).collect();
    let heading = ["node", "state", "health", "config", "uptime", "connections", "requests", "hit ratio", "stored"];
    let mut out = table::draw(&heading, &rows);
    if let Some(newest) = &newest {
        out.push_str(&format!("\nconfig version {}\n", newest.number));
    }
    notes(&nodes).iter().for_each(|note| out.push_str(&format!("{}\n", plain(note))));
    out
}

/// A text in which others' words, such as those of an authority of certificates, do nothing to a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Each node's own status: of a fleet, or of the one that answered.
fn nodes_of(status: &Value) -> Vec<Value> {
    match status.get("nodes").and_then(Value::as_array) {
        Some(nodes) => nodes.clone(),
        None => vec![status.clone()],
    }
}

/// The newest config that anybody has.
fn newest(nodes: &[Value], files: Option<&ConfigVersion>) -> Option<ConfigVersion> {
    let all = nodes.iter().filter_map(ConfigVersion::told).chain(files.cloned());
    all.max_by_key(|version| (version.number, version.digest.is_some()))
}

/// What nodes have to say beside their numbers.
fn notes(nodes: &[Value]) -> Vec<String> {
    let refused = |node: &Value| {
        let (id, why) = (text(node, "id")?, text(node, "refused")?);
        Some(format!("{id} refused the newest config: {why}"))
    };
    nodes.iter().flat_map(|node| refused(node).into_iter().chain(notes_of(node))).collect()
}

/// What an edge has to say beside its numbers.
fn notes_of(node: &Value) -> Vec<String> {
    let id = text(node, "id").unwrap_or("-");
    let edge = node.get("edge");
    let fallen =
        edge.and_then(|edge| edge.get("fallen_back")?.as_array()).into_iter().flatten().filter_map(Value::as_str);
    let fallen = fallen.map(|site| format!("{id} serves site {site} as it was before: it panics as it is now"));
    let origins = edge.and_then(|edge| edge.get("origins")?.as_object()).into_iter().flatten();
    let unwell =
        origins.flat_map(|(site, servers)| notes_of_servers(id, site, servers.as_array().into_iter().flatten()));
    let certificates = node.get("certificates").and_then(Value::as_object).into_iter().flatten();
    let lacking = certificates.filter_map(|(name, one)| note_of_certificate(id, name, one));
    let is_draining = edge.and_then(|edge| edge.get("draining")?.as_bool()) == Some(true);
    let drained = is_draining
        .then(|| format!("{id} is drained: no new clients are sent there; `hither undrain {id}` takes it back"));
    drained.into_iter().chain(fallen).chain(unwell).chain(lacking).collect()
}

/// What is wrong with a certificate.
fn note_of_certificate(id: &str, name: &str, one: &Value) -> Option<String> {
    let seconds = |key| one.get(key).and_then(Value::as_u64);
    let why = text(one, "fails");
    let again = seconds("again_s").map_or(String::new(), |again| format!("; it is tried again in {}", uptime(again)));
    match (seconds("left_s"), why) {
        (_, Some(why)) if name == "[acme]" => Some(format!("{id} gets no certificates: {why}{again}")),
        (None, Some(why)) => Some(format!("{id} has no certificate for {name}: {why}{again}")),
        (Some(left), Some(why)) => Some(format!(
            "{id} gets no new certificate for {name}, which is good for {} more: {why}{again}",
            uptime(left)
        )),
        (Some(0), None) => Some(format!("{id} has a certificate for {name} that has ended: clients refuse it")),
        (Some(left), None) if one.get("alarming").and_then(Value::as_bool) == Some(true) => {
            Some(format!("{id} has a certificate for {name} that is good for {} more, and no new one", uptime(left)))
        }
        (None, None) => Some(format!("{id} has no certificate for {name} yet")),
        (Some(_), None) => None,
    }
}

/// Which servers of a site's origin take nothing.
fn notes_of_servers<'v>(id: &str, site: &str, servers: impl Iterator<Item = &'v Value> + Clone) -> Vec<String> {
    let is = |one: &Value, what: &str| one.get(what).and_then(Value::as_bool) == Some(true);
    let are_all_out = servers.clone().all(|one| is(one, "down") || is(one, "left_alone"));
    let note = |one: &Value| {
        let server = text(one, "server").unwrap_or("-");
        if is(one, "left_alone") {
            return Some(format!(
                "{id} takes nothing for site {site} from {server}: it is left alone since fetches fail"
            ));
        }
        is(one, "down").then(|| match are_all_out {
            true => {
                format!("{id} asks {server} for site {site} all the same: its probes fail, and no other takes anything")
            }
            false => format!("{id} takes nothing for site {site} from {server}: its probes fail"),
        })
    };
    servers.filter_map(note).collect()
}

fn text<'v>(node: &'v Value, key: &str) -> Option<&'v str> {
    node.get(key).and_then(Value::as_str)
}

/// A node in a word for each column.
struct Row {
    id: String,
    state: String,
    health: String,
    config: String,
    uptime: String,
    connections: String,
    requests: String,
    hit_ratio: String,
    stored: String,
}

impl Row {
    fn cells(self) -> Vec<String> {
        let Self { id, state, health, config, uptime, connections, requests, hit_ratio, stored } = self;
        vec![id, state, health, config, uptime, connections, requests, hit_ratio, stored]
    }
}

/// What name servers were told of an edge elsewhere.
fn report<'v>(id: &str, nodes: &'v [Value]) -> Option<&'v Value> {
    nodes.iter().find_map(|node| node.get("edges")?.get(id)?.get("report"))
}

/// A number that an edge tells, or has told name servers.
fn of_edge(node: &Value, nodes: &[Value], key: &str) -> Option<u64> {
    let own = node.get("edge").and_then(|edge| edge.get(key));
    own.or_else(|| report(text(node, "id")?, nodes)?.get(key)).and_then(Value::as_u64)
}

fn row(node: &Value, nodes: &[Value], newest: Option<&ConfigVersion>) -> Row {
    let number = |value: Option<&Value>| value.and_then(Value::as_u64);
    let id = text(node, "id").unwrap_or("-");
    let of_edge = |key: &str| of_edge(node, nodes, key);
    let requests = of_edge("requests");
    // Name servers are told of no hits: what nobody knows is not nothing.
    let ratio = requests.zip(of_edge("hits")).and_then(|(requests, hits)| hit_ratio(requests, hits));
    let shown = |value: Option<u64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value}{unit}"));
    let has = ConfigVersion::told(node).or_else(|| ConfigVersion::told(report(id, nodes)?));
    let is_newest = |has: ConfigVersion| newest.is_some_and(|newest| has.is_same(newest));
    let config = has.map_or("-", |has| if is_newest(has) { "newest" } else { "behind" });
    Row {
        id: id.to_owned(),
        state: state(node).to_owned(),
        health: health(id, nodes),
        config: config.to_owned(),
        uptime: number(node.get("uptime_s")).map_or("-".to_owned(), uptime),
        // What an edge has just open, besides the name servers' probes.
        connections: shown(of_edge("connections"), ""),
        requests: shown(requests, ""),
        hit_ratio: ratio.map_or("-".to_owned(), percent),
        stored: shown(of_edge("stored_bytes").map(|bytes| bytes >> 10), " KiB"),
    }
}

/// A share as the console shows it: `0 %`, `97.3 %`, and `100 %` from 99.95 on.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent == 0.0 || percent >= 99.95 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

fn state(node: &Value) -> &'static str {
    // What is told of one that cannot be reached may be old.
    let is_reached = node.get("unreachable").and_then(Value::as_bool) != Some(true);
    match (node.get("pid").filter(|_| is_reached), node.get("ran_here").and_then(Value::as_bool)) {
        (Some(_), _) => "running",
        _ if node.get("silent").is_some() => "no answer",
        (None, Some(true)) => "not running",
        (None, _) => "not here",
    }
}

/// As people tell time: `42 s`, `7 min`, `3 h 20 min`, `12 d 4 h`.
fn uptime(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// What the name servers think of an edge: `up`, `down`, or how many of them say up; and what keeps
/// it down.
fn health(id: &str, nodes: &[Value]) -> String {
    let seen: Vec<&Value> = nodes.iter().filter_map(|node| node.get("edges")?.get(id)).collect();
    let is_up = |edge: &&&Value| {
        let addresses = edge.get("addresses").and_then(Value::as_object);
        addresses.is_some_and(|addresses| addresses.values().any(|verdict| verdict == "up"))
    };
    let held = seen.iter().filter_map(|edge| edge.get("held_s")?.as_u64()).max().filter(|held| *held > 0);
    let fails = seen.iter().any(|edge| edge.get("failing").and_then(Value::as_bool) == Some(true));
    let drains = seen.iter().filter(|edge| edge.get("draining").and_then(Value::as_bool) == Some(true)).count();
    let of_config = seen.iter().find_map(|edge| edge.get("admin_state")?.as_str().filter(|state| *state != "judged"));
    let said = match drains {
        0 => of_config,
        all if all == seen.len() => Some("drained by itself"),
        _ => Some("drained for some"),
    };
    match (seen.iter().filter(is_up).count(), seen.len()) {
        (up, all) if let Some(said) = said => format!("{said}, {}", if up == all { "up" } else { "down" }),
        (1.., _) if fails => "fails to serve".to_owned(),
        (_, 0) => "-".to_owned(),
        (up, all) if up == all => "up".to_owned(),
        (0, _) => held.map_or("down".to_owned(), |held| format!("down, held {held} s")),
        (up, all) => format!("up for {up} of {all}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hit_ratio_that_nobody_knows_is_left_open() {
        let known_to_name_servers = json!({ "id": "ns1", "edges": { "one-1": { "report": { "requests": 8 } } } });
        for (edge, requests, ratio) in [
            (json!({ "requests": 8, "hits": 6 }), "8", "75.0 %"),
            (json!({ "requests": 8, "hits": 0 }), "8", "0 %"),
            (json!({ "requests": 1000, "hits": 999 }), "1000", "99.9 %"),
            (json!({ "requests": 8, "hits": 8 }), "8", "100 %"),
            (json!({ "requests": 0, "hits": 0 }), "0", "-"),
            // It runs elsewhere, and is known by what name servers were told.
            (Value::Null, "8", "-"),
        ] {
            let node = if edge.is_null() { json!({ "id": "one-1" }) } else { json!({ "id": "one-1", "edge": edge }) };
            let row = row(&node, &[known_to_name_servers.clone(), node.clone()], None);
            assert_eq!((row.requests.as_str(), row.hit_ratio.as_str()), (requests, ratio), "{node}");
        }
        // Nothing is known of it at all.
        let unknown = json!({ "id": "one-2" });
        let row = row(&unknown, std::slice::from_ref(&unknown), None);
        assert_eq!((row.requests.as_str(), row.hit_ratio.as_str()), ("-", "-"));
    }

    #[test]
    fn behind_is_who_has_other_files_than_the_newest_whatever_their_numbers() {
        // Numbers and digests; earlier releases tell none.
        for (what, nodes, files, expected) in [
            ("one config", vec![(9, "x"), (9, "x")], None, "newest newest"),
            ("an edit that the other misses", vec![(9, "y"), (5, "x")], None, "newest behind"),
            ("the other is a new machine after a removal", vec![(9, "x"), (5, "x")], None, "newest newest"),
            ("one time, other files", vec![(9, "x"), (9, "y")], Some((9, "x")), "newest behind"),
            ("newer files that nobody has", vec![(9, "x")], Some((11, "y")), "behind"),
            ("these files, and a higher version before", vec![(9, "x")], Some((5, "x")), "newest"),
            ("an earlier release by its number", vec![(9, "x"), (9, "")], None, "newest newest"),
            ("an earlier release first", vec![(9, ""), (9, "x"), (5, "x")], None, "newest newest newest"),
            ("an earlier release that is behind", vec![(11, "x"), (9, "")], None, "newest behind"),
        ] {
            let digest = |digest: &str| Some(digest.to_owned()).filter(|digest| !digest.is_empty());
            let node = |(number, of): &(u64, &str)| json!({ "config_version": number, "config_digest": digest(of) });
            let nodes: Vec<Value> = nodes.iter().map(node).collect();
            let files = files.map(|(number, of)| ConfigVersion { number, digest: digest(of) });
            let newest = newest(&nodes, files.as_ref());
            let told: Vec<String> = nodes.iter().map(|node| row(node, &nodes, newest.as_ref()).config).collect();
            assert_eq!(told.join(" "), expected, "{what}");
        }
    }

    #[test]
    fn words_of_others_do_nothing_to_a_terminal() {
        let lacking = json!({ "left_s": null, "fails": "no\u{1b}]0;mine\u{7}\nhither: all is well" });
        let status = json!({ "id": "fra-1", "pid": 7, "certificates": { "www.shop.example": lacking } });
        let shown = show(&status, None);
        let told =
            "fra-1 has no certificate for www.shop.example: no\u{fffd}]0;mine\u{fffd}\u{fffd}hither: all is well";
        assert!(shown.lines().any(|line| line == told), "{shown:?}");
    }
}
