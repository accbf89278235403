//! A name server asked by real resolvers' tools, and by hostile ones.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::logs::end;
use crate::support::{Network, addresses, dig, wait_for};

const UNUSED: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

#[test]
fn a_name_server_answers_as_the_standards_say() {
    let network = Network::new(1, UNUSED.into(), "");
    std::fs::write(
        network.path("zones/shop.example"),
        "$TTL 1h\n@ SOA ns1.cdn.example. hostmaster 7 2h 15m 2w 1m\n@ NS ns1.cdn.example.\nwww CNAME shop.cdn.example.\n\
         txt TXT \"hello\"\n*.wild A 192.0.2.7\nbig TXT ",
    )
    .unwrap();
    let mut zone = std::fs::read_to_string(network.path("zones/shop.example")).unwrap();
    for _ in 0..12 {
        zone.push_str(&format!("\"{}\" ", "x".repeat(200)));
    }
    std::fs::write(network.path("zones/shop.example"), zone).unwrap();
    let _ns = network.start("ns1");
    let server = format!("@{}", network.dns.ip());
    let ask = |args: &[&str]| dig(&server, network.dns.port(), args);

    let routed = ask(&["WWW.Shop.Example", "+subnet=193.0.6.0/24"]);
    assert!(routed.contains("CLIENT-SUBNET: 193.0.6.0/24/0"), "one PoP: one answer for all\n{routed}");
    assert!(routed.contains("WWW.Shop.Example.	3600	IN	CNAME"), "the case is kept\n{routed}");
    assert_eq!(addresses(&ask(&["www.shop.example", "+short"])).len(), 1);
    assert!(ask(&["shop.cdn.example", "AAAA"]).contains("ANSWER: 0, AUTHORITY: 1"), "NODATA carries the SOA");

    for (args, expected) in [
        (&["nothing.shop.example"][..], "status: NXDOMAIN"),
        (&["x.wild.shop.example"], "192.0.2.7"),
        (&["txt.shop.example", "TXT"], "\"hello\""),
        (&["cdn.example", "SOA"], "ns1.cdn.example. hostmaster.cdn.example."),
        (&["cdn.example", "NS"], "ns1.cdn.example."),
        (&["ns1.cdn.example"], "127.0.2.1"),
        (&["www.other.example"], "status: REFUSED"),
        (&["version.bind", "TXT", "CH"], "status: REFUSED"),
        (&["shop.example", "AXFR"], "Transfer failed"),
        (&["shop.example", "ANY", "+notcp"], "RFC8482"),
        (&["www.shop.example", "+edns=1", "+noednsneg"], "status: BADVERS"),
        (&["www.shop.example", "+opcode=UPDATE"], "status: NOTIMP"),
        (&["www.shop.example", "+opcode=UPDATE", "+edns"], "OPT PSEUDOSECTION"),
        (&["www.shop.example", "+tcp", "+subnet=193.0.6.0/24"], "CLIENT-SUBNET: 193.0.6.0/24/0"),
        (&["www.shop.example", "+subnet=0.0.0.0/0"], "CLIENT-SUBNET: 0.0.0.0/0/0"),
    ] {
        let answer = ask(args);
        assert!(answer.contains(expected), "{args:?}\n{answer}");
    }

    let cut = ask(&["big.shop.example", "TXT", "+ignore", "+subnet=193.0.6.0/24"]);
    assert!(
        cut.contains(" tc") && cut.contains("ANSWER: 0") && cut.contains("CLIENT-SUBNET"),
        "TC with the OPT kept\n{cut}"
    );
    assert!(ask(&["big.shop.example", "TXT"]).contains("xxxx"), "by TCP it comes whole");
    let log = network.path(".state/ns1/queries.jsonl");
    wait_for(Duration::from_secs(2), "queries are logged", || {
        let lines = std::fs::read_to_string(&log).unwrap();
        let line = lines.lines().find(|line| line.contains("\"subnet\":\"193.0.6.0/24\"")).ok_or(lines.clone())?;
        let whole = line.contains("\"pop\":\"one\"") && line.contains("\"resolver\":\"127.0.0.0\"");
        if whole { Ok(()) } else { Err(line.to_owned()) }
    });
    queries_are_logged_while_the_config_says_so(&network, &log);
}

