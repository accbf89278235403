use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper_util::rt::TokioExecutor;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::connection::Scheme;
use crate::fast::{AtOnce, Plain, Sent};
use crate::mount::{Handler, Mount};

mod slow;
mod stopping;

/// Says what it was asked: at once below `/fast/`, else in the general way, with the body it got.
#[derive(Default)]
struct Echo {
    at_once: AtomicUsize,
    general: AtomicUsize,
    /// Requests that are never answered.
    waiting: Arc<AtomicUsize>,
    told: Told,
}

/// A request that waits, until it is given up.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is told of answers that were given at once.
#[derive(Clone, Default)]
struct Told {
    so_far: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Sent for Told {
    fn sent_so_far(&mut self, bytes: u64) {
        self.so_far.store(bytes, Ordering::Relaxed);
    }

    fn sent(&mut self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A body whose length is the number at the end of its path.
fn body_of(path: &str) -> Vec<u8> {
    let length = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    path.bytes().cycle().take(length).collect()
}

impl Handler for Echo {
    fn at_once(&self, plain: &Plain<'_>, _: &Connection, head: &mut Vec<u8>) -> Option<AtOnce> {
        if !plain.target.starts_with("/fast/") {
            return None;
        }
        self.at_once.fetch_add(1, Ordering::Relaxed);
        let body = body_of(plain.target);
        head.extend_from_slice(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
        let body: SmallVec<[Bytes; 2]> = body.chunks(700).map(Bytes::copy_from_slice).collect();
        Some(AtOnce { body, sent: Box::new(self.told.clone()) })
    }

    fn serve(&self, request: Request<Incoming>, _: Connection) -> crate::Reply {
        self.general.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::clone(&self.waiting);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            if head.uri.path().starts_with("/never/") {
                let _waits = Waiting::new(waiting);
                return std::future::pending().await;
            }
            // Some look at no body.
            if head.uri.path().starts_with("/ignore/") {
                return Response::new(crate::full(body_of(head.uri.path())));
            }
            let got = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let mut said = body_of(head.uri.path());
            said.extend_from_slice(&got);
            // Some answers wait for something else first.
            if head.uri.path().starts_with("/slow/") {
                tokio::task::yield_now().await;
            }
            Response::new(crate::full(said))
        })
    }
}

/// A connection that is driven, and the client's end of it.
fn connect(echo: &Arc<Echo>, room: usize) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    connect_until(echo, room, Stop::new())
}

fn connect_until(echo: &Arc<Echo>, room: usize, stop: Stop) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(room);
    (theirs, driven_over(echo, ours, stop))
}

fn driven_over(echo: &Arc<Echo>, ours: impl Wire, stop: Stop) -> tokio::task::JoinHandle<()> {
    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler: Arc::clone(echo) as _ }]));
    let address = "127.0.0.1:80".parse().unwrap();
    let connection = Connection {
        peer: address,
        is_relayed: false,
        local: address,
        scheme: Scheme::Http,
        sni: None,
        tls: None,
        interim: None,
    };
    tokio::spawn(async move {
        drive(&Protocols::new(), ours, connection, &mounts, &stop).await;
    })
}

#[derive(Clone, Debug)]
struct Trial {
    requests: Vec<(&'static str, usize, Option<usize>)>,
    /// Where what is sent is cut into writes.
    cuts: Vec<usize>,
    /// Whether each answer is taken before the next request is sent.
    waits: bool,
    room: usize,
}

impl Trial {
    fn any() -> impl Strategy<Value = Trial> {
        let way = prop_oneof![Just("fast"), Just("general"), Just("slow")];
        let body = proptest::option::weighted(0.2, 0_usize..300);
        let request = (way, 0_usize..2_000, body);
        let cuts = prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(0_usize..2_000, 0..6)];
        let room = prop_oneof![Just(64_usize), Just(1_024), Just(65_536)];
        (proptest::collection::vec(request, 1..6), cuts, any::<bool>(), room)
            .prop_map(|(requests, cuts, waits, room)| Self { requests, cuts, waits, room })
    }

