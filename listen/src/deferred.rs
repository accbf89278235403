//! A stream whose writes leave together: when its connection's turn is over, in as few calls of the kernel's as may be.
//!
//! ```text
//! h2 ─> Deferred ─> what keeps bytes (Tls, Batched) ─> the socket, at Deferred::poll_send
//! ```
//!
//! The HTTP/2 library flushes its stream between any two DATA frames, and each flush would be a call. So a flush is
//! nothing here, and who drives the connection calls [`Deferred::poll_send`] whenever it has been polled
//! ([`poll_serving`]): many answers are one call.
//!
//! * **Bounds.** Above [`MOST_UNSENT`] bytes, and one write, nothing more is taken before some has left, and above
//!   [`MOST_BLOCKED`] where the socket is full; what is refused then is asked for again as soon as there is room, also
//!   where the socket takes the rest in the same turn and would never wake anybody.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that keeps what it is given until it is told to send it.
pub(crate) trait Batch: AsyncRead + Unpin {
    /// Bytes that it keeps.
    fn unsent_bytes(&self) -> usize;

    /// Keeps the first of these bytes, [`MOST_UNSENT`] at most; how many.
    fn keep(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Sends all that it keeps. Pending, it wakes when the socket takes more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The same, and then its own side has ended.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A stream whose writes wait for [`Self::poll_send`], and a handle to it. It is one core's: the lock is never waited
/// for.
pub(crate) struct Deferred<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    stream: T,
    /// Whether the socket took not all that there was when it was last tried.
    is_blocked: bool,
    /// Whether whoever writes was told to wait, since it was last asked.
    has_refused: bool,
}

/// Bytes that are kept in one turn at most, before one more write.
const MOST_UNSENT: usize = 256 << 10;
/// Bytes that wait for a socket that is full at most, before one more write: what a slow client is pinged with has to
/// come through behind them.
const MOST_BLOCKED: usize = 32 << 10;

impl<T> Deferred<T> {
    pub(crate) fn new(stream: T) -> Self {
        Self(Arc::new(Mutex::new(State { stream, is_blocked: false, has_refused: false })))
    }

    /// Whether it has refused a write, or an end, since this was last asked.
    fn has_refused(&self) -> bool {
        std::mem::take(&mut self.state().has_refused)
    }

    /// Looks at what is below.
    #[cfg(test)]
    pub(crate) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.state().stream)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Deferred<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Batch> State<T> {
    /// Whether some must leave before more is taken.
    fn is_full(&self) -> bool {
        self.stream.unsent_bytes() > if self.is_blocked { MOST_BLOCKED } else { MOST_UNSENT }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.stream.poll_send(cx);
        self.is_blocked = sent.is_pending();
        sent
    }
}

impl<T: Batch> Deferred<T> {
    /// Sends all there is. Pending, it wakes when the socket takes more.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().poll_send(cx)
    }
}

/// Polls what serves the connection of a stream, then sends what it has written, until neither can go on. Ready when it
/// is over, or nothing can be sent any more.
pub(crate) fn poll_serving<T, F>(mut served: Pin<&mut F>, stream: &Deferred<T>, cx: &mut Context<'_>) -> Poll<()>
where
    T: Batch,
    F: Future,
{
    loop {
        if served.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match stream.poll_send(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            // There is room for what it was refused, and nobody else tells it so.
            Poll::Ready(Ok(())) if stream.has_refused() => {}
            Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
        }
    }
}

/// As many of the bytes as are kept at once.
pub(crate) fn first_of<'a>(pieces: &'a [IoSlice<'_>]) -> SmallVec<[IoSlice<'a>; 8]> {
    let mut left = MOST_UNSENT;
    let first = pieces.iter().map(|piece| {
        let length = piece.len().min(left);
        left -= length;
        IoSlice::new(piece.get(..length).unwrap_or_default())
    });
    first.filter(|piece| !piece.is_empty()).collect()
}

impl<T: Batch> AsyncRead for Deferred<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().stream).poll_read(cx, into)
    }
}

impl<T: Batch> AsyncWrite for Deferred<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.is_full() && state.poll_send(cx)?.is_pending() && state.is_full() {
            state.has_refused = true;
            return Poll::Pending;
        }
        Poll::Ready(state.stream.keep(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let ended = state.stream.poll_end(cx);
        state.has_refused |= ended.is_pending();
        ended
    }
}

#[cfg(test)]
mod tests;
