//! HTTP/2, agreed on by TLS or begun without asking: from the handshake, or the first byte, to the connection's end.
//!
//! ```text
//! over TLS       Tls (tls_stream.rs) ─┐
//! in the clear   Batched (batched.rs) ┴─> h2 ─┬─> Handler::whole_at_once ───── head and body ─┐
//!                                             ├─> else its answer, begun at once (reply.rs) ──┤
//!                                             └─> the next request                            v
//! socket  <─ one call, when h2 has nothing more to do <── what was written, and kept (deferred.rs)
//! ```
//!
//! What is sent is noted next to the socket, so that a client that takes nothing is found by what has left, not by what
//! the library was handed; [`Activity`] knows the rest: when requests are open, and whose turn it is. The stream is
//! never flushed in the library's view, and needs not be: nobody asks whether this connection is between two requests.

mod body;
mod piece;
mod pings;
mod reply;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use config::limits;
use h2::RecvStream;
use h2::server::{Builder, Connection as Http2, Handshake, SendResponse};
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use tokio::time::timeout;

use self::body::Http2Body;
use self::piece::Piece;
use self::pings::Pings;
use crate::activity::Activity;
use crate::batched::Batched;
use crate::body::empty;
use crate::connection::Connection;
use crate::cores::Stop;
use crate::deferred::{Batch, Deferred, poll_serving};
use crate::fast::Whole;
use crate::incoming::Incoming;
use crate::inline;
use crate::mount::Mounts;
use crate::rewind::Rewind;
use crate::tls_stream::Tls;
use crate::wire::Wire;

/// What a client may send before we have taken it, of one request and of all: enough for 80 Mbit/s over 100 ms.
const WINDOW: u32 = 1 << 20;
/// What is taken of a response before its client gives it room.
const MOST_BUFFERED: usize = 400 << 10;
/// So many resets for a client's errors are sent at most; then the connection ends.
const RESETS: usize = 1_024;

