//! TLS after its handshake: a stream over rustls and a socket, whose records leave together.
//!
//! ```text
//! HTTP/1.1  bytes ──> records ──> the socket, at each write: an answer is one call of the kernel's
//! HTTP/2    bytes ─┬─ large ──> records ─┬─> the socket, when the connection's turn is over (deferred.rs)
//!                  └─ small: kept for one ┘
//! ```
//!
//! * **Slow readers.** What was encrypted has not left. Who wants to know what has ([`crate::wire::Wire::watch`]) stands
//!   below this stream, where records are written.
//! * **Ends.** A `close_notify` ends what is read and nothing else: a client may still read (RFC 8446 §6.1). An end of
//!   TCP without one is an error. `poll_shutdown` sends what there is, a `close_notify`, and ends TCP's own side.

use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::deferred::{Batch, first_of};

/// A TLS stream whose writes leave at once.
pub(crate) struct Tls<S> {
    io: S,
    // In a box: the stream goes to and fro, and a future has a place for each move.
    session: Box<ServerConnection>,
    /// Small writes that are in no record yet.
    small: Vec<u8>,
    /// Bytes in records that have not left; their frames are left out.
    sealed: usize,
}

/// Writes up to this are kept for a common record; it is not worth copying more.
const SMALL: usize = 4 << 10;
/// What a record holds (RFC 8446 §5.1).
const RECORD: usize = 16 << 10;

impl<S> Tls<S> {
    /// Goes on after a handshake.
    pub(crate) fn new(stream: TlsStream<S>) -> Self {
        let (io, mut session) = stream.into_inner();
        // The bound is ours.
        session.set_buffer_limit(None);
        Self { io, session: Box::new(session), small: Vec::new(), sealed: 0 }
    }

    /// The same over another stream of the same bytes.
    pub(crate) fn map<T>(self, into: impl FnOnce(S) -> T) -> Tls<T> {
        let Self { io, session, small, sealed } = self;
        Tls { io: into(io), session, small, sealed }
    }

    /// What is below.
    pub(crate) fn io(&self) -> &S {
        &self.io
    }

    /// What was agreed on.
    pub(crate) fn session(&self) -> &ServerConnection {
        &self.session
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

    /// Keeps a small write.
    fn keep_small(&mut self, pieces: &[IoSlice<'_>], length: usize) -> io::Result<()> {
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
        let mut all = first_of(pieces);
        all.insert(0, IoSlice::new(&small));
        let taken = self.session.writer().write_vectored(&all)?;
        self.sealed += taken;
        // Keys that are used up take nothing any more.
        taken.checked_sub(small.len()).ok_or_else(|| io::ErrorKind::WriteZero.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Batch for Tls<S> {
    fn unsent_bytes(&self) -> usize {
        self.sealed + self.small.len()
    }

    fn keep(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > SMALL {
            return self.encrypt_behind(pieces);
        }
        self.keep_small(pieces, length).map(|()| length)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seal()?;
        while self.session.wants_write() {
            match self.session.write_tls(&mut Socket { io: &mut self.io, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(sent) => self.sealed = self.sealed.saturating_sub(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.sealed = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tls<S> {
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
