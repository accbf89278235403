//! Large objects are stored in slices: read while they come, in part, out of order, by many, and never mixed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Got, Network, Origin, OriginBody, Process, get, reply, resident, runtime};

const MIB: usize = 1 << 20;

/// Any byte of a body tells its place and its version.
fn byte(at: usize, version: usize) -> u8 {
    u8::try_from((at / 7 + at / 65_521 + version * 31) % 251).unwrap()
}

fn bytes(first: usize, last: usize, version: usize) -> Vec<u8> {
    (first..=last).map(|at| byte(at, version)).collect()
}

/// An origin with one object of this many bytes, that does ranges, If-Range and entity tags as a file server
/// does, and writes down which ranges it was asked for.
#[derive(Clone)]
struct FileServer {
    origin: Origin,
    version: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FileServer {
    async fn start(length: usize, etag: &'static str) -> Self {
        let version = Arc::new(AtomicUsize::new(1));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (now, told) = (Arc::clone(&version), Arc::clone(&asked));
        let origin = Origin::start(move |_, request| {
            let version = now.load(Ordering::SeqCst);
            let etag = etag.replace('N', &version.to_string());
            let field = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
            told.lock().unwrap().push(field("range").unwrap_or("whole").to_owned());
            let range = field("range").filter(|_| field("if-range").is_none_or(|tag| tag == etag));
            let part = range.and_then(|range| {
                let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
                match first {
                    "" => Some((length.saturating_sub(last.parse().ok()?), length - 1)),
                    first => {
                        Some((first.parse().ok()?, last.parse().map_or(length - 1, |last: usize| last.min(length - 1))))
                    }
                }
            });
            let builder = Response::builder().header("etag", &etag).header("cache-control", "max-age=600");
            match part {
                Some((first, _)) if first >= length => {
                    let builder = builder.status(416).header("content-range", format!("bytes */{length}"));
                    builder.body(stream(0, 0, version)).unwrap()
                }
                Some((first, last)) => {
                    let builder = builder.status(206).header("content-range", format!("bytes {first}-{last}/{length}"));
                    builder.header("content-length", last - first + 1).body(stream(first, last + 1, version)).unwrap()
                }
                None => builder.header("content-length", length).body(stream(0, length, version)).unwrap(),
            }
        })
        .await;
        Self { origin, version, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The bytes from one place to another, in pieces.
fn stream(from: usize, to: usize, version: usize) -> OriginBody {
    const PIECE: usize = 64 << 10;
    let pieces = (from..to).step_by(PIECE).map(move |at| bytes(at, (at + PIECE).min(to) - 1, version));
    StreamBody::new(futures_util::stream::iter(pieces.map(|piece| Ok(Frame::data(Bytes::from(piece)))))).boxed_unsync()
}

/// So many bytes, and never more.
fn begun(count: usize) -> OriginBody {
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from(bytes(0, count - 1, 1))))]);
    StreamBody::new(first.chain(futures_util::stream::pending())).boxed_unsync()
}

async fn story(number: u8, length: usize, etag: &'static str) -> (FileServer, Network, Process) {
    let server = FileServer::start(length, etag).await;
    let network = Network::new(number, server.origin.address, "");
    let edge = network.start("one-1");
    (server, network, edge)
}

async fn range(network: &Network, range: &str) -> Got {
    get(network.edge, "/film", &[("range", range)]).await.unwrap()
}

#[test]
fn a_range_of_a_large_cold_object_fetches_slices_only_and_the_next_is_a_hit() {
    runtime().block_on(async {
        let (server, network, _edge) = story(110, 20 * MIB, "\"N\"").await;
        let got = range(&network, "bytes=10000000-10000099").await;
        assert_eq!(
            (got.status.as_u16(), got.header("content-range").as_str()),
            (206, "bytes 10000000-10000099/20971520")
        );
        assert_eq!(got.body, bytes(10_000_000, 10_000_099, 1));
        assert!(got.is("fwd=uri-miss") && got.is("stored"), "{}", got.header("cache-status"));
        assert_eq!(server.asked(), ["bytes=9961472-10223615"], "one slice");
        let again = range(&network, "bytes=10000050-10200000").await;
        assert!(again.is("hit"), "{}", again.header("cache-status"));
        assert_eq!(again.body, bytes(10_000_050, 10_200_000, 1));
        let across = range(&network, "bytes=10223000-10224000").await;
        assert_eq!(across.body, bytes(10_223_000, 10_224_000, 1));
        let last = range(&network, "bytes=-100").await;
        assert_eq!(last.body, bytes(20 * MIB - 100, 20 * MIB - 1, 1));
        assert_eq!(last.header("content-range"), "bytes 20971420-20971519/20971520");
        let none = range(&network, "bytes=30000000-").await;
        assert_eq!((none.status.as_u16(), none.header("content-range").as_str()), (416, "bytes */20971520"));
        assert_eq!(server.asked().len(), 3, "{:?}", server.asked());
    });
}

