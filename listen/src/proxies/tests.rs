use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use prometheus::IntGauge;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::connection::Connection;
use crate::cores::Stop;
use crate::http::Server;
use crate::incoming::Incoming;
use crate::mount::{Handler, Mount, Mounts, Reply};
use crate::round_trip::RoundTrips;

/// Says who asks, and in a field whether that is who wrote the request.
struct Who;

impl Handler for Who {
    fn serve(&self, _: Request<Incoming>, connection: Connection) -> Reply {
        let mut response = Response::new(crate::full(connection.peer.to_string()));
        response.headers_mut().insert("x-relayed", connection.is_relayed.to_string().parse().unwrap());
        Box::pin(async move { response })
    }
}

/// Everybody is a proxy of this kind, or nobody is.
struct Everybody(Option<Naming>);

impl Proxies for Everybody {
    fn at(&self, _: IpAddr) -> Option<Naming> {
        self.0
    }
}

#[derive(Default)]
struct Seen(Mutex<Vec<IpAddr>>);

impl RoundTrips for Seen {
    fn seen(&self, client: IpAddr, _: Duration) {
        self.0.lock().unwrap().push(client);
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A listener to which everybody is such a proxy, and what it tells of round trips.
fn listener(naming: Option<Naming>) -> (SocketAddr, Arc<Seen>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler: Arc::new(Who) }]));
    let gauge = IntGauge::new("connections", "Connections.").unwrap();
    let seen = Arc::<Seen>::default();
    let server = Server::new(listener, mounts, None, gauge).unwrap();
    let server = server.telling(Some(Arc::<Seen>::clone(&seen) as _)).behind(Some(Arc::new(Everybody(naming))));
    tokio::spawn(server.serve(Stop::new()));
    (address, seen)
}

/// Sends pieces, one after the other, and returns all that is said until the end, and who it was sent by.
async fn ask(address: SocketAddr, pieces: &[&[u8]]) -> (String, SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let own = stream.local_addr().unwrap();
    for piece in pieces {
        // One that is closed by now takes no more.
        let _ = stream.write_all(piece).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    (String::from_utf8_lossy(&said).into_owned(), own)
}

/// A header with this command, family and protocol, and rest.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
}

/// 192.0.2.1:4711, for 198.51.100.1:443.
const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb];

/// [2001:db8::1]:4711, for [2001:db8::2]:443.
fn v6() -> Vec<u8> {
    let address = |last: u8| {
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        octets[15] = last;
        octets
    };
    [address(1).as_slice(), &address(2), &[0x12, 0x67, 1, 0xbb]].concat()
}

#[tokio::test]
async fn who_names_nobody_hands_on_what_anybody_writes() {
    for (naming, header, is_relayed) in [
        (Some(Naming::InHeader), header(0x21, 0x11, &V4), false),
        (Some(Naming::InHeader), header(0x21, 0, &[]), true),
        (Some(Naming::InHeader), header(0x21, 0x31, &[0; 216]), true),
        (Some(Naming::InHeader), header(0x20, 0, &[]), true),
        (Some(Naming::InRequests), Vec::new(), false),
        (None, Vec::new(), false),
    ] {
        let (address, _) = listener(naming);
        let (said, _) = ask(address, &[&[header.as_slice(), REQUEST].concat()]).await;
        assert!(said.contains(&format!("x-relayed: {is_relayed}\r\n")), "{naming:?} {header:?}: {said}");
    }
}

