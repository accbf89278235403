//! Requests that come together: what they share, and what must not be kept because of another.

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::support::{Network, Origin, OriginBody, get, metrics, reply, runtime, send};

fn pause(millis: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_millis(millis))
}

#[test]
fn clients_of_two_variants_on_a_cold_key_are_two_fetches() {
    runtime().block_on(async {
        let origin = Origin::start(|_, request| {
            std::thread::sleep(Duration::from_millis(200));
            let color = request.headers().get("x-color").map_or("none", |value| value.to_str().unwrap()).to_owned();
            reply(200, &[("cache-control", "max-age=60"), ("vary", "X-Color")], color)
        })
        .await;
        let network = Network::new(70, origin.address, "");
        let _edge = network.start("one-1");
        let edge = network.edge;
        let clients: Vec<_> = (0..60)
            .map(|number| {
                let color = if number % 2 == 0 { "red" } else { "green" };
                tokio::spawn(async move { (color, get(edge, "/", &[("x-color", color)]).await.unwrap()) })
            })
            .collect();
        for client in clients {
            let (color, got) = client.await.unwrap();
            assert_eq!(got.body, color, "{}", got.header("cache-status"));
        }
        assert_eq!(origin.requests(), 2);
        for color in ["red", "green"] {
            assert!(get(edge, "/", &[("x-color", color)]).await.unwrap().is("hit"), "{color} is stored");
        }
    });
}

#[test]
fn a_fill_begun_before_a_change_is_delivered_and_not_stored() {
    runtime().block_on(async {
        let origin = Origin::start(|number, request| {
            let text = Bytes::from(format!("{} {number}", request.method()));
            let delay = if number == 1 { 600 } else { 0 };
            let body = futures_util::stream::once(async move {
                pause(delay).await;
                Ok(Frame::data(text))
            });
            let body: OriginBody = StreamBody::new(body).boxed_unsync();
            http::Response::builder().header("cache-control", "max-age=60").body(body).unwrap()
        })
        .await;
        let network = Network::new(71, origin.address, "");
        let _edge = network.start("one-1");
        let edge = network.edge;
        let slow = tokio::spawn(async move { get(edge, "/", &[]).await.unwrap() });
        pause(200).await;
        assert_eq!(send(edge, "POST", "/", &[]).await.unwrap().body, "POST 2");
        assert_eq!(slow.await.unwrap().body, "GET 1");
        assert_eq!(
            get(edge, "/", &[]).await.unwrap().body,
            "GET 3",
            "what was asked for before the change is not kept"
        );
        assert!(get(edge, "/", &[]).await.unwrap().is("hit"));
    });
}

#[test]
fn who_asks_after_a_change_joins_no_fetch_of_before() {
    runtime().block_on(async {
        // The first answers of both paths are slow, the one in its head, the other in its body.
        let origin = Origin::start(|number, request| {
            let text = Bytes::from(format!("{} {number}", request.method()));
            if number == 1 {
                std::thread::sleep(Duration::from_millis(1_500));
            }
            let delay = if number == 4 { 1_500 } else { 0 };
            let body = futures_util::stream::once(async move {
                pause(delay).await;
                Ok(Frame::data(text))
            });
            let body: OriginBody = StreamBody::new(body).boxed_unsync();
            http::Response::builder().header("cache-control", "max-age=60").body(body).unwrap()
        })
        .await;
        let network = Network::new(254, origin.address, "");
        let _edge = network.start("one-1");
        let edge = network.edge;
        for (path, method, answers) in
            [("/head", "POST", ["GET 1", "POST 2", "GET 3"]), ("/body", "BREW", ["GET 4", "BREW 5", "GET 6"])]
        {
            let slow = tokio::spawn(async move { get(edge, path, &[]).await.unwrap() });
            pause(400).await;
            let changed = send(edge, method, path, &[]).await.unwrap();
            let after = get(edge, path, &[]).await.unwrap();
            assert!(!after.is("collapsed"), "{path}: {}", after.header("cache-status"));
            assert_eq!([slow.await.unwrap().body, changed.body, after.body], answers, "{path}");
            let hit = get(edge, path, &[]).await.unwrap();
            assert_eq!((hit.is("hit"), hit.body), (true, answers[2].into()), "{path}");
        }
    });
}

