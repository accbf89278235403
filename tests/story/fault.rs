//! Origins that fail, and what clients get then. Bodies are checked whole: wrong bytes are never served.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Network, Origin, get, reply};

/// An origin that answers each connection with the next of these bytes, and closes. `None` hangs.
fn raw_origin(answers: Vec<Option<Vec<u8>>>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut hung = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let _ = std::io::Read::read(&mut stream, &mut [0; 8192]);
            match answers.get(number.min(answers.len() - 1)).unwrap() {
                Some(bytes) => drop(stream.write_all(bytes)),
                None => hung.push(stream),
            }
        }
    });
    (address, count)
}

fn answer(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const WHOLE: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=1\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

#[test]
fn a_cut_body_is_cut_for_the_client_and_never_stored() {
    let cut = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 50\r\n\r\nhello";
    let cut_chunks = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (number, broken) in [(30, cut), (31, cut_chunks)] {
        let (origin, count) = raw_origin(vec![answer(broken), answer(broken), answer(WHOLE)]);
        let network = Network::new(number, origin, "");
        let _edge = network.start("one-1");
        runtime().block_on(async {
            for _ in 0..2 {
                let got = get(network.edge, "/", &[]).await;
                assert!(got.is_err(), "a clean end of a cut body: {got:?}");
            }
            assert_eq!(get(network.edge, "/", &[]).await.unwrap().body, "hello");
        });
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn without_its_origin_the_edge_serves_stale_and_else_says_why() {
    let (origin, _) = raw_origin(vec![answer(WHOLE), answer("")]);
    let network = Network::new(32, origin, "");
    let _edge = network.start("one-1");
    runtime().block_on(async {
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().body, "hello");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let stale = get(network.edge, "/", &[]).await.unwrap();
        assert_eq!((stale.status.as_u16(), stale.body.as_ref()), (200, &b"hello"[..]));
        assert!(
            stale.is("fwd=stale") && stale.is("detail=\"connection_terminated\""),
            "{}",
            stale.header("cache-status")
        );
        let other = get(network.edge, "/other", &[]).await.unwrap();
        assert_eq!(other.status.as_u16(), 502);
        assert_eq!(other.header("proxy-status"), "one-1; error=connection_terminated");
    });
}

#[test]
fn an_origin_that_is_not_there_or_not_allowed_is_a_502_with_its_name() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let network = Network::new(33, free, "");
    let _edge = network.start("one-1");
    runtime().block_on(async {
        let refused = get(network.edge, "/", &[]).await.unwrap();
        assert_eq!(
            (refused.status.as_u16(), refused.header("proxy-status").as_str()),
            (502, "one-1; error=connection_refused")
        );
    });
    let site = std::fs::read_to_string(network.path("sites/shop.toml")).unwrap();
    std::fs::write(network.path("sites/shop.toml"), site.replace("allow_private = true", "")).unwrap();
    runtime().block_on(async {
        let start = Instant::now();
        loop {
            let got = get(network.edge, "/", &[]).await.unwrap();
            if got.header("proxy-status") == "one-1; error=destination_ip_prohibited" {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(3), "{}", got.header("proxy-status"));
        }
    });
}

#[test]
fn ambiguous_or_broken_requests_are_refused_and_closed() {
    let (origin, count) = raw_origin(vec![answer(WHOLE)]);
    let network = Network::new(34, origin, "");
    let _edge = network.start("one-1");
    let coded = |coding: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: www.shop.example\r\n{coding}\r\n\r\n1\r\na\r\n0\r\n\r\nGET /next HTTP/1.1\r\n"
        )
    };
    let long = format!("GET /{} HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n", "a".repeat(9_000));
    let twice = "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked";
    for (what, request, status) in [
        ("another coding", coded("Transfer-Encoding: gzip, chunked").as_str(), "501"),
        ("chunked twice", &coded("Transfer-Encoding: chunked, chunked"), "501"),
        ("two lines of codings", &coded(twice), "501"),
        ("a long target", &long, "414"),
        ("not HTTP", "hello\r\n\r\n", "400"),
        ("no Host", "GET / HTTP/1.1\r\n\r\n", "400"),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: www.shop.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "400",
        ),
        ("a length that is none", "POST / HTTP/1.1\r\nHost: www.shop.example\r\nContent-Length: -1\r\n\r\n", "400"),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost : www.shop.example\r\n\r\n", "400"),
    ] {
        let mut stream = std::net::TcpStream::connect(network.edge).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        let closed = std::io::Read::read_to_string(&mut stream, &mut said);
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")) && closed.is_ok(), "{what}: {said:?} {closed:?}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "the origin saw none of them");
}

#[test]
fn a_fetch_that_nobody_waits_for_ends_before_its_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let network = Network::new(38, silent.local_addr().unwrap(), "");
    let _edge = network.start("one-1");
    let ask = |path: &str| {
        let mut client = std::net::TcpStream::connect(network.edge).unwrap();
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: www.shop.example\r\n\r\n").as_bytes()).unwrap();
        client
    };
    // How long the origin's connection lives on.
    let ends = |mut stream: std::net::TcpStream| {
        let start = Instant::now();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let closed = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
        closed.map(|_| start.elapsed())
    };
    let alone = ask("/alone");
    let (fetch, _) = silent.accept().unwrap();
    drop(alone);
    let lived = ends(fetch).expect("it ends");
    assert!(lived < Duration::from_secs(4), "{lived:?}");

    let (leader, follower) = (ask("/shared"), {
        std::thread::sleep(Duration::from_millis(300));
        ask("/shared")
    });
    let (fetch, _) = silent.accept().unwrap();
    drop(leader);
    std::thread::sleep(Duration::from_secs(3));
    fetch.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while std::io::Read::read(&mut &fetch, &mut buffer).is_ok_and(|bytes| bytes > 0) {}
    let still = std::io::Read::read(&mut &fetch, &mut buffer).expect_err("it goes on for the follower");
    assert_eq!(still.kind(), std::io::ErrorKind::WouldBlock);
    drop(follower);
}