#[test]
fn a_whole_object_is_put_together_from_what_is_there_and_what_is_not() {
    runtime().block_on(async {
        let (server, network, _edge) = story(111, 5 * MIB, "\"N\"").await;
        range(&network, "bytes=0-300000").await;
        range(&network, "bytes=3000000-3000001").await;
        // Its slice comes further; with its last byte it is all there.
        range(&network, "bytes=3145727-3145727").await;
        let whole = get(network.edge, "/film", &[]).await.unwrap();
        assert_eq!(whole.status, 200);
        assert!(whole.body == bytes(0, 5 * MIB - 1, 1), "every byte in its place");
        assert_eq!(whole.header("content-range"), "");
        let asked = server.asked();
        assert_eq!(asked[2..], ["bytes=524288-2883583", "bytes=3145728-5242879"], "{asked:?}");
        assert!(get(network.edge, "/film", &[]).await.unwrap().is("hit"));
        assert_eq!(server.asked().len(), 4);
    });
}

#[test]
fn a_part_that_is_all_of_a_small_object_is_stored_whole() {
    runtime().block_on(async {
        let (server, network, _edge) = story(112, 1_000, "\"N\"").await;
        assert_eq!(range(&network, "bytes=5-9").await.body, bytes(5, 9, 1));
        let whole = get(network.edge, "/film", &[]).await.unwrap();
        assert!(whole.is("hit"), "{}", whole.header("cache-status"));
        assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &bytes(0, 999, 1)[..]));
        assert_eq!(server.asked(), ["bytes=0-262143"]);
    });
}

#[test]
fn an_object_that_changes_between_two_slices_is_never_mixed() {
    runtime().block_on(async {
        let (server, network, _edge) = story(113, 5 * MIB, "\"N\"").await;
        range(&network, "bytes=0-1000000").await;
        server.version.store(2, Ordering::SeqCst);
        // The slice that is missing is of another version: all of it is fetched anew.
        let got = range(&network, "bytes=4000000-4000099").await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (206, &bytes(4_000_000, 4_000_099, 2)[..]));
        assert_eq!(got.header("etag"), "\"2\"");
        let first = range(&network, "bytes=0-99").await;
        assert_eq!(&first.body[..], &bytes(0, 99, 2)[..]);
        server.version.store(3, Ordering::SeqCst);
        // A body that has begun is cut where the new version begins.
        let whole = get(network.edge, "/film", &[]).await;
        match whole {
            Ok(whole) => assert!(whole.body == bytes(0, 5 * MIB - 1, 3), "whole, of one version"),
            Err(cut) => assert!(!cut.is_empty()),
        }
        let whole = get(network.edge, "/film", &[]).await.unwrap();
        assert!(whole.body == bytes(0, 5 * MIB - 1, 3));
    });
}

#[test]
fn an_origin_that_ignores_ranges_fills_the_gaps_all_the_same() {
    runtime().block_on(async {
        // More than the store has room for: some slices are gone by the time all of it is asked for again.
        let length = 70 * MIB;
        let origin = Origin::start(move |_, _| {
            let builder = http::Response::builder().header("etag", "\"1\"").header("cache-control", "max-age=600");
            builder.header("content-length", length).body(stream(0, length, 1)).unwrap()
        })
        .await;
        let network = Network::new(116, origin.address, "");
        let _edge = network.start("one-1");
        for _ in 0..3 {
            let whole = get(network.edge, "/film", &[]).await.unwrap();
            assert!(whole.status == 200 && whole.body == bytes(0, length - 1, 1));
            let part = range(&network, "bytes=40000000-40000099").await;
            assert_eq!((part.status.as_u16(), &part.body[..]), (206, &bytes(40_000_000, 40_000_099, 1)[..]));
        }
        assert!((2..=8).contains(&origin.requests()), "{} fetches", origin.requests());
    });
}

#[test]
fn a_body_that_turns_out_to_have_another_length_is_not_stuck_until_its_time_is_over() {
    runtime().block_on(async {
        let (server, network, _edge) = story(118, 2 * MIB, "\"same\"").await;
        range(&network, "bytes=0-10").await;
        // The same tag, ranges ignored, and what it is comes to light by the end of the body.
        let shorter = Origin::start(|_, _| {
            let builder = Response::builder().header("etag", "\"same\"").header("cache-control", "max-age=600");
            builder.body(stream(0, MIB, 2)).unwrap()
        })
        .await;
        drop(server);
        network.write_site(shorter.address, "");
        let start = std::time::Instant::now();
        while shorter.requests() == 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "the new origin is not asked");
            let _ = get(network.edge, &format!("/other/{}", start.elapsed().as_millis()), &[]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let _ = get(network.edge, "/film", &[("range", "bytes=1500000-1500009")]).await;
        let whole = get(network.edge, "/film", &[]).await.unwrap();
        assert!(whole.status == 200 && whole.body == bytes(0, MIB - 1, 2), "what the origin has now");
    });
}

