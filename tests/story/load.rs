//! A PoP that would be too full sends some of its clients to the next, and wide answers do not bring them back.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::support::{HITHER, Network, Origin, addresses, dig, get, reply, run, runtime, wait_for};

#[test]
fn a_crowded_pop_shares_its_clients_with_the_next() {
    let runtime = runtime();
    let origin =
        runtime.block_on(Origin::start(|_, _| reply(200, &[("cache-control", "max-age=600")], vec![b'x'; 125_000])));
    let network = Network::new(160, origin.address, "");
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("id = \"one-1\"", "id = \"one-1\"\ncapacity = \"8Mbps\"");
    let more = "[[pop]]\nid = \"two\"\nlocation = [48.8, 2.3]\n[[pop.edge]]\nid = \"two-1\"\naddresses = [\"127.0.2.161\"]\nadmin = \"127.0.2.161:9400\"\n";
    fs::write(&file, format!("{text}{more}")).unwrap();
    let _one = network.start("one-1");
    let _two = network.start("two-1");
    let _name_server = network.start("ns1");
    // 10 Mbps, by clients whom the map sends to `one`: 127.0.0.0/8 is at home.
    let (edge, end) = (network.edge, Instant::now() + Duration::from_secs(60));
    let traffic = runtime.spawn(async move {
        while Instant::now() < end {
            get(edge, "/a", &[]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let dir = network.dir.path().display().to_string();
    let explain = || run(HITHER, &["-C", &dir, "explain", "shop.cdn.example", "--from", "10.0.0.1", "--json"]);
    wait_for(Duration::from_secs(45), "a price", || {
        let said = explain();
        let value: serde_json::Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
        let (one, two) = (&value["candidates"][0], &value["candidates"][1]);
        let is_shared = one["price_ms"].as_f64() > Some(0.0) && two["load"].as_f64() > Some(0.0);
        if is_shared { Ok(()) } else { Err(said) }
    });
    // Home's clients are one unit of the map, now in parts by /20.
    let mut by_pop: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for block in 0..64_u32 {
        let subnet = format!("+subnet=10.{}.{}.0/24", block / 16, block % 16 * 16);
        let answer = dig("@127.0.2.160", 5400, &["shop.cdn.example", &subnet]);
        assert!(answer.contains("/24/20"), "no wider than a block: {answer}");
        *by_pop.entry(addresses(&answer)[0]).or_default() += 1;
    }
    assert_eq!(by_pop.len(), 2, "{by_pop:?}");
    let said = run(HITHER, &["-C", &dir, "explain", "shop.cdn.example", "--from", "10.0.0.1"]);
    assert!(said.contains("load price"), "{said}");
    let is_moved = said.contains("PoP two");
    assert_eq!(is_moved, said.contains("load has moved these clients for now"), "{said}");
    let told = dig("@127.0.2.160", 5400, &["TXT", "_why.shop.cdn.example", "+subnet=10.0.0.0/24"]);
    assert!(told.contains("since load moves blocks of this size apart"), "{told}");
    traffic.abort();
}
