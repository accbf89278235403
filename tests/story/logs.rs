//! What edges write down: each request's line, and what sites took by day.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{HITHER, Network, Origin, Process, Signal, get, metrics, reply, runtime, signal, wait_for};

/// Has edges write their lines so.
fn log(network: &Network, keys: &str) {
    network.edit(|text| text.replace("[log]\n", &format!("[log]\n{keys}\n")));
}

/// Asks for a page on a kept connection; the head's lines are what they are.
fn ask(connection: &mut BufReader<TcpStream>, target: &str, fields: &[&[u8]]) -> String {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: www.shop.example\r\n").into_bytes();
    for field in fields {
        request.extend_from_slice(field);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    connection.get_mut().write_all(&request).unwrap();
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        assert!(connection.read_line(&mut line).unwrap() > 0, "{head}");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    connection.read_exact(&mut vec![0; length]).unwrap();
    head
}

fn connect(edge: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(edge).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

/// Ends a node as Ctrl-C does, and waits for it.
pub(crate) fn end(mut node: Process) {
    signal(node.0.id(), Signal::SIGINT);
    assert!(node.0.wait().unwrap().success());
}

#[test]
fn a_log_that_is_rotated_under_load_loses_no_line_and_has_none_twice() {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 1_500;
    const ROTATIONS: usize = 5;
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], "page")).await;
        let network = Network::new(234, origin.address, "");
        log(&network, "format = '${request_id} ${status} ${cache} ${path} ${tls}'");
        let node = network.start("one-1");
        let (edge, pid) = (network.edge, node.0.id());
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                std::thread::spawn(move || {
                    let mut connection = connect(edge);
                    for number in 0..REQUESTS {
                        let id = format!("X-Request-ID: {client}-{number}");
                        // One of two is such that it goes the general way.
                        let way: &[u8] = if number % 2 == 0 { b"Accept: */*" } else { b"Cache-Control: max-age=3600" };
                        let head = ask(&mut connection, "/page", &[id.as_bytes(), way]);
                        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                        if number % 20 == 0 {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                    }
                })
            })
            .collect();
        let path = network.path(".state/one-1/requests.log");
        let until_there = || {
            tokio::task::block_in_place(|| {
                wait_for(Duration::from_secs(5), "there is a log", || {
                    if path.exists() { Ok(()) } else { Err(network.log("one-1")) }
                });
            });
        };
        for rotation in 0..ROTATIONS {
            until_there();
            tokio::time::sleep(Duration::from_millis(120)).await;
            fs::rename(&path, network.path(&format!("rotated-{rotation}"))).unwrap();
            signal(pid, Signal::SIGHUP);
        }
        until_there();
        tokio::task::block_in_place(|| clients.into_iter().for_each(|client| client.join().unwrap()));
        tokio::task::block_in_place(|| end(node));
        let rotated = (0..ROTATIONS).map(|rotation| network.path(&format!("rotated-{rotation}")));
        let mut lines = BTreeMap::<String, usize>::new();
        for file in rotated.chain([path.clone()]) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{} ends within a line", file.display());
            for line in text.lines() {
                let (id, rest) = line.split_once(' ').unwrap();
                assert!(["200 hit /page -", "200 miss /page -"].contains(&rest), "{line}");
                *lines.entry(id.to_owned()).or_default() += 1;
            }
        }
        let twice: Vec<_> = lines.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        let missing: Vec<String> = (0..CLIENTS)
            .flat_map(|client| (0..REQUESTS).map(move |number| format!("{client}-{number}")))
            .filter(|id| !lines.contains_key(id))
            .collect();
        assert!(missing.is_empty() && lines.len() == CLIENTS * REQUESTS, "{}: {missing:?}", missing.len());
    });
}

#[test]
fn what_sites_took_by_day_outlives_restarts_and_names_who_does_not_answer() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], vec![b'x'; 1_000])).await;
        let network = Network::new(235, origin.address, "");
        let report = |more: &[&str]| {
            let dir = network.dir.path().to_str().unwrap();
            let output = Command::new(HITHER).args(["-C", dir, "report"]).args(more).output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let told = |row: &str| {
            tokio::task::block_in_place(|| {
                wait_for(Duration::from_secs(5), "it is told", || {
                    let (code, csv, errors) = report(&["--site", "shop"]);
                    let names = "day,site,edge_count,requests,bytes_out,bytes_in,hits,hit_ratio,byte_offload\n";
                    let row_there = csv.strip_prefix(names).and_then(|rows| rows.trim_end().split_once(','));
                    let is_there = row_there.is_some_and(|(_, rest)| rest == row);
                    if code == Some(0) && is_there { Ok(()) } else { Err(format!("{code:?} {csv} {errors}")) }
                });
            });
        };
        let node = network.start("one-1");
        for _ in 0..4 {
            assert_eq!(get(network.edge, "/page", &[]).await.unwrap().body.len(), 1_000);
        }
        told("shop,1,4,4000,1000,3,0.7500,0.7500");
        tokio::task::block_in_place(|| end(node));
        let files = fs::read_dir(network.path(".state/one-1/report")).unwrap().count();
        // A day, and the lock.
        assert!(files >= 2, "{files}");
        let node = network.start("one-1");
        get(network.edge, "/page", &[]).await.unwrap();
        told("shop,1,5,5000,2000,3,0.6000,0.6000");
        let json: serde_json::Value = serde_json::from_str(&report(&["--json"]).1).unwrap();
        assert_eq!((&json["complete"], &json["rows"][0]["bytes_in"]), (&true.into(), &2_000.into()), "{json}");
        let none = report(&["--from", "2001-01-01", "--to", "2001-12-31"]).1;
        assert_eq!(none.lines().count(), 1, "{none}");
        let wrong = report(&["--from", "monday"]);
        assert!(wrong.0 == Some(1) && wrong.2.contains("`monday` is no day"), "{wrong:?}");
        tokio::task::block_in_place(|| drop(node));
        let (code, csv, errors) = report(&[]);
        assert_eq!((code, csv.lines().count()), (Some(3), 1), "{csv}{errors}");
        assert!(errors.contains("one-1 (") && errors.contains("did not answer"), "{errors}");
    });
}

