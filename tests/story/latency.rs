//! Round trips of real connections reach the name server, and what it has learned moves clients.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use config::NodeId;
use fleet::latency::{Counts, Store};
use fleet::{Credential, HEADER};
use mapping::latency::Histogram;

use crate::support::{HITHER, Network, Origin, Signal, addresses, dig, get, reply, run, runs, signal, wait_for};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const KEY: &str = "a key for stories only";

#[test]
fn round_trips_of_clients_are_handed_to_the_fleet_alone() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], "hello")).await;
        let network = Network::new(155, origin.address, "");
        let _edge = network.start("one-1");
        let name_server = network.start("ns1");
        for _ in 0..5 {
            get(network.edge, "/", &[]).await.unwrap();
        }
        let peer = (network.edge.ip(), 8444).into();
        let (path, host) = ("/round-trips?boot=0&since=0", format!("{}:8444", network.edge.ip()));
        let unsigned = get(peer, path, &[("host", &host)]).await.unwrap();
        assert_eq!(unsigned.status.as_u16(), 401);
        let key = config::Secret::new(KEY);
        let signed = Credential::sign(&key, fleet::wall_clock_ms(), 7, "GET", path, b"");
        let handed = get(peer, path, &[("host", &host), (HEADER, &signed)]).await.unwrap();
        let handed: fleet::latency::Handover = serde_json::from_slice(&handed.body).unwrap();
        let counts = |counts: &Counts| counts.iter().map(|(_, count)| count).sum::<u16>();
        let of_us = handed.prefixes.iter().find(|(prefix, _)| prefix.to_string() == "127.0.0.0").unwrap();
        assert!(counts(&of_us.1) >= 5, "{handed:?}");
        // Not where clients are served.
        assert_eq!(get(network.edge, path, &[(HEADER, &signed)]).await.unwrap().body, "hello");
        // The name server asks by itself, soon after its start; what it has is written down at its end.
        let saved = network.path(".state/ns1/latency.json");
        tokio::time::sleep(Duration::from_secs(6)).await;
        let pid = name_server.0.id();
        signal(pid, Signal::SIGTERM);
        wait_for(Duration::from_secs(10), "it ends", || if runs(pid) { Err(String::new()) } else { Ok(()) });
        let store = Store::read(&saved);
        assert!(store.iter().any(|(pop, _, seen)| pop.as_str() == "one" && seen.count() >= 5), "{store:?}");
        assert_ne!(store.since(&NodeId::parse("one-1").unwrap()).boot, 0);
    });
}

/// Frankfurt is nearer to Germany; Paris is `two`. What decides is the map alone, not which edge runs.
fn two_pops(number: u8) -> Network {
    let network = Network::new(number, ([127, 0, 2, number], 9).into(), "");
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let more = format!(
        "admin_state = \"forced\"\n[[pop]]\nid = \"two\"\nlocation = [48.8, 2.3]\n[[pop.edge]]\nid = \"two-1\"\naddresses = [\"127.0.2.{0}\"]\n\
         admin = \"127.0.2.{0}:9400\"\nadmin_state = \"forced\"\n",
        number + 1
    );
    fs::write(&file, format!("{text}{more}")).unwrap();
    network
}

fn explain(network: &Network, from: &str) -> String {
    let dir = network.dir.path().display().to_string();
    run(HITHER, &["-C", &dir, "explain", "shop.cdn.example", "--from", from])
}

#[test]
fn what_was_measured_moves_a_group_and_nobody_else() {
    let network = two_pops(156);
    let state = network.path(".state/ns1");
    fs::create_dir_all(&state).unwrap();
    let column = |pop: &str, milliseconds: f64| {
        let bucket = Histogram::bucket(milliseconds);
        let prefixes: Vec<String> = (0..20).map(|net| format!("[\"93.192.{net}.0\",[[{bucket},20]]]")).collect();
        format!("[\"{pop}\",[{}]]", prefixes.join(","))
    };
    let saved = format!(
        "{{\"aged_s\":{},\"since\":[],\"pops\":[{},{}]}}",
        fleet::wall_clock_ms() / 1_000,
        column("one", 90.0),
        column("two", 20.0)
    );
    fs::write(state.join("latency.json"), saved).unwrap();
    let _name_server = network.start("ns1");
    let moved = explain(&network, "93.192.200.1");
    assert!(moved.contains("PoP two") && moved.contains("source  latency"), "{moved}");
    let other = explain(&network, "193.0.6.1");
    assert!(other.contains("PoP one") && other.contains("source  geography"), "{other}");
}

