//! A connection from its first byte to its last.
//!
//! ```text
//!        ┌──────── what it has read ahead ─────────┐
//!        v                                         │
//! bytes ─> front (fast.rs) ── what is not for it ──> hyper, until it has nothing to do
//!                    └── HTTP/2 ──> http2.rs, to its end
//! ```
//!
//! hyper holds 11 to 19 KiB for a connection, and its HTTP/1 server cannot be asked what is in between two requests.
//! So it has a connection only while there is something to do for it: a request that is not plain.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use config::limits;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming as HyperBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::activity::{Activity, Held, Way};
use crate::answer::answer;
use crate::connection::Connection;
use crate::cores::Stop;
use crate::exchange::Exchange;
use crate::fast::{Front, Next, Plain};
use crate::http2::{self, serve_prior_knowledge};
use crate::incoming::Incoming;
use crate::interim::{Interim, Queue, WithInterim};
use crate::linger::linger;
use crate::mount::Mounts;
use crate::rewind::Rewind;
use crate::tunnel::{Duplex, carry};
use crate::wire::Wire;

/// What serves connections.
#[derive(Debug)]
pub(crate) struct Protocols {
    http1: http1::Builder,
    pub(crate) http2: h2::server::Builder,
}

/// A stream with all that hyper's use of it needs.
type Lent<S> = TokioIo<WithInterim<Rewind<<S as Wire>::Watched>>>;
pub(crate) type Reply = Pin<Box<dyn Future<Output = Result<Response<crate::Body>, Infallible>> + Send>>;

/// What hyper buffers of a connection at most: a head that is too large is to be seen as such, and answered.
const MOST_BUFFERED: usize = limits::HTTP_HEADER_BYTES + (64 << 10);

impl Protocols {
    pub(crate) fn new() -> Self {
        let mut http1 = http1::Builder::new();
        // A connection without a whole head ends with its activity, which needs no timer of each request.
        http1.header_read_timeout(None).max_headers(limits::HTTP_HEADERS).max_buf_size(MOST_BUFFERED);
        Self { http1, http2: http2::builder() }
    }
}

/// Serves a connection until it ends, nothing moves for too long, or all is to stop: then what was begun is finished, and
/// the client told with the next answer that the connection ends; where it asks nothing more, it is closed after a while. A
/// client whose request crosses a connection's end could not know whether it was taken.
pub(crate) async fn drive<S>(
    protocols: &Protocols,
    stream: S,
    connection: Connection,
    mounts: &Arc<Mounts>,
    stop: &Stop,
) where
    S: Wire,
{
    let mut stopped = Box::pin(stop.stopped());
    // There once all is to stop.
    let mut leaving: Option<Leaving> = None;
    let mut front = Front::new(stream);
    let begin = |request| begin(request, mounts, &connection, stop);
    loop {
        let next = poll_fn(|cx| {
            let is_last = leaving.is_some();
            let at_once = |plain: &Plain<'_>, head: &mut Vec<u8>| {
                // What is answered at once says nothing of the connection's end.
                if is_last {
                    return None;
                }
                mounts.find(plain.target)?.at_once(plain, &connection, head)
            };
            let polled = front.poll(cx, &at_once, &begin);
            if polled.is_ready() {
                return polled;
            }
            if leaving.is_none() && stopped.as_mut().poll(cx).is_ready() {
                leaving = Some(Leaving { farewell: Box::pin(stop.farewell()), over: Box::pin(stop.over()) });
            }
            match &mut leaving {
                Some(Leaving { over, .. }) if front.is_owing() => over.as_mut().poll(cx).map(|()| Next::Cut),
                Some(Leaving { farewell, .. }) => farewell.as_mut().poll(cx).map(|()| Next::Ended),
                None => Poll::Pending,
            }
        });
        let next = next.await;
        let connection = connection.clone();
        match next {
            Next::Cut => return,
            // In a box of its own: few connections end so.
            Next::Told => return Box::pin(linger(&mut front.stream, stop)).await,
            Next::Ended => {
                let _ = poll_fn(|cx| Poll::Ready(Pin::new(&mut front.stream).poll_shutdown(cx))).await;
                return;
            }
            Next::Unknown(ahead) => {
                let stream = Rewind::new(ahead, front.stream);
                let mounts = Arc::clone(mounts);
                return Box::pin(serve_prior_knowledge(&protocols.http2, stream, connection, mounts, stop)).await;
            }
            Next::General(ahead) => {
                let stream = Rewind::new(ahead, front.stream);
                match Box::pin(general(&protocols.http1, stream, connection, Arc::clone(mounts), stop)).await {
                    Some((stream, ahead)) => front = Front::again(stream, ahead),
                    None => return,
                }
            }
        }
    }
}

