//! A request's body on its way out, and whose turn it is.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use config::limits;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Instant;

use crate::error::FetchError;
use crate::times::Times;

/// A request's body.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A request's body that can be handed to one connection after another, as long as nothing of it has
/// been taken. The clones are one body.
#[derive(Clone, Debug)]
pub(crate) struct Upload(Option<Arc<Mutex<Progress>>>);

#[derive(Debug)]
struct Progress {
    body: RequestBody,
    state: State,
    turn: Turn,
    /// When the turn began.
    since: Instant,
    /// How long the client's turns before took.
    waited: Duration,
    /// What they brought, in bytes.
    taken: u64,
}

/// How much of a body is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: it can still be sent elsewhere.
    Whole,
    /// Something.
    Begun,
    /// The client broke it off.
    Broken,
}

/// Who must do something next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The client must send more.
    Client,
    /// The origin must take what there is.
    Origin,
    /// The origin must answer: it has all.
    Answer,
}

impl Upload {
    pub(crate) fn new(body: Option<RequestBody>) -> Self {
        let progress = |body| {
            let (state, turn, since) = (State::Whole, Turn::Origin, Instant::now());
            Progress { body, state, turn, since, waited: Duration::ZERO, taken: 0 }
        };
        Self(body.filter(|body| !body.is_end_stream()).map(|body| Arc::new(Mutex::new(progress(body)))))
    }

    /// How much is gone; of no body, nothing.
    pub(crate) fn state(&self) -> State {
        self.progress().map_or(State::Whole, |progress| progress.state)
    }

    /// Whether all of it was taken by a connection.
    pub(crate) fn is_gone(&self) -> bool {
        self.progress().is_none_or(|progress| progress.turn == Turn::Answer)
    }

    /// Begins the time: the request is handed to a connection now.
    pub(crate) fn begin(&self, now: Instant) {
        if let Some(mut progress) = self.progress() {
            (progress.turn, progress.since) = (Turn::Origin, now);
        }
    }

    /// Until when whoever has the turn may take, and whose fault it is afterwards. The time to the first
    /// byte begins when the body is gone, for a request that began then.
    pub(crate) fn deadline(&self, began: Instant, times: &Times) -> (Instant, FetchError) {
        let Some(progress) = self.progress() else {
            return (began + times.first_byte, FetchError::HttpResponseTimeout);
        };
        match progress.turn {
            Turn::Client => (progress.since + progress.left(times), FetchError::HttpRequestTimeout),
            Turn::Origin => (progress.since + times.between_bytes, FetchError::ConnectionWriteTimeout),
            Turn::Answer => (progress.since + times.first_byte, FetchError::HttpResponseTimeout),
        }
    }

