//! A node that gathers: what happens in the fleet is told there, as it happens, and nobody else's page changes anything.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Network, addresses, dig, wait_for};

const TOKEN: &str = "the token of the story";
/// What stories write in `secrets/fleet.key`.
const KEY: &str = "a key for stories only";

/// A network whose name server gathers, with an edge beside it and more elsewhere.
fn gathering(number: u8, others: &[u8]) -> Network {
    let network = Network::new(number, SocketAddr::from(([127, 0, 0, 1], 9)), "");
    let ip = network.edge.ip();
    network.edit(|mut text| {
        text = text.replace("[admin]\n", "[admin]\ngather = [\"ns1\"]\ntoken = { file = \"admin.token\" }\n");
        // The edge beside it has the usual one.
        text = text.replace("[[pop]]", &format!("peer = \"{ip}:8445\"\n[[pop]]"));
        for (other, place) in others.iter().zip(2..) {
            text += &format!(
                "[[pop.edge]]\nid = \"one-{place}\"\naddresses = [\"127.0.2.{other}\"]\nadmin = \"127.0.2.{other}:9400\"\n"
            );
        }
        text
    });
    fs::write(network.path("secrets/admin.token"), TOKEN).unwrap();
    network
}

fn admin(network: &Network) -> SocketAddr {
    SocketAddr::new(network.edge.ip(), 9401)
}

