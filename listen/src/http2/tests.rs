use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{Builder as ClientBuilder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::connection::Scheme;
use crate::drive::{Protocols, drive};
use crate::fast::Sent;
use crate::incoming::Incoming;
use crate::mount::{Handler, Mount};
use crate::tls_stream::tests::{Tap, Tapped, pair};
use crate::tunnel::Duplex;

/// How a connection comes to be one of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Tls,
    /// In the clear, by prior knowledge.
    Clear,
}

pub(crate) const BOTH: [Over; 2] = [Over::Tls, Over::Clear];

/// A client's end of a connection.
type Client = Box<dyn Duplex>;

/// A connection that is served, and its client's end.
pub(crate) struct Connected {
    pub(crate) client: Client,
    tapped: Arc<Tapped>,
    driven: JoinHandle<()>,
}

/// Connects a client to what answers it, over a pipe with so much room each way.
pub(crate) async fn connect(over: Over, room: usize, handler: Arc<dyn Handler>, stop: &Stop) -> Connected {
    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler }]));
    let address = "127.0.0.1:443".parse().unwrap();
    let connection = Connection {
        peer: address,
        is_relayed: false,
        local: address,
        scheme: if over == Over::Tls { Scheme::Https } else { Scheme::Http },
        sni: None,
        tls: None,
        interim: None,
    };
    let stop = stop.clone();
    match over {
        Over::Tls => {
            let (ours, client, tapped) = pair(room).await;
            let driven = tokio::spawn(async move {
                serve_http2(&Protocols::new().http2, ours, connection, mounts, &stop).await;
            });
            Connected { client: Box::new(client), tapped, driven }
        }
        Over::Clear => {
            let (ours, theirs) = tokio::io::duplex(room);
            let (client, tapped) = Tap::new(theirs);
            let driven = tokio::spawn(async move {
                drive(&Protocols::new(), ours, connection, &mounts, &stop).await;
            });
            Connected { client: Box::new(client), tapped, driven }
        }
    }
}

/// Says as many bytes as the number at the end of the path; below `/slow/` after a second, below `/hinted/` with a hint
/// before, below `/panic/` nothing, and below `/whole/` at once.
#[derive(Default)]
struct Says(Arc<Mutex<Vec<u64>>>);

/// Notes what has gone.
struct Notes(Arc<Mutex<Vec<u64>>>);

impl Sent for Notes {
    fn sent(&mut self, bytes: u64) {
        self.0.lock().unwrap().push(bytes);
    }
}

impl Handler for Says {
    fn whole_at_once(&self, head: &Parts, _: &Connection) -> Option<Whole> {
        let length = head.uri.path().strip_prefix("/whole/")?.parse().ok()?;
        let fields = [(header::CONTENT_LENGTH, HeaderValue::from(length))].into_iter().collect();
        Some(Whole { fields, body: vec![b'x'; length].into(), sent: Box::new(Notes(Arc::clone(&self.0))) })
    }

    fn serve(&self, request: Request<Incoming>, connection: Connection) -> crate::Reply {
        Box::pin(async move {
            let path = request.uri().path();
            let length = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            if path.starts_with("/hinted/") {
                connection.interim.unwrap().send(StatusCode::EARLY_HINTS, &HeaderMap::new());
            }
            if path.starts_with("/slow/") || path.starts_with("/hinted/") {
                sleep(Duration::from_secs(1)).await;
            }
            assert!(!path.starts_with("/panic/"), "a bug");
            Response::new(crate::full(vec![b'x'; length]))
        })
    }
}

/// A connection to what says so.
struct Served {
    client: Client,
    tapped: Arc<Tapped>,
    stop: Stop,
    driven: JoinHandle<()>,
    /// Bytes of answers at once, as they have gone.
    gone: Arc<Mutex<Vec<u64>>>,
}

impl Served {
    async fn start(over: Over, room: usize) -> Self {
        let (says, stop) = (Says::default(), Stop::new());
        let gone = Arc::clone(&says.0);
        let Connected { client, tapped, driven } = connect(over, room, Arc::new(says), &stop).await;
        Self { client, tapped, stop, driven, gone }
    }
}