#[test]
fn a_header_names_a_client_or_nobody_or_is_none() {
    let [v4, v6] = ["192.0.2.1:4711", "[2001:db8::1]:4711"].map(|text| text.parse::<SocketAddr>().unwrap());
    let said_besides = [&V4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
    let unix = [0; 216];
    for (name, header, expected) in [
        ("IPv4", header(0x21, 0x11, &V4), Ok(Some(v4))),
        ("IPv6", header(0x21, 0x21, &self::v6()), Ok(Some(v6))),
        ("IPv4 and more", header(0x21, 0x11, &said_besides), Ok(Some(v4))),
        ("the proxy itself", header(0x20, 0, &[]), Ok(None)),
        ("the proxy itself, with addresses", header(0x20, 0x11, &V4), Ok(None)),
        ("the proxy itself, of an odd family", header(0x20, 0x7f, &[1, 2]), Ok(None)),
        ("of no family", header(0x21, 0, &[]), Ok(None)),
        ("of no family, with more", header(0x21, 0, &[0x04, 0, 0]), Ok(None)),
        ("a path of this machine", header(0x21, 0x31, &unix), Ok(None)),
        ("datagrams", header(0x21, 0x12, &V4), Err(Nameless::Malformed)),
        ("half an address", header(0x21, 0x11, &V4[..11]), Err(Nameless::Malformed)),
        ("another version", header(0x11, 0x11, &V4), Err(Nameless::Malformed)),
        ("another command", header(0x22, 0x11, &V4), Err(Nameless::Malformed)),
        ("another family", header(0x21, 0x41, &V4), Err(Nameless::Malformed)),
        ("version 1", b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n".to_vec(), Err(Nameless::Malformed)),
        ("a request", REQUEST.to_vec(), Err(Nameless::Malformed)),
        ("a handshake", [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0, 0].to_vec(), Err(Nameless::Malformed)),
        ("nothing", Vec::new(), Err(Nameless::Ended)),
        ("its beginning", header(0x21, 0x11, &V4)[..20].to_vec(), Err(Nameless::Ended)),
        ("the longest", header(0x20, 0, &vec![0; limits::PROXY_HEADER_BYTES - FIXED_BYTES]), Ok(None)),
        ("a longer one", header(0x20, 0, &vec![0; limits::PROXY_HEADER_BYTES]), Err(Nameless::TooLong)),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert_eq!(runtime.block_on(read_client(&mut header.as_slice())), expected, "{name}");
    }
}

#[tokio::test]
async fn the_client_is_whom_the_header_names_however_it_comes() {
    let (address, seen) = listener(Some(Naming::InHeader));
    let named = header(0x21, 0x11, &V4);
    let together = [&named[..], REQUEST].concat();
    let each: Vec<&[u8]> = together.chunks(1).collect();
    let (begin, rest) = together.split_at(7);
    let (fixed, after) = together.split_at(FIXED_BYTES);
    let (whole, request) = together.split_at(named.len() + 5);
    for pieces in
        [&[&together[..]][..], &[&named[..], REQUEST], &[begin, rest], &[fixed, after], &[whole, request], &each[..]]
    {
        let (said, _) = ask(address, pieces).await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("\r\n\r\n192.0.2.1:4711"), "{said}");
    }
    let (said, _) = ask(address, &[&header(0x21, 0x21, &v6())[..], REQUEST]).await;
    assert!(said.ends_with("\r\n\r\n[2001:db8::1]:4711"), "{said}");
    for nobody in [header(0x20, 0, &[]), header(0x21, 0, &[])] {
        let (said, own) = ask(address, &[&[&nobody[..], REQUEST].concat()[..]]).await;
        assert!(said.ends_with(&format!("\r\n\r\n{own}")), "{own}: {said}");
    }
    assert_eq!(*seen.0.lock().unwrap(), Vec::<IpAddr>::new(), "the kernel knows the proxy's alone");
}

#[tokio::test]
async fn what_begins_otherwise_is_closed() {
    let (address, _) = listener(Some(Naming::InHeader));
    let long = header(0x20, 0, &vec![0; limits::PROXY_HEADER_BYTES]);
    let v1 = [&b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"[..], REQUEST].concat();
    for begin in [REQUEST, &[7; 64][..], &long[..], &v1[..], &header(0x21, 0x12, &V4)[..]] {
        let (said, _) = ask(address, &[begin]).await;
        assert_eq!(said, "", "{begin:?}");
    }
}

#[tokio::test]
async fn nobody_else_is_believed() {
    for naming in [None, Some(Naming::InRequests)] {
        let (address, seen) = listener(naming);
        let (said, own) = ask(address, &[REQUEST]).await;
        assert!(said.ends_with(&format!("\r\n\r\n{own}")), "without a header as ever: {said}");
        let (said, _) = ask(address, &[&header(0x21, 0x11, &V4)[..], REQUEST]).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said}");
        assert!(!said.contains("192.0.2.1"), "{said}");
        if naming.is_none() {
            // A connection tells after its client has heard its end.
            for _ in 0..200 {
                if !seen.0.lock().unwrap().is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert_eq!(seen.0.lock().unwrap().contains(&own.ip()), naming.is_none(), "{naming:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_is_waited_for_only_so_long() {
    let (address, _) = listener(Some(Naming::InHeader));
    for begin in [&[][..], &header(0x21, 0x11, &V4)[..20]] {
        let start = tokio::time::Instant::now();
        let (said, _) = ask(address, &[begin]).await;
        assert_eq!(said, "");
        let (took, limit) = (start.elapsed(), limits::PROXY_HEADER_TIME);
        assert!((limit..limit * 2).contains(&took), "{took:?}");
    }
}
