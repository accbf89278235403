//! Bodies on their way: the request's out, the response's in.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use crate::error::FetchError;

/// A request's body.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

pin_project! {
    /// A response's body. A pause that is too long, or an early end, is an error.
    #[derive(Debug)]
    pub struct FetchBody {
        #[pin]
        inner: Incoming,
        #[pin]
        pulse: Sleep,
        pause: Duration,
    }
}

impl FetchBody {
    pub(crate) fn new(inner: Incoming, pause: Duration) -> Self {
        Self { inner, pulse: sleep(pause), pause }
    }
}

impl Body for FetchBody {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let mut this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            this.pulse.as_mut().reset(Instant::now() + *this.pause);
            return Poll::Ready(frame.map(|frame| {
                frame.map_err(|error| match FetchError::of(&error) {
                    FetchError::HttpProtocolError => FetchError::HttpProtocolError,
                    _ => FetchError::HttpResponseIncomplete,
                })
            }));
        }
        ready!(this.pulse.poll(cx));
        Poll::Ready(Some(Err(FetchError::HttpResponseTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