/// Changes `[log]` of an edge that runs and writes `combined`.
fn a_change_is_taken_while_the_edge_runs(network: &Network, pid: u32) {
    let [text, json] = ["requests.log", "requests.jsonl"].map(|name| network.path(".state/one-1").join(name));
    let mut connection = connect(network.edge);
    let mut asked = |number: usize| {
        let head = ask(&mut connection, &format!("/page?n={number}"), &[]);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    };
    // A line of each number from the first on, at the end of the file.
    let has = |path: &Path, lines: &[&str]| {
        wait_for(Duration::from_secs(5), "its lines are there", || {
            let text = fs::read_to_string(path).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(lines.len()).collect();
            let fits = last.iter().rev().zip(lines).filter(|(line, part)| line.contains(**part)).count();
            if fits == lines.len() { Ok(()) } else { Err(format!("{}: {text}", path.display())) }
        });
    };
    let loaded = |what: &str, change: &dyn Fn()| {
        let loads = || network.log("one-1").matches("config loaded").count();
        let before = loads();
        change();
        wait_for(Duration::from_secs(5), what, || if loads() > before { Ok(()) } else { Err(network.log("one-1")) });
    };
    let changed = |from: &str, to: &str| {
        assert!(fs::read_to_string(network.path("hither.toml")).unwrap().contains(from));
        loaded(to, &|| network.edit(|text| text.replace(from, to)));
    };
    asked(1);
    changed("\"combined\"", "'${query} ${status}'");
    asked(2);
    has(&text, &["GET /page?n=1 HTTP/1.1", "n=2 200"]);

    // A file that cannot be opened leaves the log as it was, and the next reload tries it again.
    fs::create_dir(&json).unwrap();
    changed("'${query} ${status}'", "\"json\"");
    asked(3);
    has(&text, &["n=2 200", "n=3 200"]);
    let refused = format!("cannot log to {}: ", json.display());
    let (status, _) = network.hither(&["status"]);
    assert!(
        status.contains(&format!("one-1 refused the newest config: all else of it is taken, but {refused}")),
        "{status}"
    );
    let log = network.log("one-1");
    assert!(log.contains("log refused; all else is taken") && log.contains(&refused), "{log}");
    fs::remove_dir(&json).unwrap();
    loaded("SIGHUP tries it again", &|| signal(pid, Signal::SIGHUP));
    asked(4);
    has(&json, &["\"client\":\"127.0.0.1\""]);
    let (status, _) = network.hither(&["status"]);
    assert!(!status.contains("refused the newest config"), "{status}");

    changed("clients = \"full\"", "requests = false");
    asked(5);
    changed("requests = false", "clients = \"none\"");
    asked(6);
    has(&json, &["/page?n=4", "/page?n=6"]);
    let (text, json) = (fs::read_to_string(&text).unwrap(), fs::read_to_string(&json).unwrap());
    assert!(text.ends_with("n=3 200\n") && !json.contains("n=5"), "{text}{json}");
    assert!(json.lines().last().is_some_and(|line| !line.contains("\"client\"")), "{json}");
}

#[test]
fn figures_of_a_killed_edge_are_there_but_for_the_last_minute() {
    if std::env::var_os("HITHER_FULL").is_none() {
        // It takes that minute.
        return;
    }
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], "page")).await;
        let network = Network::new(77, origin.address, "");
        let node = network.start("one-1");
        for _ in 0..4 {
            get(network.edge, "/page", &[]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(62)).await;
        get(network.edge, "/page", &[]).await.unwrap();
        tokio::task::block_in_place(|| {
            signal(node.0.id(), Signal::SIGKILL);
            drop(node);
            let _node = network.start("one-1");
            wait_for(Duration::from_secs(5), "it is told", || {
                let (said, code) = network.hither(&["report", "--site", "shop", "--from", "2001-01-01"]);
                // Midnight may have been within it.
                let rows = said.lines().skip(1).filter_map(|row| row.split(',').nth(3)?.parse::<u64>().ok());
                let requests: u64 = rows.sum();
                if code == 0 && (4..=5).contains(&requests) { Ok(()) } else { Err(said) }
            });
        });
    });
}

