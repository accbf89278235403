//! An origin that says something before its response (RFC 9110 §15.2, RFC 8297).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Network, run, runtime};
use crate::tls::Secured;

/// Between the hints and the response.
const THINKING: Duration = Duration::from_millis(400);

/// An origin that hints at once, and answers later: `/many` hints 40 times.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 8_192];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        let many = buffer[..bytes].starts_with(b"GET /many");
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-own\r\nX-Own: 1\r\n\r\n";
        let hints = if many { hint.repeat(40) } else { format!("HTTP/1.1 102 Processing\r\n\r\n{hint}") };
        stream.write_all(hints.as_bytes()).unwrap();
        std::thread::sleep(THINKING);
        let body = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello";
        stream.write_all(body.as_bytes()).unwrap();
    }
}

/// Reads so many bodies, and returns all that was said and the statuses.
fn read(client: &mut TcpStream, bodies: usize) -> (String, Vec<String>) {
    let (mut said, mut buffer) = (String::new(), [0; 8_192]);
    while said.matches("hello").count() < bodies {
        let bytes = client.read(&mut buffer).unwrap();
        assert!(bytes > 0, "{said}");
        said.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
    }
    let statuses = said.split("HTTP/1.").skip(1).map(|message| message[2..5].to_owned()).collect();
    (said, statuses)
}

#[test]
fn hints_come_before_the_response_and_are_not_replayed() {
    let network = Network::new(94, origin(), "");
    let _edge = network.start("one-1");
    let mut client = TcpStream::connect(network.edge).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");

    let start = Instant::now();
    client.write_all(ask("/one").as_bytes()).unwrap();
    let mut first = [0; 21];
    client.read_exact(&mut first).unwrap();
    assert!(start.elapsed() < THINKING / 2, "{:?}", start.elapsed());
    assert_eq!(std::str::from_utf8(&first).unwrap(), "HTTP/1.1 102 Processi");
    let (said, statuses) = read(&mut client, 1);
    assert_eq!(statuses, ["103", "200"], "{said}");
    assert!(said.contains("link: </a.css>; rel=preload\r\n") && !said.contains("x-own"), "{said}");

    // Two at once on a connection: what belongs to the second stands after the first.
    client.write_all([ask("/two"), ask("/three"), ask("/one")].concat().as_bytes()).unwrap();
    let (said, statuses) = read(&mut client, 3);
    assert_eq!(statuses, ["102", "103", "200", "102", "103", "200", "200"], "a hit has none: {said}");

    client.write_all(ask("/many").as_bytes()).unwrap();
    let (said, statuses) = read(&mut client, 1);
    assert_eq!((statuses.len(), statuses.last().unwrap().as_str()), (17, "200"), "{said}");

    let mut old = TcpStream::connect(network.edge).unwrap();
    old.write_all(ask("/old").replace("1.1", "1.0").as_bytes()).unwrap();
    assert_eq!(read(&mut old, 1).1, ["200"], "HTTP/1.0 has no interim responses");
}

#[test]
fn a_real_client_takes_hints() {
    let network = Network::new(95, origin(), "");
    let _edge = network.start("one-1");
    let to = format!("::{}", network.edge);
    let url = "http://www.shop.example/curl";
    let said = run("curl", &["-si", "-m", "5", "--connect-to", &to, url]);
    assert!(said.starts_with("HTTP/1.1 102") && said.contains("HTTP/1.1 103 Early Hints\r\nlink: "), "{said}");
    assert!(said.ends_with("\r\n\r\nhello") && said.contains("cache-status: one-1;fwd=uri-miss"), "{said}");
}

#[test]
fn hints_come_by_http2_too() {
    runtime().block_on(async {
        let site = Secured::of(248, origin(), "", "");
        let _edge = site.network.start("one-1");
        // Over TLS and in the clear they are two objects.
        for (how, url) in
            [("--http2", "https://www.shop.example"), ("--http2-prior-knowledge", "http://www.shop.example")]
        {
            let start = Instant::now();
            let said = site.curl(&[how, &format!("{url}/curl")]);
            assert!(
                said.starts_with("http/2 102") && said.contains("http/2 103 \nlink: </a.css>; rel=preload\n"),
                "{how}: {said}"
            );
            let is_whole = said.ends_with("\n\nhello") && said.contains("http/2 200") && !said.contains("x-own");
            assert!(is_whole, "{how}: {said}");
            assert!(start.elapsed() >= THINKING, "{how}: they came from the origin");
            let many = site.curl(&[how, &format!("{url}/many")]);
            assert_eq!(many.matches("http/2 103").count(), 16, "{how}: {many}");
            let hit = site.curl(&[how, &format!("{url}/curl")]);
            assert!(hit.starts_with("http/2 200") && hit.contains("one-1;hit"), "{how}: {hit}");
        }
    });
}
