use super::*;
use crate::gather::overview::{ConfigSeen, NetworkSeen, OriginSeen};
use crate::gather::rates::Rates;
use serde_json::json;

fn edge(id: &str, state: State, since_ms: u64) -> EdgeSeen {
    EdgeSeen {
        id: id.to_owned(),
        pop: "fra".to_owned(),
        addresses: Vec::new(),
        state,
        since_ms,
        reason: (state != State::Up).then(|| "192.0.2.1:80: refused".to_owned()),
        changing: false,
        held_s: 0,
        draining: false,
        admin_state: "judged",
        by: BTreeMap::new(),
        hearing: Hearing { unreachable: false, heard_ms: Some(0), stale: false },
        capacity_bps: 1,
        load: None,
        connections: None,
        requests: None,
        hits: None,
        bytes: None,
        stored_bytes: None,
        stored_objects: None,
        purge_position: None,
        config_version: None,
        sites_digest: None,
        refused: None,
        uptime_s: None,
        rates: Rates::default(),
    }
}

fn seen(at_ms: u64, edges: Vec<EdgeSeen>) -> Overview {
    Overview {
        at_ms,
        gathered_by: "up".to_owned(),
        directory: String::new(),
        network: NetworkSeen::default(),
        totals: Rates::default(),
        pops: Vec::new(),
        edges,
        name_servers: Vec::new(),
        sites: Vec::new(),
        certificates: Vec::new(),
        configs: Vec::new(),
        nodes: Vec::new(),
    }
}

fn said(told: &[Happening]) -> Vec<String> {
    told.iter().map(|one| format!("{:?}: {}", one.kind, one.text)).collect()
}

#[test]
fn an_edge_falls_and_comes_back_and_each_is_told_once() {
    // Its states, a second each; what is told.
    let (up, partly, down, drained, unknown) = (State::Up, State::Partly, State::Down, State::Drained, State::Unknown);
    for (states, expected) in [
        (vec![up, down, down, up, up], vec!["EdgeDown after -", "EdgeUp after 2000"]),
        // Name servers are not all as quick.
        (vec![up, partly, down, partly, up], vec!["EdgeDown after -", "EdgeUp after 2000"]),
        (vec![up, partly, partly, partly, partly, up], vec!["EdgePartly after -", "EdgeUp after 4000"]),
        (vec![up, drained, up], vec!["EdgeDrained after -", "EdgeUndrained after 1000"]),
        (vec![up, drained, down, up], vec!["EdgeDrained after -", "EdgeDown after 1000", "EdgeUp after 1000"]),
        // What is not known has not changed.
        (vec![unknown, up, unknown, up], vec![]),
        (vec![up, down, unknown, down], vec!["EdgeDown after -"]),
        (vec![unknown, down], vec!["EdgeDown after -"]),
    ] {
        let (mut teller, mut told) = (Teller::default(), Vec::new());
        let (mut before, mut since_ms) = (None::<Overview>, 0);
        for (second, state) in (0..).zip(&states) {
            let now_ms = 1_000 * second;
            if before.as_ref().is_none_or(|before| before.edges[0].state != *state) {
                since_ms = now_ms;
            }
            let now = seen(now_ms, vec![edge("fra-1", *state, since_ms)]);
            told.extend(teller.tell(before.as_ref().unwrap_or(&now), &now));
            before = Some(now);
        }
        let found: Vec<String> = told
            .iter()
            .map(|one| {
                let ms = one.for_ms.map_or("-".to_owned(), |ms| ms.to_string());
                format!("{:?} after {ms}", one.kind)
            })
            .collect();
        assert_eq!(found, expected, "{states:?}");
        let falls = told.iter().filter(|one| one.kind == Kind::EdgeDown);
        falls.for_each(|one| assert_eq!(one.text, "fra-1 is down: 192.0.2.1:80: refused"));
    }
}

#[test]
fn a_node_that_was_heard_and_is_silent_is_told_and_for_how_long() {
    let hearing = |unreachable, heard_ms: Option<u64>| Hearing {
        unreachable,
        heard_ms,
        stale: unreachable && heard_ms.is_some(),
    };
    let at = |at_ms, hearing| {
        let mut now = seen(at_ms, vec![EdgeSeen { hearing, ..edge("fra-1", State::Up, 0) }]);
        now.nodes = vec![json!({ "id": "fra-1", "why": "127.0.0.1:9301: connection refused" })];
        now
    };
    let mut teller = Teller::default();
    let states = [
        at(0, hearing(true, None)),
        at(1_000, hearing(false, Some(0))),
        at(2_000, hearing(true, Some(700))),
        at(3_000, hearing(true, Some(1_700))),
        at(6_300, hearing(false, Some(0))),
    ];
    let pairs = states.iter().zip(states.iter().skip(1));
    let told: Vec<Happening> = pairs.flat_map(|(before, now)| teller.tell(before, now)).collect();
    assert_eq!(
        said(&told),
        [
            "NodeUnreachable: fra-1 cannot be reached: 127.0.0.1:9301: connection refused",
            "NodeBack: fra-1 is reached again"
        ]
    );
    assert_eq!(told[1].for_ms, Some(5_000));
}

