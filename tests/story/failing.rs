//! An edge whose probes pass but which cannot serve is left out.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{
    HITHER, Network, Origin, Signal, addresses, copy_dir, dig, get, reply, run, runs, runtime, signal, wait_for,
};

#[test]
fn an_edge_that_cannot_reach_origins_leaves_within_ten_seconds() {
    let runtime = runtime();
    let origin = runtime.block_on(Origin::start(|_, _| reply(200, &[("cache-control", "no-store")], "hello")));
    let network = Network::new(168, origin.address, "");
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let second = "[[pop.edge]]\nid = \"one-2\"\naddresses = [\"127.0.2.169\"]\nadmin = \"127.0.2.169:9400\"\n";
    fs::write(&file, format!("{text}{second}")).unwrap();
    // The second edge has a way to the origin that leads nowhere.
    let broken = Network::new(169, ([127, 0, 2, 169], 9).into(), "");
    fs::copy(&file, broken.path("hither.toml")).unwrap();
    copy_dir(&network.path("secrets"), &broken.path("secrets"));
    let _one = network.start("one-1");
    let _two = broken.start("one-2");
    let _name_server = network.start("ns1");
    let both = || addresses(&dig("@127.0.2.168", 5400, &["shop.cdn.example", "+subnet=10.0.0.0/24"]));
    wait_for(
        Duration::from_secs(5),
        "both are named",
        || if both().len() == 2 { Ok(()) } else { Err("one".to_owned()) },
    );
    let (good, bad) = (network.edge, broken.edge);
    let start = Instant::now();
    let traffic = runtime.spawn(async move {
        loop {
            assert_eq!(get(good, "/", &[]).await.unwrap().status.as_u16(), 200);
            let failed = get(bad, "/", &[]).await.unwrap();
            // Refused at first, and then known to be.
            let expected = match failed.header("proxy-status").as_str() {
                "one-2; error=connection_refused" => 502,
                "one-2; error=destination_unavailable" => 503,
                other => panic!("{other}"),
            };
            assert_eq!(failed.status.as_u16(), expected);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    wait_for(Duration::from_secs(10), "it is left out", || {
        let named = both();
        if named.len() == 1 && named[0] == good.ip() { Ok(()) } else { Err(format!("{named:?}")) }
    });
    assert!(start.elapsed() < Duration::from_secs(10));
    traffic.abort();
    let dir = network.dir.path().display().to_string();
    let said = run(HITHER, &["-C", &dir, "explain", "shop.cdn.example", "--from", "10.0.0.1"]);
    assert!(said.contains("one-2 fails: its probes pass, its answers do not come"), "{said}");
}

#[test]
fn the_operators_word_stands_above_health() {
    let runtime = runtime();
    let origin = runtime.block_on(Origin::start(|_, _| reply(200, &[("cache-control", "no-store")], "hello")));
    let network = Network::new(171, origin.address, "");
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let write = |state: &str| {
        let second = "[[pop.edge]]\nid = \"one-2\"\naddresses = [\"127.0.2.172\"]\nadmin = \"127.0.2.172:9400\"\n";
        fs::write(&file, format!("{text}{second}{state}\n")).unwrap();
    };
    let dir = network.dir.path().display().to_string();
    let hither = |words: &[&str]| run(HITHER, &[&["-C", &dir], words].concat());
    write("");
    let _one = network.start("one-1");
    let two = network.start("one-2");
    let _name_server = network.start("ns1");
    let named = || addresses(&dig("@127.0.2.171", 5400, &["shop.cdn.example", "+subnet=10.0.0.0/24"]));
    let becomes = |count: usize, what: &str| {
        wait_for(Duration::from_secs(5), what, || {
            let named = named();
            if named.len() == count { Ok(()) } else { Err(format!("{named:?}")) }
        });
    };
    becomes(2, "both are named");
    write("admin_state = \"drained\"");
    becomes(1, "the drained one is not");
    let said = hither(&["explain", "shop.cdn.example", "--from", "10.0.0.1"]);
    assert!(said.contains("one-2 is drained"), "{said}");
    let pid = two.0.id();
    signal(pid, Signal::SIGTERM);
    wait_for(Duration::from_secs(20), "it ends", || if runs(pid) { Err("it runs".to_owned()) } else { Ok(()) });
    drop(two);
    let said = hither(&["purge", "--site", "shop"]);
    assert!(said.contains("NOT purged, but drained; purge again before it comes back"), "{said}");
    write("");
    let start = Instant::now();
    wait_for(Duration::from_secs(5), "it is seen to be down", || {
        let said = hither(&["explain", "shop.cdn.example", "--from", "10.0.0.1"]);
        if said.contains("one-2 is down") { Ok(()) } else { Err(said) }
    });
    assert!(start.elapsed() < Duration::from_secs(5));
    becomes(1, "it is not named");
    write("admin_state = \"forced\"");
    becomes(2, "the operator's word counts");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(named().len(), 2, "whatever probes say");
}