#[test]
fn a_rule_stores_nothing_by_a_path_that_may_be_another() {
    runtime().block_on(async {
        let origin = Origin::start(|number, _| reply(200, &[], number.to_string())).await;
        let rules =
            "[[rule]]\npath = \"/assets/**\"\nttl = \"30d\"\n[[rule]]\npath = \"/admin/**\"\nredirect = \"/login\"";
        let network = Network::new(39, origin.address, rules);
        let _edge = network.start("one-1");
        for path in ["/assets/../account", "/assets/%2e%2e/account", "/assets/x/..%2F..%2Faccount"] {
            let got = get(network.edge, path, &[]).await.unwrap();
            assert!(!got.is("stored"), "{path}: {}", got.header("cache-status"));
        }
        assert!(get(network.edge, "/assets/a.css", &[]).await.unwrap().is("stored"));
        assert_eq!(get(network.edge, "/%61dmin/x", &[]).await.unwrap().status.as_u16(), 302);
    });
}

#[test]
fn a_response_framed_in_two_ways_or_unasked_for_is_a_502() {
    let answers = [
        (
            "http_protocol_error",
            "200 OK",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        ),
        ("http_response_transfer_coding", "200 OK", "transfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        ("http_protocol_error", "101 Switching Protocols", "upgrade: x\r\nconnection: upgrade\r\n\r\n"),
        ("http_protocol_error", "304 Not Modified", "etag: \"a\"\r\n\r\n"),
        ("http_protocol_error", "206 Partial Content", "content-range: bytes 0-2/3\r\ncontent-length: 3\r\n\r\nabc"),
    ];
    let texts =
        answers.map(|(_, status, rest)| answer(&format!("HTTP/1.1 {status}\r\ncache-control: max-age=60\r\n{rest}")));
    let (origin, _) = raw_origin(texts.to_vec());
    let network = Network::new(35, origin, "");
    let _edge = network.start("one-1");
    runtime().block_on(async {
        for (error, status, _) in answers {
            let got = get(network.edge, "/", &[]).await.unwrap();
            assert_eq!(got.status.as_u16(), 502, "{status}");
            assert_eq!(got.header("proxy-status"), format!("one-1; error={error}"), "{status}");
        }
    });
}

#[test]
fn no_host_and_no_hop_by_hop_field_leads_to_anothers_object() {
    let echo = |number: usize, request: http::Request<hyper::body::Incoming>| {
        let tenant = request.headers().get("x-tenant").map_or("none", |value| value.to_str().unwrap()).to_owned();
        let host = request.headers().get("host").map_or("none", |value| value.to_str().unwrap()).to_owned();
        reply(200, &[("cache-control", "max-age=60"), ("vary", "X-Tenant")], format!("{number} {host} {tenant}"))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let origin = Origin::start(echo).await;
        let network = Network::new(36, origin.address, "");
        let site = std::fs::read_to_string(network.path("sites/shop.toml")).unwrap();
        let hosts = r#"["www.shop.example", "*.img.shop.example"]"#;
        std::fs::write(network.path("sites/shop.toml"), site.replace(r#"["www.shop.example"]"#, hosts)).unwrap();
        let _edge = network.start("one-1");
        for host in [
            "v.img.shop.example/a?u=.img.shop.example",
            "a b.img.shop.example",
            "\"x.img.shop.example",
            "[[www.shop.example",
        ] {
            let got = get(network.edge, "/evil", &[("host", host)]).await.unwrap();
            assert_eq!(got.status.as_u16(), 400, "{host}");
        }
        assert_eq!(origin.requests(), 0);
        let odd = get(network.edge, "/", &[("host", "WWW.shop.example:")]).await.unwrap();
        assert_eq!(odd.body, "1 www.shop.example none", "the origin sees the host of the key");
        assert!(get(network.edge, "/", &[]).await.unwrap().is("hit"));
        let attack = [("x-tenant", "gold"), ("connection", "x-tenant")];
        assert!(get(network.edge, "/", &attack).await.unwrap().is("hit"), "the origin would not see the field");
        assert_eq!(get(network.edge, "/", &[("x-tenant", "gold")]).await.unwrap().body, "2 www.shop.example gold");
    });
}

#[test]
fn a_client_cannot_strip_a_key_of_what_it_falls_back_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let origin = Origin::start(|_, request| {
            let fields = [("cache-control", "max-age=1, stale-if-error=600"), ("etag", "\"a\"")];
            match request.headers().get("x-mode").map(http::HeaderValue::as_bytes) {
                Some(b"401") => reply(401, &[], ""),
                Some(b"503") => reply(503, &[], ""),
                _ if request.headers().contains_key("if-none-match") => reply(304, &fields, ""),
                _ => reply(200, &fields, "good"),
            }
        })
        .await;
        let network = Network::new(37, origin.address, "");
        let _edge = network.start("one-1");
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().body, "good");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let refused = get(network.edge, "/", &[("authorization", "x"), ("x-mode", "401")]).await.unwrap();
        assert_eq!(refused.status.as_u16(), 401);
        assert_eq!(get(network.edge, "/", &[("cache-control", "no-store")]).await.unwrap().body, "good");
        let outage = get(network.edge, "/", &[("x-mode", "503")]).await.unwrap();
        assert_eq!(
            (outage.status.as_u16(), outage.body.as_ref()),
            (200, &b"good"[..]),
            "{}",
            outage.header("cache-status")
        );
    });
}