/// Changes `[log]` of a name server that runs and logs queries.
fn queries_are_logged_while_the_config_says_so(network: &Network, log: &Path) {
    let server = format!("@{}", network.dns.ip());
    let asked = |name: &str| {
        // What was asked before is answered at once, where there is no log.
        for _ in 0..3 {
            assert!(dig(&server, network.dns.port(), &[name]).contains("status: NXDOMAIN"));
        }
    };
    let changed = |from: &str, to: &str| {
        let loads = || network.log("ns1").matches("config loaded").count();
        let before = loads();
        network.edit(|text| text.replace(from, to));
        wait_for(Duration::from_secs(5), to, || if loads() > before { Ok(()) } else { Err(network.log("ns1")) });
    };
    changed("queries = true", "queries = false");
    asked("silent.shop.example");
    changed("queries = false", "queries = true");
    asked("told.shop.example");
    wait_for(Duration::from_secs(2), "queries are logged again", || {
        let lines = std::fs::read_to_string(log).unwrap();
        if lines.matches("told.shop.example").count() == 3 { Ok(()) } else { Err(lines) }
    });
    assert!(!std::fs::read_to_string(log).unwrap().contains("silent.shop.example"));
}

/// Header, question `www.shop.example A`, OPT with these options.
fn query(options: &[u8]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in ["www", "shop", "example"] {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    message.extend(options);
    message
}

/// A client subnet option.
fn subnet(family: u16, source: u8, scope: u8, address: &[u8]) -> Vec<u8> {
    let mut option = vec![0, 8];
    option.extend(u16::try_from(4 + address.len()).unwrap().to_be_bytes());
    option.extend(family.to_be_bytes());
    option.extend([source, scope]);
    option.extend(address);
    option
}

#[test]
fn malformed_queries_get_formerr_or_silence_and_nothing_breaks() {
    let network = Network::new(2, UNUSED.into(), "");
    let _ns = network.start("ns1");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(network.dns).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let ask = |message: &[u8]| {
        socket.send(message).unwrap();
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    };
    let rcode = |message: &[u8]| ask(message).map(|reply| reply[3] & 15);
    let good = subnet(1, 24, 0, &[198, 51, 100]);
    assert_eq!(rcode(&query(&good)), Some(5), "a well-formed option; the name is in no zone here");

    let two = [good.clone(), good.clone()].concat();
    for (what, options) in [
        ("a family that is neither 1 nor 2", subnet(3, 24, 0, &[198, 51, 100])),
        ("family 0", subnet(0, 0, 0, &[])),
        ("a source longer than an address", subnet(1, 33, 0, &[198, 51, 100, 0, 0])),
        ("a scope that is not 0", subnet(1, 24, 24, &[198, 51, 100])),
        ("too few bytes", subnet(1, 24, 0, &[198, 51])),
        ("too many bytes", subnet(1, 24, 0, &[198, 51, 100, 0])),
        ("bits beyond the source", subnet(1, 20, 0, &[198, 51, 100])),
        ("two options", two),
        ("a cut option", good[..5].to_vec()),
    ] {
        let reply = ask(&query(&options)).unwrap_or_default();
        assert_eq!(reply.get(3).map(|byte| byte & 15), Some(1), "FORMERR for {what}");
        assert_eq!(&reply[..2], &[0x12, 0x34]);
    }
    let mut no_question = query(&[]);
    no_question[5] = 0;
    let mut two_questions = query(&[]);
    two_questions[5] = 2;
    let mut an_answer = query(&[]);
    an_answer[2] |= 0x80;
    let loops = [&[0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[0xc0, 12, 0, 1, 0, 1]].concat();
    assert_eq!(rcode(&no_question), Some(1));
    assert_eq!(rcode(&two_questions), Some(1));
    assert_eq!(rcode(&loops), Some(1), "a name that points at itself");
    assert_eq!(rcode(&an_answer), None, "an answer is not answered");
    assert_eq!(rcode(&[1, 2, 3]), None, "nor is what is no message");

    // Every cut of a good query, and every byte of it changed: the server answers on.
    let whole = query(&good);
    for length in 0..whole.len() {
        socket.send(&whole[..length]).unwrap();
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x40, 0xc0, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            socket.send(&changed).unwrap();
        }
    }
    let mut buffer = [0; 2048];
    while socket.recv(&mut buffer).is_ok() {}
    assert_eq!(rcode(&whole), Some(5), "it still answers");
}

/// A query with some of its bytes changed, cut or lengthened; which ones, by a number.
fn broken(whole: &[u8], number: u64) -> Vec<u8> {
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut draw = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    let mut message = whole.to_vec();
    for _ in 0..=draw(4) {
        let (at, value) = (draw(message.len()), draw(256));
        message[at] = u8::try_from(value).unwrap();
    }
    match draw(3) {
        0 => message.truncate(draw(whole.len())),
        1 => message.extend((0..draw(600)).map(|_| 0xc0)),
        _ => {}
    }
    message
}

#[test]
fn ten_thousand_broken_messages_a_second_leave_the_good_ones_answered() {
    let network = Network::new(179, UNUSED.into(), "");
    let _ns = network.start("ns1");
    let to = network.dns;
    let flood = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (whole, start) = (query(&subnet(1, 24, 0, &[198, 51, 100])), Instant::now());
        let mut sent = 0;
        while start.elapsed() < Duration::from_secs(3) {
            let due = u64::try_from(start.elapsed().as_millis()).unwrap() * 10;
            (sent..due).for_each(|number| drop(socket.send_to(&broken(&whole, number), to)));
            sent = due;
            std::thread::sleep(Duration::from_millis(1));
        }
        sent
    });
    // By their ports the kernel spreads them over the server's threads: some are where the flood is. From another network,
    // since what the flood gets is limited.
    let sockets: Vec<UdpSocket> = (0..16).map(|_| UdpSocket::bind("127.0.9.1:0").unwrap()).collect();
    let mut good = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    good.extend(b"\x04shop\x03cdn\x07example\x00\x00\x01\x00\x01");
    let ask = |socket: &UdpSocket| {
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.send_to(&good, to).unwrap();
        let mut buffer = [0; 512];
        socket.recv(&mut buffer).is_ok_and(|length| length > 12 && buffer[3] & 15 == 0 && buffer[7] == 1)
    };
    let (mut asked, mut answered) = (0, 0);
    for socket in sockets.iter().cycle().take_while(|_| !flood.is_finished()) {
        asked += 1;
        answered += u32::from(ask(socket));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(sockets.iter().all(ask), "every thread is alive");
    let sent = flood.join().unwrap();
    println!("{sent} broken messages, {answered} of {asked} good ones answered");
    assert!(sent >= 29_000, "{sent}");
    assert!(answered * 10 >= asked * 9, "{answered} of {asked}");
}

