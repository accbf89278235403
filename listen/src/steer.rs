//! Each QUIC packet to the core that has its connection.
//!
//! The kernel spreads datagrams over the sockets of an address by the addresses they go between, and a client that
//! moves to another address would lose its connection. So each connection id of ours (RFC 9000 §5.1) says in its first
//! byte which core gave it out, and a filter in the kernel reads that.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use nix::libc::{self, sock_filter, sock_fprog};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;
use quinn::{ConnectionId, ConnectionIdGenerator};
use rustls::crypto::{SecureRandom, aws_lc_rs};

/// One core of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its number, which is that of its socket among those bound to an address.
    pub core: usize,
    /// How many there are.
    pub cores: usize,
}

/// As long as most make them: what follows the first byte nobody guesses.
const LENGTH: usize = 8;

/// Has the kernel hand each packet to the socket whose number its connection id names. It is said to one of the sockets
/// that share an address, and holds for all of them.
pub(crate) fn steer(socket: &UdpSocket, cores: usize) -> io::Result<()> {
    let Ok(cores) = u32::try_from(cores) else { return Ok(()) };
    let class = |code: u32| u16::try_from(code).unwrap_or_default();
    let byte = class(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS);
    let step = |code, to_true, to_false, k| sock_filter { code, jt: to_true, jf: to_false, k };
    // RFC 8999 §5: with the highest bit set the id is behind a version and its own length, else it follows at once.
    let mut program = [
        step(byte, 0, 0, 0),
        step(class(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K), 0, 2, 0x80),
        step(byte, 0, 0, 6),
        step(class(libc::BPF_JMP | libc::BPF_JA), 0, 0, 1),
        step(byte, 0, 0, 1),
        step(class(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K), 0, 0, cores),
        step(class(libc::BPF_RET | libc::BPF_A), 0, 0, 0),
    ];
    let len = u16::try_from(program.len()).unwrap_or_default();
    setsockopt(socket, AttachReusePortCbpf, &sock_fprog { len, filter: program.as_mut_ptr() })?;
    Ok(())
}

/// Gives out connection ids that name a core.
#[derive(Debug)]
pub(crate) struct Ids {
    seat: Seat,
    random: &'static dyn SecureRandom,
}

impl Ids {
    pub(crate) fn new(seat: Seat) -> Self {
        Self { seat, random: aws_lc_rs::default_provider().secure_random }
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; LENGTH];
        // One that is not random is one that was given out before, which is asked for again.
        let _ = self.random.fill(&mut id);
        let [first, ..] = &mut id;
        *first = name(*first, self.seat);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The byte nearest to one that names a core.
fn name(byte: u8, seat: Seat) -> u8 {
    let (byte, cores) = (usize::from(byte), seat.cores.clamp(1, 256));
    let named = byte - byte % cores + seat.core % cores;
    u8::try_from(named).or_else(|_| u8::try_from(named.saturating_sub(cores))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sharing, bind_udp};

    #[test]
    fn the_first_byte_of_an_id_names_its_core() {
        for cores in [1, 2, 3, 7, 64, 256] {
            for core in 0..cores {
                for byte in 0..=u8::MAX {
                    let named = name(byte, Seat { core, cores });
                    assert_eq!(usize::from(named) % cores, core, "{byte} of {cores}");
                }
                let id = Ids::new(Seat { core, cores }).generate_cid();
                assert_eq!(usize::from(id[0]) % cores, core);
            }
        }
    }

    #[test]
    fn the_kernel_gives_a_packet_to_the_core_that_its_id_names() {
        let first = bind_udp("127.0.0.1:0".parse().unwrap(), Sharing::Cores).unwrap();
        let address = first.local_addr().unwrap();
        let sockets = [first, bind_udp(address, Sharing::Cores).unwrap(), bind_udp(address, Sharing::Cores).unwrap()];
        steer(&sockets[0], sockets.len()).unwrap();
        for id in 0..=u8::MAX {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            let long = [0xc0, 0, 0, 0, 1, 8, id, 0, 0, 0, 0, 0, 0, 0];
            let short = [0x40, id, 0, 0, 0, 0, 0, 0, 0, 0];
            for packet in [&long[..], &short[..]] {
                client.send_to(packet, address).unwrap();
                let got: Vec<bool> = sockets.iter().map(|socket| socket.recv(&mut [0; 64]).is_ok()).collect();
                let expected: Vec<bool> = (0..3).map(|core| usize::from(id) % 3 == core).collect();
                assert_eq!(got, expected, "{packet:?}");
            }
        }
        // What is too short for an id is the first's, who knows what to do with it.
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[0x40], address).unwrap();
        assert!(sockets[0].recv(&mut [0; 64]).is_ok());
    }
}
