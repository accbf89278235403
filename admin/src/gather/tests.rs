use super::*;
use serde_json::{Value, json};
use telemetry::{Counted, OfSite};

/// Two edges in one PoP, one name server, one site.
pub(crate) fn ground() -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let text = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
                [[pop]]\nid = \"fra\"\nname = \"Frankfurt\"\ncountry = \"DE\"\nlocation = [50.1, 8.7]\n\
                [[pop.edge]]\nid = \"fra-1\"\naddresses = [\"192.0.2.1\"]\ncapacity = \"1Mbps\"\n\
                [[pop.edge]]\nid = \"fra-2\"\naddresses = [\"192.0.2.2\"]\ncapacity = \"1Mbps\"\n";
    std::fs::write(dir.path().join("hither.toml"), text).unwrap();
    let network = config::load(dir.path()).unwrap().config.network;
    let sites = vec![("shop".to_owned(), vec!["www.shop.example".to_owned()])];
    Ground { by: "up".to_owned(), directory: "/srv/demo".to_owned(), network, sites }
}

fn told(status: Value, counted: Counted, flows: Vec<Flow>) -> Heard {
    Heard::Told(Box::new(Sample { status, counted, flows }))
}

/// What an edge tells that has answered so many requests, all but one in ten from its store.
fn edge(id: &str, requests: u64) -> (String, Heard) {
    let (bytes, origin_bytes) = (1_000 * requests, Some(250 * requests));
    let site = OfSite { requests, hits: requests * 9 / 10, bytes, origin_bytes, fetches: requests / 10 };
    let status = json!({
        "id": id, "pid": 7, "config_version": 5, "uptime_s": 3,
        "certificates": { "www.shop.example": { "left_s": 86_400, "alarming": false, "fails": null } },
        "edge": { "connections": 2, "requests": requests, "purge_position": 1, "draining": false, "origins": {} },
    });
    let took = vec![requests, 0];
    let counted = Counted { sites: [("shop".to_owned(), site)].into(), took, bounds_ms: vec![1], ..Counted::default() };
    (id.to_owned(), told(status, counted, Vec::new()))
}

/// What a name server tells that takes the first edge for this and the second for up.
fn name_server(verdict: &str, queries: u64) -> (String, Heard) {
    let seen = |verdict: &str, address: &str| {
        json!({
            "addresses": { address: verdict }, "changing": false, "held_s": 0, "failing": false, "draining": false,
            "admin_state": "judged", "failure": "192.0.2.1:80: refused",
            "report": { "connections": 1, "requests": 3, "sites": "abc", "config_version": 5 },
        })
    };
    let status = json!({
        "id": "ns1", "pid": 8, "config_version": 5,
        "edges": { "fra-1": seen(verdict, "192.0.2.1"), "fra-2": seen("up", "192.0.2.2") },
    });
    let counted = Counted { queries, routed: [("fra".to_owned(), queries)].into(), ..Counted::default() };
    let flow = Flow { latitude: 52.4, longitude: 4.9, country: None, pop: "fra".to_owned(), queries_s: 1.0 };
    ("ns1".to_owned(), told(status, counted, vec![flow]))
}

fn gathered(gathering: &Gathering) -> Value {
    serde_json::to_value(&*gathering.overview()).unwrap()
}

#[test]
fn a_fleet_is_put_together_of_what_its_nodes_tell() {
    let gathering = Gathering::new(ground(), 0);
    assert_eq!(gathered(&gathering)["edges"][0]["state"], "unknown");
    for second in 1..=3 {
        let round = vec![edge("fra-1", 100 * second), edge("fra-2", 100 * second), name_server("up", 10 * second)];
        gathering.take(round, 1_000 * second);
    }
    let seen = gathered(&gathering);
    assert_eq!(
        seen["network"],
        json!({ "zone": "cdn.example", "version": env!("CARGO_PKG_VERSION"), "config_version": 5 })
    );
    let pop = &seen["pops"][0];
    assert_eq!((&pop["state"], &pop["fit"], &pop["country"]), (&json!("up"), &json!(2), &json!("DE")));
    assert_eq!((&pop["rates"]["requests_s"], &pop["rates"]["queries_s"]), (&json!(200.0), &json!(10.0)));
    let first = &seen["edges"][0];
    assert_eq!((&first["state"], &first["reason"], &first["since_ms"]), (&json!("up"), &Value::Null, &json!(1_000)));
    assert_eq!((&first["rates"]["hit_ratio"], &first["heard_ms"]), (&json!(0.9), &json!(0)));
    let shop = &seen["sites"][0];
    for told in [&first["rates"], &shop["rates"], shop] {
        assert_eq!((&told["hit_ratio"], &told["byte_offload"]), (&json!(0.9), &json!(0.75)), "{told}");
    }
    assert_eq!(first["load"], json!(0.8), "100 kB/s of 1 Mbit/s");
    assert_eq!((&first["by"], &first["sites_digest"]), (&json!({ "ns1": "up" }), &json!("abc")));
    assert_eq!(seen["totals"]["queries_s"], json!(10.0));
    assert_eq!(seen["sites"][0]["requests"], json!(600));
    assert_eq!(seen["certificates"][0]["days_left"], json!(1.0));
    assert_eq!(seen["configs"], json!([{ "version": 5, "nodes": ["ns1", "fra-1", "fra-2"] }]));
    assert_eq!(seen["nodes"][0]["pid"], json!(8));
    assert_eq!(gathering.flows().flows[0].pop, "fra");
    assert_eq!(gathering.events().len(), 0, "nothing has happened: {:?}", gathering.events());
}

