//! The least a server can do: receive by the batch, put the same answer behind each question, send.

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

/// One A record of the name in the question.
const RECORD: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];

/// Answers for ever, so many at a time.
pub(crate) fn serve<const BATCH: usize>(address: &str) -> ! {
    let socket = UdpSocket::bind(address).unwrap();
    let mut headers: MultiHeaders<SockaddrIn> = MultiHeaders::preallocate(BATCH, None);
    let mut queries = vec![[0_u8; 1_500]; BATCH];
    let mut replies = vec![[0_u8; 1_500]; BATCH];
    loop {
        let mut came = [(0, SockaddrIn::new(0, 0, 0, 0, 0)); BATCH];
        let mut count = 0;
        {
            let mut rest = queries.iter_mut();
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(rest.next().unwrap())]);
            let flags = MsgFlags::MSG_WAITFORONE;
            for message in recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None).unwrap() {
                came[count] = (message.bytes, message.address.unwrap());
                count += 1;
            }
        }
        let mut lengths = [0; BATCH];
        for at in 0..count {
            lengths[at] = answer(&queries[at][..came[at].0], &mut replies[at]);
        }
        let mut parts: Vec<_> = (0..count)
            .map(|at| {
                let peer = std::net::SocketAddrV4::new(came[at].1.ip(), came[at].1.port());
                (SocketAddrAny::from(peer), [IoSlice::new(&replies[at][..lengths[at]])], SendAncillaryBuffer::default())
            })
            .collect();
        let mut messages: Vec<MMsgHdr<'_>> =
            parts.iter_mut().map(|(peer, slice, control)| MMsgHdr::new_with_addr(peer, slice, control)).collect();
        let _ = sendmmsg(&socket, &mut messages, SendFlags::empty());
    }
}

fn answer(query: &[u8], reply: &mut [u8]) -> usize {
    let mut end = 12;
    while query[end] != 0 {
        end += 1 + usize::from(query[end]);
    }
    end += 5;
    reply[..end].copy_from_slice(&query[..end]);
    (reply[2], reply[3], reply[7]) = (0x84, 0, 1);
    reply[end..end + RECORD.len()].copy_from_slice(&RECORD);
    let opt = &query[end..];
    reply[end + RECORD.len()..end + RECORD.len() + opt.len()].copy_from_slice(opt);
    if opt.len() == 22 {
        reply[end + RECORD.len() + 18] = 24;
    }
    end + RECORD.len() + opt.len()
}
