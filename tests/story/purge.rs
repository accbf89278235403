//! What was purged is gone, and stays gone: for whoever asks next, for what is on its way, over a crash.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::support::{Network, Origin, OriginBody, Signal, get, metrics, reply, runtime, send, signal, wait_for};

/// An origin whose every answer is another, with tags after the path, as `/news/a` has `news` and `a`.
async fn counting() -> Origin {
    Origin::start(|number, request| {
        let tags = request.uri().path().trim_start_matches('/').replace('/', " ");
        let fields = [
            ("cache-control", "max-age=600, stale-while-revalidate=60"),
            ("surrogate-key", tags.as_str()),
            ("etag", "\"one\""),
            ("vary", "x-lang"),
        ];
        reply(200, &fields, format!("answer {number}"))
    })
    .await
}

/// `hither purge`: what it printed, errors too, and its code.
fn purge(network: &Network, args: &[&str]) -> (String, i32) {
    network.hither(&[&["purge"], args].concat())
}

async fn body(edge: SocketAddr, path: &str, lang: &str) -> String {
    let got = get(edge, path, &[("x-lang", lang)]).await.unwrap();
    String::from_utf8_lossy(&got.body).into_owned()
}

/// The edge's addresses of a story's number.
fn peer(network: &Network) -> SocketAddr {
    SocketAddr::new(network.edge.ip(), 8444)
}

#[test]
fn what_is_purged_is_fetched_anew_and_the_rest_stays() {
    runtime().block_on(async {
        let origin = counting().await;
        let network = Network::new(100, origin.address, "");
        let _edge = network.start("one-1");
        let all = [
            ("/news/a", "de"),
            ("/news/a", "en"),
            ("/news/a?b", "de"),
            ("/news/c", "de"),
            ("/newsroom", "de"),
            ("/x", "de"),
        ];
        // What each is before, by the number of the origin's answer, and after each purge.
        let mut before = Vec::new();
        for (path, lang) in all {
            before.push(body(network.edge, path, lang).await);
        }
        let table: [(&[&str], [bool; 6]); 7] = [
            (&["--url", "https://www.shop.example/news/a"], [true, true, false, false, false, false]),
            (&["--url", "http://www.shop.example/news/a?b"], [false, false, true, false, false, false]),
            (&["--prefix", "http://www.shop.example/news/"], [true, true, true, true, false, false]),
            (&["--tag", "news"], [true, true, true, true, false, false]),
            (&["--tag", "c", "--tag", "x"], [false, false, false, true, false, true]),
            (&["--site", "shop"], [true; 6]),
            (&["--tag", "nothing"], [false; 6]),
        ];
        for (position, (args, purged)) in (1..).zip(table) {
            let (text, code) = purge(&network, args);
            assert_eq!(code, 0, "{text}");
            assert!(text.contains("1 of 1 edges have acknowledged"), "{text}");
            let mut after = Vec::new();
            for (path, lang) in all {
                after.push(body(network.edge, path, lang).await);
            }
            let changed: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
            assert_eq!(changed, purged, "purge {position}: {args:?}");
            before = after;
        }
    });
}

#[test]
fn a_soft_purge_validates_and_serves_stale_meanwhile() {
    runtime().block_on(async {
        let origin = counting().await;
        let network = Network::new(101, origin.address, "");
        let _edge = network.start("one-1");
        let first = body(network.edge, "/a", "de").await;
        let (text, code) = purge(&network, &["--soft", "--url", "http://www.shop.example/a"]);
        assert_eq!(code, 0, "{text}");
        assert_eq!(body(network.edge, "/a", "de").await, first, "served in its grace");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(origin.last()["if-none-match"], "\"one\"");
        assert_ne!(body(network.edge, "/a", "de").await, first, "the origin had another");
        assert_eq!(origin.requests(), 2);
    });
}

