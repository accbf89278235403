//! Origins that have names, and name servers that die.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{HITHER, Network, Origin, Process, get, reply, wait_for};

/// Starts the edge where the machine's name server is this one: its resolv.conf is put in the place of /etc's, which takes a
/// mount namespace, of the user's own where there is no other.
fn start_edge(network: &Network, server: &str) -> Process {
    let resolv = network.path("resolv.conf");
    fs::write(&resolv, format!("nameserver {server}\noptions timeout:1 attempts:1\n")).unwrap();
    let log = fs::File::create(network.path("one-1.log")).unwrap();
    let mount = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let child = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mount])
        .arg(&resolv)
        .args([HITHER, "run", "--config"])
        .arg(network.dir.path())
        .args(["--node", "one-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let process = Process(child);
    let marker = network.path(".state/one-1/node.json");
    wait_for(Duration::from_secs(20), "the edge serves", || {
        if marker.exists() { Ok(()) } else { Err(network.log("one-1")) }
    });
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_whose_name_servers_die_is_still_fetched_from() {
    // Each fetch takes a connection of its own, and so the origin's addresses.
    let origin = Origin::start(|_, _| reply(200, &[("connection", "close")], "from the origin")).await;
    let network = Network::new(195, origin.address, "");
    // resolv.conf has no ports.
    let config = fs::read_to_string(network.path("hither.toml")).unwrap().replace(":5400", ":53");
    fs::write(network.path("hither.toml"), config).unwrap();
    let zone = "$TTL 1s\n@ SOA ns1.cdn.example. hostmaster.cdn.example. 1 2h 15m 2w 1m\n@ NS ns1.cdn.example.\n\
                origin A 127.0.0.1\n";
    fs::write(network.path("zones/origins.example"), zone).unwrap();
    let site = format!(
        "hosts = [\"www.shop.example\"]\n[origin]\nservers = [\"http://origin.origins.example:{}\"]\n\
         allow_private = true\n[[rule]]\nbypass = true\n",
        origin.address.port()
    );
    fs::write(network.path("sites/shop.toml"), site).unwrap();

    let name_server = network.start("ns1");
    let _edge = start_edge(&network, "127.0.2.195");
    let ask = async || {
        let began = Instant::now();
        let got = get(network.edge, "/", &[]).await.unwrap();
        assert_eq!((got.status.as_u16(), &got.body[..]), (200, &b"from the origin"[..]), "{}", network.log("one-1"));
        began.elapsed()
    };
    ask().await;
    drop(name_server);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for _ in 0..5 {
        let took = ask().await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let log = network.log("one-1");
    assert!(log.contains("its last addresses stand in"), "{log}");

    let _name_server = network.start("ns1");
    wait_for(Duration::from_secs(10), "the name is resolved again", || {
        // Somebody has to want it.
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(ask()));
        let log = network.log("one-1");
        if log.contains("name is resolved again") { Ok(()) } else { Err(log) }
    });
}
