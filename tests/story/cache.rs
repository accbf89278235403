//! An origin that…, an edge that…, a client who…: what is stored, shared, renewed and cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};

use crate::support::{Network, Origin, OriginBody, get, metrics, reply, resident, runtime, send};

fn pause(millis: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_millis(millis))
}

#[test]
fn a_miss_then_hits_with_age_and_the_origin_sees_one_clean_request() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| {
            reply(
                200,
                &[("cache-control", "max-age=60"), ("connection", "x-hop"), ("x-hop", "1"), ("x-kept", "2")],
                "hello",
            )
        })
        .await;
        let network = Network::new(11, origin.address, "");
        let _edge = network.start("one-1");
        let spoofed =
            [("x-forwarded-for", "1.1.1.1"), ("x-original-url", "/admin"), ("proxy", "http://evil"), ("te", "gzip")];
        let miss = get(network.edge, "/a?b=1", &spoofed).await.unwrap();
        assert!(miss.is("fwd=uri-miss") && miss.is("stored"), "{}", miss.header("cache-status"));
        let asked = origin.last();
        assert_eq!(asked["x-forwarded-for"], "127.0.0.1");
        assert_eq!(asked["host"], "www.shop.example");
        assert_eq!(asked["cdn-loop"], "cdn.example");
        assert!(asked.contains_key("via"));
        for gone in ["x-original-url", "proxy", "te"] {
            assert!(!asked.contains_key(gone), "{gone}");
        }
        pause(1_100).await;
        let hit = get(network.edge, "/a?b=1", &[]).await.unwrap();
        assert!(hit.is("hit"));
        assert_eq!(hit.header("age"), "1");
        assert_eq!((hit.header("x-hop"), hit.header("x-kept")), (String::new(), "2".to_owned()));
        assert_eq!(origin.requests(), 1);
        assert!(get(network.edge, "/a?b=2", &[]).await.unwrap().is("fwd=uri-miss"), "the query is part of the key");
        let head = send(network.edge, "HEAD", "/a?b=1", &[]).await.unwrap();
        assert!(head.is("hit") && head.body.is_empty() && head.header("content-length") == "5");
    });
}

#[test]
fn hosts_loops_and_methods_are_refused_where_they_must_be() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[], "x")).await;
        let network = Network::new(12, origin.address, "[[rule]]\npath = \"/old/**\"\nredirect = \"https://new.example/\"");
        let _edge = network.start("one-1");
        let status = |method: &'static str, path: &'static str, fields: &'static [(&'static str, &'static str)]| async move {
            send(network.edge, method, path, fields).await.unwrap().status.as_u16()
        };
        assert_eq!(status("GET", "/", &[("host", "other.example")]).await, 421);
        assert_eq!(status("GET", "/", &[("host", "shop.cdn.example:8100")]).await, 200);
        assert_eq!(status("GET", "/", &[("cdn-loop", "cdn.example")]).await, 508);
        let refused = send(network.edge, "TRACE", "/", &[]).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.header("allow").contains("GET")), (405, true));
        assert_eq!(status("PURGE", "/", &[]).await, 405);
        assert_eq!(status("GET", "/", &[("host", "a.example"), ("host", "b.example")]).await, 400);
        assert_eq!(status("GET", "/old/page", &[]).await, 302);
        assert_eq!(status("GET", "/.hither/health", &[("host", "anything.example")]).await, 200);
        assert_eq!(status("GET", "/.hither/other", &[]).await, 404);
        assert_eq!(status("GET", "/x", &[("cache-control", "only-if-cached")]).await, 504);
    });
}

#[test]
fn variants_are_kept_apart_and_each_is_fetched_once() {
    runtime().block_on(async {
        let origin = Origin::start(|_, request| {
            let language = request.headers().get("x-color").map_or("none", |value| value.to_str().unwrap()).to_owned();
            reply(200, &[("cache-control", "max-age=60"), ("vary", "X-Color")], language)
        })
        .await;
        let network = Network::new(13, origin.address, "");
        let _edge = network.start("one-1");
        for round in 0..2 {
            for color in ["red", "green", "blue"] {
                let got = get(network.edge, "/", &[("x-color", color)]).await.unwrap();
                assert_eq!(got.body, color);
                assert_eq!(got.is("hit"), round == 1, "{color} {round}");
            }
        }
        assert_eq!(origin.requests(), 3);
    });
}

