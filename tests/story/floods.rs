//! Floods of HTTP/2 frames, made by hand: the edge stays small, ends the connection where it may, and serves others all
//! the while.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{Network, Origin, get, reply, resident, runtime};

// Kinds of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

// Flags of HEADERS.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

// Why a connection ends (RFC 9113 §7).
const PROTOCOL_ERROR: u32 = 1;
const STREAM_CLOSED: u32 = 5;
const COMPRESSION_ERROR: u32 = 9;
const CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// A header block (RFC 7541) with these two indexed fields, and what follows.
fn block(method: u8, more: &[u8]) -> Vec<u8> {
    let (path, host) = (b"/hit", b"www.shop.example");
    let text = |index: u8, text: &[u8]| [&[index, u8::try_from(text.len()).unwrap()][..], text].concat();
    // :method, :scheme http, :path and :authority by the static table's names, none of them to be kept.
    [&[method, 0x86][..], &text(0x04, path), &text(0x01, host), more].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// A whole GET on a stream.
fn ask(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(GET, &[]))
}

/// Clients' streams: odd numbers.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

/// One flood.
struct Flood {
    name: &'static str,
    /// Written one after the other, with a short pause between two.
    waves: Vec<Vec<u8>>,
    /// How the connection may be ended; empty where a client may go on with it.
    ends: &'static [u32],
    /// Whether the client reads what it is answered.
    reads: bool,
}

fn flood(name: &'static str, bytes: Vec<u8>, ends: &'static [u32]) -> Flood {
    Flood { name, waves: vec![bytes], ends, reads: true }
}

/// Frames, and then others, so many times.
fn then(before: &[u8], again: &[u8], times: usize) -> Vec<u8> {
    [before, &again.repeat(times)].concat()
}

fn of_streams() -> Vec<Flood> {
    let reset = |stream| [ask(stream), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat();
    let most = (u32::MAX >> 1).to_be_bytes();
    let overflow = |stream| [ask(stream), frame(WINDOW_UPDATE, 0, stream, &most)].concat();
    let post = |stream, more: &[u8]| frame(HEADERS, END_HEADERS, stream, &block(POST, more));
    // content-length: 0, then a byte.
    let longer = |stream| [post(stream, &[0x0f, 0x0d, 1, b'0']), frame(DATA, 0, stream, b"x")].concat();
    let resets: Vec<Vec<u8>> = streams(4_000).map(reset).collect();
    vec![
        flood("rapid reset", resets.concat(), &[CALM]),
        Flood {
            name: "rapid reset by tens",
            waves: (0..400).map(|wave| resets[10 * wave..10 * wave + 10].concat()).collect(),
            ends: &[],
            reads: true,
        },
        flood("made to reset, by a window past all", streams(4_000).flat_map(overflow).collect(), &[CALM]),
        flood("made to reset, by a body longer than it says", streams(4_000).flat_map(longer).collect(), &[CALM]),
        flood(
            "made to reset, by a body after the end",
            then(&ask(1), &frame(DATA, 0, 1, b"x"), 4_000),
            &[PROTOCOL_ERROR, STREAM_CLOSED],
        ),
        flood("streams past all that may be", streams(20_000).flat_map(ask).collect(), &[CALM]),
        flood("empty DATA", then(&post(1, &[]), &frame(DATA, 0, 1, b""), 20_000), &[CALM]),
        flood("DATA of a byte", then(&post(1, &[]), &frame(DATA, 0, 1, b"x"), 20_000), &[]),
        flood("a stream that is even", ask(2), &[PROTOCOL_ERROR]),
        flood("no stream", ask(0), &[PROTOCOL_ERROR]),
    ]
}

fn of_heads() -> Vec<Flood> {
    let begun = frame(HEADERS, END_STREAM, 1, &block(GET, &[]));
    // `a: b`, not to be kept.
    let field = frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b'].repeat(100));
    let empty = frame(CONTINUATION, 0, 1, &[]);
    // A field of 4,000 bytes that is kept (7-bit prefix: 127 and 3,873 more), and named again and again.
    let kept = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'b'; 4_000], &[0xbe; 10_000]].concat();
    let bomb = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(GET, &kept));
    // A table of 4 GiB, within a block: more than was agreed on.
    let giant = [&[0x3f_u8, 0xe0, 0xff, 0xff, 0xff, 0x0f][..], &block(GET, &[])].concat();
    let padded = frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &[255, GET]);
    vec![
        flood("CONTINUATION without end", then(&begun, &field, 10_000), &[CALM, COMPRESSION_ERROR]),
        flood("empty CONTINUATION", then(&begun, &empty, 100_000), &[CALM]),
        flood("something within a head", then(&begun, &frame(PING, 0, 0, &[0; 8]), 1), &[PROTOCOL_ERROR]),
        flood("a head that unpacks to 40 MB", streams(100).flat_map(bomb).collect(), &[CALM]),
        flood(
            "a table larger than agreed on",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &giant),
            &[PROTOCOL_ERROR, COMPRESSION_ERROR],
        ),
        flood("padding past the frame", padded, &[PROTOCOL_ERROR]),
    ]
}

