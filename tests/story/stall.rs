//! Origins that break off, stall and drip: a body is whole or visibly cut, and what was cut is not stored.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::support::{Got, Network, get};

/// What an origin does to a connection, step by step; after the last it closes.
#[derive(Clone, Copy)]
enum Step {
    Say(&'static str),
    /// The body, a byte at a time.
    Drip(&'static str),
    Pause(Duration),
    Reset,
    /// Keeps the connection and says no more.
    Hang,
}

use Step::{Drip, Hang, Pause, Reset, Say};

/// How the first fetch ends; the second is whole.
enum End {
    Status(u16, &'static str),
    Cut,
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 20\r\n\r\n";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";
const BODY: &str = "twenty bytes, no end";
const WHOLE: &[Step] = &[Say(LENGTH), Say(BODY)];
const SHORT: Duration = Duration::from_millis(50);
/// Both the time to the first byte and that between two.
const TIME: Duration = Duration::from_secs(30);

type Script = HashMap<&'static str, Vec<&'static [Step]>>;

/// Each request for a path takes its next script, and the last for ever.
fn origin(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(Mutex::new(script));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = Arc::clone(&script);
            std::thread::spawn(move || serve(stream, &script));
        }
    });
    address
}

fn serve(mut stream: TcpStream, script: &Mutex<Script>) {
    let mut request = [0; 8192];
    let length = stream.read(&mut request).unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let steps = {
        let mut script = script.lock().unwrap();
        let Some(left) = script.get_mut(path) else { return };
        if left.len() > 1 { left.remove(0) } else { left[0] }
    };
    for step in steps {
        match step {
            Say(text) => drop(stream.write_all(text.as_bytes())),
            Drip(text) => text.bytes().for_each(|byte| {
                std::thread::sleep(SHORT);
                let _ = stream.write_all(&[byte]);
            }),
            Pause(time) => std::thread::sleep(*time),
            Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            Hang => std::thread::sleep(TIME * 3),
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What the first fetch came to, after how long, and the two after it.
async fn thrice(edge: SocketAddr, path: &str) -> (Result<Got, String>, Duration, [Got; 2]) {
    let start = Instant::now();
    let first = get(edge, path, &[]).await;
    let took = start.elapsed();
    (first, took, [get(edge, path, &[]).await.unwrap(), get(edge, path, &[]).await.unwrap()])
}

#[test]
fn what_breaks_off_or_stalls_is_cut_and_the_next_fetch_is_whole() {
    let cases: [(&str, &[Step], End, Duration); 9] = [
        ("/reset", &[Reset], End::Status(502, "connection_terminated"), SHORT),
        (
            "/reset-in-the-head",
            &[Say("HTTP/1.1 200 OK\r\ncac"), Reset],
            End::Status(502, "connection_terminated"),
            SHORT,
        ),
        ("/close-in-the-head", &[Say("HTTP/1.1 200 OK\r\ncac")], End::Status(502, "connection_terminated"), SHORT),
        ("/reset-in-the-body", &[Say(LENGTH), Say("twenty"), Pause(SHORT), Reset], End::Cut, SHORT),
        ("/reset-in-chunks", &[Say(CHUNKS), Say("6\r\ntwenty\r\n"), Pause(SHORT), Reset], End::Cut, SHORT),
        ("/hang", &[Hang], End::Status(504, "http_response_timeout"), TIME),
        ("/hang-in-the-head", &[Say("HTTP/1.1 200 OK\r\ncac"), Hang], End::Status(504, "http_response_timeout"), TIME),
        ("/hang-in-the-body", &[Say(LENGTH), Say("twenty"), Hang], End::Cut, TIME),
        ("/hang-in-chunks", &[Say(CHUNKS), Say("6\r\ntwenty\r\n"), Hang], End::Cut, TIME),
    ];
    let script = cases.iter().map(|(path, steps, ..)| (*path, vec![*steps, WHOLE])).collect();
    let network = Network::new(151, origin(script), "");
    let _edge = network.start("one-1");
    runtime().block_on(async {
        let fetches = cases.iter().map(|(path, ..)| tokio::spawn(thrice(network.edge, path)));
        let fetches: Vec<_> = fetches.collect();
        for ((path, _, end, after), fetch) in cases.iter().zip(fetches) {
            let (first, took, [second, third]) = fetch.await.unwrap();
            match (end, &first) {
                (End::Status(status, error), Ok(got)) => {
                    assert_eq!(got.status.as_u16(), *status, "{path}: {got:?}");
                    assert_eq!(got.header("proxy-status"), format!("one-1; error={error}"), "{path}");
                }
                (End::Cut, Err(_)) => {}
                _ => panic!("{path}: {first:?}"),
            }
            assert!(took >= *after || *after == SHORT, "{path}: sooner than promised, {took:?}");
            assert!(took < *after + TIME / 10, "{path}: {took:?}");
            assert!(second.body == BODY && second.is("fwd=uri-miss"), "{path}: {second:?}");
            assert!(third.body == BODY && third.is("hit"), "{path}: {third:?}");
        }
    });
}

#[test]
fn what_drips_reaches_all_who_ask_and_is_one_fetch() {
    let script = HashMap::from([("/drip", vec![&[Say(LENGTH), Drip(BODY)][..]])]);
    let network = Network::new(152, origin(script), "");
    let _edge = network.start("one-1");
    runtime().block_on(async {
        let readers = (0..20).map(|number| {
            let edge = network.edge;
            tokio::spawn(async move {
                tokio::time::sleep(SHORT * number).await;
                get(edge, "/drip", &[]).await.unwrap()
            })
        });
        let readers: Vec<_> = readers.collect();
        let mut forwarded = 0;
        for reader in readers {
            let got = reader.await.unwrap();
            assert_eq!(got.body, BODY);
            forwarded += u32::from(got.is("fwd=uri-miss") && !got.is("collapsed"));
        }
        assert_eq!(forwarded, 1);
    });
}

#[test]
fn an_origin_that_hangs_takes_no_stored_answer_with_it() {
    let brief: &[Step] = &[Say("HTTP/1.1 200 OK\r\ncache-control: max-age=1\r\ncontent-length: 5\r\n\r\nhello")];
    let script = HashMap::from([("/", vec![brief, &[Hang]])]);
    let network = Network::new(153, origin(script), "");
    let _edge = network.start("one-1");
    runtime().block_on(async {
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().body, "hello");
        assert!(get(network.edge, "/", &[]).await.unwrap().is("hit"));
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        let start = Instant::now();
        let stale = get(network.edge, "/", &[]).await.unwrap();
        assert!(stale.status == 200 && stale.body == "hello" && stale.is("fwd=stale"), "{stale:?}");
        assert!(start.elapsed() < TIME + TIME / 10, "{:?}", start.elapsed());
    });
}
