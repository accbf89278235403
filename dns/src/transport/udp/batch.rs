//! Datagrams by the batch: one system call receives many, and one sends the replies.

use std::io::{IoSlice, IoSliceMut, Result};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use config::limits::{DNS_BATCH, DNS_QUERY_BYTES, DNS_UDP_BYTES};
use nix::libc;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrStorage,
    recvmmsg, sendmsg, setsockopt,
};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use smallvec::SmallVec;

/// Buffers for a batch, used again and again.
pub(super) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    queries: Vec<[u8; DNS_QUERY_BYTES]>,
    arrivals: [Option<Arrival>; DNS_BATCH],
    replies: Vec<Reply>,
    addressing: Addressing,
}

/// A datagram that has come.
#[derive(Clone, Copy)]
struct Arrival {
    length: usize,
    peer: SocketAddr,
    /// Where it came to, on a socket for all addresses.
    local: Option<Local>,
}

/// The address that a datagram came to, from which its reply must go.
#[derive(Clone, Copy)]
enum Local {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

/// Whether a socket has one address or all of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Addressing {
    One,
    All,
}

/// Where a reply is written; no longer than the least path takes whole.
pub(super) type Reply = [u8; DNS_UDP_BYTES as usize];

impl Batch {
    pub(super) fn new(socket: &UdpSocket) -> Result<Self> {
        let address = socket.local_addr()?;
        let addressing = if address.ip().is_unspecified() { Addressing::All } else { Addressing::One };
        if addressing == Addressing::All && address.is_ipv4() {
            setsockopt(socket, Ipv4PacketInfo, &true)?;
        } else if addressing == Addressing::All {
            setsockopt(socket, Ipv6RecvPacketInfo, &true)?;
        }
        let control = (addressing == Addressing::All).then(|| nix::cmsg_space!(libc::in6_pktinfo));
        Ok(Self {
            headers: MultiHeaders::preallocate(DNS_BATCH, control),
            queries: vec![[0; DNS_QUERY_BYTES]; DNS_BATCH],
            arrivals: [None; DNS_BATCH],
            replies: vec![[0; _]; DNS_BATCH],
            addressing,
        })
    }

    /// Takes what has come; how many datagrams. Waits for the first, for as long as the socket's timeout is.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> Result<usize> {
        let mut queries = self.queries.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; DNS_BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(queries.next().map_or(&mut [], |query| query))]);
        let flags = MsgFlags::MSG_WAITFORONE;
        let received = recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None)?;
        let mut count = 0;
        for (arrival, message) in self.arrivals.iter_mut().zip(received) {
            count += 1;
            *arrival = peer(&message).map(|peer| Arrival { length: message.bytes, peer, local: local(&message) });
        }
        Ok(count)
    }

    /// Answers the first `count` datagrams by a function that is given the message, its sender and room for the
    /// reply, and tells how long that is; 0 is silence.
    pub(super) fn answer(
        &mut self,
        count: usize,
        socket: &UdpSocket,
        mut answer: impl FnMut(&[u8], SocketAddr, &mut Reply) -> usize,
    ) {
        let mut lengths = [0; DNS_BATCH];
        let room = self.queries.iter().zip(&mut self.replies).zip(&mut lengths).zip(&self.arrivals);
        for (((query, reply), length), arrival) in room.take(count) {
            let Some(arrival) = arrival else { continue };
            let Some(message) = query.get(..arrival.length) else { continue };
            *length = answer(message, arrival.peer, reply).min(reply.len());
        }
        let replies = self.arrivals.iter().zip(&self.replies).zip(&lengths).take(count);
        let replies = replies.filter(|(_, length)| **length > 0);
        let replies = replies.filter_map(|((arrival, reply), length)| Some(((*arrival)?, reply.get(..*length)?)));
        match self.addressing {
            Addressing::One => send_together(socket, replies),
            Addressing::All => replies.for_each(|(arrival, reply)| send_from(socket, arrival, reply)),
        }
    }
}

/// Sends many replies by one system call.
fn send_together<'r>(socket: &UdpSocket, replies: impl Iterator<Item = (Arrival, &'r [u8])>) {
    let mut replies: SmallVec<[(SocketAddrAny, [IoSlice<'_>; 1], SendAncillaryBuffer<'_, '_, '_>); DNS_BATCH]> =
        replies
            .map(|(arrival, reply)| (arrival.peer.into(), [IoSlice::new(reply)], SendAncillaryBuffer::default()))
            .collect();
    let mut messages: SmallVec<[MMsgHdr<'_>; DNS_BATCH]> =
        replies.iter_mut().map(|(peer, slice, control)| MMsgHdr::new_with_addr(peer, slice, control)).collect();
    let mut messages = messages.as_mut_slice();
    while !messages.is_empty() {
        let passed = match sendmmsg(socket, messages, SendFlags::DONTWAIT) {
            Ok(sent) => sent.max(1),
            // A full buffer drops what is left, as the network would: the asker asks again.
            Err(Errno::AGAIN) => return,
            // This one cannot be sent, by its address.
            Err(_) => 1,
        };
        messages = messages.get_mut(passed..).unwrap_or_default();
    }
}

/// Sends a reply from the address that was asked.
fn send_from(socket: &UdpSocket, arrival: Arrival, reply: &[u8]) {
    let slice = [IoSlice::new(reply)];
    let send = |control: &[ControlMessage<'_>]| match arrival.peer {
        SocketAddr::V4(peer) => {
            sendmsg(socket.as_raw_fd(), &slice, control, MsgFlags::MSG_DONTWAIT, Some(&SockaddrIn::from(peer)))
        }
        SocketAddr::V6(peer) => {
            sendmsg(socket.as_raw_fd(), &slice, control, MsgFlags::MSG_DONTWAIT, Some(&SockaddrIn6::from(peer)))
        }
    };
    let _ = match arrival.local {
        Some(Local::V4(local)) => send(&[ControlMessage::Ipv4PacketInfo(&local)]),
        Some(Local::V6(local)) => send(&[ControlMessage::Ipv6PacketInfo(&local)]),
        None => send(&[]),
    };
}

fn peer(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<SocketAddr> {
    let address = message.address?;
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

fn local(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Local> {
    message.cmsgs().ok()?.find_map(|control| match control {
        // The reply's source is what the datagram was sent to, by whichever interface.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Local::V4(libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ..info }))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Local::V6(info)),
        _ => None,
    })
}