#[test]
fn stale_is_validated_and_a_304_renews_it() {
    runtime().block_on(async {
        let origin = Origin::start(|number, request| {
            let fields = [("cache-control", "max-age=1"), ("etag", "\"v1\""), ("x-number", &number.to_string())];
            match request.headers().get("if-none-match") {
                Some(tag) if tag == "\"v1\"" => reply(304, &fields, ""),
                _ => reply(200, &fields, "body"),
            }
        })
        .await;
        let network = Network::new(14, origin.address, "");
        let _edge = network.start("one-1");
        assert!(get(network.edge, "/", &[]).await.unwrap().is("fwd=uri-miss"));
        pause(1_200).await;
        let renewed = get(network.edge, "/", &[]).await.unwrap();
        assert!(renewed.is("fwd=stale") && renewed.is("fwd-status=304"), "{}", renewed.header("cache-status"));
        assert_eq!((renewed.body.as_ref(), renewed.header("x-number")), (&b"body"[..], "2".to_owned()));
        assert!(get(network.edge, "/", &[]).await.unwrap().is("hit"));
        assert_eq!(origin.requests(), 2);
        let unchanged = get(network.edge, "/", &[("if-none-match", "W/\"v1\"")]).await.unwrap();
        assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    });
}

#[test]
fn a_cookie_in_a_304_is_for_its_asker_alone() {
    runtime().block_on(async {
        let origin = Origin::start(|number, request| {
            std::thread::sleep(Duration::from_millis(100));
            match request.headers().get("if-none-match") {
                Some(_) => reply(304, &[("etag", "\"v1\""), ("set-cookie", &format!("id={number}"))], ""),
                None => reply(200, &[("cache-control", "max-age=1"), ("etag", "\"v1\"")], "body"),
            }
        })
        .await;
        let network = Network::new(23, origin.address, "");
        let _edge = network.start("one-1");
        get(network.edge, "/", &[]).await.unwrap();
        pause(1_100).await;
        let edge = network.edge;
        let clients: Vec<_> = (0..5).map(|_| tokio::spawn(async move { get(edge, "/", &[]).await })).collect();
        let mut cookies = Vec::new();
        for client in clients {
            let got = client.await.unwrap().unwrap();
            assert_eq!(got.body, "body");
            cookies.push(got.header("set-cookie"));
        }
        cookies.retain(|cookie| !cookie.is_empty());
        let all = cookies.len();
        cookies.sort();
        cookies.dedup();
        assert_eq!(cookies.len(), all, "no two clients have the same cookie");
    });
}

#[test]
fn what_must_be_validated_at_every_use_is_and_stays_stored() {
    runtime().block_on(async {
        let origin = Origin::start(|_, request| {
            let fields = [("cache-control", "no-cache"), ("etag", "\"v1\"")];
            match request.headers().get("if-none-match") {
                Some(_) => reply(304, &fields, ""),
                None => reply(200, &fields, "body"),
            }
        })
        .await;
        let network = Network::new(22, origin.address, "");
        let _edge = network.start("one-1");
        assert!(get(network.edge, "/", &[]).await.unwrap().is("stored"));
        for request in 2..5 {
            let got = get(network.edge, "/", &[]).await.unwrap();
            assert_eq!((got.status.as_u16(), got.body.as_ref()), (200, &b"body"[..]));
            assert!(got.is("fwd=stale") && got.is("fwd-status=304"), "{}", got.header("cache-status"));
            assert_eq!(origin.requests(), request);
        }
    });
}

