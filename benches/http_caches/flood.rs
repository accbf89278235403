//! Hits of a good client beside a flood of misses that is meant to empty the store.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hither_benches::wait_us;

use crate::CONNECTIONS;
use crate::generator::{Target, ask, read_answer};

/// What the good client asks for: so many objects of this size, one each so often.
const HOT: usize = 200;
const SIZE: usize = 10 << 10;
const EVERY: Duration = Duration::from_millis(2);
/// Asked for before the flood.
const ASKED: usize = 2_000;
/// Misses of a flood: more bytes than any of the stores has.
const MISSES: u64 = 70_000;

/// What came of a flood.
pub(crate) struct Flooded {
    /// 99 of 100 hits took no longer.
    pub(crate) idle_us: u32,
    pub(crate) flooded_us: u32,
    /// Of what the good client asked for during the flood.
    pub(crate) hits: f64,
    pub(crate) misses_per_second: f64,
}

/// Floods a server, and watches a good client.
pub(crate) fn flood(server: SocketAddr) -> Flooded {
    let mut client = Client::new(server);
    // Asked for again: what is asked for once is nowhere kept for long.
    (0..2).for_each(|_| drop(client.ask(HOT, |_| true)));
    let (mut idle, _) = client.ask(ASKED, |_| true);
    let is_over = AtomicBool::new(false);
    let ((mut flooded, hits), seen) = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let seen = ask(server, (Target::New, SIZE), CONNECTIONS, Duration::from_secs(1), MISSES);
            is_over.store(true, Ordering::Relaxed);
            seen
        });
        let during = client.ask(usize::MAX, |_| !is_over.load(Ordering::Relaxed));
        (during, flooding.join().unwrap())
    });
    let asked = flooded.len();
    Flooded {
        idle_us: wait_us(&mut idle, 990),
        flooded_us: wait_us(&mut flooded, 990),
        hits: hits as f64 / asked as f64,
        misses_per_second: seen.rate(),
    }
}

struct Client {
    stream: BufReader<TcpStream>,
    /// The origin's number of each object's last fetch.
    numbers: [Option<String>; HOT],
    asked: usize,
}

impl Client {
    fn new(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), numbers: [const { None }; HOT], asked: 0 }
    }

    /// Asks for one after the other while it may: the waits, and how many were hits by the origin's number.
    fn ask(&mut self, most: usize, goes_on: impl Fn(usize) -> bool) -> (Vec<u32>, usize) {
        let (mut waits, mut hits) = (Vec::new(), 0);
        while waits.len() < most && goes_on(waits.len()) {
            let at = self.asked % HOT;
            self.asked += 1;
            let start = Instant::now();
            let number = self.fetch(&format!("/o/hot{at}/{SIZE}"));
            waits.push(start.elapsed().as_micros() as u32);
            hits += usize::from(self.numbers[at].as_ref() == Some(&number));
            self.numbers[at] = Some(number);
            std::thread::sleep(EVERY);
        }
        (waits, hits)
    }

    /// The origin's number of an answer, which must be a 200 of its length.
    fn fetch(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        read_answer(&mut self.stream, SIZE).unwrap()
    }
}
