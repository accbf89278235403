//! Interim responses (1xx): beside hyper's HTTP/1 server, which cannot send any, and by whoever writes a response itself.
//!
//! ```text
//! handler ─> Interim ─> queue ─┐ only where hyper has nothing half-sent
//! hyper   ─> its bytes ────────┴─> stream
//! ```
//!
//! hyper flushes its stream when, and only when, its own buffer is empty, at every turn of a connection.
//! Between two messages such a flush is where an interim response may stand.

use std::collections::VecDeque;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use config::limits;
use http::{HeaderMap, StatusCode};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

/// Where interim responses to one request go (RFC 9110 §15.2).
#[derive(Clone, Debug)]
pub struct Interim(Way);

#[derive(Clone, Debug)]
enum Way {
    /// HTTP/1.1: beside hyper's bytes, for the request of this number.
    Beside(Arc<Queue>, u64),
    /// To whoever writes the response.
    Told(mpsc::Sender<Hint>, Arc<AtomicUsize>),
}

/// An interim response.
pub(crate) type Hint = (StatusCode, HeaderMap);

/// What waits on a connection. It is one core's: the lock is never waited for.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Bytes>,
    /// What of one is not sent yet: nothing else may be.
    begun: Bytes,
    /// The number of the last request.
    request: u64,
    /// How many it may still have.
    left: usize,
    /// Whether its final response has begun.
    is_answered: bool,
    /// Whether hyper had nothing half-sent when it last wrote or flushed.
    is_clean: bool,
    waker: Option<Waker>,
}

impl Queue {
    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Interim {
        let mut state = self.state();
        state.request += 1;
        (state.left, state.is_answered) = (limits::HTTP_INTERIMS, false);
        state.waiting.clear();
        Interim(Way::Beside(Arc::clone(self), state.request))
    }

    /// One that waits. Pending, it wakes when there is one.
    pub(crate) fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let mut state = self.state();
        if let Some(next) = state.waiting.pop_front() {
            return Poll::Ready(next);
        }
        if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interim {
    /// For whoever writes the response itself: it hears of them until it has one.
    pub(crate) fn told() -> (Self, mpsc::Receiver<Hint>) {
        let (sender, receiver) = mpsc::channel(limits::HTTP_INTERIMS);
        (Self(Way::Told(sender, Arc::default())), receiver)
    }

    /// Sends one before the final response, if that has not begun and there were not too many.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) {
        if !status.is_informational() {
            return;
        }
        match &self.0 {
            Way::Beside(queue, request) => queue.add(*request, status, headers),
            // It has too many, or an answer.
            Way::Told(sender, sent) => {
                if sent.fetch_add(1, Ordering::Relaxed) < limits::HTTP_INTERIMS {
                    drop(sender.try_send((status, headers.clone())));
                }
            }
        }
    }

    /// The final response begins: what is waiting goes before it, and no more comes.
    pub(crate) fn end(&self) {
        if let Way::Beside(queue, request) = &self.0 {
            queue.end(*request);
        }
    }
}