#[test]
fn what_nodes_make_of_a_config_is_told_once_for_all_of_them() {
    let with = |version, configs: &[(u64, &[&str])], refused: &[&str]| {
        let ids = ["a", "b", "c"];
        let why = |id: &str| refused.contains(&id).then(|| "hither.toml:3: no".to_owned());
        let edges = ids.map(|id| EdgeSeen { refused: why(id), ..edge(id, State::Up, 0) });
        let mut now = seen(0, edges.to_vec());
        now.network.config_version = version;
        let config = |(version, nodes): &(u64, &[&str])| ConfigSeen {
            version: *version,
            nodes: nodes.iter().map(|id| (*id).to_owned()).collect(),
        };
        now.configs = configs.iter().map(config).collect();
        now.nodes = vec![json!({}); 3];
        now
    };
    let old = with(7, &[(7, &["a", "b", "c"])], &[]);
    let half = with(8, &[(8, &["a"]), (7, &["b", "c"])], &["b", "c"]);
    let all = with(8, &[(8, &["a", "b", "c"])], &[]);
    let none = with(0, &[], &[]);
    for (before, after, expected) in [
        (&none, &old, vec![]),
        (
            &old,
            &half,
            vec![
                "ConfigChanged: there is a new config, 8: 1 of 3 nodes have it",
                "ConfigRefused: 2 nodes have refused the newest config: hither.toml:3: no",
            ],
        ),
        (&half, &half, vec![]),
        (&half, &all, vec!["ConfigTaken: every node has config 8"]),
    ] {
        assert_eq!(said(&Teller::default().tell(before, after)), expected);
    }
}

#[test]
fn certificates_origins_and_purges_are_told_when_they_change() {
    let certificate = |days_left: Option<f64>, alarming, fails: Option<&str>| {
        let mut now = seen(0, Vec::new());
        let (name, fails) = ("www.shop.example".to_owned(), fails.map(str::to_owned));
        now.certificates = vec![CertificateSeen { name, days_left, alarming, fails, nodes: Vec::new() }];
        now
    };
    let origin = |down: &[&str]| {
        let mut now = seen(0, Vec::new());
        let down: Vec<String> = down.iter().map(|id| (*id).to_owned()).collect();
        let one = OriginSeen { server: "192.0.2.9:80".to_owned(), down, left_alone: Vec::new() };
        now.sites = vec![SiteSeen {
            id: "shop".to_owned(),
            hosts: Vec::new(),
            requests: 0,
            bytes: 0,
            origin_bytes: Some(0),
            fetches: 0,
            hit_ratio: None,
            byte_offload: None,
            origins: if one.down.is_empty() { Vec::new() } else { vec![one] },
            rates: Rates::default(),
        }];
        now
    };
    let purged = |positions: [u64; 2]| {
        let edges = positions.map(|at| EdgeSeen { purge_position: Some(at), ..edge("fra-1", State::Up, 0) });
        let ids = ["fra-1", "fra-2"].map(str::to_owned);
        seen(0, edges.into_iter().zip(ids).map(|(edge, id)| EdgeSeen { id, ..edge }).collect())
    };
    let well = certificate(Some(60.0), false, None);
    let rows = [
        (
            well.clone(),
            certificate(Some(3.0), true, None),
            "CertificateAlarm: the certificate for www.shop.example needs somebody: it is good for 3 days more",
        ),
        (
            well.clone(),
            certificate(None, false, Some("no")),
            "CertificateFailing: no new certificate for www.shop.example can be had, there is none: no",
        ),
        (
            certificate(Some(3.0), true, None),
            well.clone(),
            "CertificateWell: the certificate for www.shop.example is well again: it is good for 60 days more",
        ),
        (well.clone(), well, ""),
        (
            origin(&[]),
            origin(&["a", "b"]),
            "OriginDown: 2 edges will not fetch from 192.0.2.9:80 for site shop: its probes fail",
        ),
        (origin(&["a"]), origin(&["a", "b"]), ""),
        (origin(&["a"]), origin(&[]), "OriginBack: 192.0.2.9:80 takes fetches for site shop again"),
        (purged([3, 3]), purged([4, 4]), "Purged: 2 edges have taken a purge"),
        (purged([3, 3]), purged([3, 4]), "Purged: fra-2 has taken a purge"),
        (purged([3, 3]), purged([3, 3]), ""),
    ];
    for (before, after, expected) in rows {
        assert_eq!(said(&Teller::default().tell(&before, &after)).concat(), expected);
    }
}

#[test]
fn the_last_events_are_kept_and_numbered_on() {
    let mut ring = Ring::from(1_000);
    let what = Happening {
        kind: Kind::EdgeUp,
        severity: Severity::Well,
        about: About::of("edge", "fra-1"),
        text: "fra-1 is up again".to_owned(),
        reason: None,
        for_ms: Some(1),
    };
    for at_ms in 0..700 {
        ring.add(at_ms, what.clone());
    }
    assert_eq!(ring.newest().count(), limits::EVENTS);
    assert_eq!(ring.newest().next().unwrap().id, 1_699);
    assert_eq!(ring.after(1_697).map(|event| event.id).collect::<Vec<_>>(), [1_698, 1_699]);
    let told = serde_json::to_value(ring.newest().next().unwrap()).unwrap();
    assert_eq!(told["kind"], "edge_up");
    assert_eq!(told["about"], json!({ "kind": "edge", "id": "fra-1" }));
}