/// When a connection ends once all is to stop: that has nothing under way, and that has.
struct Leaving {
    farewell: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Has a plain request answered.
fn begin(request: Request<Incoming>, mounts: &Arc<Mounts>, connection: &Connection, stop: &Stop) -> Exchange {
    let queue = Arc::<Queue>::default();
    let connection = Connection { interim: Some(queue.begin()), ..connection.clone() };
    let mounts = Arc::clone(mounts);
    let answered = Box::pin(async move { answer(&mounts, request, connection).await });
    Exchange::new(answered, queue, stop.clone())
}

/// Serves HTTP/1.1 until nothing is left to do, and gives the connection back with what was read of the next request; or
/// to its end.
async fn general<S>(
    http1: &http1::Builder,
    stream: Rewind<S>,
    connection: Connection,
    mounts: Arc<Mounts>,
    stop: &Stop,
) -> Option<(S, Bytes)>
where
    S: Wire,
{
    let (activity, stream, serve) = lend(stream, connection, mounts, stop);
    let mut served = http1.serve_connection(stream, service_fn(serve));
    let mut farewell = pin!(stop.farewell());
    let mut is_left = false;
    let mut silent = pin!(async {
        tokio::select! {
            biased;
            () = activity.idle(limits::HTTP_HEADER_TIME) => {}
            () = activity.stalled(limits::HTTP_WRITE_TIME) => {}
            () = stop.over() => {}
        }
    });
    let end = poll_fn(|cx| {
        match served.poll_without_shutdown(cx) {
            Poll::Ready(Ok(())) if activity.is_answered() => return Poll::Ready(End::Own),
            // Cut, or left: polled again, hyper would end a body that is not whole as if it were.
            Poll::Ready(_) => return Poll::Ready(End::Broken),
            Poll::Pending => {}
        }
        // A head of which hyper has read a part, and no other before, would be answered as the last.
        if activity.is_between() {
            Pin::new(&mut served).graceful_shutdown();
            if served.poll_without_shutdown(cx).is_ready() {
                return Poll::Ready(End::Between);
            }
        }
        is_left = is_left || farewell.as_mut().poll(cx).is_ready();
        if is_left && activity.is_answered() {
            return Poll::Ready(End::Stopped);
        }
        silent.as_mut().poll(cx).map(|()| End::Silent)
    });
    match end.await {
        End::Silent | End::Broken => cut(&take_back::<S>(served.into_parts().io).0, &activity),
        End::Own => match activity.switched() {
            // hyper keeps what the client has not taken of answers before.
            Some(_) if !activity.is_flushed() => {}
            Some(far) => lead::<S>(take_apart(served.into_parts()), far, stop).await,
            None => {
                let is_sent = send_rest(&mut served, silent.as_mut()).await;
                let (mut stream, _) = take_back::<S>(served.into_parts().io);
                if is_sent {
                    Box::pin(linger(&mut stream, stop)).await;
                } else {
                    cut(&stream, &activity);
                }
            }
        },
        End::Between => return Some(take_apart(served.into_parts())),
        // A part of a head is no request, and hyper would wait for the rest.
        End::Stopped if activity.is_sent() => {}
        End::Stopped => {
            Pin::new(&mut served).graceful_shutdown();
            // An error is the client's, which has gone.
            let _ = tokio::time::timeout(limits::HTTP_DRAIN, served).await;
        }
    }
    None
}

/// Has hyper send what it still holds, however long it takes, and tells whether it has: a client that takes nothing is
/// silent.
async fn send_rest<F>(served: &mut F, mut silent: Pin<&mut impl Future<Output = ()>>) -> bool
where
    F: Future<Output = hyper::Result<()>> + Unpin,
{
    let sends = poll_fn(|cx| match Pin::new(&mut *served).poll(cx) {
        Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
        Poll::Pending => silent.as_mut().poll(cx).map(|()| false),
    });
    sends.await
}

/// Makes the end of a connection tell a client that what it has is not the whole, where nothing else can.
fn cut<S: Wire>(stream: &S, activity: &Activity) {
    if activity.is_old() {
        stream.reset_when_dropped();
    }
}

/// Leads a client to where its connection was switched to, with what was read ahead.
async fn lead<S: Wire>((near, ahead): (S, Bytes), far: Box<dyn Duplex>, stop: &Stop) {
    let cut = carry(Rewind::new(ahead, near), far, stop).await;
    cut.into_iter().for_each(|near| near.into_parts().0.reset_when_dropped());
}

/// Why hyper serves a connection no longer.
enum End {
    /// It is through with it, but for bytes that are not flushed.
    Own,
    /// By an error, or with a request unanswered.
    Broken,
    /// It has nothing to do: the next request may be for the front.
    Between,
    /// All is to stop, and no request has come for a while.
    Stopped,
    /// The client has sent, or taken, nothing for too long; or what was under way at a stop has had its time.
    Silent,
}

/// Prepares a stream for hyper, and what answers its requests.
fn lend<S: Wire>(
    stream: Rewind<S>,
    connection: Connection,
    mounts: Arc<Mounts>,
    stop: &Stop,
) -> (Arc<Activity>, Lent<S>, impl Fn(Request<HyperBody>) -> Reply + use<S>) {
    let (activity, queue) = (Activity::new(), Arc::<Queue>::default());
    let (stream, ahead) = stream.into_parts();
    let stream = Rewind::new(ahead, stream.watch(Arc::clone(&activity)));
    let stream = WithInterim::new(stream, Arc::clone(&queue));
    let serve = serve_by(mounts, connection, (Arc::clone(&activity), queue), stop.clone());
    (activity, TokioIo::new(stream), serve)
}

/// A stream that hyper gives back, and what of the bytes read ahead it has not taken.
fn take_back<S: Wire>(lent: Lent<S>) -> (S, Bytes) {
    let (stream, ahead) = lent.into_inner().into_inner().into_parts();
    (S::unwatch(stream), ahead)
}

/// As [`take_back`], with what hyper has read ahead.
fn take_apart<S: Wire, F>(parts: http1::Parts<Lent<S>, F>) -> (S, Bytes) {
    let (stream, ahead) = take_back::<S>(parts.io);
    (stream, join(&parts.read_buf, &ahead))
}

/// What answers the requests of a connection, and notes them.
fn serve_by(
    mounts: Arc<Mounts>,
    connection: Connection,
    (seen, queue): (Arc<Activity>, Arc<Queue>),
    stop: Stop,
) -> impl Fn(Request<HyperBody>) -> Reply {
    move |request: Request<HyperBody>| -> Reply {
        let interim = (request.version() == Version::HTTP_11).then(|| queue.begin());
        let connection = Connection { interim: interim.clone(), ..connection.clone() };
        let open = seen.begin(match request.version() {
            Version::HTTP_10 => Way::Old,
            Version::HTTP_11 if request.body().is_end_stream() => Way::Plain,
            _ => Way::Other,
        });
        let (seen, mounts, stop) = (Arc::clone(&seen), Arc::clone(&mounts), stop.clone());
        let says_close = request.headers().contains_key(CONNECTION);
        Box::pin(async move {
            let mut response = answer(&mounts, request.map(Incoming::from), connection).await;
            response.extensions_mut().remove().into_iter().for_each(|tunnel| seen.switches(tunnel));
            // RFC 9112 §9.6: a server "SHOULD send a "close" connection option in its final response".
            if stop.is_stopped() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if says_close || response.headers().contains_key(CONNECTION) {
                seen.ends();
            }
            interim.iter().for_each(Interim::end);
            Ok(response.map(|body| Held::new(body, open).boxed_unsync()))
        })
    }
}

/// Bytes in the order they came.
fn join(first: &Bytes, second: &Bytes) -> Bytes {
    let mut joined = BytesMut::with_capacity(first.len() + second.len());
    joined.extend_from_slice(first);
    joined.extend_from_slice(second);
    joined.freeze()
}

#[cfg(test)]
mod tests;
