//! Handshakes that are none, or never end: others are served as ever.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::support::{resident, runtime};
use crate::tls::Secured;

/// The first 50 bytes of a ClientHello that says it has 512 (RFC 8446 §4.1.2).
fn half_a_hello() -> Vec<u8> {
    [&[0x16_u8, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 39]].concat()
}

impl Secured {
    fn secure(&self) -> SocketAddr {
        SocketAddr::new(self.network.edge.ip(), 8143)
    }

    /// How long a client that does all as it should takes for a handshake and an answer: the middle of several.
    fn usual(&self) -> Duration {
        let once = || {
            let said =
                self.curl(&["-o", "/dev/null", "-w", "%{http_code} %{time_total}", "https://www.shop.example/a"]);
            let (code, seconds) = said.trim().split_once(' ').unwrap_or_else(|| panic!("{said}"));
            assert_eq!(code, "200", "{said}");
            Duration::from_secs_f64(seconds.parse().unwrap())
        };
        let mut all: Vec<Duration> = (0..9).map(|_| once()).collect();
        all.sort_unstable();
        all[all.len() / 2]
    }
}

/// How many half-open handshakes there are, from two addresses: one may have 4,096 connections.
const HALF_OPEN: usize = 5_000;
const FROM: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 21), Ipv4Addr::new(127, 0, 0, 22)];

#[test]
fn thousands_of_half_open_handshakes_hold_nobody_up_and_end() {
    runtime().block_on(async {
        let site = Secured::new(208, "", "").await;
        let edge = site.network.start("one-1");
        let usual = site.usual();
        let before = resident(edge.0.id());
        let start = Instant::now();
        let mut open = Vec::with_capacity(HALF_OPEN);
        for number in 0..HALF_OPEN {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((FROM[number % FROM.len()], 0).into()).unwrap();
            let mut stream = socket.connect(site.secure()).await.unwrap();
            stream.write_all(&half_a_hello()).await.unwrap();
            open.push(stream);
        }
        let beside = site.usual();
        let grown = resident(edge.0.id()).saturating_sub(before) >> 20;
        println!("{usual:?} alone, {beside:?} beside {HALF_OPEN} after {:?}; {grown} MiB", start.elapsed());
        assert!(beside < usual * 3 + Duration::from_millis(20), "{beside:?}, alone {usual:?}");
        assert!(grown < 160, "{grown} MiB for {HALF_OPEN}");
        // A handshake has ten seconds.
        for (number, mut stream) in open.into_iter().enumerate() {
            let ended = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 64])).await;
            assert!(matches!(ended, Ok(Ok(0) | Err(_))), "connection {number} lives on: {ended:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        assert!(site.usual() < usual * 3 + Duration::from_millis(20));
    });
}

/// What is sent, and whether the client ends its side after it.
fn garbage() -> Vec<(&'static str, Vec<u8>, bool)> {
    let mut chance = fastrand::Rng::with_seed(209);
    // Of no kind that a record has (RFC 8446 §5.1).
    let mut noise = vec![0xfa; 4_096];
    chance.fill(&mut noise[1..]);
    let hello = half_a_hello();
    let alert = [0x15, 3, 3, 0, 2, 2, 40];
    let text = b"GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n";
    vec![
        ("noise", noise, false),
        ("a record of 64 KiB", [&[0x16_u8, 3, 1, 0xff, 0xff][..], &[0; 20_000]].concat(), false),
        ("a hello of 16 MiB", [&[0x16_u8, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 16_380]].concat(), false),
        ("a hello that is cut", hello.clone(), true),
        ("a hello of noise", [hello.as_slice(), &[0xff; 467]].concat(), false),
        ("an empty record", vec![0x16, 3, 1, 0, 0, 0x16, 3, 1, 0, 0], true),
        ("data before all", [&[0x17_u8, 3, 3, 0, 5][..], b"hello"].concat(), false),
        ("an alert before all", alert.to_vec(), false),
        ("HTTP in the clear", text.to_vec(), false),
        ("HTTP/2 in the clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), false),
        ("SSLv2", vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80], false),
        ("nothing at all", Vec::new(), true),
    ]
}

#[test]
fn what_is_no_handshake_closes_its_connection_and_harms_nobody() {
    runtime().block_on(async {
        let site = Secured::new(209, "", "").await;
        let edge = site.network.start("one-1");
        let usual = site.usual();
        let before = resident(edge.0.id());
        for (what, bytes, is_cut) in garbage() {
            for _ in 0..50 {
                let ended = send(site.secure(), &bytes, is_cut);
                assert!(ended.is_some_and(|took| took < Duration::from_secs(4)), "{what}: {ended:?}");
            }
        }
        let grown = resident(edge.0.id()).saturating_sub(before) >> 20;
        assert!(grown < 48, "{grown} MiB");
        let after = site.usual();
        assert!(after < usual * 3 + Duration::from_millis(20), "{after:?}, before {usual:?}");
        let log = site.network.log("one-1");
        assert!(!log.contains("panic"), "{log}");
    });
}

/// Sends bytes on a connection of their own; how long it takes the edge to end it.
fn send(to: SocketAddr, bytes: &[u8], is_cut: bool) -> Option<Duration> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // One that has ended takes no more.
    let _ = stream.write_all(bytes);
    if is_cut {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut buffer = [0; 4_096];
    loop {
        match stream.read(&mut buffer) {
            // What it says of it, as an alert, is no answer.
            Ok(count) if count > 0 => assert!(!buffer.starts_with(b"HTTP"), "answered in the clear"),
            Ok(_) => return Some(start.elapsed()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Some(start.elapsed()),
            Err(_) => return None,
        }
    }
}