fn of_connections() -> Vec<Flood> {
    // SETTINGS_HEADER_TABLE_SIZE: how much we may keep of what we send.
    let table = frame(SETTINGS, 0, 0, &[0, 1, 0xff, 0xff, 0xff, 0xff]);
    let ping = frame(PING, 0, 0, b"flooding");
    let none = 0_u32.to_be_bytes();
    let one = 1_u32.to_be_bytes();
    // It depends on none, with the least weight.
    let priority = frame(PRIORITY, 0, 1, &[0; 5]);
    let post = frame(HEADERS, END_HEADERS, 1, &block(POST, &[]));
    vec![
        flood("SETTINGS", frame(SETTINGS, 0, 0, &[]).repeat(50_000), &[]),
        flood("a table of 4 GiB for what is sent", then(&table, &ask_all(100), 1), &[]),
        flood("PING", ping.repeat(50_000), &[]),
        Flood { name: "PING, unread", waves: vec![ping.repeat(1_000_000)], ends: &[], reads: false },
        flood("PRIORITY", priority.repeat(50_000), &[]),
        flood("windows that grow by one", frame(WINDOW_UPDATE, 0, 0, &one).repeat(50_000), &[]),
        flood("a window that grows by none", frame(WINDOW_UPDATE, 0, 0, &none), &[PROTOCOL_ERROR]),
        flood(
            "a stream's window that grows by none",
            then(&post, &frame(WINDOW_UPDATE, 0, 1, &none), 1),
            &[PROTOCOL_ERROR],
        ),
        flood("a frame larger than agreed on", frame(PING, 0, 0, &[0; 40_000]), &[PROTOCOL_ERROR, 6]),
    ]
}

fn ask_all(count: u32) -> Vec<u8> {
    streams(count).flat_map(ask).collect()
}

/// What became of a flood.
struct Outcome {
    /// Why the edge has ended the connection, if it has.
    ended: Option<u32>,
    took: Duration,
}

/// Time for an edge to end what it ends, and to take what it takes.
const PATIENCE: Duration = Duration::from_secs(4);

impl Flood {
    fn run(&self, edge: SocketAddr) -> Outcome {
        let start = Instant::now();
        let mut stream = TcpStream::connect(edge).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let reader = self.reads.then(|| {
            let stream = stream.try_clone().unwrap();
            std::thread::spawn(move || reason(stream))
        });
        // A connection that has ended takes no more.
        let mut write = |bytes: &[u8]| stream.write_all(bytes).is_ok();
        let mut goes_on = write(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        for wave in &self.waves {
            goes_on = goes_on && write(wave);
            std::thread::sleep(Duration::from_millis(u64::from(self.waves.len() > 1)));
        }
        if self.ends.is_empty() {
            // Who may go on is through: its end ends what is read of it, too.
            let _ = stream.shutdown(Shutdown::Write);
        }
        let ended = reader.and_then(|reader| reader.join().unwrap());
        Outcome { ended, took: start.elapsed() }
    }
}

/// Reads frames to the end of a connection: the reason that a GOAWAY gives, if it is no mere farewell.
fn reason(mut stream: TcpStream) -> Option<u32> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reason = None;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        if stream.read_exact(&mut payload).is_err() {
            break;
        }
        if kind == GOAWAY {
            let said = u32::from_be_bytes(payload[4..8].try_into().unwrap());
            reason = reason.or((said > 0).then_some(said));
        }
    }
    reason
}

/// A client that asks for what is stored, again and again: how often, and how long it waited at most.
fn good_client(edge: SocketAddr, stop: Arc<AtomicBool>) -> JoinHandle<(usize, Duration)> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut count, mut worst) = (0, Duration::ZERO);
            while !stop.load(Ordering::SeqCst) {
                let start = Instant::now();
                let got = get(edge, "/hit", &[]).await.unwrap();
                assert!(got.status == 200 && got.body == "hit" && got.is("hit"), "{got:?}");
                (count, worst) = (count + 1, worst.max(start.elapsed()));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (count, worst)
        })
    })
}

const MIB: u64 = 1 << 20;

#[test]
fn floods_of_frames_end_their_connection_and_harm_nobody() {
    let runtime = runtime();
    let origin = runtime.block_on(Origin::start(|_, request| match *request.method() {
        http::Method::GET => reply(200, &[("cache-control", "max-age=600")], "hit"),
        _ => reply(200, &[], "posted"),
    }));
    let network = Network::new(210, origin.address, "");
    let edge = network.start("one-1");
    runtime.block_on(async { assert_eq!(get(network.edge, "/hit", &[]).await.unwrap().body, "hit") });
    let before = resident(edge.0.id());
    for flood in of_streams().into_iter().chain(of_heads()).chain(of_connections()) {
        let stop = Arc::<AtomicBool>::default();
        let good = good_client(network.edge, Arc::clone(&stop));
        let Outcome { ended, took } = flood.run(network.edge);
        let grown = resident(edge.0.id()).saturating_sub(before) / MIB;
        stop.store(true, Ordering::SeqCst);
        let (count, worst) = good.join().expect("the good client is served");
        let name = flood.name;
        println!("{name}: {ended:?} after {took:?}; {grown} MiB; {count} good, {worst:?} at most");
        assert!(worst < Duration::from_secs(2), "{name}: a good client waited {worst:?}");
        assert!(grown < 64, "{name}: grown by {grown} MiB");
        if !flood.ends.is_empty() {
            assert!(ended.is_some_and(|ended| flood.ends.contains(&ended)), "{name}: {ended:?}, not {:?}", flood.ends);
        }
    }
}
