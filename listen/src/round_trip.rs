//! How far away clients are: the kernel's own smoothed round trip of each connection, read as it ends.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::sys::socket::getsockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Who is told round trips. Called on the core that served the connection: it must not wait.
pub trait RoundTrips: Send + Sync {
    /// A connection of this client has ended; its round trip was this.
    fn seen(&self, client: IpAddr, round_trip: Duration);
}

mod option {
    // The macro calls itself and this one by name.
    use nix::{getsockopt_impl, libc, sockopt_impl};

    sockopt_impl!(
        /// What the kernel knows of a TCP connection (tcp(7)).
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Known
    );

    /// The first of what Linux knows of a TCP connection, which each tells since 2.6 (linux/tcp.h). A kernel tells as much as is
    /// asked for and no more than it has: nix takes nothing shorter than was asked for.
    #[expect(unreachable_pub, reason = "the option that the macro makes is public, too")]
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    pub struct Known {
        states: [u8; 8],
        before: [u32; 15],
        /// Smoothed, in microseconds.
        pub(super) rtt: u32,
        after: [u32; 8],
    }
}

/// The round trip of a TCP connection, smoothed by the kernel over all it has acknowledged (RFC 6298); none
/// where it knows none.
#[must_use]
pub fn round_trip(socket: &impl AsFd) -> Option<Duration> {
    let info = getsockopt(socket, option::TcpInfo).ok()?;
    (info.rtt > 0).then(|| Duration::from_micros(u64::from(info.rtt)))
}

/// A client's connection that tells its round trip when it ends.
pub(crate) struct Measured {
    stream: TcpStream,
    client: IpAddr,
    told: Option<Arc<dyn RoundTrips>>,
}

impl Measured {
    pub(crate) fn new(stream: TcpStream, client: IpAddr, told: Option<Arc<dyn RoundTrips>>) -> Self {
        Self { stream, client, told }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if let Some(told) = &self.told
            && let Some(round_trip) = round_trip(&self.stream)
        {
            told.seen(self.client, round_trip);
        }
    }
}

impl AsyncRead for Measured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Measured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::option::Known;
    use super::*;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[derive(Default)]
    struct Seen(Mutex<Vec<(IpAddr, Duration)>>);

    impl RoundTrips for Seen {
        fn seen(&self, client: IpAddr, round_trip: Duration) {
            self.0.lock().unwrap().push((client, round_trip));
        }
    }

    #[test]
    fn what_is_asked_for_every_kernel_has() {
        assert_eq!((std::mem::size_of::<Known>(), std::mem::offset_of!(Known, rtt)), (104, 68));
        assert_eq!(std::mem::offset_of!(Known, rtt), std::mem::offset_of!(nix::libc::tcp_info, tcpi_rtt));
    }

    #[tokio::test]
    async fn a_connection_that_ends_has_a_round_trip() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let seen = Arc::new(Seen::default());
        let told: Arc<dyn RoundTrips> = Arc::<Seen>::clone(&seen);
        let mut stream = Measured::new(stream, peer.ip(), Some(told));
        client.write_all(b"a question").await.unwrap();
        stream.read_exact(&mut [0; 10]).await.unwrap();
        // The client has gone by then.
        drop(client);
        drop(stream);
        let seen = seen.0.lock().unwrap().clone();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].0, peer.ip());
        assert!(seen[0].1 > Duration::ZERO && seen[0].1 < Duration::from_secs(1), "{seen:?}");
    }
}