#[test]
fn nodes_with_the_same_files_have_one_config_whatever_their_versions() {
    // Of the name server and both edges: versions and digests; earlier releases tell none. Which configs that is.
    for (what, told, expected) in [
        ("one", [(5, "x"), (5, "x"), (5, "x")], json!([{ "version": 5, "nodes": ["ns1", "fra-1", "fra-2"] }])),
        (
            "numbers apart",
            [(5, "x"), (9, "x"), (7, "x")],
            json!([{ "version": 9, "nodes": ["fra-1", "fra-2", "ns1"] }]),
        ),
        (
            "an edit that one misses",
            [(9, "y"), (5, "x"), (9, "y")],
            json!([{ "version": 9, "nodes": ["ns1", "fra-2"] }, { "version": 5, "nodes": ["fra-1"] }]),
        ),
        (
            "one time, other files",
            [(9, "y"), (9, "x"), (9, "y")],
            json!([{ "version": 9, "nodes": ["ns1", "fra-2"] }, { "version": 9, "nodes": ["fra-1"] }]),
        ),
        (
            "an earlier release by its number",
            [(9, ""), (5, "x"), (9, "x")],
            json!([{ "version": 9, "nodes": ["fra-2", "ns1", "fra-1"] }]),
        ),
    ] {
        let gathering = Gathering::new(ground(), 0);
        let mut round = vec![name_server("up", 1), edge("fra-1", 1), edge("fra-2", 1)];
        for ((_, heard), (number, digest)) in round.iter_mut().zip(told) {
            let Heard::Told(sample) = heard else { continue };
            sample.status["config_version"] = json!(number);
            sample.status["config_digest"] = json!(Some(digest).filter(|digest| !digest.is_empty()));
        }
        gathering.take(round, 1_000);
        assert_eq!(gathered(&gathering)["configs"], expected, "{what}");
    }
}

#[test]
fn a_fallen_edge_and_an_unreachable_node_are_told() {
    let gathering = Gathering::new(ground(), 0);
    gathering.take(vec![edge("fra-1", 10), edge("fra-2", 10), name_server("up", 1)], 1_000);
    let silent = || ("fra-1".to_owned(), Heard::Silent("192.0.2.1:8444: connection refused".to_owned()));
    assert!(gathering.silent().is_empty());
    gathering.take(vec![silent(), edge("fra-2", 10), name_server("up", 1)], 2_000);
    assert_eq!(gathering.silent().into_iter().collect::<Vec<_>>(), ["fra-1"]);
    gathering.take(vec![silent(), edge("fra-2", 10), name_server("down", 1)], 3_000);
    let seen = gathered(&gathering);
    let first = &seen["edges"][0];
    assert_eq!((&first["state"], &first["reason"]), (&json!("down"), &json!("192.0.2.1:80: refused")));
    assert_eq!(
        (&first["unreachable"], &first["stale"], &first["heard_ms"]),
        (&json!(true), &json!(true), &json!(2_000))
    );
    assert_eq!((&first["requests"], &first["rates"]["requests_s"]), (&json!(10), &Value::Null));
    assert_eq!((&seen["pops"][0]["state"], &seen["pops"][0]["fit"]), (&json!("partly"), &json!(1)));
    let texts: Vec<String> = gathering.events().into_iter().map(|event| event.what.text).collect();
    let expected =
        ["fra-1 is down: 192.0.2.1:80: refused", "fra-1 cannot be reached: 192.0.2.1:8444: connection refused"];
    assert_eq!(texts, expected);
}

