//! What has been seen of nodes, look by look. Times are the watcher's own, since it began.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fleet::ConfigVersion;
use serde_json::Value;

use super::rates::{Counted, Rates, rates, show_bytes, show_requests};
use super::screen::{Frame, Line, Tone};
use super::{Row, newest, nodes_of, notes, of_edge, row, table, text, uptime};

/// Events that are remembered.
const EVENTS: usize = 100;

/// All that a watcher knows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The last status that was told, and when.
    last: Option<(Value, Duration)>,
    files: Option<ConfigVersion>,
    /// Why nobody answers, and since when.
    silence: Option<(String, Duration)>,
    counted: BTreeMap<String, Counted>,
    rates: BTreeMap<String, Rates>,
    /// Since when a node that should run does not answer.
    gone: BTreeMap<String, Duration>,
    /// A node's state and health, as they were last.
    known: BTreeMap<String, String>,
    events: VecDeque<String>,
}

impl Seen {
    /// Takes a status; `clock` is the time for people.
    pub(super) fn take(&mut self, status: Value, files: Option<ConfigVersion>, now: Duration, clock: &str) {
        let nodes = nodes_of(&status);
        if let Some((_, since)) = self.silence.take() {
            self.note(clock, format!("answered again after {}", uptime((now.saturating_sub(since)).as_secs())));
        }
        let mut counted = BTreeMap::new();
        self.rates.clear();
        for node in &nodes {
            let id = text(node, "id").unwrap_or("-").to_owned();
            if let (Some(requests), Some(bytes)) = (of_edge(node, &nodes, "requests"), of_edge(node, &nodes, "bytes")) {
                let fresh = Counted { at: now, requests, bytes };
                let before = self.counted.get(&id);
                if let Some(rates) = before.and_then(|before| rates(*before, fresh)) {
                    self.rates.insert(id.clone(), rates);
                }
                counted.insert(id.clone(), fresh);
            }
            let Row { state, health, .. } = row(node, &nodes, None);
            if matches!(state.as_str(), "no answer" | "not running") {
                self.gone.entry(id.clone()).or_insert(now);
            } else {
                self.gone.remove(&id);
            }
            let is = if health == "-" { state } else { format!("{state}, {health}") };
            // Without the seconds that are counted down.
            let is = is.split(", held ").next().unwrap_or_default().to_owned();
            if let Some(was) = self.known.insert(id.clone(), is.clone()).filter(|was| *was != is) {
                self.note(clock, format!("{id}: {was} -> {is}"));
            }
        }
        self.counted = counted;
        self.files = files;
        self.last = Some((status, now));
    }

    /// Takes that nobody answers.
    pub(super) fn miss(&mut self, why: &str, now: Duration, clock: &str) {
        if self.silence.is_none() {
            self.note(clock, "nobody answers".to_owned());
        }
        let since = self.silence.take().map_or(now, |(_, since)| since);
        self.silence = Some((why.to_owned(), since));
        self.rates.clear();
        self.counted.clear();
    }

    fn note(&mut self, clock: &str, event: String) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(format!("{clock} {event}"));
    }

    /// What is to be shown.
    pub(super) fn frame(&self, now: Duration, clock: &str) -> Frame {
        let nodes = self.last.as_ref().map(|(status, _)| nodes_of(status)).unwrap_or_default();
        let newest = newest(&nodes, self.files.as_ref());
        let rows: Vec<Row> = nodes.iter().map(|node| row(node, &nodes, newest.as_ref())).collect();
        let tones: Vec<Tone> = rows.iter().map(tone).collect();
        let cells: Vec<Vec<String>> = rows.into_iter().map(|row| self.cells(row, now)).collect();
        let drawn = table::draw(&HEADING, &cells);
        let mut lines = drawn.lines();
        let heading = Line::new(lines.next().unwrap_or_default(), Tone::Strong);
        let rows = lines.zip(tones).map(|(line, tone)| Line::new(line, tone)).collect();
        let notes = notes(&nodes).into_iter().map(|note| Line::new(note, Tone::Odd));
        let events = self.events.iter().map(|event| Line::new(event.clone(), Tone::Plain));
        Frame { title: self.title(&nodes, now, clock), heading, rows, notes: events.chain(notes).collect() }
    }

    fn title(&self, nodes: &[Value], now: Duration, clock: &str) -> Line {
        let ago = |since: Duration| uptime(now.saturating_sub(since).as_secs());
        if let Some((why, since)) = &self.silence {
            let of = self.last.as_ref().map_or(String::new(), |(_, at)| format!("; below as it was {} ago", ago(*at)));
            return Line::new(format!("{clock}  NOBODY ANSWERS for {}{of}; trying on: {why}", ago(*since)), Tone::Bad);
        }
        let running = nodes.iter().filter(|node| node.get("pid").is_some()).count();
        let all = nodes.len();
        // Of nothing a sum of floats is -0.
        let sum = |of: fn(&Rates) -> f64| self.rates.values().map(of).fold(0.0, |sum, rate| sum + rate);
        let (requests, bytes) = (show_requests(sum(|rates| rates.requests)), show_bytes(sum(|rates| rates.bytes)));
        Line::new(
            format!("{clock}  {running} of {all} nodes answer here  {requests} requests/s  {bytes}"),
            Tone::Strong,
        )
    }

    fn cells(&self, row: Row, now: Duration) -> Vec<String> {
        let rates = self.rates.get(&row.id);
        let state = match self.gone.get(&row.id) {
            Some(since) => format!("{} for {}", row.state, uptime(now.saturating_sub(*since).as_secs())),
            None => row.state,
        };
        vec![
            row.id,
            state,
            row.health,
            row.config,
            row.uptime,
            row.connections,
            rates.map_or("-".to_owned(), |rates| show_requests(rates.requests)),
            rates.map_or("-".to_owned(), |rates| show_bytes(rates.bytes)),
            row.hit_ratio,
            row.stored,
        ]
    }
}

