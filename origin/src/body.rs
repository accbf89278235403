//! A response's body on its way in.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use crate::connection::{Connection, One};
use crate::error::FetchError;
use crate::pace::Pace;
use crate::place::Place;
use crate::pool::Pool;

pin_project! {
    /// A response's body. A pause that is too long, a pace that is too slow, or an early end, is an error. Its
    /// connection serves further requests once it has been read to its end, and is closed where it is dropped before.
    #[derive(Debug)]
    pub struct FetchBody {
        #[pin]
        inner: Incoming,
        #[pin]
        pulse: Sleep,
        // Whether it is waited for a piece, and the pulse runs since then.
        is_waiting: bool,
        pause: Duration,
        // Whether it comes fast enough, where it must.
        pace: Option<Pace>,
        // When the whole fetch is over.
        until: Option<Instant>,
        lent: Option<Lent>,
        // How much has come, of all bodies of the site.
        received: Arc<AtomicU64>,
        // Who sends it, as the config writes it.
        server: Arc<str>,
    }
}

/// A connection, where it belongs, and its place among those in use.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) connection: Connection,
    pub(crate) pool: Arc<Pool<One>>,
    pub(crate) place: Place,
    /// How long the connection may be kept for the next request.
    pub(crate) idle: Duration,
}

impl FetchBody {
    /// In a box: it is large, and passes through many hands on its way to who reads it.
    pub(crate) fn new(
        (inner, server): (Incoming, Arc<str>),
        (pause, pace): (Duration, Option<Pace>),
        until: Option<Instant>,
        lent: Lent,
        received: Arc<AtomicU64>,
    ) -> Pin<Box<Self>> {
        let mut lent = Some(lent);
        if inner.is_end_stream() {
            give_back(&mut lent);
        }
        Box::pin(Self { inner, pulse: sleep(pause), is_waiting: false, pause, pace, until, lent, received, server })
    }

    /// The server that has answered, as the config writes it.
    #[must_use]
    pub fn server(&self) -> &Arc<str> {
        &self.server
    }
}

impl Body for FetchBody {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let mut this = self.project();
        // Time in which nobody reads counts, too.
        if this.until.is_some_and(|until| until <= Instant::now()) && !this.inner.is_end_stream() {
            *this.lent = None;
            return Poll::Ready(Some(Err(FetchError::HttpResponseTimeout)));
        }
        let waker = this.pace.as_mut().map_or_else(|| cx.waker().clone(), |pace| pace.waker(cx.waker()));
        if let Poll::Ready(frame) = this.inner.as_mut().poll_frame(&mut Context::from_waker(&waker)) {
            *this.is_waiting = false;
            if let Some(Ok(frame)) = &frame {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.received.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
                this.pace.iter_mut().for_each(|pace| pace.took(bytes, Instant::now()));
            }
            // The library takes a stream of HTTP/2 that is reset without naming a fault for one that ends. Only a frame that
            // says so ends a body (RFC 9113 §8.1).
            if frame.is_none()
                && this.lent.as_ref().is_some_and(|lent| lent.connection.is_shared())
                && !this.inner.is_end_stream()
            {
                *this.lent = None;
                return Poll::Ready(Some(Err(FetchError::HttpResponseIncomplete)));
            }
            match &frame {
                Some(Err(_)) => *this.lent = None,
                // Who knows the length asks for no more.
                frame if frame.is_none() || this.inner.is_end_stream() => give_back(this.lent),
                _ => {}
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| FetchError::of_body(&error))));
        }
        if !*this.is_waiting {
            *this.is_waiting = true;
            let now = Instant::now();
            let left = this.pace.as_mut().map_or(Duration::MAX, |pace| pace.wait(now));
            let pause_ends = now + left.min(*this.pause);
            this.pulse.as_mut().reset(this.until.map_or(pause_ends, |until| until.min(pause_ends)));
        }
        ready!(this.pulse.poll(cx));
        *this.lent = None;
        Poll::Ready(Some(Err(FetchError::HttpResponseTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Puts a connection back, if it was for one alone. It isn't ready, and ends, where either side will close it, or where the origin
/// has answered without waiting for the end of the request's body.
fn give_back(lent: &mut Option<Lent>) {
    if let Some(Lent { connection, pool, place, idle }) = lent.take() {
        if let Connection::One(one) = connection
            && one.is_ready()
            && !idle.is_zero()
        {
            pool.put(one, Instant::now() + idle);
        }
        // Only now: who takes the place finds the connection.
        drop(place);
    }
}
