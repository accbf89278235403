//! A PoP that would be too full sends some of its clients to the next, and wide answers do not bring them back.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::support::{HITHER, Network, Origin, addresses, dig, get, reply, run, runtime, wait_for};

/// An origin of pages of a megabit.
fn origin(runtime: &Runtime) -> Origin {
    let page = || reply(200, &[("cache-control", "max-age=600")], vec![b'x'; 125_000]);
    runtime.block_on(Origin::start(move |_, _| page()))
}

/// 10 Mbps from an edge, to clients at home, as 127.0.0.0/8 is.
fn traffic(runtime: &Runtime, edge: SocketAddr) -> JoinHandle<()> {
    let end = Instant::now() + Duration::from_secs(120);
    runtime.spawn(async move {
        while Instant::now() < end {
            get(edge, "/a", &[]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// What `explain` says of the PoPs for clients at home, the best first.
fn candidates(network: &Network) -> Result<serde_json::Value, String> {
    let (said, _) = network.hither(&["explain", "shop.cdn.example", "--from", "10.0.0.1", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    Ok(value["candidates"].clone())
}

/// What 64 blocks of clients at home are answered: they are one unit of the map, and in parts by /20 while a PoP sheds.
fn answers(network: &Network) -> Vec<String> {
    let server = format!("@{}", network.dns.ip());
    let ask = |block: u32| {
        let subnet = format!("+subnet=10.{}.{}.0/24", block / 16, block % 16 * 16);
        dig(&server, network.dns.port(), &["shop.cdn.example", &subnet])
    };
    (0..64).map(ask).collect()
}

#[test]
fn a_crowded_pop_shares_its_clients_with_the_next() {
    let runtime = runtime();
    let origin = origin(&runtime);
    let network = Network::new(160, origin.address, "");
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("id = \"one-1\"", "id = \"one-1\"\ncapacity = \"8Mbps\"");
    let more = "[[pop]]\nid = \"two\"\nlocation = [48.8, 2.3]\n[[pop.edge]]\nid = \"two-1\"\naddresses = [\"127.0.2.161\"]\nadmin = \"127.0.2.161:9400\"\n";
    fs::write(&file, format!("{text}{more}")).unwrap();
    let _one = network.start("one-1");
    let _two = network.start("two-1");
    let _name_server = network.start("ns1");
    // The map sends them to `one`.
    let traffic = traffic(&runtime, network.edge);
    let dir = network.dir.path().display().to_string();
    wait_for(Duration::from_secs(45), "a price", || {
        let said = candidates(&network)?;
        let is_shared = said[0]["price_ms"].as_f64() > Some(0.0) && said[1]["load"].as_f64() > Some(0.0);
        if is_shared { Ok(()) } else { Err(said.to_string()) }
    });
    let mut by_pop: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for answer in answers(&network) {
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

#[test]
fn a_new_pop_takes_as_many_of_its_clients_as_its_capacity_lets_in() {
    let runtime = runtime();
    let origin = origin(&runtime);
    let network = Network::new(247, origin.address, "");
    // Clients are where the new PoP will be.
    network.edit(|text| text.replace("[health]\n", "[geo]\nhome = [48.8, 2.3]\n[health]\n"));
    let _one = network.start("one-1");
    let _name_server = network.start("ns1");
    let traffic = traffic(&runtime, network.edge);
    wait_for(Duration::from_secs(45), "what clients take is known", || {
        let said = candidates(&network)?;
        if said[0]["load"].as_f64() > Some(0.0) { Ok(()) } else { Err(said.to_string()) }
    });

    let new = IpAddr::from([127, 0, 3, 247]);
    let table = "[[pop]]\nid = \"two\"\nlocation = [48.8, 2.3]\n[[pop.edge]]\nid = \"two-1\"\naddresses = [\"127.0.3.247\"]\n\
         admin = \"127.0.3.247:9400\"\ncapacity = \"1Mbps\"\n";
    network.edit(|text| text + table);
    let _two = network.start("two-1");
    let taken = || answers(&network).iter().filter(|answer| addresses(answer).first() == Some(&new)).count();
    let (few, _) = wait_for(Duration::from_secs(45), "it takes some", || {
        let taken = taken();
        if (1..64).contains(&taken) { Ok(taken) } else { Err(format!("{taken} of 64 blocks")) }
    });
    assert!(few <= 48, "{few} of 64 blocks");
    let said = candidates(&network).unwrap();
    assert!(said[0]["pop"] == "two" && said[0]["price_ms"].as_f64() > Some(0.0), "{said}");

    network.edit(|text| text.replace("capacity = \"1Mbps\"\n", ""));
    wait_for(Duration::from_secs(45), "with room it takes all", || match taken() {
        64 => Ok(()),
        taken => Err(format!("{taken} of 64 blocks")),
    });
    traffic.abort();
}
