//! How far away clients are: the kernel's own smoothed round trip of each connection, read as it ends.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::delivery::{Delivers, Delivery};
use crate::tcp_info::{acknowledged, round_trip};

/// Who is told round trips. Called on the core that served the connection: it must not wait.
pub trait RoundTrips: Send + Sync {
    /// A connection of this client has ended; its round trip was this.
    fn seen(&self, client: IpAddr, round_trip: Duration);
}

/// A client's connection that tells its round trip when it ends.
pub(crate) struct Measured {
    stream: TcpStream,
    /// Bytes that the kernel took.
    written: u64,
    client: IpAddr,
    told: Option<Arc<dyn RoundTrips>>,
}

impl Measured {
    pub(crate) fn new(stream: TcpStream, client: IpAddr, told: Option<Arc<dyn RoundTrips>>) -> Self {
        Self { stream, written: 0, client, told }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn note(&mut self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(written)) = polled {
            self.written += u64::try_from(*written).unwrap_or(0);
        }
    }
}

impl Delivers for Measured {
    fn delivery(&self) -> Option<Delivery> {
        let taken = acknowledged(&self.stream)?;
        // The end of our side is acknowledged as if it were a byte.
        Some(Delivery { taken, held: self.written.saturating_sub(taken) })
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
        let polled = Pin::new(&mut self.stream).poll_write(cx, from);
        self.note(&polled);
        polled
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
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, from);
        self.note(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn what_a_client_takes_is_told_while_the_kernel_takes_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let mut stream = Measured::new(stream, peer.ip(), None);
        let piece = vec![0; 256 << 10];
        let mut written = 0;
        while let Ok(count) = tokio::time::timeout(Duration::from_millis(200), stream.write(&piece)).await {
            written += u64::try_from(count.unwrap()).unwrap();
        }
        let before = stream.delivery().unwrap();
        assert!(before.taken > 0 && before.held > 0, "{before:?}");
        assert_eq!(before.taken + before.held, written);
        let mut left = usize::try_from(written).unwrap();
        let mut bytes = vec![0; 64 << 10];
        while left > 0 {
            left -= client.read(&mut bytes).await.unwrap();
        }
        // The last acknowledgement may be on its way.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(stream.delivery(), Some(Delivery { taken: written, held: 0 }));
    }
}