#[test]
fn a_config_whose_log_is_refused_becomes_the_last_good_one() {
    if std::env::var_os("HITHER_FULL").is_none() {
        // It takes two minutes.
        return;
    }
    let network = Network::new(242, ([127, 0, 0, 1], 9).into(), "");
    let _node = network.start("one-1");
    let kept = |what: &str| {
        wait_for(Duration::from_secs(130), what, || {
            let kept = fs::read_to_string(network.path(".state/one-1/last-good/hither.toml")).unwrap_or_default();
            if kept.contains(what) { Ok(()) } else { Err(kept) }
        });
    };
    kept("cdn.example");
    fs::create_dir(network.path(".state/one-1/requests.log")).unwrap();
    log(&network, "format = \"combined\"");
    kept("combined");
    let (status, _) = network.hither(&["status"]);
    assert!(status.contains("all else of it is taken, but cannot log to "), "{status}");
}

#[test]
fn bytes_of_a_long_body_are_counted_while_they_leave() {
    // More than kernels hold for a connection.
    const LENGTH: usize = 64 << 20;
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[], vec![b'x'; LENGTH])).await;
        let network = Network::new(49, origin.address, "");
        let _node = network.start("one-1");
        let mut stream = TcpStream::connect(network.edge).unwrap();
        stream.write_all(b"GET /long HTTP/1.1\r\nHost: www.shop.example\r\n\r\n").unwrap();
        tokio::task::block_in_place(|| {
            stream.read_exact(&mut vec![0; 4 << 20]).unwrap();
            // It takes no more, and does not go.
            let (bytes, _) = wait_for(Duration::from_secs(5), "what it has taken is told", || {
                let (said, _) = network.hither(&["report", "--site", "shop"]);
                let told = said.lines().nth(1).and_then(|row| row.split(',').nth(4)?.parse::<usize>().ok());
                told.filter(|bytes| *bytes > 2 << 20).ok_or(said)
            });
            assert!(bytes < LENGTH, "{bytes}: the kernel has taken all of it, and the test tells nothing");
        });
    });
}

#[test]
fn lines_that_others_read_hold_hostile_clients_and_a_log_that_fails_costs_no_request() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], "page")).await;
        let network = Network::new(236, origin.address, "");
        log(&network, "format = \"combined\"\nclients = \"full\"");
        let node = network.start("one-1");
        let (edge, path) = (network.edge, network.path(".state/one-1/requests.log"));
        let hostile: &[u8] = b"User-Agent: a\" 200 9 \"\\x\t\xff";
        let asked = move || {
            let mut connection = connect(edge);
            // The second is answered at once.
            for _ in 0..2 {
                let head = ask(&mut connection, "/page?q=1", &[hostile, b"Referer: http://a.example/"]);
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            }
        };
        let lines_there = |count: usize| {
            tokio::task::block_in_place(|| {
                let (lines, _) = wait_for(Duration::from_secs(5), "the lines are there", || {
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    if text.lines().count() >= count { Ok(text) } else { Err(text) }
                });
                lines
            })
        };
        tokio::task::block_in_place(asked);
        let text = lines_there(2);
        for line in text.lines() {
            let (before, after) = line.split_once(" [").unwrap();
            assert_eq!(before, "127.0.0.1 - -", "{line}");
            let (time, rest) = after.split_once("] ").unwrap();
            assert!(time.ends_with(" +0000") && time.matches(['/', ':']).count() == 5, "{line}");
            let expected = r#""GET /page?q=1 HTTP/1.1" 200 4 "http://a.example/" "a\x22 200 9 \x22\x5Cx\x09\xFF""#;
            assert_eq!(rest, expected, "{line}");
        }
        // Where the file cannot be written, an alarm rises, and clients notice nothing.
        fs::rename(&path, network.path("rotated")).unwrap();
        fs::create_dir(&path).unwrap();
        tokio::task::block_in_place(asked);
        let admin = SocketAddr::from(([127, 0, 2, 236], 9400));
        let start = std::time::Instant::now();
        while metrics(admin).await.get("hither_log_dropped_total{log=\"requests\"}") != Some(&2.0) {
            assert!(start.elapsed() < Duration::from_secs(5), "{}", network.log("one-1"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(network.log("one-1").matches("a log cannot be written: lines are lost").count(), 1);
        fs::remove_dir(&path).unwrap();
        tokio::task::block_in_place(asked);
        assert_eq!(lines_there(2).lines().count(), 2);
        tokio::task::block_in_place(|| a_change_is_taken_while_the_edge_runs(&network, node.0.id()));
    });
}