/// What each connection begins with.
pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_connect_protocol()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(limits::HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(limits::HTTP_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_send_buffer_size(MOST_BUFFERED)
        .max_local_error_reset_streams(Some(RESETS));
    builder
}

/// Serves a connection whose handshake has agreed on HTTP/2 (RFC 7301) to its end.
pub(crate) fn serve_http2<S: Wire>(
    http2: &Builder,
    stream: Tls<S>,
    connection: Connection,
    mounts: Arc<Mounts>,
    stop: &Stop,
) -> impl Future<Output = ()> {
    let service = Service { mounts, connection, activity: Activity::new(), stop: stop.clone() };
    let stream = stream.watch(Arc::clone(&service.activity));
    serve(http2, stream, service)
}

/// The same of a connection that has begun as one of HTTP/2, by prior knowledge (RFC 9113 §3.3). One that does not go on
/// so ends: the method PRI of HTTP/1.1 "is never used by an actual client" (RFC 7540 §11.6).
pub(crate) fn serve_prior_knowledge<S: Wire>(
    http2: &Builder,
    stream: Rewind<S>,
    connection: Connection,
    mounts: Arc<Mounts>,
    stop: &Stop,
) -> impl Future<Output = ()> {
    let service = Service { mounts, connection, activity: Activity::new(), stop: stop.clone() };
    let (stream, ahead) = stream.into_parts();
    let stream = Rewind::new(ahead, stream.watch(Arc::clone(&service.activity)));
    serve(http2, Batched::new(stream), service)
}

/// Serves until the client ends the connection, nothing moves for too long, or all is to stop. Then what was begun is
/// finished, and no more taken.
async fn serve<T: Batch>(http2: &Builder, stream: T, service: Service) {
    let (activity, stop) = (Arc::clone(&service.activity), service.stop.clone());
    let stream = Deferred::new(stream);
    let state = State::Beginning(Box::new(http2.handshake(stream.clone())));
    let mut served = pin!(Served { state, service, is_ending: false });
    tokio::select! {
        () = poll_fn(|cx| poll_serving(served.as_mut(), &stream, cx)) => return,
        () = stop.stopped() => {}
        () = activity.idle(limits::HTTP_HEADER_TIME) => if !served.has_begun() { return },
        () = activity.stalled(limits::HTTP_WRITE_TIME) => return,
    }
    // Who has not begun has nothing under way.
    let most = if served.has_begun() { limits::HTTP_DRAIN } else { limits::HTTP_FAREWELL };
    served.end();
    let ends = poll_fn(|cx| poll_serving(served.as_mut(), &stream, cx));
    let _ = timeout(most, ends).await;
}

/// A connection that is served. Ready when it is over.
struct Served<S> {
    state: State<S>,
    service: Service,
    /// Whether the client is to be told, as soon as it can be, to ask no more here.
    is_ending: bool,
}

enum State<S> {
    Beginning(Box<Handshake<S, Piece>>),
    Open(Box<Http2<S, Piece>>, Option<Pings>),
}

/// What answers the requests of a connection.
struct Service {
    mounts: Arc<Mounts>,
    connection: Connection,
    activity: Arc<Activity>,
    stop: Stop,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Served<S> {
    /// Whether the client has said all that a connection begins with (RFC 9113 §3.4).
    fn has_begun(&self) -> bool {
        matches!(self.state, State::Open(..))
    }

    /// Says GOAWAY: what was asked is answered, and no more.
    fn end(&mut self) {
        match &mut self.state {
            State::Beginning(_) => self.is_ending = true,
            State::Open(http2, _) => http2.graceful_shutdown(),
        }
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Future for Served<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Beginning(handshake) => {
                    let Ok(mut http2) = ready!(Pin::new(&mut **handshake).poll(cx)) else { return Poll::Ready(()) };
                    if this.is_ending {
                        http2.graceful_shutdown();
                    }
                    let pings = http2.ping_pong().map(Pings::new);
                    this.state = State::Open(Box::new(http2), pings);
                }
                State::Open(http2, pings) => match http2.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => this.service.begin(request, respond),
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                    Poll::Pending => {
                        let activity = &this.service.activity;
                        return pings.as_mut().map_or(Poll::Pending, |pings| pings.poll_gone(cx, activity));
                    }
                },
            }
        }
    }
}

impl Service {
    /// Answers a request, or begins to.
    fn begin(&self, request: Request<RecvStream>, respond: SendResponse<Piece>) {
        let (head, stream) = request.into_parts();
        if !stream.is_end_stream() {
            let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
            let length = lengths.next().and_then(|length| length.to_str().ok()?.parse().ok());
            let body = Http2Body::new(stream, length).boxed_unsync();
            return self.serve(Request::from_parts(head, Incoming::from(body)), respond);
        }
        let at_once = if head.method == Method::GET {
            let handler = self.mounts.find(head.uri.path());
            handler.and_then(|handler| handler.whole_at_once(&head, &self.connection))
        } else {
            None
        };
        match at_once {
            Some(whole) => self.send(whole, respond),
            None => self.serve(Request::from_parts(head, Incoming::from(empty())), respond),
        }
    }

    fn serve(&self, request: Request<Incoming>, respond: SendResponse<Piece>) {
        let (mounts, connection) = (Arc::clone(&self.mounts), self.connection.clone());
        let seen = (Arc::clone(&self.activity), self.stop.clone());
        inline::run(Box::pin(reply::serve(request, respond, mounts, connection, seen)));
    }

    /// Hands over a whole answer. Its body stays where it lies until the client takes it.
    fn send(&self, whole: Whole, mut respond: SendResponse<Piece>) {
        let Whole { fields, body, mut sent } = whole;
        let mut response = Response::new(());
        *response.headers_mut() = fields;
        // An error says that the stream has ended: what was handed over goes with it.
        match respond.send_response(response, body.is_empty()) {
            Ok(mut stream) if !body.is_empty() => {
                let _ = stream.send_data(Piece::whole(body, sent, self.activity.hand_over()), true);
            }
            Ok(_) | Err(_) => sent.sent(0),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
