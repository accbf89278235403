//! The body of a request by HTTP/3, held to the length its head says.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use h3::server::RequestStream;
use h3_quinn::RecvStream;
use http_body::{Body, Frame, SizeHint};

use super::guarded::GuardedStream;
use crate::body::BoxError;

/// A body as it comes.
pub(crate) struct Http3Body {
    stream: RequestStream<GuardedStream<RecvStream>, Bytes>,
    /// What was read to see whether there is any.
    first: Option<Frame<Bytes>>,
    /// What is still to come, where the head says it.
    left: Option<u64>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data,
    Trailers,
    Over,
    /// It failed: what comes is not heard any more.
    Broken,
}

impl Http3Body {
    /// Takes a stream whose head was read, with the length that it says.
    pub(crate) fn new(stream: RequestStream<GuardedStream<RecvStream>, Bytes>, length: Option<u64>) -> Self {
        Self { stream, first: None, left: length, state: State::Data }
    }

    /// Waits until it is known whether there is any. An error is kept for who reads it.
    pub(crate) async fn look(&mut self) {
        poll_fn(|cx| self.poll_first(cx)).await;
    }

    /// Looks whether it is known already.
    pub(crate) fn glance(&mut self) {
        let _ = self.poll_first(&mut Context::from_waker(Waker::noop()));
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.first.is_none() && self.state == State::Data {
            match ready!(self.poll_next(cx)) {
                Some(Ok(frame)) => self.first = Some(frame),
                Some(Err(_)) => self.state = State::Broken,
                None => {}
            }
        }
        Poll::Ready(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.state == State::Data {
            let data = match ready!(self.stream.poll_recv_data(cx)) {
                Ok(data) => data.map(|mut data| data.copy_to_bytes(data.remaining())),
                Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
            };
            if let Some(data) = data {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                match self.left.map(|left| left.checked_sub(length)) {
                    Some(None) => return Poll::Ready(Some(Err(self.malformed()))),
                    Some(left) => self.left = left,
                    None => {}
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if self.left.is_some_and(|left| left > 0) {
                return Poll::Ready(Some(Err(self.malformed())));
            }
            self.state = State::Trailers;
        }
        if self.state == State::Trailers {
            let trailers = match ready!(self.stream.poll_recv_trailers(cx)) {
                Ok(trailers) => trailers,
                Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
            };
            self.state = State::Over;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        match self.state {
            State::Broken => Poll::Ready(Some(Err("the request's body broke off".into()))),
            _ => Poll::Ready(None),
        }
    }

    fn fail(&mut self, error: impl Into<BoxError>) -> BoxError {
        self.state = State::Broken;
        error.into()
    }

    /// RFC 9114 §4.1.2: a length that "does not equal the sum of the DATA frame lengths received" is malformed.
    fn malformed(&mut self) -> BoxError {
        // What still comes is told to stop when the stream is dropped.
        self.fail("the request's body is not of the length that its head says")
    }
}

impl Body for Http3Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.first.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.state == State::Over
    }

    fn size_hint(&self) -> SizeHint {
        match (self.left, &self.first) {
            (Some(left), first) => {
                let first = first.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
                SizeHint::with_exact(left + u64::try_from(first).unwrap_or_default())
            }
            (None, None) if self.state == State::Over => SizeHint::with_exact(0),
            (None, _) => SizeHint::default(),
        }
    }
}
