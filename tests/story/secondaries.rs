//! Secondaries that are not ours take a plain zone, and hear of its changes: NSD with a key, BIND by its address.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::resolvers::start;
use crate::support::{Network, Process, dig, wait_for};

const NSD: &str = "127.0.2.241";
const NSD_PORT: u16 = 5_453;
/// BIND listens on addresses that an interface has: of 127/8 only one.
const BIND_PORT: u16 = 5_454;
/// Thirty-two bytes, in base64.
const SECRET: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

fn network() -> Network {
    let network = Network::new(240, ([127, 0, 0, 1], 9).into(), "");
    fs::write(network.path("secrets/nsd.tsig"), format!("hmac-sha256:xfr.shop.example:{SECRET}\n")).unwrap();
    let transfers = format!(
        "[[transfer]]\nzones = [\"shop.example\"]\nto = [\"{NSD}\"]\nkey = {{ file = \"nsd.tsig\" }}\nnotify = [\"{NSD}:{NSD_PORT}\"]\n\
         [[transfer]]\nto = [\"127.0.0.1\"]\nnotify = [\"127.0.0.1:{BIND_PORT}\"]\n"
    );
    let path = network.path("hither.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap() + &transfers).unwrap();
    write_zone(&network, 1, "");
    network
}

fn write_zone(network: &Network, serial: u32, lines: &str) {
    let many: String = (0..2_000).map(|number| format!("host{number} TXT \"number {number}\"\n")).collect();
    let text = format!(
        "$TTL 1h\n@ SOA ns1.cdn.example. hostmaster {serial} 2h 15m 2w 1m\n@ NS ns1.cdn.example.\nwww CNAME shop.cdn.example.\n\
         old DNAME new.example.\nodd TYPE65534 \\# 2 00ff\nloc LOC 50 6 40 N 8 40 55 E 112m\n{many}{lines}"
    );
    fs::write(network.path("zones/shop.example"), text).unwrap();
}

fn nsd(home: &Path, primary: &str) -> Process {
    let text = format!(
        "server:\n ip-address: {NSD}@{NSD_PORT}\n server-count: 1\n username: \"\"\n zonesdir: {home:?}\n pidfile: {pid:?}\n\
         database: \"\"\n zonelistfile: {list:?}\n xfrdfile: {xfrd:?}\n xfrdir: {home:?}\n verbosity: 2\n\
         remote-control:\n control-enable: no\n\
         key:\n name: xfr.shop.example\n algorithm: hmac-sha256\n secret: \"{SECRET}\"\n\
         zone:\n name: shop.example\n zonefile: shop.example\n request-xfr: {primary} xfr.shop.example\n\
         allow-notify: 127.0.0.0/8 xfr.shop.example\n outgoing-interface: {NSD}\n",
        pid = home.join("nsd.pid"),
        list = home.join("nsd.list"),
        xfrd = home.join("nsd.xfrd"),
    );
    start(home, "nsd", &text, &["-d", "-c"])
}

fn bind(home: &Path, primary: &str, port: u16) -> Process {
    let text = format!(
        "options {{ directory {home:?}; pid-file {pid:?}; session-keyfile {key:?}; listen-on port {BIND_PORT} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
         recursion no; dnssec-validation no; allow-notify {{ 127.0.0.0/8; }}; transfer-source 127.0.0.1; }};\ncontrols {{ }};\n\
         zone \"shop.example\" {{ type secondary; primaries {{ {primary} port {port}; }}; file \"shop.example.bind\"; masterfile-format text; }};\n",
        pid = home.join("named.pid"),
        key = home.join("named.key"),
    );
    start(home, "named", &text, &["-4", "-g", "-n", "1", "-c"])
}

#[test]
fn secondaries_take_a_zone_and_its_changes() {
    let network = network();
    let _ns = network.start("ns1");
    let home = network.path("others");
    fs::create_dir(&home).unwrap();
    let (address, port) = (network.dns.ip().to_string(), network.dns.port());
    let _nsd = nsd(&home, &format!("{address}@{port}"));
    let _bind = bind(&home, &address, port);
    let secondaries = [(NSD, NSD_PORT), ("127.0.0.1", BIND_PORT)];
    let answers = |what: &str, question: &[&str], expected: &str| {
        for (server, port) in secondaries {
            wait_for(Duration::from_secs(20), &format!("{server}: {what}"), || {
                let answer = dig(&format!("@{server}"), port, question);
                if answer.contains(expected) { Ok(()) } else { Err(answer) }
            });
        }
    };
    for (question, expected) in [
        (&["shop.example", "SOA", "+short"][..], "hostmaster.shop.example. 1 "),
        (&["host1999.shop.example", "TXT", "+short"], "\"number 1999\""),
        (&["a.old.shop.example", "CNAME", "+short"], "a.new.example."),
        (&["odd.shop.example", "TYPE65534", "+short"], "\\# 2 00FF"),
        (&["loc.shop.example", "LOC", "+short"], "50 6 40.000 N 8 40 55.000 E 112.00m 1m 10000m 10m"),
    ] {
        answers("the zone whole", question, expected);
    }

    write_zone(&network, 2, "new TXT \"after a change\"\n");
    answers("they have heard of the change", &["new.shop.example", "TXT", "+short"], "after a change");
    let log = network.log("ns1");
    for (server, port) in secondaries {
        let heard = format!(
            "\"a secondary has heard of the change\",\"zone\":\"shop.example.\",\"secondary\":\"{server}:{port}\""
        );
        assert!(log.contains(&heard), "{heard}\n{log}");
    }
    assert!(!log.contains("\"zone\":\"cdn.example.\",\"secondary\""), "the network's own zone is no file\n{log}");
    let told = fs::read_to_string(home.join("named.log")).unwrap();
    assert!(told.contains("Transfer completed: 1 messages, 5 records"), "BIND takes the change alone\n{told}");

    // A zone that is wrong, or cannot be read, stays as it was, and all else is taken.
    let broken = |zone: &str| {
        let text = "$TTL 1h\n@ SOA ns1 h 1 2h 15m 2w 1m\n@ NS ns1\nns1 A 192.0.2.53\n";
        fs::write(network.path(&format!("zones/{zone}")), text).unwrap();
        wait_for(Duration::from_secs(5), "the other zone is served", || {
            let answer = dig(&format!("@{address}"), port, &[&format!("ns1.{zone}"), "+short"]);
            if answer.contains("192.0.2.53") { Ok(()) } else { Err(network.log("ns1")) }
        });
        let kept = dig(&format!("@{address}"), port, &["new.shop.example", "TXT", "+short"]);
        assert!(kept.contains("after a change"), "{kept}");
        assert!(network.log("ns1").contains("zone refused; the one before stays"), "{}", network.log("ns1"));
    };
    write_zone(&network, 3, "broken A 192.0.2\n");
    broken("other.example");
    fs::write(network.path("zones/shop.example"), [0xff, 0xfe]).unwrap();
    broken("third.example");
    assert!(network.log("ns1").contains("zones/shop.example cannot be read: it is not UTF-8 text"));
}