#[test]
fn round_trips_of_the_operator_weigh_like_measured_ones() {
    let network = two_pops(162);
    fs::create_dir(network.path("latency")).unwrap();
    let rows =
        |pop: &str, rtt: u32| (0..20).map(|net| format!("93.192.{net}.0/24,{pop},{rtt},20\n")).collect::<String>();
    let file = network.path("latency/probes.csv");
    fs::write(&file, format!("prefix,pop,rtt_ms,samples\n{}{}", rows("one", 90), rows("two", 20))).unwrap();
    let _name_server = network.start("ns1");
    let moved = explain(&network, "93.192.200.1");
    assert!(moved.contains("PoP two") && moved.contains("measurably nearer than one"), "{moved}");
    let dir = network.dir.path().display().to_string();
    let stats = run(HITHER, &["-C", &dir, "map", "stats"]);
    assert!(stats.contains("20 of the prefixes, in 1 groups") && stats.contains("moved     20 prefixes"), "{stats}");
    let exported = run(HITHER, &["-C", &dir, "map", "export"]);
    assert_eq!(exported, "prefix,pop,rtt_ms,samples\n", "the operator's own are not measured here");
    let exported = run(HITHER, &["-C", &dir, "map", "export", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(told, serde_json::json!({ "rows": [] }), "{exported}");
    // A typing mistake changes nothing.
    fs::write(&file, rows("two", 20).replace("two,20", "tow,20")).unwrap();
    let said = run(HITHER, &["check", &dir]);
    assert!(said.contains("there is no PoP `tow`"), "{said}");
    assert!(explain(&network, "93.192.200.1").contains("PoP two"));
    fs::remove_file(&file).unwrap();
    wait_for(Duration::from_secs(10), "geography again", || {
        let said = explain(&network, "93.192.200.1");
        if said.contains("PoP one") { Ok(()) } else { Err(said) }
    });
}

#[test]
fn edges_visit_each_other() {
    runtime().block_on(async {
        let network = two_pops(166);
        let _one = network.start("one-1");
        let _two = network.start("two-1");
        let path = "/round-trips?boot=0&since=0";
        let host = format!("{}:8444", network.edge.ip());
        let mut seen = false;
        for turn in 0..60 {
            let signed = Credential::sign(&config::Secret::new(KEY), fleet::wall_clock_ms(), turn, "GET", path, b"");
            let peer = (network.edge.ip(), 8444).into();
            let handed = get(peer, path, &[("host", &host), (HEADER, &signed)]).await.unwrap();
            let handed: fleet::latency::Handover = serde_json::from_slice(&handed.body).unwrap();
            seen = handed.prefixes.iter().any(|(prefix, _)| prefix.to_string() == "127.0.2.0");
            if seen {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        assert!(seen, "the other's own address");
    });
}

/// Ten groups have seen only Frankfurt, and a heavy one both: a fifth of each light one's answers name Paris for a
/// while, and only those.
#[test]
fn exploring_tries_the_other_pop_now_and_then() {
    let network = two_pops(175);
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let state = network.path(".state/ns1");
    fs::create_dir_all(&state).unwrap();
    let light = ["93.192", "145.97", "84.20", "80.160", "83.0", "88.100", "78.64", "81.240", "91.112", "151.20"];
    let prefixes = |block: &str, ms: f64, times: u32| -> Vec<String> {
        let bucket = Histogram::bucket(ms);
        (0..20).map(|net| format!("[\"{block}.{net}.0\",[[{bucket},{times}]]]")).collect()
    };
    let heavy = |ms| prefixes("90.0", ms, 500);
    let one: Vec<String> = light.iter().flat_map(|block| prefixes(block, 90.0, 1)).chain(heavy(30.0)).collect();
    let saved = format!(
        "{{\"aged_s\":{},\"since\":[],\"pops\":[[\"one\",[{}]],[\"two\",[{}]]]}}",
        fleet::wall_clock_ms() / 1_000,
        one.join(","),
        heavy(10.0).join(",")
    );
    let sent = |block: &str| {
        let subnet = format!("+subnet={block}.5.0/24");
        addresses(&dig("@127.0.2.175", 5400, &["shop.cdn.example", &subnet]))[0]
    };
    let (one, two): (IpAddr, IpAddr) = ([127, 0, 2, 175].into(), [127, 0, 2, 176].into());
    let _edges = [network.start("one-1"), network.start("two-1")];
    let start = |options: &str| {
        fs::write(&file, format!("{text}{options}")).unwrap();
        fs::write(state.join("latency.json"), &saved).unwrap();
        let name_server = network.start("ns1");
        wait_for(Duration::from_secs(20), "it has learned, and both are up", || {
            let said = explain(&network, "93.192.5.1");
            if said.contains("source  latency") && !said.contains("0 of 1") { Ok(()) } else { Err(said) }
        });
        name_server
    };
    let settled: Vec<&str> = {
        let _name_server = start("");
        light.into_iter().filter(|block| sent(block) == one).collect()
    };
    assert!(settled.len() >= 5, "{settled:?}");
    let _name_server = start("[latency]\nexplore = true\n[dns]\nttl = \"1s\"\nttl_changing = \"1s\"\n");
    let mut answers = (0, 0);
    let mut tried = Vec::new();
    wait_for(Duration::from_secs(60), "some try, and go back", || {
        for block in &settled {
            match sent(block) {
                address if address == two => {
                    answers.1 += 1;
                    tried.push(*block);
                }
                address => {
                    assert_eq!(address, one);
                    answers.0 += 1;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        let is_back = tried.iter().any(|block| sent(block) == one);
        if is_back && answers.0 > answers.1 { Ok(()) } else { Err(format!("{answers:?}")) }
    });
    assert_eq!(sent("90.0"), two, "who is known is not tried");
}