    /// Polled by one connection at a time and asked between polls: the lock is never waited for.
    fn progress(&self) -> Option<MutexGuard<'_, Progress>> {
        self.0.as_ref().map(|progress| progress.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Progress {
    fn give(&mut self, turn: Turn) {
        // A client that is asked again has no more time for it.
        if (turn, self.turn) == (Turn::Client, Turn::Client) {
            return;
        }
        let now = Instant::now();
        if self.turn == Turn::Client {
            self.waited += now - self.since;
        }
        (self.turn, self.since) = (turn, now);
    }

    /// How long this turn of the client's may take: a pause, and no longer than what it has sent is worth.
    fn left(&self, times: &Times) -> Duration {
        let earned = times.between_bytes + Duration::from_secs(self.taken / limits::HTTP_LEAST_RATE);
        earned.saturating_sub(self.waited).min(times.between_bytes)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(mut progress) = self.progress() else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(&mut progress.body).poll_frame(cx);
        if frame.is_pending() {
            progress.give(Turn::Client);
        }
        let frame = ready!(frame);
        progress.state = match &frame {
            Some(Err(_)) => State::Broken,
            _ => State::Begun,
        };
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            progress.taken += u64::try_from(bytes).unwrap_or_default();
        }
        let is_last = frame.is_none() || progress.body.is_end_stream();
        progress.give(if is_last { Turn::Answer } else { Turn::Origin });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.progress().is_none_or(|progress| progress.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.progress().map_or_else(|| SizeHint::with_exact(0), |progress| progress.body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use futures_util::FutureExt;
    use http_body_util::{BodyExt, Empty};
    use tokio::time::advance;

    use super::*;

    const TIMES: Times = Times {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(30),
        between_bytes: Duration::from_secs(20),
        idle: Duration::from_secs(60),
        total: None,
    };

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_s_time_begins_when_the_body_is_gone() {
        let began = Instant::now();
        let mut upload = upload([Some("one"), None, Some("two")]);
        upload.begin(began);
        let waits = |upload: &Upload| {
            let (until, error) = upload.deadline(began, &TIMES);
            ((until - began).as_secs(), error)
        };
        assert_eq!((waits(&upload), upload.state()), ((20, FetchError::ConnectionWriteTimeout), State::Whole));

        advance(Duration::from_secs(1)).await;
        assert!(upload.frame().now_or_never().is_some());
        assert_eq!((waits(&upload), upload.state()), ((21, FetchError::ConnectionWriteTimeout), State::Begun));

        advance(Duration::from_secs(1)).await;
        assert!(upload.frame().now_or_never().is_none());
        assert_eq!(waits(&upload), (22, FetchError::HttpRequestTimeout));

        advance(Duration::from_secs(1)).await;
        assert!(upload.frame().now_or_never().is_some());
        assert_eq!(waits(&upload), (23, FetchError::ConnectionWriteTimeout));

        advance(Duration::from_secs(1)).await;
        assert!(upload.frame().now_or_never().is_some_and(|frame| frame.is_none()));
        assert_eq!(waits(&upload), (34, FetchError::HttpResponseTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_asked_again_gets_no_more_time() {
        let began = Instant::now();
        let mut upload = upload([None, None]);
        assert!(upload.frame().now_or_never().is_none());
        advance(Duration::from_secs(1)).await;
        assert!(upload.frame().now_or_never().is_none());
        assert_eq!(upload.deadline(began, &TIMES).0, began + TIMES.between_bytes);
        assert_eq!(upload.state(), State::Whole, "nothing is gone while the client is only waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_drips_is_given_up() {
        let began = Instant::now();
        let mut upload = upload([None, Some("a"), None, Some("b"), None]);
        for second in [15, 5] {
            assert!(upload.frame().now_or_never().is_none());
            advance(Duration::from_secs(second)).await;
            assert!(upload.frame().now_or_never().is_some());
        }
        assert!(upload.frame().now_or_never().is_none());
        assert_eq!(upload.deadline(began, &TIMES), (began + TIMES.between_bytes, FetchError::HttpRequestTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_body_the_origin_must_answer_at_once() {
        for body in [None, Some(Empty::new().map_err(|never| match never {}).boxed_unsync())] {
            let upload = Upload::new(body);
            let began = Instant::now();
            assert!(upload.is_end_stream());
            assert_eq!(upload.size_hint().exact(), Some(0));
            let deadline = (began + TIMES.first_byte, FetchError::HttpResponseTimeout);
            assert_eq!(upload.deadline(began, &TIMES), deadline);
        }
    }

    /// A body that gives these pieces; where there is none, it waits once.
    fn upload<const N: usize>(pieces: [Option<&'static str>; N]) -> Upload {
        struct Pieces(VecDeque<Option<&'static str>>);

        impl Body for Pieces {
            type Data = Bytes;
            type Error = Box<dyn std::error::Error + Send + Sync>;

            fn poll_frame(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                match self.0.pop_front() {
                    None => Poll::Ready(None),
                    Some(None) => Poll::Pending,
                    Some(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))),
                }
            }
        }

        Upload::new(Some(Pieces(pieces.into()).boxed_unsync()))
    }
}