const HEADING: [&str; 10] =
    ["node", "state", "health", "config", "uptime", "connections", "requests/s", "sent", "hit ratio", "stored"];

fn tone(row: &Row) -> Tone {
    let is_bad = matches!(row.state.as_str(), "no answer" | "not running")
        || row.health.starts_with("down")
        || row.health.starts_with("fails");
    let is_odd = row.config == "behind" || row.health.contains("drained") || row.health.starts_with("up for");
    match (is_bad, is_odd) {
        (true, _) => Tone::Bad,
        (false, true) => Tone::Odd,
        (false, false) => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A name server and an edge.
    fn status(requests: u64, verdict: &str, edge: &Value) -> Value {
        let edges = json!({ "one-1": { "addresses": { "192.0.2.1": verdict }, "held_s": 7, "admin_state": "judged" } });
        let mut node = json!({ "id": "one-1", "pid": 7, "config_version": 5, "uptime_s": 90 });
        node["edge"] = json!({ "requests": requests, "bytes": 1_000 * requests, "hits": 0, "connections": 3 });
        let node = if edge.is_null() { node } else { edge.clone() };
        json!({ "nodes": [{ "id": "ns1", "pid": 6, "config_version": 5, "edges": edges }, node] })
    }

    fn files(number: u64) -> Option<ConfigVersion> {
        Some(ConfigVersion { number, digest: None })
    }

    fn shown(seen: &Seen, seconds: u64) -> String {
        let Frame { title, heading, rows, notes } = seen.frame(Duration::from_secs(seconds), "12:00:00");
        let lines = [title, heading].into_iter().chain(rows).chain(notes);
        lines.map(|line| format!("{:?} {}\n", line.tone, line.text)).collect()
    }

    #[test]
    fn two_looks_make_rates_and_changes_make_events() {
        let mut seen = Seen::default();
        let at = Duration::from_secs;
        seen.take(status(100, "up", &Value::Null), files(5), at(0), "12:00:00");
        let said = shown(&seen, 0);
        assert!(said.contains("2 of 2 nodes answer here  0 requests/s") && !said.contains("->"), "{said}");
        seen.take(status(300, "up", &Value::Null), files(5), at(2), "12:00:02");
        let said = shown(&seen, 2);
        assert!(said.contains("100 requests/s  100 kB/s"), "{said}");
        let row = said.lines().find(|line| line.starts_with("Plain one-1")).unwrap();
        assert!(row.split_whitespace().any(|cell| cell == "100") && row.contains("100 kB/s"), "{said}");

        seen.take(status(300, "down", &Value::Null), files(6), at(3), "12:00:03");
        let said = shown(&seen, 3);
        assert!(said.contains("12:00:03 one-1: running, up -> running, down\n"), "{said}");
        assert!(said.contains("Bad one-1") && said.contains("down, held 7 s") && said.contains("Odd ns1"), "{said}");

        // A node that is silent has no rates, and how long it is so is shown.
        let silent = json!({ "id": "one-1", "silent": true });
        seen.take(status(0, "down", &silent), files(5), at(4), "12:00:04");
        seen.take(status(0, "down", &silent), files(5), at(9), "12:00:09");
        let said = shown(&seen, 10);
        assert!(said.contains("no answer for 6 s") && said.contains("1 of 2 nodes answer here"), "{said}");
    }

    #[test]
    fn nobody_s_answer_is_said_with_how_long_and_with_what_was_known() {
        let mut seen = Seen::default();
        let at = Duration::from_secs;
        seen.miss("Connection refused", at(0), "12:00:00");
        assert!(shown(&seen, 3).starts_with("Bad 12:00:00  NOBODY ANSWERS for 3 s; trying on: Connection refused\n"));
        seen.take(status(1, "up", &Value::Null), None, at(5), "12:00:05");
        seen.miss("Connection refused", at(6), "12:00:06");
        seen.miss("Connection reset", at(7), "12:00:07");
        let said = shown(&seen, 70);
        assert!(
            said.contains("NOBODY ANSWERS for 1 min; below as it was 1 min ago; trying on: Connection reset"),
            "{said}"
        );
        assert!(said.contains("one-1") && said.contains("12:00:05 answered again after 5 s"), "{said}");
        assert_eq!(said.matches("nobody answers").count(), 2, "each silence once\n{said}");
    }

    #[test]
    fn events_are_bounded() {
        let mut seen = Seen::default();
        (0..2 * EVENTS).for_each(|number| seen.note("12:00:00", number.to_string()));
        assert_eq!(seen.events.len(), EVENTS);
    }
}