#[test]
fn an_edge_is_named_for_a_site_once_it_has_it() {
    let origin = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    // Two directories: what one has, the other gets later, as between machines.
    let (ahead, behind) = (Network::new(92, origin, ""), Network::new(92, origin, ""));
    for network in [&ahead, &behind] {
        let path = network.path("hither.toml");
        let two = "[[pop.edge]]\nid = \"one-2\"\naddresses = [\"127.0.2.192\"]\nadmin = \"127.0.2.192:9400\"\n";
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{text}{two}")).unwrap();
    }
    let _running = [ahead.start("ns1"), ahead.start("one-1"), behind.start("one-2")];
    let named = |site: &str, expected: &[&str]| {
        let name = format!("{site}.cdn.example");
        wait_for(Duration::from_secs(5), &format!("{name}: {expected:?}"), || {
            let mut found: Vec<String> =
                addresses(&dig("@127.0.2.92", 5400, &[&name])).iter().map(ToString::to_string).collect();
            found.sort();
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        });
    };
    named("shop", &["127.0.2.192", "127.0.2.92"]);
    let site = "hosts = [\"news.example\"]\n[origin]\nservers = [\"http://127.0.0.1:9\"]\nallow_private = true\n";
    std::fs::write(ahead.path("sites/news.toml"), site).unwrap();
    named("news", &["127.0.2.92"]);
    std::thread::sleep(Duration::from_secs(1));
    named("news", &["127.0.2.92"]);
    named("shop", &["127.0.2.192", "127.0.2.92"]);
    std::fs::write(behind.path("sites/news.toml"), site).unwrap();
    named("news", &["127.0.2.192", "127.0.2.92"]);
    std::fs::remove_file(behind.path("sites/news.toml")).unwrap();
    named("news", &["127.0.2.92"]);
}

