//! A stream whose bytes are kept as they are until they are sent, and then leave in one call.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::deferred::{Batch, first_of};

pin_project! {
    /// A stream over another, and what was written to it and has not left.
    pub(crate) struct Batched<S> {
        #[pin]
        io: S,
        unsent: BytesMut,
    }
}

/// What is set aside for a turn's first write: many small answers, or one piece of a large one.
const FIRST: usize = 16 << 10;

impl<S> Batched<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, unsent: BytesMut::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Batch for Batched<S> {
    fn unsent_bytes(&self) -> usize {
        self.unsent.len()
    }

    fn keep(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let before = self.unsent.len();
        if self.unsent.capacity() == 0 {
            self.unsent.reserve(FIRST);
        }
        first_of(pieces).iter().for_each(|piece| self.unsent.extend_from_slice(piece));
        Ok(self.unsent.len() - before)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.unsent.advance(sent),
            }
        }
        // An idle connection has no place for it.
        self.unsent = BytesMut::new();
        // What is below may keep some, too.
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<S: AsyncRead> AsyncRead for Batched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, duplex};
    use tokio_util::io::InspectWriter;

    use super::*;

    #[tokio::test]
    async fn many_writes_leave_in_one_and_nothing_is_kept_after_it() {
        let (ours, mut theirs) = duplex(1 << 20);
        let calls = AtomicUsize::new(0);
        let mut batched = Batched::new(InspectWriter::new(ours, |_: &[u8]| _ = calls.fetch_add(1, Ordering::Relaxed)));
        for turn in 1..=3 {
            for number in 0..100_u8 {
                let (first, second) = ([number; 150], [number; 50]);
                let pieces = [IoSlice::new(&first), IoSlice::new(&second)];
                assert_eq!(batched.keep(&pieces).unwrap(), 200);
            }
            assert_eq!(batched.unsent_bytes(), 20_000);
            assert_eq!(calls.load(Ordering::Relaxed), turn - 1, "nothing leaves before the turn is over");
            poll_fn(|cx| batched.poll_send(cx)).await.unwrap();
            assert_eq!(calls.load(Ordering::Relaxed), turn);
            let mut got = vec![0; 20_000];
            theirs.read_exact(&mut got).await.unwrap();
            assert!(got.chunks(200).zip(0..).all(|(piece, number)| piece == [number; 200]));
            assert_eq!((batched.unsent_bytes(), batched.unsent.capacity()), (0, 0), "an idle connection keeps nothing");
        }
    }

    #[tokio::test]
    async fn what_is_below_keeps_nothing_of_it_either() {
        let (ours, mut theirs) = duplex(1 << 20);
        let mut batched = Batched::new(tokio::io::BufStream::new(ours));
        assert_eq!(batched.keep(&[IoSlice::new(b"hello")]).unwrap(), 5);
        poll_fn(|cx| batched.poll_send(cx)).await.unwrap();
        let mut got = [0; 5];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }
}