#[test]
fn ranges_are_cut_from_what_is_stored() {
    runtime().block_on(async {
        let origin =
            Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60"), ("etag", "\"r\"")], "0123456789")).await;
        let network = Network::new(15, origin.address, "");
        let _edge = network.start("one-1");
        let part = get(network.edge, "/", &[("range", "bytes=2-4")]).await.unwrap();
        assert_eq!((part.status.as_u16(), part.body.as_ref()), (206, &b"234"[..]), "also on a miss");
        for (range, status, body, content_range) in [
            ("bytes=0-0", 206, "0", "bytes 0-0/10"),
            ("bytes=7-", 206, "789", "bytes 7-9/10"),
            ("bytes=-2", 206, "89", "bytes 8-9/10"),
            ("bytes=20-", 416, "", "bytes */10"),
            ("bytes=1-2,4-5", 200, "0123456789", ""),
            ("lines=1-2", 200, "0123456789", ""),
        ] {
            let got = get(network.edge, "/", &[("range", range)]).await.unwrap();
            let found =
                (got.status.as_u16(), String::from_utf8_lossy(&got.body).into_owned(), got.header("content-range"));
            assert_eq!(found, (status, body.to_owned(), content_range.to_owned()), "{range}");
        }
        let other = get(network.edge, "/", &[("range", "bytes=0-0"), ("if-range", "\"old\"")]).await.unwrap();
        assert_eq!(other.status.as_u16(), 200);
        assert_eq!(origin.requests(), 1);
    });
}

#[test]
fn grace_serves_stale_while_one_refresh_runs() {
    runtime().block_on(async {
        let renewed = Arc::new(AtomicBool::new(false));
        let may_answer = Arc::clone(&renewed);
        let origin = Origin::start(move |number, _| {
            while number > 1 && !may_answer.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            reply(200, &[("cache-control", "max-age=1, stale-while-revalidate=30")], number.to_string())
        })
        .await;
        let network = Network::new(16, origin.address, "");
        let _edge = network.start("one-1");
        get(network.edge, "/", &[]).await.unwrap();
        pause(1_100).await;
        for _ in 0..20 {
            let stale = get(network.edge, "/", &[]).await.unwrap();
            assert_eq!(stale.body, "1");
            assert!(stale.is("hit"), "{}", stale.header("cache-status"));
        }
        renewed.store(true, Ordering::Relaxed);
        let start = std::time::Instant::now();
        while get(network.edge, "/", &[]).await.unwrap().body != "2" {
            assert!(start.elapsed() < Duration::from_secs(5), "renewed");
        }
        assert_eq!(origin.requests(), 2);
    });
}

#[test]
fn what_may_not_be_shared_is_not_and_does_not_queue() {
    runtime().block_on(async {
        let origin = Origin::start(|number, _| {
            std::thread::sleep(Duration::from_millis(50));
            let cookie = format!("id={number}");
            let fields = [("cache-control", "max-age=60"), ("set-cookie", cookie.as_str())];
            reply(200, if number <= 20 { &fields } else { &fields[..1] }, number.to_string())
        })
        .await;
        let network = Network::new(17, origin.address, "");
        let _edge = network.start("one-1");
        let edge = network.edge;
        let clients: Vec<_> = (0..20).map(|_| tokio::spawn(async move { get(edge, "/", &[]).await })).collect();
        let mut seen = std::collections::BTreeSet::new();
        for client in clients {
            let got = client.await.unwrap().unwrap();
            assert_eq!(format!("id={}", String::from_utf8_lossy(&got.body)), got.header("set-cookie"));
            seen.insert(got.header("set-cookie"));
        }
        assert_eq!(seen.len(), 20, "everyone has a cookie of their own");
        // The key is remembered, but what may be stored by now is stored.
        assert!(get(edge, "/", &[]).await.unwrap().is("stored"));
        assert!(get(edge, "/", &[]).await.unwrap().is("hit"));
    });
}

#[test]
fn a_change_at_the_origin_empties_the_key() {
    runtime().block_on(async {
        let origin =
            Origin::start(|number, _| reply(200, &[("cache-control", "max-age=60")], number.to_string())).await;
        let network = Network::new(18, origin.address, "");
        let _edge = network.start("one-1");
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().body, "1");
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().body, "1");
        assert_eq!(send(network.edge, "POST", "/", &[]).await.unwrap().body, "2");
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().body, "3");
    });
}