#[test]
fn a_head_of_the_origin_freshens_or_ends_what_is_stored() {
    runtime().block_on(async {
        let origin = Origin::start(|number, request| {
            let tag = if number < 4 { "\"v1\"" } else { "\"v2\"" };
            let fields = [("cache-control", "max-age=1"), ("etag", tag)];
            let body = if request.method() == "HEAD" { "" } else { tag };
            reply(200, &fields, body)
        })
        .await;
        let network = Network::new(72, origin.address, "");
        let _edge = network.start("one-1");
        let edge = network.edge;
        assert_eq!(get(edge, "/", &[]).await.unwrap().body, "\"v1\"");
        pause(1_200).await;
        assert!(send(edge, "HEAD", "/", &[]).await.unwrap().is("fwd=stale"));
        assert!(get(edge, "/", &[]).await.unwrap().is("hit"), "the HEAD has said that it holds");
        pause(1_200).await;
        send(edge, "HEAD", "/", &[]).await.unwrap();
        pause(1_200).await;
        assert_eq!(origin.requests(), 3);
        send(edge, "HEAD", "/", &[]).await.unwrap();
        let anew = get(edge, "/", &[]).await.unwrap();
        assert_eq!(anew.body, "\"v2\"", "the HEAD has said that it is another");
        assert!(anew.is("fwd=uri-miss"), "{}", anew.header("cache-status"));
    });
}

#[test]
fn an_error_of_the_origin_hides_behind_what_is_stored_where_it_may() {
    runtime().block_on(async {
        let origin = Origin::start(|number, request| {
            let control = if request.uri().path() == "/hidden" {
                "max-age=1, stale-if-error=60"
            } else {
                "max-age=1, must-revalidate"
            };
            let status = if number <= 2 { 200 } else { 503 };
            reply(status, &[("cache-control", control)], format!("{status}"))
        })
        .await;
        let network = Network::new(73, origin.address, "");
        let _edge = network.start("one-1");
        for path in ["/hidden", "/shown"] {
            assert_eq!(get(network.edge, path, &[]).await.unwrap().body, "200");
        }
        pause(1_200).await;
        let hidden = get(network.edge, "/hidden", &[]).await.unwrap();
        assert_eq!((hidden.status.as_u16(), hidden.body.as_ref()), (200, &b"200"[..]));
        assert!(hidden.is("fwd=stale") && hidden.is("fwd-status=503"), "{}", hidden.header("cache-status"));
        assert_eq!(get(network.edge, "/shown", &[]).await.unwrap().status.as_u16(), 503);
    });
}

#[test]
fn refused_requests_are_counted_and_logged() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[], "x")).await;
        let network = Network::new(74, origin.address, "");
        let _edge = network.start("one-1");
        assert_eq!(get(network.edge, "/a?b", &[("host", "other.example")]).await.unwrap().status.as_u16(), 421);
        let admin = std::net::SocketAddr::from(([127, 0, 2, 74], 9400));
        let counted = metrics(admin).await;
        assert_eq!(counted.get("hither_requests_total{result=\"own\",site=\"-\"}"), Some(&1.0), "{counted:?}");
        pause(200).await;
        let log = std::fs::read_to_string(network.path(".state/one-1/requests.jsonl")).unwrap();
        assert!(
            log.contains("\"host\":\"other.example\",\"target\":\"/a?b\"") && log.contains("\"status\":421"),
            "{log}"
        );
        // A rotated log goes on in a new file of its name.
        std::fs::rename(network.path(".state/one-1/requests.jsonl"), network.path("rotated")).unwrap();
        get(network.edge, "/after", &[]).await.unwrap();
        pause(200).await;
        let log = std::fs::read_to_string(network.path(".state/one-1/requests.jsonl")).unwrap();
        assert!(log.contains("\"target\":\"/after\""), "{log}");
    });
}