#[test]
fn what_is_validated_after_a_soft_purge_is_fresh_again_and_a_hard_one_still_takes_it() {
    runtime().block_on(async {
        let origin = Origin::start(|_, request| {
            // One body over a MiB: it is stored in slices.
            let large = request.uri().path() == "/large";
            let fields = [("cache-control", "max-age=600"), ("etag", "\"one\""), ("surrogate-key", "all")];
            if request.headers().contains_key("if-none-match") {
                return reply(304, &fields, "");
            }
            reply(200, &fields, if large { vec![b'x'; 2 << 20] } else { b"answer".to_vec() })
        })
        .await;
        let network = Network::new(252, origin.address, "");
        let _edge = network.start("one-1");
        let soft = ["--soft", "--tag", "all"];
        for (path, method) in [("/a", "GET"), ("/large", "GET"), ("/b", "HEAD")] {
            let first = get(network.edge, path, &[]).await.unwrap().body;
            for round in 1..=2 {
                let (text, code) = purge(&network, &soft);
                assert_eq!(code, 0, "{text}");
                let before = origin.requests();
                let asked = send(network.edge, method, path, &[]).await.unwrap();
                assert!(asked.is("fwd=stale"), "{path} {round}: {}", asked.header("cache-status"));
                for _ in 0..3 {
                    let got = get(network.edge, path, &[]).await.unwrap();
                    assert!(got.is("hit"), "{path} {round}: {}", got.header("cache-status"));
                    assert!(got.body == first, "{path} {round}");
                }
                assert_eq!(origin.requests(), before + 1, "{path} {round}");
            }
            let (text, code) = purge(&network, &["--tag", "all"]);
            assert_eq!(code, 0, "{text}");
            let got = get(network.edge, path, &[]).await.unwrap();
            assert!(got.is("fwd=uri-miss") && got.is("fwd-status=200"), "{path}: {}", got.header("cache-status"));
        }
    });
}

#[test]
fn a_validation_under_way_at_a_soft_purge_is_of_before_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(6).enable_all().build().unwrap();
    runtime.block_on(async {
        let origin = Origin::start(|_, request| {
            let fields = [("cache-control", "max-age=600"), ("etag", "\"one\"")];
            if request.headers().contains_key("if-none-match") {
                std::thread::sleep(Duration::from_millis(1_500));
                return reply(304, &fields, "");
            }
            reply(200, &fields, "body")
        })
        .await;
        let network = Network::new(253, origin.address, "");
        let _edge = network.start("one-1");
        let edge = network.edge;
        let soft = || purge(&network, &["--soft", "--url", "http://www.shop.example/a"]);
        let ask = || async move { get(edge, "/a", &[]).await.unwrap() };
        ask().await;
        assert_eq!(soft().1, 0);
        let validating = tokio::spawn(ask());
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(soft().1, 0);
        assert!(validating.await.unwrap().is("fwd-status=304"));
        let next = ask().await;
        assert!(next.is("fwd=stale"), "{}", next.header("cache-status"));
        assert!(ask().await.is("hit"));
        assert_eq!(origin.requests(), 3);
    });
}