#[test]
fn a_restarted_name_server_answers_by_the_map_it_had() {
    let network = Network::new(239, UNUSED.into(), "");
    network.edit(|text| text.replace("[health]\n", "[geo]\ngeofeed = [\"corrections.csv\"]\n[health]\n"));
    std::fs::write(network.path("corrections.csv"), "202.12.29.0/24,BR,,,\n").unwrap();
    let ask = || dig(&format!("@{}", network.dns.ip()), network.dns.port(), &["shop.cdn.example", "+short"]);
    let map = network.path(".state/ns1/map.bin");
    let ns = network.start("ns1");
    wait_for(Duration::from_secs(10), "the map is written down", || {
        if map.exists() { Ok(()) } else { Err(String::new()) }
    });
    assert_eq!(addresses(&ask()).len(), 1);
    assert!(!network.log("ns1").contains("the map that was kept"), "there was none at first");
    drop(ns);

    let ns = network.start("ns1");
    assert_eq!(addresses(&ask()).len(), 1);
    let log = network.log("ns1");
    assert!(log.contains("serving by the map that was kept"), "{log}");
    wait_for(Duration::from_secs(10), "the databases are read behind it", || {
        let log = network.log("ns1");
        if log.contains("config loaded") { Ok(()) } else { Err(log) }
    });
    assert_eq!(addresses(&ask()).len(), 1);
    // What changed in between would have been read by now.
    std::thread::sleep(Duration::from_millis(600));
    let log = network.log("ns1");
    assert_eq!(log.matches("config loaded").count(), 1, "{log}");
    drop(ns);

    let mut bytes = std::fs::read(&map).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&map, &bytes).unwrap();
    let ns = network.start("ns1");
    assert!(!network.log("ns1").contains("the map that was kept"), "a damaged one is none");
    assert_eq!(addresses(&ask()).len(), 1);
    wait_for(Duration::from_secs(10), "a whole one takes its place", || {
        if std::fs::read(&map).is_ok_and(|new| new != bytes) { Ok(()) } else { Err(String::new()) }
    });
    // Killed once more it would begin with the last good config, and without the kept map.
    end(ns);
    a_new_database_is_seen_behind_the_kept_map(&network);
}

/// Of a name server whose geofeed says that a network is in Brazil.
fn a_new_database_is_seen_behind_the_kept_map(network: &Network) {
    let _ns = network.start("ns1");
    let placed = |country: &str| {
        wait_for(Duration::from_secs(10), "it is placed there", || {
            let (said, _) = network.hither(&["explain", "shop.cdn.example", "--from", "202.12.29.1"]);
            let log = network.log("ns1");
            let is_placed = said.contains(&format!("somewhere in {country}")) && log.contains("config loaded");
            if is_placed { Ok(()) } else { Err(format!("{said}\n{log}")) }
        });
    };
    placed("BR");
    assert!(network.log("ns1").contains("the map that was kept"), "{}", network.log("ns1"));
    let new = network.path("corrections.new");
    std::fs::write(&new, "202.12.29.0/24,FR,,,\n").unwrap();
    std::fs::rename(&new, network.path("corrections.csv")).unwrap();
    placed("FR");
    // One that is named before it is there, nor its directory.
    network.edit(|text| text.replace("corrections.csv", "feeds/later.csv"));
    wait_for(Duration::from_secs(10), "it is missed", || {
        let log = network.log("ns1");
        if log.contains("config refused") { Ok(()) } else { Err(log) }
    });
    std::fs::create_dir(network.path("feeds")).unwrap();
    std::fs::write(network.path("feeds/later.csv"), "202.12.29.0/24,IT,,,\n").unwrap();
    placed("IT");
}
