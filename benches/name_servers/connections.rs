//! Asks over TCP as fast as a server answers: some connections, a window of open queries on each.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 8;
const WINDOW: usize = 32;

struct Lane {
    stream: TcpStream,
    unsent: Vec<u8>,
    read: Vec<u8>,
    open: usize,
}

/// Right answers a second to this query.
pub(crate) fn rate(server: SocketAddr, query: &[u8], time: Duration) -> f64 {
    let mut lanes: Vec<Lane> = (0..CONNECTIONS).map(|_| Lane::new(server)).collect();
    let framed = [&(query.len() as u16).to_be_bytes()[..], query].concat();
    let (start, mut answered) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        for lane in &mut lanes {
            lane.send(&framed);
            answered += lane.receive();
        }
    }
    answered as f64 / start.elapsed().as_secs_f64()
}

impl Lane {
    fn new(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, unsent: Vec::new(), read: Vec::new(), open: 0 }
    }

    fn send(&mut self, framed: &[u8]) {
        if self.open <= WINDOW / 2 {
            for _ in self.open..WINDOW {
                self.unsent.extend(framed);
            }
            self.open = WINDOW;
        }
        if self.unsent.is_empty() {
            return;
        }
        match self.stream.write(&self.unsent) {
            Ok(sent) => drop(self.unsent.drain(..sent)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn receive(&mut self) -> u64 {
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the server has closed a connection in use"),
            Ok(length) => self.read.extend(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(error) => panic!("{error}"),
        }
        let (mut at, mut answered) = (0, 0);
        while let Some([high, low]) = self.read.get(at..at + 2) {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(message) = self.read.get(at + 2..at + 2 + length) else { break };
            let is_right = message[2] & 0x80 != 0 && message[3] & 15 == 0 && message[6..8] != [0, 0];
            answered += u64::from(is_right);
            self.open -= 1;
            at += 2 + length;
        }
        self.read.drain(..at);
        answered
    }
}