#[test]
fn without_a_strong_tag_parts_are_passed_on_and_not_stored() {
    runtime().block_on(async {
        let (server, network, _edge) = story(114, 5 * MIB, "W/\"N\"").await;
        for _ in 0..2 {
            let got = range(&network, "bytes=100-199").await;
            assert_eq!((got.status.as_u16(), &got.body[..]), (206, &bytes(100, 199, 1)[..]));
            assert_eq!(got.header("content-range"), "bytes 100-199/5242880");
        }
        assert_eq!(server.asked(), ["bytes=0-262143", "bytes=100-199", "bytes=100-199"]);
    });
}

/// The head of an answer, of which no more is read.
async fn head(edge: std::net::SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(edge).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: www.shop.example\r\n\r\n").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !said.windows(4).any(|four| four == b"\r\n\r\n") {
        assert!(stream.read_buf(&mut said).await.unwrap() > 0, "{}", String::from_utf8_lossy(&said));
    }
    String::from_utf8_lossy(&said).to_lowercase()
}

#[test]
fn what_claims_more_than_a_tib_is_passed_on_and_holds_up_nobody() {
    runtime().block_on(async {
        // The path is the length that is claimed.
        let origin = Origin::start(|_, request| {
            let Ok(length) = request.uri().path().trim_start_matches('/').parse::<u64>() else {
                return reply(200, &[], "small");
            };
            let range = request.headers().get("range").and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
            let builder = Response::builder().header("etag", "\"x\"").header("cache-control", "max-age=60");
            let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
                return builder.header("content-length", length).body(begun(100_000)).unwrap();
            };
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let builder = builder.status(206).header("content-range", format!("bytes {first}-{last}/{length}"));
            builder.header("content-length", last - first + 1).body(stream(first, last + 1, 1)).unwrap()
        })
        .await;
        let network = Network::new(117, origin.address, "");
        let place = network.path("disk");
        let disk = format!("disk = {{ path = \"{}\", size = \"64MiB\" }}\n[health]", place.display());
        network.edit(|text| text.replace("[health]", &disk));
        let _edge = network.start("one-1");
        let limit = 1_u64 << 40;
        let table = [
            (limit, true),
            (limit + 1, false),
            (1 << 51, false),
            (1 << 60, false),
            (1 << 62, false),
            ((1 << 63) - 1, false),
        ];
        for (length, is_stored) in table {
            let path = format!("/{length}");
            let story = async {
                for first in [300_000, 300_010, 300_000] {
                    let wanted = format!("bytes={first}-{}", first + 9);
                    let got = get(network.edge, &path, &[("range", &wanted)]).await.unwrap();
                    assert_eq!(
                        (got.status.as_u16(), &got.body[..]),
                        (206, &bytes(first, first + 9, 1)[..]),
                        "{length}"
                    );
                    let said = got.header("cache-status");
                    assert_eq!(got.is("hit") || got.is("stored"), is_stored, "{length}: {said}");
                }
                // Another object, that is first asked for as a whole.
                for _ in 0..3 {
                    let head = head(network.edge, &format!("{path}?whole")).await;
                    assert!(head.contains(&format!("content-length: {length}\r\n")), "{head}");
                    assert!(is_stored || !(head.contains(";stored") || head.contains(";hit")), "{head}");
                }
                assert_eq!(get(network.edge, "/small", &[]).await.unwrap().status, 200);
            };
            tokio::time::timeout(Duration::from_secs(20), story).await.unwrap_or_else(|_| panic!("{length}: it hangs"));
        }
    });
}

#[test]
fn many_readers_of_one_large_object_are_one_fetch_and_little_memory() {
    runtime().block_on(async {
        let size = if std::env::var_os("HITHER_FULL").is_some() { 1024 } else { 200 };
        let (server, network, edge) = story(115, size * MIB, "\"N\"").await;
        let before = resident(edge.0.id());
        let pid = edge.0.id();
        let most = Arc::new(AtomicUsize::new(0));
        let watched = Arc::clone(&most);
        let watching = tokio::spawn(async move {
            loop {
                watched.fetch_max(usize::try_from(resident(pid)).unwrap(), Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let address = network.edge;
        let readers: Vec<_> = (0..100).map(|_| tokio::spawn(read_all(address, size * MIB))).collect();
        for reader in readers {
            reader.await.unwrap();
        }
        watching.abort();
        let grown = most.load(Ordering::SeqCst).saturating_sub(usize::try_from(before).unwrap());
        let asked = server.asked();
        let whole = asked.iter().filter(|range| *range == "whole").count();
        eprintln!("{} fetches, {whole} of the whole; grown by {} MiB", asked.len(), grown / MIB);
        assert_eq!(whole, 1);
        assert!(grown <= 64 * MIB, "grown by {} MiB", grown / MIB);
    });
}

/// Reads the whole object without keeping it, and checks bytes of every piece.
async fn read_all(edge: std::net::SocketAddr, length: usize) {
    let stream = tokio::net::TcpStream::connect(edge).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("/film").header("host", "www.shop.example");
    let response = sender.send_request(request.body(http_body_util::Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    let mut at = 0;
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        // A few of each piece: all would take longer than the reading.
        for within in [0, piece.len() / 2, piece.len() - 1] {
            assert_eq!(piece[within], byte(at + within, 1), "at {}", at + within);
        }
        at += piece.len();
    }
    assert_eq!(at, length);
}