impl Queue {
    fn add(&self, request: u64, status: StatusCode, headers: &HeaderMap) {
        let mut state = self.state();
        if state.request != request || state.is_answered || state.left == 0 {
            return;
        }
        state.left -= 1;
        state.waiting.push_back(encode(status, headers));
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn end(&self, request: u64) {
        let mut state = self.state();
        if state.request == request {
            state.is_answered = true;
        }
    }
}

/// RFC 9112 §4: status line, field lines, an empty line.
fn encode(status: StatusCode, headers: &HeaderMap) -> Bytes {
    let mut out = BytesMut::new();
    let _ = write!(out, "HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    for (name, value) in headers {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
    out.freeze()
}

pin_project! {
    /// A stream on which interim responses go out between hyper's bytes.
    pub(crate) struct WithInterim<S> {
        #[pin]
        inner: S,
        queue: Arc<Queue>,
    }
}

impl<S: AsyncWrite> WithInterim<S> {
    pub(crate) fn new(inner: S, queue: Arc<Queue>) -> Self {
        queue.state().is_clean = true;
        Self { inner, queue }
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    /// Sends what waits, at a place where it may stand; elsewhere only what is begun.
    fn send(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut this = self.project();
        let mut state = this.queue.state();
        loop {
            while !state.begun.is_empty() {
                let written = ready!(this.inner.as_mut().poll_write(cx, &state.begun))?;
                if written == 0 {
                    return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
                }
                state.begun.advance(written);
            }
            match (state.is_clean, state.is_answered) {
                (true, _) => {}
                // Its final response is in hyper's buffer, behind the end of the one before.
                (false, true) => state.waiting.clear(),
                (false, false) => return Poll::Ready(Ok(())),
            }
            match state.waiting.pop_front() {
                Some(next) => state.begun = next,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Before hyper's own bytes.
    fn before_bytes(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(self.as_mut().send(cx))?;
        self.project().queue.state().is_clean = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead> AsyncRead for WithInterim<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.project().inner.poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite> AsyncWrite for WithInterim<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        ready!(self.as_mut().before_bytes(cx))?;
        self.project().inner.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        ready!(self.as_mut().before_bytes(cx))?;
        self.project().inner.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        {
            let mut state = self.queue.state();
            if state.is_answered {
                state.waiting.clear();
            }
            // hyper's buffer is empty: what may still be half-sent is a response, with its request
            // answered and none waiting.
            state.is_clean = true;
            if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
        }
        ready!(self.as_mut().send(cx))?;
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(self.as_mut().send(cx))?;
        self.project().inner.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const HINT: &str = "HTTP/1.1 103 Early Hints\r\n\r\n";

    fn pair(room: usize) -> (WithInterim<DuplexStream>, DuplexStream, Arc<Queue>) {
        let (ours, theirs) = tokio::io::duplex(room);
        let queue = Arc::<Queue>::default();
        (WithInterim::new(ours, Arc::clone(&queue)), theirs, queue)
    }

    fn hint(interim: &Interim) {
        interim.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
    }

    /// What arrives while this is done, by a client that reads a byte at a time.
    async fn arrives(mut stream: WithInterim<DuplexStream>, mut client: DuplexStream, writes: &[&str]) -> String {
        let sends = async {
            for text in writes {
                stream.write_all(text.as_bytes()).await.unwrap();
            }
            stream.flush().await.unwrap();
            drop(stream);
        };
        let reads = async {
            let mut said = String::new();
            while let Ok(byte) = client.read_u8().await {
                said.push(char::from(byte));
            }
            said
        };
        tokio::join!(sends, reads).1
    }

    #[tokio::test]
    async fn a_hint_stands_before_its_response_and_never_within_another() {
        let (stream, client, queue) = pair(4);
        let first = queue.begin();
        hint(&first);
        first.end();
        hint(&first);
        let said = arrives(stream, client, &["one"]).await;
        assert_eq!(said, format!("{HINT}one"), "one that is too late is none");

        let (mut stream, client, queue) = pair(4);
        queue.begin().end();
        // The first response is in the middle when the second request is hinted at.
        stream.write_all(b"on").await.unwrap();
        let second = queue.begin();
        hint(&second);
        let said = arrives(stream, client, &["e"]).await;
        assert_eq!(said, format!("one{HINT}"), "it waits for the end");

        let (mut stream, client, queue) = pair(4);
        queue.begin().end();
        stream.write_all(b"on").await.unwrap();
        let second = queue.begin();
        hint(&second);
        second.end();
        let said = arrives(stream, client, &["e two"]).await;
        assert_eq!(said, "one two", "it has no place any more");
    }

    #[tokio::test]
    async fn a_request_has_only_so_many() {
        let (stream, client, queue) = pair(4);
        let first = queue.begin();
        (0..100).for_each(|_| hint(&first));
        assert_eq!(arrives(stream, client, &["one"]).await, format!("{}one", HINT.repeat(limits::HTTP_INTERIMS)));
        hint(&first);
        let old = first;
        let _new = queue.begin();
        hint(&old);
        assert!(queue.state().waiting.is_empty(), "of a request that is over");
    }
}