    /// What is sent before answers are taken, each time.
    fn asked(&self) -> Vec<Vec<u8>> {
        let each: Vec<Vec<u8>> = self.requests.iter().map(Self::request).collect();
        if self.waits { each } else { vec![each.concat()] }
    }

    fn request((way, length, body): &(&str, usize, Option<usize>)) -> Vec<u8> {
        let method = if body.is_some() { "POST" } else { "GET" };
        let mut asked = format!("{method} /{way}/{length} HTTP/1.1\r\nhost: a\r\n").into_bytes();
        if let Some(length) = body {
            asked.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        asked.extend_from_slice(b"\r\n");
        asked.extend(vec![b'x'; body.unwrap_or(0)]);
        asked
    }

    fn expected(&self) -> Vec<Vec<u8>> {
        let said = |(way, length, body): &(&str, usize, Option<usize>)| {
            let mut said = body_of(&format!("/{way}/{length}"));
            said.extend(vec![b'x'; body.unwrap_or(0)]);
            said
        };
        self.requests.iter().map(said).collect()
    }
}

/// Reads one response: a head, and a body of the length it tells.
async fn response(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && !head.contains("connection:"), "{head}");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    body
}

async fn holds(trial: &Trial, echo: &Arc<Echo>) -> Result<(), TestCaseError> {
    let (client, driven) = connect(echo, trial.room);
    let (mut reads, mut writes) = tokio::io::split(client);
    let mut expected = trial.expected().into_iter();
    for asked in trial.asked() {
        let mut cuts: Vec<usize> = trial.cuts.iter().map(|cut| cut % (asked.len() + 1)).collect();
        cuts.sort_unstable();
        let sends = async {
            let mut from = 0;
            for to in cuts.into_iter().chain([asked.len()]) {
                writes.write_all(&asked[from..to]).await.unwrap();
                from = to;
                // What was sent is read before more comes.
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            }
        };
        let count = if trial.waits { 1 } else { trial.requests.len() };
        let takes = async {
            let mut got = Vec::new();
            for _ in 0..count {
                got.push(response(&mut reads).await);
            }
            got
        };
        let ((), got) = tokio::join!(sends, takes);
        prop_assert_eq!(got, expected.by_ref().take(count).collect::<Vec<_>>());
    }
    drop((reads, writes));
    driven.await.unwrap();
    Ok(())
}

