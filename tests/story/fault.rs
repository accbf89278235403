//! Origins that fail, and what clients get then. Bodies are checked whole: wrong bytes are never served.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Network, get};

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
fn ambiguous_or_broken_requests_get_400_and_a_close() {
    let (origin, count) = raw_origin(vec![answer(WHOLE)]);
    let network = Network::new(34, origin, "");
    let _edge = network.start("one-1");
    for (what, request) in [
        ("not HTTP", "hello\r\n\r\n"),
        ("no Host", "GET / HTTP/1.1\r\n\r\n"),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: www.shop.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        ("a length that is none", "POST / HTTP/1.1\r\nHost: www.shop.example\r\nContent-Length: -1\r\n\r\n"),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost : www.shop.example\r\n\r\n"),
    ] {
        let mut stream = std::net::TcpStream::connect(network.edge).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        let closed = std::io::Read::read_to_string(&mut stream, &mut said);
        assert!(said.starts_with("HTTP/1.1 400") && closed.is_ok(), "{what}: {said:?} {closed:?}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "the origin saw none of them");
}
