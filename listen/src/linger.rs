//! The end of a connection whose client was told that it ends.

use config::limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::cores::Stop;
use crate::delivery::{Delivers, Looks, Progress};

/// What a client takes at least from one look to the next.
const LEAST_TAKEN: u64 = limits::HTTP_LEAST_RATE * limits::HTTP_LINGER.as_secs();
/// So many looks may find that it has taken less of what is held for it.
const MOST_WAITS: u64 = limits::HTTP_WRITE_TIME.as_secs() / limits::HTTP_LINGER.as_secs();
/// What is read and dropped at once.
const DROPPED_BYTES: usize = 4 << 10;

/// Ends a connection: first our side of it, then all once the client has ended its own, or after a while. Bytes that
/// came and were not read would make the end a reset, with which what the client has not taken yet is lost (RFC 9112 §9.6).
pub(crate) async fn linger<S>(stream: &mut S, stop: &Stop)
where
    S: AsyncRead + AsyncWrite + Delivers + Unpin,
{
    tokio::select! {
        () = drop_what_comes(stream) => {}
        () = stop.farewell() => {}
    }
}

async fn drop_what_comes<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Delivers + Unpin,
{
    if !matches!(timeout(limits::HTTP_LINGER, stream.shutdown()).await, Ok(Ok(()))) {
        return;
    }
    let mut looks = Looks::since(stream.delivery());
    let mut dropped = [0; DROPPED_BYTES];
    loop {
        let ends = async { while stream.read(&mut dropped).await.is_ok_and(|count| count > 0) {} };
        if timeout(limits::HTTP_LINGER, ends).await.is_ok() {
            return;
        }
        match looks.look(stream.delivery(), LEAST_TAKEN) {
            Progress::Takes | Progress::Waits(..=MOST_WAITS) => {}
            Progress::Waits(_) | Progress::Done => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::io::{DuplexStream, ReadBuf};
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::delivery::Delivery;

    /// A stream whose kernel holds these bytes: of them its client takes so many a second. Of none nobody knows.
    struct Holding {
        stream: DuplexStream,
        bytes: u64,
        rate: u64,
        since: Instant,
    }

    impl Delivers for Holding {
        fn delivery(&self) -> Option<Delivery> {
            let taken = (1 + self.since.elapsed().as_secs() * self.rate).min(self.bytes);
            (self.bytes > 0).then_some(Delivery { taken, held: self.bytes - taken })
        }
    }

    impl AsyncRead for Holding {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_read(cx, into)
        }
    }

    impl AsyncWrite for Holding {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.stream).poll_write(cx, from)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }

    /// What a client does each second.
    #[derive(Clone, Copy, Debug)]
    enum Does {
        Nothing,
        Sends,
        /// It ends its side.
        Ends,
    }

    /// After how many seconds a connection is over.
    async fn over_after(bytes: u64, rate: u64, does: Does, stop: &Stop) -> u64 {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let since = Instant::now();
        let mut stream = Holding { stream: ours, bytes, rate, since };
        let client = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                match does {
                    Does::Nothing => {}
                    Does::Sends => theirs.write_all(&[0; 1_000]).await.unwrap(),
                    Does::Ends => theirs.shutdown().await.unwrap(),
                }
            }
        };
        tokio::select! {
            () = linger(&mut stream, stop) => {}
            () = client => {}
        }
        since.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_over_once_its_client_ends_it_or_takes_no_more() {
        let short = limits::HTTP_LINGER.as_secs();
        let long = short + limits::HTTP_WRITE_TIME.as_secs();
        for (bytes, rate, does, expected) in [
            // Nobody knows what it takes.
            (0, 0, Does::Nothing, short),
            (0, 0, Does::Sends, short),
            (0, 0, Does::Ends, 1),
            // It has taken all.
            (1, 0, Does::Nothing, short),
            (1, 0, Does::Sends, short),
            // Nothing more is taken, or too little.
            (300_000, 0, Does::Nothing, long),
            (300_000, 0, Does::Sends, long),
            (300_000, 0, Does::Ends, 1),
            (300_000, 200, Does::Nothing, long),
            // It takes all in 1,000 and in 300 s.
            (300_000, 300, Does::Nothing, 1_000 + short),
            (300_000, 1_000, Does::Sends, 300 + short),
        ] {
            let over = over_after(bytes, rate, does, &Stop::new()).await;
            assert_eq!(over, expected, "{bytes} {rate} {does:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_no_client_that_takes() {
        let stop = Stop::new();
        stop.stop();
        let over = over_after(300_000, 1_000, Does::Sends, &stop).await;
        assert_eq!(over, limits::HTTP_FAREWELL.as_secs());
    }
}
