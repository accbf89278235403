//! An edge whose probes pass but which cannot serve is left out.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{HITHER, Network, Origin, addresses, copy_dir, dig, get, reply, run, wait_for};

#[test]
fn an_edge_that_cannot_reach_origins_leaves_within_ten_seconds() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
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
            assert_eq!(get(bad, "/", &[]).await.unwrap().status.as_u16(), 502);
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
