//! TLS after its handshake: a stream over rustls and a socket, whose records leave together.
//!
//! ```text
//! HTTP/1.1  Tls       bytes ──> records ──> the socket, at each write: an answer is one call of the kernel's
//! HTTP/2    Deferred  bytes ─┬─ large ──> records ─┬─> the socket, when the connection's turn is over
//!                            └─ small: kept for one ┘    (`poll_send`): many answers are one call
//! ```
//!
//! The HTTP/2 library flushes its stream between any two DATA frames, and each flush would be a call. So a flush of
//! [`Deferred`] is nothing, and who drives the connection calls [`Deferred::poll_send`] whenever it has been polled
//! ([`poll_serving`]). One of [`Tls`] is what it says: done when all has left.
//!
//! * **Bounds.** Above [`MOST_UNSENT`] bytes, and one write, nothing more is taken before some has left, and above
//!   [`MOST_BLOCKED`] where the socket is full; what is refused then is asked for again as soon as there is room, also
//!   where the socket takes the rest in the same turn and would never wake anybody.
//! * **Slow readers.** What was encrypted has not left. Who wants to know what has ([`crate::wire::Wire::watch`]) stands
//!   below this stream, where records are written.
//! * **Ends.** A `close_notify` ends what is read and nothing else: a client may still read (RFC 8446 §6.1). An end of
//!   TCP without one is an error. `poll_shutdown` sends what there is, a `close_notify`, and ends TCP's own side.

use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// A TLS stream whose writes leave at once.
pub(crate) struct Tls<S> {
    io: S,
    // In a box: the stream goes to and fro, and a future has a place for each move.
    session: Box<ServerConnection>,
    /// Small writes that are in no record yet.
    small: Vec<u8>,
    /// Bytes in records that have not left; their frames are left out.
    sealed: usize,
    /// Whether the socket took not all of it when it was last tried.
    is_blocked: bool,
}

/// A TLS stream whose writes wait for [`Deferred::poll_send`], and a handle to it. It is one core's: the lock is never
/// waited for.
pub(crate) struct Deferred<S>(Arc<Mutex<State<S>>>);

struct State<S> {
    tls: Tls<S>,
    /// Whether whoever writes was told to wait, since it was last asked.
    has_refused: bool,
}

/// Bytes that are kept in one turn at most, before one more write.
const MOST_UNSENT: usize = 256 << 10;
/// Bytes that wait for a socket that is full at most, before one more write: what a slow client is pinged with has to
/// come through behind them.
const MOST_BLOCKED: usize = 32 << 10;
/// Writes up to this are kept for a common record; it is not worth copying more.
const SMALL: usize = 4 << 10;
/// What a record holds (RFC 8446 §5.1).
const RECORD: usize = 16 << 10;

type Pieces<'a> = SmallVec<[IoSlice<'a>; 8]>;

impl<S> Tls<S> {
    /// Goes on after a handshake.
    pub(crate) fn new(stream: TlsStream<S>) -> Self {
        let (io, mut session) = stream.into_inner();
        // The bound is ours.
        session.set_buffer_limit(None);
        Self { io, session: Box::new(session), small: Vec::new(), sealed: 0, is_blocked: false }
    }

    /// The same over another stream of the same bytes.
    pub(crate) fn map<T>(self, into: impl FnOnce(S) -> T) -> Tls<T> {
        let Self { io, session, small, sealed, is_blocked } = self;
        Tls { io: into(io), session, small, sealed, is_blocked }
    }

    /// What is below.
    pub(crate) fn io(&self) -> &S {
        &self.io
    }

    /// What was agreed on.
    pub(crate) fn session(&self) -> &ServerConnection {
        &self.session
    }