#[test]
fn rules_fill_in_force_and_edit() {
    runtime().block_on(async {
        let origin = Origin::start(|number, request| {
            let (status, control) = match request.uri().path() {
                "/kept/private" => (200, "private"),
                "/kept/error" => (500, ""),
                path if path.starts_with("/forced") => (200, "no-store"),
                _ => (200, ""),
            };
            reply(status, &[("cache-control", control), ("server", "secret"), ("content-type", "text/plain")], number.to_string())
        })
        .await;
        let rules = "[[rule]]\npath = \"/kept/**\"\nttl = \"1m\"\nbrowser_ttl = \"5s\"\nheaders = { set = { X-Site = \"shop\" }, remove = [\"Server\"] }\n\
                     [[rule]]\npath = \"/forced/**\"\nforce = { ttl = \"1m\" }\n";
        let network = Network::new(19, origin.address, rules);
        let _edge = network.start("one-1");
        get(network.edge, "/kept/a", &[]).await.unwrap();
        let kept = get(network.edge, "/kept/a", &[]).await.unwrap();
        assert!(kept.is("hit"), "{}", kept.header("cache-status"));
        let edited = (kept.header("cache-control"), kept.header("x-site"), kept.header("server"));
        assert_eq!(edited, ("max-age=5".to_owned(), "shop".to_owned(), String::new()));
        let private = get(network.edge, "/kept/private", &[]).await.unwrap();
        assert_eq!(private.header("cache-control"), "private", "what is private stays so");
        assert_eq!(get(network.edge, "/kept/error", &[]).await.unwrap().header("cache-control"), "", "and errors short");
        get(network.edge, "/forced/a", &[]).await.unwrap();
        assert!(get(network.edge, "/forced/a", &[]).await.unwrap().is("hit"));
        get(network.edge, "/plain", &[]).await.unwrap();
        assert!(!get(network.edge, "/plain", &[]).await.unwrap().is("hit"), "no freshness, no reuse");
    });
}

#[test]
fn a_gigabyte_passes_through_and_never_sits_in_memory() {
    runtime().block_on(async {
        const PIECE: usize = 64 << 10;
        let pieces = if std::env::var_os("HITHER_FULL").is_some() { 16 << 10 } else { 4 << 10 };
        let origin = Origin::start(move |_, _| {
            let stream =
                futures_util::stream::iter((0..pieces).map(|_| Ok(Frame::data(Bytes::from_static(&[7; PIECE])))));
            let body: OriginBody = StreamBody::new(stream).boxed_unsync();
            let length = (pieces * PIECE).to_string();
            http::Response::builder()
                .header("cache-control", "max-age=60")
                .header("content-length", length)
                .body(body)
                .unwrap()
        })
        .await;
        let network = Network::new(20, origin.address, "");
        let edge = network.start("one-1");
        let before = resident(edge.0.id());
        let most = Arc::new(AtomicUsize::new(0));
        let (watched, pid) = (Arc::clone(&most), edge.0.id());
        let watching = tokio::spawn(async move {
            loop {
                watched.fetch_max(usize::try_from(resident(pid)).unwrap(), Ordering::Relaxed);
                pause(20).await;
            }
        });
        let address = network.edge;
        let clients: Vec<_> = (0..4).map(|_| tokio::spawn(read_away(address))).collect();
        for client in clients {
            assert_eq!(client.await.unwrap(), pieces * PIECE);
        }
        watching.abort();
        let grown = most.load(Ordering::Relaxed).saturating_sub(usize::try_from(before).unwrap());
        println!("{} MiB to 4 clients: resident memory grew {} MiB", (pieces * PIECE) >> 20, grown >> 20);
        assert!(grown < 96 << 20, "{} MiB", grown >> 20);
    });
}

