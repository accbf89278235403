//! Connections that were switched to another protocol (RFC 9110 §7.8), WebSocket above all: bytes to and fro.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use config::limits;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::time::{sleep, timeout};
use tokio_util::io::InspectReader;

use crate::cores::Stop;

/// A stream of bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The far side of a switched connection; an extension of the response with status 101 that says so to the client.
#[derive(Clone)]
pub struct Tunnel(Arc<Mutex<Option<Box<dyn Duplex>>>>);

impl Tunnel {
    /// Leads to a stream.
    #[must_use]
    pub fn new(far: impl Duplex + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(far)))))
    }

    /// The stream, to one who asks.
    pub(crate) fn take(&self) -> Option<Box<dyn Duplex>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

/// Carries bytes until both sides have ended, one breaks, nothing moves for too long, or a while after all is to stop. Cut
/// before their end, the near side is given back: no client must take that for the end.
pub(crate) async fn carry<N: Duplex>(near: N, far: impl Duplex, stop: &Stop) -> Option<N> {
    let moved = AtomicU64::new(0);
    let note = |_: &[u8]| _ = moved.fetch_add(1, Ordering::Relaxed);
    let (mut near, mut far) = (InspectReader::new(near, note), InspectReader::new(far, note));
    let ends = async {
        stop.stopped().await;
        // Half of what there is: the end can be told then.
        sleep(limits::HTTP_DRAIN / 2).await;
    };
    let idles = async {
        let mut before = None;
        // What has moved at the first look has moved since the one before.
        while before != Some(moved.load(Ordering::Relaxed)) {
            before = Some(moved.load(Ordering::Relaxed));
            sleep(limits::TUNNEL_IDLE).await;
        }
    };
    let is_whole = tokio::select! {
        copied = copy_bidirectional(&mut near, &mut far) => copied.is_ok(),
        () = idles => false,
        () = ends => false,
    };
    if !is_whole {
        return Some(near.into_inner());
    }
    // TLS says its end; who reads on sees that this is all.
    let _ = timeout(limits::TLS_HANDSHAKE_TIME, near.shutdown()).await;
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;

    /// A client and a server with a tunnel between them.
    fn between(stop: &Stop) -> (DuplexStream, DuplexStream, impl Future<Output = ()> + use<>) {
        let ((client, near), (far, server)) = (duplex(64), duplex(64));
        let stop = stop.clone();
        (client, server, async move { drop(carry(near, far, &stop).await) })
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_and_each_side_ends_for_itself() {
        let (mut client, mut server, carried) = between(&Stop::new());
        let asks = async {
            client.write_all(b"ping").await.unwrap();
            client.shutdown().await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let answers = async {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            // It is listened to also after the client has ended.
            sleep(limits::TUNNEL_IDLE / 2).await;
            server.write_all(&[7; 1_000]).await.unwrap();
            drop(server);
            heard
        };
        let (answer, asked, ()) = tokio::join!(asks, answers, carried);
        assert_eq!((asked.as_slice(), answer.len()), (&b"ping"[..], 1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_silent_ends_and_one_that_is_not_stays() {
        let (mut client, mut server, carried) = between(&Stop::new());
        let began = Instant::now();
        let talks = async {
            for _ in 0..5 {
                sleep(limits::TUNNEL_IDLE * 9 / 10).await;
                server.write_all(b".").await.unwrap();
                client.read_u8().await.unwrap();
            }
            Instant::now()
        };
        let (silent_since, ()) = tokio::join!(talks, carried);
        assert!(silent_since - began > limits::TUNNEL_IDLE * 4);
        let silent = silent_since.elapsed();
        assert!((limits::TUNNEL_IDLE..=limits::TUNNEL_IDLE * 2).contains(&silent), "{silent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_it_after_a_while() {
        let stop = Stop::new();
        let (_client, _server, carried) = between(&stop);
        let began = Instant::now();
        let stops = async {
            sleep(Duration::from_secs(1)).await;
            stop.stop();
        };
        tokio::join!(carried, stops);
        assert_eq!(began.elapsed(), Duration::from_secs(1) + limits::HTTP_DRAIN / 2);
    }
}