/// What curl gets of the gatherer: status and body.
fn curl(network: &Network, path: &str, more: &[&str]) -> (u16, String) {
    let url = format!("http://{}{path}", admin(network));
    let output = Command::new("curl").args(["-s", "-w", "\n%{http_code}"]).args(more).arg(url).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn fetched(network: &Network, path: &str) -> Value {
    let (status, body) = curl(network, path, &[]);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

/// Waits until every edge is up and has been heard.
fn becomes_well(network: &Network) {
    wait_for(Duration::from_secs(10), "every edge is up", || {
        let status = fetched(network, "/status");
        let edges = status["edges"].as_array().cloned().unwrap_or_default();
        let is_well = |edge: &Value| edge["state"] == "up" && edge["unreachable"] == false;
        if !edges.is_empty() && edges.iter().all(is_well) { Ok(()) } else { Err(status.to_string()) }
    });
}

/// An open stream of events, and what has come of it.
struct Stream {
    socket: TcpStream,
    told: String,
}

impl Stream {
    fn open(network: &Network) -> Self {
        let address = admin(network);
        let mut socket = TcpStream::connect(address).unwrap();
        write!(socket, "GET /events HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, told: String::new() }
    }

    /// Reads until both have come; after how long.
    fn tells(&mut self, words: [&str; 2], limit: Duration) -> Duration {
        let began = Instant::now();
        while !words.iter().all(|words| self.told.contains(words)) {
            assert!(began.elapsed() < limit, "{words:?} did not come: {}", self.told);
            let mut buffer = [0; 1 << 16];
            match self.socket.read(&mut buffer) {
                Ok(0) => panic!("the stream has ended: {}", self.told),
                Ok(length) => self.told.push_str(&String::from_utf8_lossy(&buffer[..length])),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
        began.elapsed()
    }
}

#[test]
fn a_fallen_edge_is_told_within_three_seconds_with_the_reason() {
    let network = gathering(225, &[226]);
    let _ns = network.start("ns1");
    let _first = network.start("one-1");
    let second = network.start("one-2");
    becomes_well(&network);
    let mut stream = Stream::open(&network);
    stream.tells(["HTTP/1.1 200 OK", "event: fleet"], Duration::from_secs(2));
    stream.told.clear();
    drop(second);
    let down = ["\"one-2\":{\"state\":\"down\"", "\"kind\":\"edge_down\""];
    let took = stream.tells(down, Duration::from_secs(3));
    println!("told after {took:?}");
    assert!(stream.told.contains("one-2 is down: 127.0.2.226:8100: refused"), "{}", stream.told);
    let edge = fetched(&network, "/status")["edges"][1].clone();
    assert_eq!(
        (&edge["unreachable"], &edge["stale"], &edge["reason"]),
        (&json!(true), &json!(true), &json!("127.0.2.226:8100: refused"))
    );
    let events = fetched(&network, "/events").to_string();
    assert!(events.contains("\"kind\":\"node_unreachable\"") && events.contains("one-2 cannot be reached"), "{events}");
    stream.told.clear();
    let _second = network.start("one-2");
    stream.tells(["\"one-2\":{\"state\":\"up\"", "\"kind\":\"edge_up\""], Duration::from_secs(10));
    let events = fetched(&network, "/events");
    let up = events["events"].as_array().unwrap().iter().find(|event| event["kind"] == "edge_up").unwrap();
    assert!(up["for_ms"].as_u64().is_some_and(|ms| ms > 500), "{up}");
}

#[test]
fn who_gathers_tells_all_no_secret_and_takes_orders_of_no_foreign_page() {
    let network = gathering(227, &[]);
    let _ns = network.start("ns1");
    let _edge = network.start("one-1");
    becomes_well(&network);
    queries_are_told_by_place_and_never_by_address(&network);
    let mut told = String::new();
    for path in [
        "/",
        "/status",
        "/node",
        "/sample",
        "/events",
        "/flows",
        "/history?of=pop:one&span=10m",
        "/metrics",
        "/openapi.json",
    ] {
        let (status, body) = curl(&network, path, &[]);
        assert_eq!(status, 200, "{path}: {body}");
        told += &body;
    }
    assert!(!told.contains(TOKEN) && !told.contains(KEY), "a secret is told");
    assert!(!told.contains("193.0.6"), "an address is told");
    pages_and_plots_are_shown(&network);
    let at = fetched(&network, "/explain?name=shop.cdn.example&at=50.1,8.2");
    assert_eq!((&at["pop"], &at["candidates"][0]["edges"]), (&json!("one"), &json!(1)), "{at}");
    orders_are_taken_from_the_own_page_alone(&network);
    let (said, _) = network.hither(&["status", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let served = fetched(&network, "/status");
    for pointer in ["", "/network", "/totals", "/pops/0", "/edges/0", "/name_servers/0", "/sites/0"] {
        assert_eq!(keys(&said, pointer), keys(&served, pointer), "{pointer}");
    }
}

fn keys(value: &Value, pointer: &str) -> BTreeSet<String> {
    value.pointer(pointer).and_then(Value::as_object).unwrap().keys().cloned().collect()
}

fn queries_are_told_by_place_and_never_by_address(network: &Network) {
    let server = format!("@{}", network.dns.ip());
    let asked = dig(&server, network.dns.port(), &["shop.cdn.example", "+short", "+subnet=193.0.6.0/24"]);
    assert_eq!(addresses(&asked), [network.edge.ip()]);
    let (flow, _) = wait_for(Duration::from_secs(5), "the query's place is told", || {
        let flows = fetched(network, "/flows");
        let found = flows["flows"].as_array().unwrap().iter().find(|flow| flow["country"] == "NL").cloned();
        found.ok_or(flows.to_string())
    });
    let latitude = flow["latitude"].as_f64().unwrap();
    assert!((50.5..54.0).contains(&latitude) && flow["pop"] == "one", "{flow}");
}

fn pages_and_plots_are_shown(network: &Network) {
    let (status, page) = curl(network, "/", &["-i", "-H", "Accept: text/html"]);
    assert!(status == 200 && page.to_lowercase().contains("content-security-policy: default-src 'none'"), "{page}");
    let (status, svg) = curl(network, "/plots/queries.svg?of=fleet&span=10m", &[]);
    assert!(status == 200 && svg.starts_with("<svg class=\"plot\"") && svg.contains("<title>Queries"), "{svg}");
    assert_eq!(curl(network, "/plots/nothing.svg", &[]).0, 404);
    assert_eq!(curl(network, "/history?of=edge:nobody", &[]).0, 404);
}

fn orders_are_taken_from_the_own_page_alone(network: &Network) {
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let own = format!("Origin: http://{}", admin(network));
    let json_body = "Content-Type: application/json";
    let order = ["-d", "{\"edge\":\"one-1\"}"];
    for (fields, expected) in [
        (vec![json_body], 401),
        (vec![json_body, "Origin: http://evil.example", bearer.as_str()], 403),
        (vec![json_body, "Sec-Fetch-Site: cross-site", bearer.as_str()], 403),
        (vec![own.as_str(), bearer.as_str()], 415),
        (vec![json_body, own.as_str(), "Sec-Fetch-Site: same-origin", bearer.as_str()], 200),
    ] {
        let fields: Vec<&str> = fields.iter().flat_map(|field| ["-H", *field]).chain(order).collect();
        let (status, body) = curl(network, "/drain", &fields);
        assert_eq!(status, expected, "{fields:?}: {body}");
    }
    wait_for(Duration::from_secs(3), "the drain is seen", || {
        let edge = fetched(network, "/status")["edges"][0].clone();
        if edge["state"] == "drained" && edge["draining"] == true { Ok(()) } else { Err(edge.to_string()) }
    });
    let purge = ["-H", bearer.as_str(), "-H", json_body, "-d", "{\"site\":\"shop\"}"];
    let (status, receipts) = curl(network, "/purge", &purge);
    assert!(status == 200 && receipts.contains("\"complete\":true"), "{status}: {receipts}");
}