#[test]
fn what_was_on_its_way_when_it_was_purged_is_delivered_to_who_asked_before_alone() {
    runtime().block_on(async {
        let origin = Origin::start(|number, _| {
            // Of the first the body comes only after the purge.
            let wait = Duration::from_millis(if number == 1 { 1_000 } else { 0 });
            let body = futures_util::stream::once(async move {
                tokio::time::sleep(wait).await;
                Ok(Frame::data(Bytes::from(format!("answer {number}"))))
            });
            let body: OriginBody = StreamBody::new(body).boxed_unsync();
            http::Response::builder().header("cache-control", "max-age=600").body(body).unwrap()
        })
        .await;
        let network = Network::new(102, origin.address, "");
        let _edge = network.start("one-1");
        let edge = network.edge;
        let early = tokio::spawn(async move { body(edge, "/a", "").await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (text, code) = purge(&network, &["--url", "http://www.shop.example/a"]);
        assert_eq!(code, 0, "{text}");
        let late = body(edge, "/a", "").await;
        assert_eq!((early.await.unwrap().as_str(), late.as_str()), ("answer 1", "answer 2"));
        assert_eq!(body(edge, "/a", "").await, "answer 2");
        assert_eq!(origin.requests(), 2);
    });
}

#[test]
fn an_edge_that_dies_right_after_it_acknowledged_remembers() {
    runtime().block_on(async {
        let origin = counting().await;
        let network = Network::new(103, origin.address, "");
        let edge = network.start("one-1");
        let (_, code) = purge(&network, &["--tag", "a"]);
        assert_eq!(code, 0);
        let (_, code) = purge(&network, &["--site", "shop"]);
        signal(edge.0.id(), Signal::SIGKILL);
        assert_eq!(code, 0);
        drop(edge);
        let _edge = network.start("one-1");
        let (text, code) = purge(&network, &["--json", "--tag", "b"]);
        assert_eq!(code, 0, "{text}");
        let told: serde_json::Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
        assert_eq!(told["edges"][0]["position"], 3, "{text}");
    });
}

#[test]
fn a_fleet_key_that_comes_with_a_reload_opens_the_way_for_purges() {
    runtime().block_on(async {
        let origin = counting().await;
        let network = Network::new(158, origin.address, "");
        let key = network.path("secrets/fleet.key");
        fs::remove_file(&key).unwrap();
        let _edge = network.start("one-1");
        let (text, code) = purge(&network, &["--site", "shop"]);
        assert_eq!(code, 3, "{text}");
        fs::write(&key, "another key for stories").unwrap();
        let (_, took) =
            wait_for(Duration::from_secs(5), "it can be reached", || match purge(&network, &["--site", "shop"]) {
                (_, 0) => Ok(()),
                (text, _) => Err(text),
            });
        // The port is what a client wrote: no purge can know it.
        let ported = [("host", "www.shop.example:8100"), ("x-lang", "en")];
        let first = get(network.edge, "/a", &ported).await.unwrap().body;
        assert_eq!(get(network.edge, "/a", &ported).await.unwrap().body, first);
        let (text, code) = purge(&network, &["--url", "http://www.shop.example/a"]);
        assert_eq!(code, 0, "{text}, reached after {took:?}");
        assert_ne!(get(network.edge, "/a", &ported).await.unwrap().body, first);
        fs::remove_file(&key).unwrap();
        wait_for(Duration::from_secs(5), "it is closed again", || {
            match std::net::TcpStream::connect(peer(&network)) {
                Ok(_) => Err("it is open"),
                Err(_) => Ok(()),
            }
            .map_err(str::to_owned)
        });
    });
}

#[test]
fn laggards_are_named_and_wrong_orders_refused() {
    runtime().block_on(async {
        let origin = counting().await;
        let network = Network::new(104, origin.address, "");
        let (text, code) = purge(&network, &["--site", "shop"]);
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("one-1") && text.contains("NOT purged") && text.contains("0 of 1"), "{text}");
        let _edge = network.start("one-1");
        for (args, word) in [
            (&["--url", "/a"][..], "write a whole URL"),
            (&["--prefix", "http://www.shop.example/a?b"], "has no query"),
            (&["--url", "http://www.other.example/a"], "no site here has the host `www.other.example`"),
            (&["--site", "other"], "there is no site `other` here"),
            (&["--site", "other", "--url", "http://www.shop.example/a"], "may reach only `other`"),
            (&[], "required"),
        ] {
            let (text, code) = purge(&network, args);
            assert_eq!(code, 1, "{args:?}: {text}");
            assert!(text.contains(word), "{args:?}: {text}");
        }
    });
}

#[test]
fn only_who_may_purges() {
    runtime().block_on(async {
        let origin = counting().await;
        let network = Network::new(105, origin.address, "");
        let site = fs::read_to_string(network.path("sites/shop.toml")).unwrap();
        fs::write(network.path("sites/shop.toml"), format!("purge_token = {{ file = \"shop.token\" }}\n{site}"))
            .unwrap();
        fs::write(network.path("secrets/shop.token"), "the token of the shop").unwrap();
        let _edge = network.start("one-1");
        let first = body(network.edge, "/a", "de").await;
        let refused = send(network.edge, "PURGE", "/a", &[]).await.unwrap();
        assert_eq!(refused.status, 405);
        let admin = SocketAddr::new(network.edge.ip(), 9400);
        let order = |url: &str, token: Option<&str>, json: &str| {
            let mut curl = Command::new("curl");
            curl.args(["-s", "-X", "POST", "-w", "%{http_code}", "--data", json, url]);
            token.map(|token| curl.args(["-H", &format!("Authorization: Bearer {token}")]));
            String::from_utf8(curl.output().unwrap().stdout).unwrap()
        };
        let url = format!("http://{admin}/purge");
        let peered = format!("http://{}/purge", peer(&network));
        let shop = r#"{"url":["http://www.shop.example/a"]}"#;
        for (url, token) in [(&url, None), (&url, Some("the token of the shoq")), (&peered, None)] {
            assert!(order(url, token, shop).ends_with("401"), "{url} {token:?}");
        }
        let token = Some("the token of the shop");
        assert!(order(&url, token, r#"{"site":"other"}"#).ends_with("400"));
        assert!(order(&url, token, r#"{"nonsense":1}"#).ends_with("400"));
        assert_eq!(body(network.edge, "/a", "de").await, first, "nothing was purged");
        assert!(order(&url, token, shop).ends_with("200"));
        assert_ne!(body(network.edge, "/a", "de").await, first);
        assert_eq!(get(peer(&network), "/status", &[("host", "127.0.0.1")]).await.unwrap().status, 401);
    });
}

#[test]
fn purges_under_load_let_nothing_old_through() {
    runtime().block_on(async {
        // The origin's answer is the number that the story says it is now.
        let version = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&version);
        let origin = Origin::start(move |_, _| {
            let version = now.load(Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            reply(200, &[("cache-control", "max-age=600"), ("cache-tag", "all")], version.to_string())
        })
        .await;
        let network = Network::new(106, origin.address, "");
        let _edge = network.start("one-1");
        let edge = network.edge;
        // What was acknowledged: no answer begun after may be older.
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let acknowledged = Arc::clone(&acknowledged);
                tokio::spawn(async move {
                    let mut answers = 0;
                    while acknowledged.load(Ordering::SeqCst) < 20 {
                        let least = acknowledged.load(Ordering::SeqCst);
                        let seen: usize = body(edge, &format!("/{}", client % 3), "").await.parse().unwrap();
                        assert!(seen >= least, "an answer of version {seen} after {least} was acknowledged");
                        answers += 1;
                    }
                    answers
                })
            })
            .collect();
        for number in 1..=20 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            version.store(number, Ordering::SeqCst);
            let (text, code) = purge(&network, &["--tag", "all"]);
            assert_eq!(code, 0, "{text}");
            acknowledged.store(number, Ordering::SeqCst);
        }
        let mut answers = 0;
        for client in clients {
            answers += client.await.unwrap();
        }
        assert!(answers > 200, "{answers} answers");
        let told = metrics(SocketAddr::new(edge.ip(), 9400)).await;
        assert!(told.iter().any(|(name, value)| name.contains("\"hit\"") && *value > 50.0), "the store was of use");
    });
}

#[test]
fn what_was_purged_while_it_was_validated_is_not_brought_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(6).enable_all().build().unwrap();
    runtime.block_on(async {
        // It says of anything that it still holds, as origins do whose tags are weak.
        let origin = Origin::start(|number, request| {
            let fields = [("cache-control", "max-age=3"), ("etag", "W/\"one\"")];
            if request.headers().contains_key("if-none-match") {
                std::thread::sleep(Duration::from_millis(700));
                return reply(304, &fields, "");
            }
            reply(200, &fields, format!("answer {number}"))
        })
        .await;
        let network = Network::new(164, origin.address, "");
        let _edge = network.start("one-1");
        assert_eq!(get(network.edge, "/a", &[]).await.unwrap().body, "answer 1");
        tokio::time::sleep(Duration::from_millis(4_100)).await;
        // One leads the validation, one waits for it; both may have the old body, as both asked before the purge.
        let edge = network.edge;
        let waiting: Vec<_> =
            (0..2).map(|_| tokio::spawn(async move { get(edge, "/a", &[]).await.unwrap() })).collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (text, code) = purge(&network, &["--url", "http://www.shop.example/a"]);
        assert_eq!(code, 0, "{text}");
        for asked in waiting {
            let got = asked.await.unwrap();
            assert!(got.status.is_success());
        }
        for _ in 0..2 {
            let got = get(network.edge, "/a", &[]).await.unwrap();
            assert_ne!(got.body, "answer 1", "{:?}", got.headers);
        }
    });
}