#[test]
fn what_nobody_tells_of_an_edge_is_null_and_not_nothing() {
    let gathering = Gathering::new(ground(), 0);
    // No edge is heard: its requests are known by what it told a name server, and its hits by nobody.
    for second in 1..=3 {
        gathering.take(vec![name_server("up", 10 * second)], 1_000 * second);
    }
    let seen = gathered(&gathering);
    let edge = &seen["edges"][0];
    assert_eq!((&edge["requests"], &edge["hits"]), (&json!(3), &Value::Null));
    for rates in [&edge["rates"], &seen["pops"][0]["rates"], &seen["totals"], &seen["sites"][0]] {
        assert_eq!((&rates["hit_ratio"], &rates["byte_offload"]), (&Value::Null, &Value::Null), "{rates}");
    }
}

#[test]
fn what_a_config_has_no_more_is_forgotten() {
    let gathering = Gathering::new(ground(), 0);
    for second in 1..=2 {
        gathering.take(vec![edge("fra-1", 10), edge("other", 10), name_server("up", 1)], 1_000 * second);
    }
    assert!(gathering.points(&Of::Node("fra-1".to_owned()), Span::TenMinutes).is_some());
    assert!(gathering.points(&Of::Node("other".to_owned()), Span::TenMinutes).is_none());
    let mut smaller = ground();
    smaller.network.pops[0].edges.remove(0);
    gathering.follow(smaller);
    gathering.take(vec![edge("fra-1", 10), name_server("up", 1)], 3_000);
    assert!(gathering.points(&Of::Node("fra-1".to_owned()), Span::TenMinutes).is_none());
    assert_eq!(gathered(&gathering)["edges"].as_array().unwrap().len(), 1);
}