/// So many connections with requests for the front and for hyper in turn, cut, pipelined, with bodies, and read slowly:
/// each answer comes whole and in order, and no connection is closed.
#[test]
fn a_connection_goes_to_and_fro_and_loses_nothing() {
    const TRIALS: u32 = 100_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let echo = Arc::<Echo>::default();
    let mut runner = TestRunner::new(Config { cases: TRIALS, failure_persistence: None, ..Config::default() });
    runner.run(&Trial::any(), |trial| runtime.block_on(holds(&trial, &echo))).unwrap();
    let (at_once, general) = (echo.at_once.load(Ordering::Relaxed), echo.general.load(Ordering::Relaxed));
    assert!(at_once > 30_000 && general > 50_000, "{at_once} {general}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_and_one_that_is_used_does_not() {
    let echo = Arc::<Echo>::default();
    let (mut client, driven) = connect(&echo, 1_024);
    let start = tokio::time::Instant::now();
    for way in ["fast", "general", "fast", "slow"].into_iter().cycle().take(20) {
        client.write_all(format!("GET /{way}/3 HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        assert_eq!(response(&mut client).await.len(), 3);
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    let used = start.elapsed();
    driven.await.unwrap();
    let idle = (start.elapsed() - used + Duration::from_secs(20)).as_secs();
    let limit = limits::HTTP_HEADER_TIME.as_secs();
    assert!((limit..=limit * 3 / 2).contains(&idle), "{idle}");
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_given_up_and_what_was_sent_is_told() {
    for way in ["fast", "general"] {
        let echo = Arc::<Echo>::default();
        let (mut client, driven) = connect(&echo, 256);
        client.write_all(format!("GET /{way}/100000 HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        let start = tokio::time::Instant::now();
        driven.await.unwrap();
        let took = start.elapsed().as_secs();
        let limit = limits::HTTP_WRITE_TIME.as_secs();
        assert!((limit..=limit * 2).contains(&took), "{way}: {took}");
        let sent = echo.told.sent.load(Ordering::Relaxed);
        assert_eq!((1..256).contains(&sent), way == "fast", "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_gone_of_an_answer_is_told_while_the_rest_goes() {
    let echo = Arc::<Echo>::default();
    let (mut client, driven) = connect(&echo, 256);
    client.write_all(b"GET /fast/100000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Head and body; so much more at most is on its way.
    client.read_exact(&mut vec![0; 50_000]).await.unwrap();
    let so_far = echo.told.so_far.load(Ordering::Relaxed);
    assert!((49_900..=50_256).contains(&so_far), "{so_far}");
    assert_eq!(echo.told.sent.load(Ordering::Relaxed), 0, "it is not over");
    drop(client);
    driven.await.unwrap();
    let sent = echo.told.sent.load(Ordering::Relaxed);
    assert!((so_far..100_000).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn who_goes_while_it_waits_is_given_up_and_who_stays_is_not() {
    for asks_more in [false, true] {
        let echo = Arc::<Echo>::default();
        let (mut client, driven) = connect(&echo, 1_024);
        client.write_all(b"GET /never/1 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        if asks_more {
            client.write_all(b"GET /general/1 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        }
        // Whoever answers has a time of its own.
        tokio::time::sleep(limits::HTTP_WRITE_TIME * 10).await;
        assert_eq!((echo.waiting.load(Ordering::Relaxed), echo.general.load(Ordering::Relaxed)), (1, 1));
        drop(client);
        if asks_more {
            driven.abort();
            continue;
        }
        driven.await.unwrap();
        assert_eq!(echo.waiting.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_waited_for_only_so_long() {
    for said in [
        "GET /fast/1 HTT",
        "PRI * HT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        "GET /general/1 HTTP/1.1\r\nhost: a\r\n\r\nGET /gen",
    ] {
        let echo = Arc::<Echo>::default();
        let (mut client, driven) = connect(&echo, 1_024);
        client.write_all(said.as_bytes()).await.unwrap();
        let start = tokio::time::Instant::now();
        driven.await.unwrap();
        let took = start.elapsed().as_secs();
        let limit = limits::HTTP_HEADER_TIME.as_secs();
        assert!((limit..=limit * 2).contains(&took), "{said}: {took}");
    }
}

/// A body that nobody reads is never taken for a request, whenever it comes, and what answers it comes whole.
#[tokio::test(start_paused = true)]
async fn what_follows_a_body_that_was_not_read_is_no_request() {
    let smuggled = "GET /fast/9 HTTP/1.1\r\nhost: a\r\n\r\n";
    let chunks = "5\r\nGET /\r\n0\r\n\r\n";
    let length = format!("content-length: {}\r\n", smuggled.len());
    for (version, way, framing, body) in [
        ("1.1", "ignore", length.as_str(), smuggled.to_owned()),
        ("1.1", "ignore", "content-length: 5\r\n", format!("12345{smuggled}")),
        ("1.1", "ignore", "transfer-encoding: chunked\r\n", format!("{chunks}{smuggled}")),
        ("1.1", "ignore", "transfer-encoding: gzip, chunked\r\n", format!("{chunks}{smuggled}")),
        ("1.0", "ignore", "", smuggled.to_owned()),
        ("1.0", "general", "", smuggled.to_owned()),
        ("1.1", "general", "connection: close\r\n", smuggled.to_owned()),
    ] {
        for size in [3, 100_000] {
            let echo = Arc::<Echo>::default();
            let (mut client, driven) = connect(&echo, 700);
            let head = format!("GET /{way}/{size} HTTP/{version}\r\nhost: a\r\n{framing}\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let mut said = Vec::new();
            let (mut reads, mut writes) = tokio::io::split(client);
            // The 501 is all head.
            let least = if framing.contains("gzip") { 20 } else { size };
            while said.len() < least {
                assert!(reads.read_buf(&mut said).await.unwrap_or(0) > 0, "{version} {framing}: cut");
            }
            let _ = writes.write_all(body.as_bytes()).await;
            let _ = reads.read_to_end(&mut said).await;
            let said = String::from_utf8_lossy(&said);
            assert_eq!(said.matches("HTTP/1.").count(), 1, "{version} {framing}: {said}");
            let body_length = said.split_once("\r\n\r\n").unwrap().1.len();
            assert!(body_length == size || said.contains(" 501 "), "{version} {framing}: {body_length} of {size}");
            assert_eq!(echo.at_once.load(Ordering::Relaxed), 0, "{version} {framing}");
            driven.await.unwrap();
        }
    }
}

#[tokio::test]
async fn http2_goes_a_way_of_its_own() {
    let echo = Arc::<Echo>::default();
    let (client, _driven) = connect(&echo, 65_536);
    let executor = TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://a/general/5").body(crate::empty()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "/gene");
}

/// Hears until what was said ends so.
async fn hears(client: &mut DuplexStream, end: &str) -> String {
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        assert!(client.read_buf(&mut said).await.unwrap() > 0, "{}", String::from_utf8_lossy(&said));
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test(start_paused = true)]
async fn first_bytes_that_could_be_http2_wait_for_those_that_tell() {
    let pieces = ["P", "R", "OPFIND /general/3 HTTP/1.1\r\nHost: a\r\n\r\n"];
    let (echo, settings) = (Arc::<Echo>::default(), [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let (mut client, _driven) = connect(&echo, 64 << 10);
    for piece in pieces {
        client.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hears(&mut client, "/ge").await;
    client.write_all(b"GET /fast/4 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    hears(&mut client, "/fas").await;
    let asked = (echo.general.load(Ordering::Relaxed), echo.at_once.load(Ordering::Relaxed));
    assert_eq!(asked, (1, 1), "it is a connection as any other, and comes back");

    let (mut client, _driven) = connect(&echo, 64 << 10);
    for piece in ["P", "RI", " * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        client.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.write_all(&settings).await.unwrap();
    let mut heard = [0; 4];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard[3], 4, "SETTINGS come first (RFC 9113 §3.4)");

    let (mut client, driven) = connect(&echo, 64 << 10);
    client.write_all(b"PR").await.unwrap();
    driven.await.unwrap();
    assert_eq!(client.read(&mut heard).await.unwrap(), 0, "who says no more is given up");
}

#[tokio::test(start_paused = true)]
async fn what_begins_as_http2_and_goes_on_otherwise_is_ended_unanswered() {
    for said in ["PRI /general/3 HTTP/1.1\r\nhost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nGET /fast/3 HTTP/1.1\r\n\r\n"] {
        for cut in [2, 7, said.len()] {
            let echo = Arc::<Echo>::default();
            let (mut client, driven) = connect(&echo, 64 << 10);
            let start = tokio::time::Instant::now();
            let (first, rest) = said.split_at(cut);
            client.write_all(first.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            // It may have ended by now.
            let _ = client.write_all(rest.as_bytes()).await;
            driven.await.unwrap();
            assert!(start.elapsed() < Duration::from_secs(1), "{said} {cut}: {:?}", start.elapsed());
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            assert!(!heard.windows(4).any(|part| part == b"HTTP"), "{said} {cut}: {heard:?}");
            let asked = echo.general.load(Ordering::Relaxed) + echo.at_once.load(Ordering::Relaxed);
            assert_eq!(asked, 0, "{said} {cut}");
        }
    }
}