/// A client that lets a server send as much as it likes.
async fn ready(client: Client) -> SendRequest<crate::Body> {
    let mut builder = ClientBuilder::new(TokioExecutor::new());
    builder.initial_stream_window_size(64_u32 << 20).initial_connection_window_size(64_u32 << 20);
    let (sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(mut sender: SendRequest<crate::Body>, path: &str) -> Result<Bytes, hyper::Error> {
    let request = Request::get(format!("https://a{path}")).body(crate::empty()).unwrap();
    Ok(sender.send_request(request).await?.into_body().collect().await?.to_bytes())
}

#[tokio::test]
async fn answers_of_many_streams_leave_in_few_records() {
    let served = Served::start(Over::Tls, 1 << 20).await;
    let sender = ready(served.client).await;
    ask(sender.clone(), "/1").await.unwrap();
    let before = served.tapped.records();
    let answers = join_all((0..64).map(|_| ask(sender.clone(), "/1000"))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().len() == 1_000));
    let records = served.tapped.records() - before;
    assert!(records <= 16, "{records}");
    assert_eq!(ask(sender, "/3000000").await.unwrap().len(), 3_000_000);
}

#[tokio::test]
async fn what_is_answered_at_once_is_told_as_it_goes() {
    for over in BOTH {
        let served = Served::start(over, 64 << 10).await;
        let sender = ready(served.client).await;
        let answers = join_all((0..50).map(|_| ask(sender.clone(), "/whole/100000"))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().len() == 100_000));
        assert!(ask(sender.clone(), "/whole/0").await.unwrap().is_empty());
        let mut gone = served.gone.lock().unwrap().clone();
        gone.sort_unstable();
        assert_eq!(gone, [&[0][..], &[100_000; 50]].concat());
        // Beside others, whatever they are.
        let (whole, slow, page) =
            tokio::join!(ask(sender.clone(), "/whole/7"), ask(sender.clone(), "/slow/8"), ask(sender, "/9"));
        assert_eq!([whole, slow, page].map(|answer| answer.unwrap().len()), [7, 8, 9]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_client_does_not_take_of_an_answer_at_once_is_not_told_and_ends() {
    for over in BOTH {
        let served = Served::start(over, 64 << 10).await;
        let mut builder = ClientBuilder::new(TokioExecutor::new());
        builder.initial_stream_window_size(30_000).initial_connection_window_size(1 << 20);
        let (mut sender, connection) = builder.handshake(TokioIo::new(served.client)).await.unwrap();
        tokio::spawn(connection);
        let get = || Request::get("https://a/whole/200000").body(crate::empty()).unwrap();
        // Its window is full, and then it goes.
        let response = sender.send_request(get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        sleep(Duration::from_secs(1)).await;
        assert!(served.gone.lock().unwrap().is_empty(), "it is on its way");
        drop(response);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(*served.gone.lock().unwrap(), [30_000]);
        // One that stays and takes nothing is given up.
        let start = Instant::now();
        let response = sender.send_request(get()).await.unwrap();
        served.driven.await.unwrap();
        let took = start.elapsed();
        assert!((limits::HTTP_WRITE_TIME..limits::HTTP_WRITE_TIME * 3).contains(&took), "{took:?}");
        assert_eq!(*served.gone.lock().unwrap(), [30_000, 30_000]);
        drop(response);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_keeps_no_other_waiting() {
    for over in BOTH {
        let served = Served::start(over, 64 << 10).await;
        let sender = ready(served.client).await;
        let start = Instant::now();
        let slow = ask(sender.clone(), "/slow/1000000");
        let fast = async {
            for _ in 0..20 {
                assert_eq!(ask(sender.clone(), "/1000").await.unwrap().len(), 1_000);
            }
            start.elapsed()
        };
        let (slow, fast) = tokio::join!(slow, fast);
        assert_eq!(slow.unwrap().len(), 1_000_000);
        assert!(fast < Duration::from_millis(500) && start.elapsed() >= Duration::from_secs(1), "{fast:?}");
    }
}

/// A large answer that is being taken slowly, and small ones beside it.
#[tokio::test(start_paused = true)]
async fn a_large_answer_keeps_no_small_one_waiting_to_its_end() {
    for over in BOTH {
        let served = Served::start(over, 4 << 10).await;
        served.tapped.slow_down();
        let sender = ready(served.client).await;
        let start = Instant::now();
        let large = async {
            assert_eq!(ask(sender.clone(), "/3000000").await.unwrap().len(), 3_000_000);
            start.elapsed()
        };
        let small = async {
            sleep(Duration::from_secs(60)).await;
            ask(sender.clone(), "/10").await.unwrap();
            start.elapsed()
        };
        let (large, small) = tokio::join!(large, small);
        // 3 MB at 16 KiB a second; of what was asked for before it, little is in front.
        assert!(large > Duration::from_secs(150) && small < Duration::from_secs(75), "{large:?} {small:?}");
    }
}

#[tokio::test]
async fn a_panic_is_one_streams() {
    for over in BOTH {
        let served = Served::start(over, 64 << 10).await;
        let sender = ready(served.client).await;
        let (panicked, fine) = tokio::join!(ask(sender.clone(), "/panic/1"), ask(sender.clone(), "/10"));
        assert!(panicked.is_err() && fine.is_ok());
        assert!(ask(sender, "/10").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_under_load_loses_nothing() {
    for over in BOTH {
        let served = Served::start(over, 16 << 10).await;
        let sender = ready(served.client).await;
        ask(sender.clone(), "/1").await.unwrap();
        let asked = join_all((0..100).map(|_| ask(sender.clone(), "/slow/20000")));
        let stops = async {
            sleep(Duration::from_millis(500)).await;
            served.stop.stop();
        };
        let (answers, ()) = tokio::join!(asked, stops);
        assert!(answers.into_iter().all(|answer| answer.unwrap().len() == 20_000));
        assert!(ask(sender, "/1").await.is_err(), "it was told to go elsewhere");
        timeout(limits::HTTP_DRAIN, served.driven).await.expect("it ends").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_little_is_not() {
    for over in BOTH {
        let served = Served::start(over, 4 << 10).await;
        let sender = ready(served.client).await;
        ask(sender.clone(), "/1").await.unwrap();
        served.tapped.pause();
        let asked = tokio::spawn(async move { ask(sender, "/3000000").await.map(|body| body.len()) });
        let start = Instant::now();
        served.driven.await.unwrap();
        let took = start.elapsed();
        assert!((Duration::from_secs(30)..=limits::HTTP_WRITE_TIME * 2).contains(&took), "{took:?}");
        asked.abort();

        // Much may be on its way: what is asked of a client, such as to answer a ping, comes behind it.
        for on_the_way in [4 << 10, 256 << 10] {
            let served = Served::start(over, on_the_way).await;
            served.tapped.slow_down();
            let sender = ready(served.client).await;
            let start = Instant::now();
            assert_eq!(ask(sender, "/6000000").await.unwrap().len(), 6_000_000, "{over:?} {on_the_way}");
            assert!(start.elapsed() > limits::HTTP_WRITE_TIME * 4, "{:?}", start.elapsed());
        }
    }
}

/// An answer that hyper has handed over whole at once: what the client has of it is what counts.
#[tokio::test(start_paused = true)]
async fn a_connection_is_not_idle_while_an_answer_leaves_slowly() {
    for over in BOTH {
        let served = Served::start(over, 1_400).await;
        let sender = ready(served.client).await;
        ask(sender.clone(), "/1").await.unwrap();
        served.tapped.slow_down();
        let start = Instant::now();
        // 36 s by what the pipe holds.
        assert_eq!(ask(sender.clone(), "/200000").await.unwrap().len(), 200_000);
        let took = start.elapsed();
        assert!(took > limits::HTTP_HEADER_TIME, "{took:?}");
        served.driven.await.unwrap();
        let idle = start.elapsed() - took + Duration::from_secs(1);
        assert!((limits::HTTP_HEADER_TIME..limits::HTTP_HEADER_TIME * 2).contains(&idle), "{idle:?}");
        drop(sender);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_comes_before_its_answer() {
    for over in BOTH {
        let served = Served::start(over, 64 << 10).await;
        let (client, connection) = h2::client::handshake(served.client).await.unwrap();
        tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let start = Instant::now();
        let request = Request::get("https://a/hinted/5").body(()).unwrap();
        let (mut response, _) = client.send_request(request, true).unwrap();
        let hint = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        let took = start.elapsed();
        assert!(hint.status() == StatusCode::EARLY_HINTS && took < Duration::from_millis(500), "{over:?}: {took:?}");
        let response = response.await.unwrap();
        let took = start.elapsed();
        assert!(response.status() == StatusCode::OK && took >= Duration::from_secs(1), "{over:?}: {took:?}");
        let body = response.into_body().data().await.unwrap().unwrap();
        assert_eq!(body, "xxxxx", "{over:?}");
    }
}

#[tokio::test]
async fn all_may_come_and_go_in_small_pieces_from_the_first_on() {
    for (over, room) in [(Over::Tls, 100), (Over::Clear, 1)] {
        let served = Served::start(over, room).await;
        let sender = ready(served.client).await;
        for path in ["/whole/1000", "/1000"] {
            assert_eq!(ask(sender.clone(), path).await.unwrap().len(), 1_000, "{over:?} {path}");
        }
    }
}

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection's preface, with SETTINGS that change nothing.
fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat()
}

/// By HPACK's static table: GET https://a/ (RFC 7541, appendix A).
const HEAD: [u8; 6] = [0x82, 0x87, 0x84, 0x41, 1, b'a'];
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The code of the GOAWAY that ends what was said to a client.
async fn goodbye(client: &mut Client) -> Option<u32> {
    let mut said = Vec::new();
    while client.read_buf(&mut said).await.is_ok_and(|count| count > 0) {}
    let (mut rest, mut code) = (said.as_slice(), None);
    while let [high, middle, low, kind, _, _, _, _, _, behind @ ..] = rest {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let (payload, next) = behind.split_at_checked(length)?;
        if *kind == 7 {
            code = Some(u32::from_be_bytes(payload.get(4..8)?.try_into().unwrap()));
        }
        rest = next;
    }
    code
}

const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test(start_paused = true)]
async fn streams_that_are_reset_as_fast_as_they_come_end_the_connection() {
    for over in BOTH {
        let mut served = Served::start(over, 64 << 10).await;
        let mut flood = preface();
        for stream in (1..10_000).step_by(2) {
            flood.extend(frame(1, END_STREAM | END_HEADERS, stream, &HEAD));
            flood.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
        }
        // Nobody reads meanwhile, and writing ends when the server has gone.
        for piece in flood.chunks(16 << 10) {
            let written = timeout(Duration::from_secs(5), served.client.write_all(piece)).await;
            if !written.is_ok_and(|written| written.is_ok()) {
                break;
            }
        }
        assert_eq!(goodbye(&mut served.client).await, Some(ENHANCE_YOUR_CALM));
        timeout(limits::HTTP_DRAIN, served.driven).await.expect("it ends").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_without_an_end_ends_the_connection() {
    for over in BOTH {
        let mut served = Served::start(over, 64 << 10).await;
        // Fields of 100 bytes each, which are in no table.
        let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
        served.client.write_all(&[preface(), frame(1, END_STREAM, 1, &HEAD)].concat()).await.unwrap();
        let more = frame(9, 0, 1, &field.repeat(9));
        let mut sent = 0;
        while timeout(Duration::from_secs(5), served.client.write_all(&more)).await.is_ok_and(|written| written.is_ok())
        {
            sent += more.len();
            assert!(sent < 1 << 20, "it is read for ever");
        }
        timeout(limits::HTTP_WRITE_TIME * 2, served.driven).await.expect("it ends").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn floods_of_what_is_answered_are_bounded_by_what_the_client_reads() {
    for over in BOTH {
        for asks in [frame(6, 0, 0, &[7; 8]), frame(4, 0, 0, &[])] {
            let mut served = Served::start(over, 64 << 10).await;
            served.client.write_all(&preface()).await.unwrap();
            served.tapped.pause();
            let flood = asks.repeat(1_000);
            let mut sent = 0;
            while timeout(Duration::from_secs(5), served.client.write_all(&flood))
                .await
                .is_ok_and(|written| written.is_ok())
            {
                sent += flood.len();
                assert!(sent < 4 << 20, "{sent}");
            }
            timeout(limits::HTTP_WRITE_TIME * 4, served.driven).await.expect("it is given up").unwrap();
        }
    }
}