#[test]
fn what_is_stored_takes_what_is_counted() {
    runtime().block_on(async {
        // Heads are read into buffers that grow with large bodies, which come between.
        let origin = Origin::start(|_, request| {
            let fields = [("cache-control", "max-age=600"), ("x-request", "0123456789")];
            if request.uri().path() == "/large" {
                reply(200, &[("cache-control", "no-store")], vec![0; 2_000_000])
            } else {
                reply(200, &fields, "x")
            }
        })
        .await;
        let network = Network::new(24, origin.address, "");
        let edge = network.start("one-1");
        let before = resident(edge.0.id());
        let clients = (0..8).map(|client| {
            let to = network.edge;
            tokio::spawn(async move {
                let stream = tokio::net::TcpStream::connect(to).await.unwrap();
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                for number in 0..2_000 {
                    let path = if number % 20 == 0 { "/large".to_owned() } else { format!("/?{client}-{number}") };
                    let request =
                        http::Request::get(path).header("host", "www.shop.example").body(Empty::<Bytes>::new());
                    // The end of a body may be here before its connection is ready for the next.
                    sender.ready().await.unwrap();
                    let response = sender.send_request(request.unwrap()).await.unwrap();
                    response.into_body().collect().await.unwrap();
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        let told = metrics(std::net::SocketAddr::from(([127, 0, 2, 24], 9400))).await;
        let (objects, counted) = (told["hither_store_objects"], told["hither_store_bytes"]);
        let grown = resident(edge.0.id()) - before;
        println!("{objects} objects, {counted} bytes counted, {grown} bytes grown");
        assert!(objects > 15_000.0, "{objects}");
        // Half as much again, and 24 MiB for connections and the allocator.
        assert!((grown as f64) < counted * 1.5 + f64::from(24 << 20), "{grown} for {counted}");
    });
}

/// Reads a body without keeping it, and returns its length.
async fn read_away(edge: std::net::SocketAddr) -> usize {
    let stream = tokio::net::TcpStream::connect(edge).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("/big").header("host", "www.shop.example");
    let mut body =
        sender.send_request(request.body(http_body_util::Empty::<Bytes>::new()).unwrap()).await.unwrap().into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    length
}

#[test]
fn an_edit_under_load_fails_no_request_and_a_bad_one_changes_nothing() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=1")], "x")).await;
        let network = Network::new(21, origin.address, "");
        let _edge = network.start("one-1");
        let (edge, stop) = (network.edge, Arc::new(AtomicBool::new(false)));
        let loads: Vec<_> = (0..8)
            .map(|_| {
                let stop = Arc::clone(&stop);
                tokio::spawn(async move {
                    let (mut good, mut bad) = (0, Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        match get(edge, "/", &[]).await {
                            Ok(got) if got.status.as_u16() == 200 => good += 1,
                            other => bad.push(format!("{other:?}")),
                        }
                    }
                    (good, bad)
                })
            })
            .collect();
        pause(300).await;
        network.write_site(origin.address, "[[rule]]\nheaders = { set = { X-Live = \"yes\" } }");
        let start = std::time::Instant::now();
        while get(edge, "/", &[]).await.unwrap().header("x-live") != "yes" {
            assert!(start.elapsed() < Duration::from_secs(2), "live in 2 s");
            pause(20).await;
        }
        println!("an edit was live after {:?}", start.elapsed());
        network.write_site(origin.address, "[[rule]]\nheders = { set = { X-Live = \"no\" } }");
        let admin = std::net::SocketAddr::new(edge.ip(), 9400);
        let refused = "hither_reloads_total{outcome=\"refused\"}";
        let start = std::time::Instant::now();
        while metrics(admin).await.get(refused).copied().unwrap_or(0.0) < 1.0 {
            assert!(start.elapsed() < Duration::from_secs(3), "counted");
            pause(50).await;
        }
        assert_eq!(get(edge, "/", &[]).await.unwrap().header("x-live"), "yes", "the one before stays");
        let log = network.log("one-1");
        assert!(log.contains("sites/shop.toml:6:1") && log.contains("did you mean `headers`?"), "{log}");
        stop.store(true, Ordering::Relaxed);
        let mut all = 0;
        for load in loads {
            let (good, bad) = load.await.unwrap();
            assert!(bad.is_empty(), "{bad:?}");
            all += good;
        }
        println!("{all} requests, none failed");
        assert!(all > 100);
    });
}
