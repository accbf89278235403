//! A link: what a way between two machines does to TCP, between two programs of this one.
//!
//! ```text
//! client ──> Link ── delay, jitter, rate ──> target
//!        <──      <── delay, jitter, rate ──
//! ```
//!
//! It stands between them as a proxy that hands bytes on late. A connection is made after a delay, and what a client has
//! sent before it can know of that waits for it: so the first answer on a new connection takes two round trips, on an old
//! one a single one, as over a real link. Every so-manieth connection can be lost (reset as it comes in) or cut (reset
//! after so many bytes of answers).
//!
//! What it cannot imitate, since it ends TCP on both sides: a client's own `connect` returns at once, so that whoever
//! does nothing but connect sees no delay; a connection is never refused or silent, only reset; single packets are not
//! lost or reordered, so that the kernel's congestion control, its initial window and its retransmissions see a perfect
//! network of no length.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// What a link does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// One way; a round trip takes twice as long.
    pub(crate) delay: Duration,
    /// What each piece may take longer, at most; pieces do not overtake each other.
    pub(crate) jitter: Duration,
    /// Bytes a second, each way of each connection; none for as many as there are.
    pub(crate) rate: Option<u32>,
    /// Every so-manieth connection is reset as it comes in.
    pub(crate) lost: Option<usize>,
    /// Every so-manieth is reset after so many bytes of answers.
    pub(crate) cut: Option<(usize, usize)>,
    /// What jitter is made of.
    pub(crate) seed: u64,
}

/// A link to one target; it ends with the runtime that it was made on.
#[derive(Clone)]
pub(crate) struct Link {
    /// Where the target is reached through it.
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    harmed: AtomicUsize,
}

/// Connections at once; further ones wait.
const CONNECTIONS: usize = 1_024;
/// The life of a connection at most.
const LIFE: Duration = Duration::from_secs(120);
/// Bytes of a piece, and pieces that are on their way in one direction: 1 MiB.
const PIECE: usize = 16 << 10;
const PIECES: usize = 64;

impl Link {
    /// Makes a link to a target.
    pub(crate) async fn to(target: SocketAddr, way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self { address: listener.local_addr().unwrap(), counts: Arc::default() };
        let counts = Arc::clone(&this.counts);
        tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(CONNECTIONS));
            while let Ok((stream, _)) = listener.accept().await {
                let place = Arc::clone(&places).acquire_owned().await.unwrap();
                let number = counts.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let is_every = |every: usize| number.is_multiple_of(every);
                if way.lost.is_some_and(is_every) {
                    counts.harmed.fetch_add(1, Ordering::SeqCst);
                    reset(&stream);
                    continue;
                }
                let most = way.cut.filter(|(every, _)| is_every(*every)).map(|(_, bytes)| bytes);
                let counts = Arc::clone(&counts);
                tokio::spawn(async move {
                    let _place = place;
                    let carried = timeout(LIFE, carry(stream, target, (way, number), most)).await;
                    if matches!(carried, Ok(Err(Broken::ByUs))) {
                        counts.harmed.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        this
    }

    /// How many connections have come.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many of them were lost or cut.
    pub(crate) fn harmed(&self) -> usize {
        self.counts.harmed.load(Ordering::SeqCst)
    }
}

/// Why a connection ends before both sides have ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    ByUs,
    ByThem,
}

/// Bytes that arrive then; none are the end.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries a connection until both sides have ended it, or one is broken: then both are.
async fn carry(
    near: TcpStream,
    target: SocketAddr,
    (way, number): (Way, usize),
    most: Option<usize>,
) -> Result<(), Broken> {
    // The client knows of the connection a round trip after it asked for it.
    let open = Instant::now() + way.delay * 2;
    sleep(way.delay).await;
    let Ok(far) = TcpStream::connect(target).await else {
        reset(&near);
        return Err(Broken::ByThem);
    };
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
    }
    let seed = way.seed.wrapping_add(u64::try_from(number).unwrap() << 1);
    let there = direct((&near, &far), Late::new(way, open, seed), None);
    let back = direct((&far, &near), Late::new(way, open, seed + 1), most);
    let carried = tokio::try_join!(there, back).map(drop);
    if carried.is_err() {
        reset(&near);
        reset(&far);
    }
    carried
}

/// Its end is a reset from now on (RFC 9293 §3.5.2).
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// One direction, to its end.
async fn direct((from, to): (&TcpStream, &TcpStream), late: Late, most: Option<usize>) -> Result<(), Broken> {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::try_join!(take(from, late, sender), give(to, receiver, most)).map(drop)
}

async fn take(from: &TcpStream, mut late: Late, sender: mpsc::Sender<Piece>) -> Result<(), Broken> {
    let mut buffer = vec![0; PIECE];
    loop {
        from.readable().await.map_err(|_| Broken::ByThem)?;
        let count = match from.try_read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Broken::ByThem),
        };
        let piece = Piece { due: late.due(count), bytes: buffer[..count].to_vec() };
        // Who gives has failed, and says so.
        if sender.send(piece).await.is_err() || count == 0 {
            return Ok(());
        }
    }
}

async fn give(to: &TcpStream, mut receiver: mpsc::Receiver<Piece>, most: Option<usize>) -> Result<(), Broken> {
    let mut left = most.unwrap_or(usize::MAX);
    while let Some(Piece { due, bytes }) = receiver.recv().await {
        sleep_until(due).await;
        if bytes.is_empty() {
            let _ = SockRef::from(to).shutdown(std::net::Shutdown::Write);
            return Ok(());
        }
        let now = bytes.len().min(left);
        write(to, &bytes[..now]).await?;
        left -= now;
        if left == 0 {
            return Err(Broken::ByUs);
        }
    }
    Ok(())
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> Result<(), Broken> {
    while !bytes.is_empty() {
        to.writable().await.map_err(|_| Broken::ByThem)?;
        match to.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Broken::ByThem),
        }
    }
    Ok(())
}

/// When pieces arrive.
struct Late {
    way: Way,
    /// When the first can be sent.
    free: Instant,
    /// When the last one arrives.
    last: Instant,
    chance: fastrand::Rng,
}

impl Late {
    fn new(way: Way, open: Instant, seed: u64) -> Self {
        Self { way, free: open, last: open, chance: fastrand::Rng::with_seed(seed) }
    }

    /// When so many bytes arrive that are sent now, after all before them.
    fn due(&mut self, count: usize) -> Instant {
        let takes = |rate: u32| Duration::from_secs(1).mul_f64(count as f64 / f64::from(rate));
        self.free = self.free.max(Instant::now()) + self.way.rate.map_or(Duration::ZERO, takes);
        let late = self.way.jitter.mul_f64(self.chance.f64());
        self.last = self.last.max(self.free + self.way.delay + late);
        self.last
    }
}
