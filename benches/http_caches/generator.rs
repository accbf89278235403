//! Asks over several connections as fast as answers come, one open request on each.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: u64,
    pub(crate) took: Duration,
    /// Microseconds from a request to the end of its answer.
    waits_us: Vec<u32>,
}

impl Seen {
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// The wait that so many of a thousand do not exceed.
    pub(crate) fn wait_us(&mut self, of_thousand: usize) -> u32 {
        hither_benches::wait_us(&mut self.waits_us, of_thousand)
    }
}

struct Lane {
    stream: TcpStream,
    asked: Instant,
    /// Of the head, until it is whole.
    head: Vec<u8>,
    /// How much of the body is to come.
    left: Option<usize>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One object, which is stored.
    Stored,
    /// Another object each time.
    New,
    /// What may not be stored.
    Passed,
}

impl Target {
    fn path(self, size: usize) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Stored => format!("/o/{size}"),
            Self::New => format!("/o/{}/{size}", NEXT.fetch_add(1, Ordering::Relaxed)),
            Self::Passed => format!("/p/{size}"),
        }
    }

    /// A request for it.
    pub(crate) fn request(self, size: usize) -> String {
        let path = self.path(size);
        format!("GET {path} HTTP/1.1\r\nHost: www.shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
    }

    /// Whether a server does with this what it is measured for: the origin numbers its answers.
    pub(crate) fn is_served(self, server: SocketAddr, size: usize) -> bool {
        let number = || {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.write_all(self.request(size).as_bytes()).unwrap();
            let (mut said, mut buffer) = (Vec::new(), [0; 65_536]);
            while !said.windows(4).any(|four| four == b"\r\n\r\n") {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "closed");
                said.extend_from_slice(&buffer[..count]);
            }
            let said = String::from_utf8_lossy(&said).to_ascii_lowercase();
            said.split("x-number: ").nth(1).map(|rest| rest.split('\r').next().unwrap().to_owned())
        };
        let (one, other) = (number(), number());
        // A server of files has none.
        let is_stored = one.is_none() || one == other;
        is_stored == (self == Self::Stored)
    }
}

/// Reads an answer, which must be a 200 of this length: the origin's number of it, where there is one.
pub(crate) fn read_answer(stream: &mut impl BufRead, size: usize) -> Option<String> {
    let (mut number, mut length, mut line) = (None, None, String::new());
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "closed");
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "x-number" => number = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().ok(),
            _ => {}
        }
        if line == "\r\n" {
            break;
        }
    }
    assert_eq!(length, Some(size));
    stream.read_exact(&mut vec![0; size]).unwrap();
    number
}

/// Asks for some time, or so many times where that takes longer. Each answer must be a 200 of its length.
pub(crate) fn ask(
    server: SocketAddr,
    (target, size): (Target, usize),
    connections: usize,
    time: Duration,
    least: u64,
) -> Seen {
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    let mut lanes: Vec<Lane> = (0..connections)
        .map(|number| {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(target.request(size).as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64)).unwrap();
            Lane { stream, asked: Instant::now(), head: Vec::new(), left: None }
        })
        .collect();
    let (mut seen, start) = (Seen::default(), Instant::now());
    let mut buffer = vec![0; 256 << 10];
    let mut events = vec![EpollEvent::empty(); connections];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::from(100_u8)).unwrap_or(0);
        if start.elapsed() >= time && seen.answered >= least {
            seen.took = start.elapsed();
            return seen;
        }
        for event in &events[..count] {
            let lane = &mut lanes[event.data() as usize];
            if lane.take(size, &mut buffer) {
                seen.answered += 1;
                seen.waits_us.push(lane.asked.elapsed().as_micros() as u32);
                lane.asked = Instant::now();
                lane.stream.write_all(target.request(size).as_bytes()).unwrap();
            }
        }
    }
}

impl Lane {
    /// Reads what has come; whether the answer is whole.
    fn take(&mut self, size: usize, buffer: &mut [u8]) -> bool {
        let count = match self.stream.read(buffer) {
            Ok(0) => panic!("the server has closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        };
        let left = match self.left {
            Some(left) => left - count,
            None => {
                self.head.extend_from_slice(&buffer[..count]);
                let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
                let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
                let is_right =
                    head.starts_with("http/1.1 200") && head.contains(&format!("content-length: {size}\r\n"));
                assert!(is_right || head.ends_with(&format!("content-length: {size}")), "{head}");
                end + 4 + size - self.head.len()
            }
        };
        self.left = Some(left);
        if left == 0 {
            self.left = None;
            self.head.clear();
        }
        left == 0
    }
}
