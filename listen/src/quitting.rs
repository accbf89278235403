//! A UDP socket of QUIC that is read no more once that is said: its connections may end as slowly as they like, and what
//! comes meanwhile is for whoever else has the socket.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, UdpPoller};

/// A socket that may be left to others.
#[derive(Debug)]
pub(crate) struct Quitting {
    inner: Arc<dyn AsyncUdpSocket>,
    has_quit: AtomicBool,
}

impl Quitting {
    pub(crate) fn new(socket: UdpSocket, runtime: &impl Runtime) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { inner: runtime.wrap_udp_socket(socket)?, has_quit: AtomicBool::new(false) }))
    }

    /// From now on nothing is read.
    pub(crate) fn quit(&self) {
        self.has_quit.store(true, Ordering::Relaxed);
    }
}

impl AsyncUdpSocket for Quitting {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // Whoever waits here has timers to be woken by.
        if self.has_quit.load(Ordering::Relaxed) { Poll::Pending } else { self.inner.poll_recv(cx, buffers, meta) }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use quinn::TokioRuntime;

    use super::*;

    #[tokio::test]
    async fn what_comes_after_it_has_quit_is_left_to_others() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let (other, address) = (socket.try_clone().unwrap(), socket.local_addr().unwrap());
        let quitting = Quitting::new(socket, &TokioRuntime).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut bytes = [0; 64];
        let mut receive = |cx: &mut Context<'_>| {
            quitting.poll_recv(cx, &mut [IoSliceMut::new(&mut bytes)], &mut [RecvMeta::default()])
        };
        client.send_to(b"one", address).unwrap();
        assert_eq!(poll_fn(&mut receive).await.unwrap(), 1);
        client.send_to(b"two", address).unwrap();
        quitting.quit();
        assert!(poll_fn(|cx| Poll::Ready(receive(cx))).await.is_pending());
        assert_eq!(other.recv(&mut [0; 64]).unwrap(), 3);
    }
}
