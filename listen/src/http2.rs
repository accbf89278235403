//! HTTP/2 over TLS, once it was agreed on (RFC 7301): from the end of the handshake to the connection's.
//!
//! ```text
//! records ─> hyper ─┬─> handler, at once (inline.rs) ── response ─┐
//!                   └─> the next request                          v
//! socket  <─ one call, when hyper has nothing more to do <── records (tls_stream.rs)
//! ```
//!
//! What is sent is noted below the records, so that a client that takes nothing is found by what has left, not by what
//! hyper has handed over; [`Activity`] knows the rest: when requests are open, and whose turn it is. hyper's stream is
//! never flushed in its own view, and needs not be: nobody asks whether this connection is between two requests.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use config::limits;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::activity::Activity;
use crate::connection::Connection;
use crate::cores::Stop;
use crate::drive::serve_by;
use crate::inline::Inline;
use crate::mount::Mounts;
use crate::tls_stream::{Deferred, Tls, poll_serving};
use crate::wire::Wire;

/// Serves a connection to its end: until its client ends it, nothing moves for too long, or all is to stop. Then what was
/// begun is finished, and no more taken.
pub(crate) async fn serve_http2<S: Wire>(
    http2: &Builder<Inline>,
    stream: Tls<S>,
    connection: Connection,
    mounts: Arc<Mounts>,
    stop: &Stop,
) {
    let activity = Activity::new();
    let stream = Deferred::new(stream.watch(Arc::clone(&activity)));
    // There is no interim response here: hyper sends none over HTTP/2.
    let serve = serve_by(mounts, connection, (Arc::clone(&activity), Arc::default()), stop.clone());
    let mut served = pin!(http2.serve_connection(TokioIo::new(stream.clone()), service_fn(serve)));
    tokio::select! {
        () = poll_fn(|cx| poll_serving(served.as_mut(), &stream, cx)) => return,
        () = stop.stopped() => {}
        () = activity.idle(limits::HTTP_HEADER_TIME) => {}
        () = activity.stalled(limits::HTTP_WRITE_TIME) => return,
    }
    served.as_mut().graceful_shutdown();
    let ends = poll_fn(|cx| poll_serving(served.as_mut(), &stream, cx));
    let _ = tokio::time::timeout(limits::HTTP_DRAIN, ends).await;
}

#[cfg(test)]
mod tests;