fn text(lines: Option<Bytes>) -> String {
    lines.map(|lines| String::from_utf8(lines.to_vec()).unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_stream_begins_with_what_is_and_goes_on_with_what_happens() {
    let gathering = Gathering::new(ground(), 10_000);
    gathering.take(vec![name_server("up", 1)], 11_000);
    let mut stream = gathering.stream(None).unwrap();
    assert!(text(stream.next().await).starts_with("event: fleet\ndata: {\"at_ms\":11000,"));
    assert!(text(stream.next().await).starts_with("event: flows\ndata: {\"at_ms\":11000,"));
    gathering.take(vec![name_server("down", 2)], 12_000);
    let told = text(stream.next().await);
    assert!(told.starts_with("event: fleet\n") && told.contains("\"fra-1\":{\"state\":\"down\""), "{told}");
    let (_, event) = told.split_once("\n\n").unwrap();
    assert!(event.starts_with("id: 10000\nevent: event\ndata: {\"id\":10000,"), "{event}");
    assert!(event.ends_with("}\n\n") && event.contains("\"kind\":\"edge_down\""), "{event}");
    // Who comes again is told what it has missed.
    let mut again = gathering.stream(Some(9_999)).unwrap();
    let first: Vec<String> = vec![text(again.next().await), text(again.next().await), text(again.next().await)];
    assert!(first[2].starts_with("id: 10000\n"), "{first:?}");
    gathering.end_streams();
    assert_eq!(again.next().await, None);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_streams_are_bounded() {
    let gathering = Gathering::new(ground(), 0);
    let mut slow = gathering.stream(None).unwrap();
    for round in 0..2 * u64::try_from(limits::EVENT_STREAM_WAITING).unwrap() {
        gathering.take(vec![name_server("up", 1)], round);
    }
    slow.next().await.unwrap();
    slow.next().await.unwrap();
    assert_eq!(slow.next().await, None);
    let open: Vec<Stream> = (1..limits::EVENT_STREAMS).map(|_| gathering.stream(None).unwrap()).collect();
    assert!(gathering.stream(None).is_none());
    drop(open);
    assert!(gathering.stream(None).is_some());
}

#[test]
fn servers_of_origins_that_nodes_tell_of_are_bounded() {
    let gathering = Gathering::new(ground(), 0);
    let server =
        |number: usize| json!({ "server": format!("http://{number}"), "down": number != 7, "left_alone": false });
    let of = |from: usize| (from..from + 300).map(server).collect::<Vec<_>>();
    let says = |id: &str, from| {
        let status = json!({ "id": id, "edge": { "origins": { "shop": of(from), "nobodys": of(from), "odd": 7 } } });
        (id.to_owned(), told(status, Counted::default(), Vec::new()))
    };
    gathering.take(vec![says("fra-1", 0), says("fra-2", 50)], 1_000);
    let seen = gathered(&gathering);
    let origins = seen["sites"][0]["origins"].as_array().unwrap();
    assert_eq!(origins.len(), 100);
    let of = |server: &str| origins.iter().find(|one| one["server"] == server).map(|one| one["down"].clone());
    assert_eq!((of("http://0"), of("http://60")), (Some(json!(["fra-1"])), Some(json!(["fra-1", "fra-2"]))));
    assert_eq!((of("http://7"), of("http://200")), (None, None));
}

#[test]
fn no_node_has_a_word_in_what_is_not_its_own() {
    let gathering = Gathering::new(ground(), 0);
    // An edge says of another what name servers say, and tells of flows and of a PoP that nobody has.
    let down = json!({ "addresses": { "192.0.2.2": "down" }, "failure": "so it says" });
    let status = json!({ "id": "fra-1", "edges": { "fra-2": down } });
    let flow = |pop: &str, country: Option<&str>| Flow {
        pop: pop.to_owned(),
        country: country.map(str::to_owned),
        queries_s: 9.0,
        ..Flow::default()
    };
    let flows = vec![flow("nowhere", None), flow("fra", Some("Germany")), flow("fra", Some("DE"))];
    let hostile = ("fra-1".to_owned(), told(status, Counted::default(), flows));
    gathering.take(vec![hostile, edge("fra-2", 10), name_server("up", 1)], 1_000);
    let seen = gathered(&gathering);
    assert_eq!(seen["edges"][1]["by"], json!({ "ns1": "up" }));
    assert_eq!((&seen["edges"][1]["state"], &seen["edges"][1]["reason"]), (&json!("up"), &Value::Null));
    let told: Vec<(String, Option<String>)> =
        gathering.flows().flows.into_iter().map(|flow| (flow.pop, flow.country)).collect();
    assert_eq!(told, [("fra".to_owned(), Some("DE".to_owned())), ("fra".to_owned(), None)]);
}

/// A gatherer's word on one edge, by what two name servers say of it.
#[test]
fn what_name_servers_say_comes_to_one_word() {
    let seen = |addresses: Value, draining: bool, failing: bool, admin_state: &str| {
        json!({ "addresses": addresses, "draining": draining, "failing": failing, "admin_state": admin_state,
                "failure": "no answer", "report": null })
    };
    let up = || seen(json!({ "192.0.2.1": "up" }), false, false, "judged");
    let down = || seen(json!({ "192.0.2.1": "down" }), false, false, "judged");
    let half = || seen(json!({ "192.0.2.1": "up", "2001:db8::1": "down" }), false, false, "judged");
    let draining = || seen(json!({ "192.0.2.1": "up" }), true, false, "judged");
    let drained = || seen(json!({ "192.0.2.1": "up" }), false, false, "drained");
    let failing = || seen(json!({ "192.0.2.1": "up" }), false, true, "judged");
    let mut two = ground();
    let mut other = two.network.name_servers[0].clone();
    other.id = config::NodeId::parse("ns2").unwrap();
    two.network.name_servers.push(other);
    for (first, second, state, reason) in [
        (up(), up(), "up", Value::Null),
        (up(), down(), "partly", json!("no answer")),
        (half(), half(), "partly", json!("no answer")),
        (down(), down(), "down", json!("no answer")),
        (draining(), draining(), "drained", json!("it is drained by the operator, or about to end")),
        (drained(), drained(), "drained", json!("the config drains it")),
        (up(), draining(), "partly", json!("name servers do not agree")),
        (failing(), failing(), "failing", json!("its probes pass, its answers fail")),
        (failing(), down(), "down", json!("no answer")),
        (draining(), down(), "down", json!("no answer")),
    ] {
        let gathering = Gathering::new(two.clone(), 0);
        let says = |id: &str, edge: &Value| {
            let status = json!({ "id": id, "edges": { "fra-1": edge } });
            (id.to_owned(), told(status, Counted::default(), Vec::new()))
        };
        gathering.take(vec![says("ns1", &first), says("ns2", &second)], 1_000);
        let edge = gathered(&gathering)["edges"][0].clone();
        assert_eq!((&edge["state"], &edge["reason"]), (&json!(state), &reason), "{first} {second}");
    }
}
