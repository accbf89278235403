//! Asks as fast as a server answers, or at a rate: several sockets, a window of open queries on each, by batches.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

/// Sockets: a server with a socket for each core spreads by them.
const SOCKETS: usize = 8;
/// Open queries on each: of all sockets fewer than a socket's buffer holds where a server keeps the kernel's default.
const WINDOW: usize = 1 << PLACE_BITS;
/// Of an id these tell the place, and those above the turn.
const PLACE_BITS: u32 = 5;
/// An open query is given up after this.
const LOST: Duration = Duration::from_millis(200);
const BATCH: usize = 32;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Right answers.
    pub(crate) answered: u64,
    pub(crate) wrong: u64,
    pub(crate) lost: u64,
    pub(crate) took: Duration,
    /// Microseconds from query to answer, where a rate was asked for.
    pub(crate) waits_us: Vec<u32>,
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

/// How fast to ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// As fast as answers come.
    Full,
    /// So many queries a second.
    Rate(u32),
}

struct Lane {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrStorage>,
    /// By the lower bits of the id: when it was asked.
    open: [Option<Instant>; WINDOW],
    /// The turn of each place in the window.
    turns: [u16; WINDOW],
}

/// Asks a server these queries, in turn, for some time. Each answer must have NOERROR and at least one record.
pub(crate) fn ask(server: SocketAddr, queries: &[Vec<u8>], time: Duration, pace: Pace) -> Seen {
    let mut lanes: Vec<Lane> = (0..SOCKETS).map(|_| Lane::new(server)).collect();
    let mut buffers = vec![[0_u8; 1_500]; BATCH];
    let mut seen = Seen::default();
    let (start, mut next, mut asked) = (Instant::now(), 0, 0_u64);
    loop {
        let now = Instant::now();
        let elapsed = now - start;
        if elapsed >= time {
            seen.took = elapsed;
            return seen;
        }
        let mut may_ask = match pace {
            Pace::Full => u64::MAX,
            Pace::Rate(rate) => ((elapsed.as_secs_f64() * f64::from(rate)) as u64).saturating_sub(asked),
        };
        for lane in &mut lanes {
            let sent = lane.send(queries, &mut next, may_ask.min(BATCH as u64) as usize, &mut seen);
            asked += sent;
            may_ask = may_ask.saturating_sub(sent);
            lane.receive(&mut buffers, pace, &mut seen);
        }
    }
}

impl Lane {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((if server.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, headers: MultiHeaders::preallocate(BATCH, None), open: [None; WINDOW], turns: [0; WINDOW] }
    }

    /// Fills the window; how many were sent.
    fn send(&mut self, queries: &[Vec<u8>], next: &mut usize, most: usize, seen: &mut Seen) -> u64 {
        let now = Instant::now();
        let mut ids = [[0; 2]; BATCH];
        let mut picked = [0; BATCH];
        let mut places = [0; BATCH];
        let mut count = 0;
        for place in 0..WINDOW {
            if count == most.min(BATCH) {
                break;
            }
            if let Some(when) = self.open[place] {
                if now - when < LOST {
                    continue;
                }
                seen.lost += 1;
            }
            self.turns[place] = self.turns[place].wrapping_add(1);
            ids[count] = (self.turns[place] << PLACE_BITS | place as u16).to_be_bytes();
            self.open[place] = Some(now);
            places[count] = place;
            picked[count] = *next % queries.len();
            *next += 1;
            count += 1;
        }
        let slices: [[IoSlice<'_>; 2]; BATCH] =
            std::array::from_fn(|at| [IoSlice::new(&ids[at]), IoSlice::new(&queries[picked[at]][2..])]);
        let mut controls: [SendAncillaryBuffer<'_, '_, '_>; BATCH] =
            std::array::from_fn(|_| SendAncillaryBuffer::default());
        let mut messages: Vec<MMsgHdr<'_>> =
            slices.iter().zip(&mut controls).take(count).map(|(slice, control)| MMsgHdr::new(slice, control)).collect();
        let sent = if count == 0 { 0 } else { sendmmsg(&self.socket, &mut messages, SendFlags::DONTWAIT).unwrap_or(0) };
        for place in &places[sent..count] {
            self.open[*place] = None;
        }
        sent as u64
    }

    fn receive(&mut self, buffers: &mut [[u8; 1_500]], pace: Pace, seen: &mut Seen) {
        let mut lengths = [0; BATCH];
        let mut rest = buffers.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|_| [IoSliceMut::new(rest.next().unwrap())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let Ok(received) = recvmmsg(self.socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) else {
            return;
        };
        let mut count = 0;
        for (length, message) in lengths.iter_mut().zip(received) {
            *length = message.bytes;
            count += 1;
        }
        let now = Instant::now();
        for (buffer, length) in buffers.iter().zip(lengths).take(count) {
            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
            let place = usize::from(id) % WINDOW;
            let Some(when) =
                self.open[place].filter(|_| self.turns[place] << PLACE_BITS == id >> PLACE_BITS << PLACE_BITS)
            else {
                continue;
            };
            self.open[place] = None;
            let is_right = length > 12 && buffer[2] & 0x80 != 0 && buffer[3] & 15 == 0 && buffer[6..8] != [0, 0];
            if !is_right {
                seen.wrong += 1;
                continue;
            }
            seen.answered += 1;
            if pace != Pace::Full {
                seen.waits_us.push((now - when).as_micros() as u32);
            }
        }
    }
}