    /// Bytes that were taken and have not left.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.sealed + self.small.len()
    }

    /// Whether some must leave before more is taken.
    fn is_full(&self) -> bool {
        self.unsent_bytes() > if self.is_blocked { MOST_BLOCKED } else { MOST_UNSENT }
    }

    /// Makes records of bytes, as many as may wait; how many.
    fn encrypt(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = self.session.writer().write_vectored(&first_of(pieces))?;
        self.sealed += taken;
        Ok(taken)
    }

    /// Makes a record of what is kept. An idle connection has no place for it.
    fn seal(&mut self) -> io::Result<()> {
        let small = std::mem::take(&mut self.small);
        if !small.is_empty() {
            self.session.writer().write_all(&small)?;
            self.sealed += small.len();
        }
        Ok(())
    }

    /// Takes a small write.
    fn keep(&mut self, pieces: &[IoSlice<'_>], length: usize) -> io::Result<()> {
        if self.small.len() + length > RECORD {
            self.seal()?;
        }
        if self.small.capacity() == 0 {
            self.small.reserve_exact(RECORD);
        }
        pieces.iter().for_each(|piece| self.small.extend_from_slice(piece));
        Ok(())
    }

    /// Makes records of a large write, behind what is kept; how many bytes of the write.
    fn encrypt_behind(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.small.is_empty() {
            return self.encrypt(pieces);
        }
        let small = std::mem::take(&mut self.small);
        let mut all: Pieces<'_> = first_of(pieces);
        all.insert(0, IoSlice::new(&small));
        let taken = self.session.writer().write_vectored(&all)?;
        self.sealed += taken;
        // Keys that are used up take nothing any more.
        taken.checked_sub(small.len()).ok_or_else(|| io::ErrorKind::WriteZero.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tls<S> {
    /// Sends all there is.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seal()?;
        self.is_blocked = false;
        while self.session.wants_write() {
            match self.session.write_tls(&mut Socket { io: &mut self.io, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(sent) => self.sealed = self.sealed.saturating_sub(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.sealed = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket once, and decrypts what is whole.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.session.read_tls(&mut Socket { io: &mut self.io, cx }) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
        let had_unsent = self.session.wants_write();
        if let Err(error) = self.session.process_new_packets() {
            // The alert, if the socket takes it at once.
            let _ = self.poll_send(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        if !had_unsent && self.session.wants_write() {
            // What is no error is answered, too: who asks to renegotiate (RFC 5246 §7.2.2) would wait for the next
            // response, which may never come.
            let _ = self.poll_send(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tls<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            // What is decrypted first: the socket may have nothing more.
            let mut reader = this.session.reader();
            match reader.fill_buf() {
                Ok(bytes) => {
                    let count = bytes.len().min(into.remaining());
                    into.put_slice(bytes.get(..count).unwrap_or_default());
                    reader.consume(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(this.poll_fetch(cx))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tls<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let taken = this.encrypt(pieces)?;
        // What the socket does not take now leaves before the next write, or with a flush.
        if let Poll::Ready(sent) = this.poll_send(cx) {
            sent?;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        // Once, however often it is asked for.
        this.session.send_close_notify();
        ready!(this.poll_send(cx))?;
        match ready!(Pin::new(&mut this.io).poll_shutdown(cx)) {
            // The client has gone meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            ended => Poll::Ready(ended),
        }
    }
}

impl<S> Deferred<S> {
    pub(crate) fn new(tls: Tls<S>) -> Self {
        Self(Arc::new(Mutex::new(State { tls, has_refused: false })))
    }

    /// Whether it has refused a write, or an end, since this was last asked.
    fn has_refused(&self) -> bool {
        std::mem::take(&mut self.state().has_refused)
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Deferred<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Deferred<S> {
    /// Sends all there is. Pending, it wakes when the socket takes more.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().tls.poll_send(cx)
    }
}

/// Polls what serves the connection of a stream, then sends what it has written, until neither can go on. Ready when it
/// is over, or nothing can be sent any more.
pub(crate) fn poll_serving<S, F>(mut served: Pin<&mut F>, stream: &Deferred<S>, cx: &mut Context<'_>) -> Poll<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Deferred<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().tls).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Deferred<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        let State { tls, has_refused } = &mut *state;
        if tls.is_full() && tls.poll_send(cx)?.is_pending() && tls.is_full() {
            *has_refused = true;
            return Poll::Pending;
        }
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > SMALL {
            return Poll::Ready(tls.encrypt_behind(pieces));
        }
        Poll::Ready(tls.keep(pieces, length).map(|()| length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let State { tls, has_refused } = &mut *state;
        let ended = Pin::new(tls).poll_shutdown(cx);
        *has_refused |= ended.is_pending();
        ended
    }
}

/// As many of the bytes as are taken at once.
fn first_of<'a>(pieces: &'a [IoSlice<'_>]) -> Pieces<'a> {
    let mut left = MOST_UNSENT;
    let first = pieces.iter().map(|piece| {
        let length = piece.len().min(left);
        left -= length;
        IoSlice::new(piece.get(..length).unwrap_or_default())
    });
    first.filter(|piece| !piece.is_empty()).collect()
}

/// The socket as rustls reads and writes it: what is pending would block.
struct Socket<'a, 'b, S> {
    io: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> io::Read for Socket<'_, '_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(into);
        or_would_block(Pin::new(&mut *self.io).poll_read(self.cx, &mut into))?;
        Ok(into.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> io::Write for Socket<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.io).poll_write_vectored(self.cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_would_block(Pin::new(&mut *self.io).poll_flush(self.cx))
    }
}

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
