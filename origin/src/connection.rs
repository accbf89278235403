//! A connection to a server: of HTTP/1.1, for one request at a time, or of HTTP/2, for many.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use config::limits;
use futures_util::future::Either;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error::{FetchError, is_of_stream};
use crate::upload::Upload;

/// A connection on which requests can be sent.
#[derive(Debug)]
pub(crate) enum Connection {
    /// By HTTP/1.1: one request at a time.
    One(One),
    /// By HTTP/2: one of many who share it.
    Many(Share),
}

/// A connection of HTTP/1.1. It is closed at once when it is dropped, even where a request's body is still on its way.
#[derive(Debug)]
pub(crate) struct One {
    sender: http1::SendRequest<Upload>,
    driver: AbortHandle,
    /// Whether anything has come since the last request was sent.
    heard: Arc<AtomicBool>,
}

/// A connection of HTTP/2. It is closed when nobody has a clone of it.
#[derive(Clone, Debug)]
pub(crate) struct Many {
    sender: http2::SendRequest<Upload>,
    scheme: Scheme,
    common: Arc<Common>,
}

/// What all who share a connection share.
#[derive(Debug)]
struct Common {
    driver: AbortHandle,
    /// Whether no further request is to be sent on it.
    is_retired: AtomicBool,
    /// Whether anything has come since the last request was sent.
    heard: Arc<AtomicBool>,
    /// Who is told that a share is free again.
    freed: OnceLock<Arc<Notify>>,
}

/// A fetch's share in a connection of HTTP/2.
#[derive(Debug)]
pub(crate) struct Share {
    many: Many,
    /// What is sent by it.
    upload: Upload,
}

/// Tells whether a connection that was shared serves others still.
#[derive(Debug)]
pub(crate) struct Afterlife(Option<Weak<Common>>);

/// How a request came to nothing; it holds the request if nothing of it was sent.
pub(crate) type Unsent = TrySendError<Request<Upload>>;

impl Connection {
    /// Sends a request with a Host and a path, and waits for the response's head.
    pub(crate) fn send(
        &mut self,
        mut request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unsent>> + use<> {
        match self {
            Self::One(one) => {
                // They are the connection's own, and this is another.
                request.headers_mut().remove(header::TE);
                request.headers_mut().remove(header::TRAILER);
                one.heard.store(false, Ordering::Relaxed);
                Either::Left(one.sender.try_send_request(request))
            }
            Self::Many(share) => {
                share.upload = request.body().clone();
                name_target(&mut request, &share.many.scheme);
                share.many.common.heard.store(false, Ordering::Relaxed);
                Either::Right(share.many.sender.try_send_request(request))
            }
        }
    }

    /// Notes that nothing came of a request: in time, or at all. A connection on which nothing else came either, or that
    /// failed as a whole, takes no further requests; one of whose requests alone failed does.
    pub(crate) fn note_failure(&self, error: Option<&hyper::Error>) {
        if let Self::Many(Share { many, .. }) = self {
            let is_whole = error.map_or(!many.common.heard.load(Ordering::Relaxed), |error| !is_of_stream(error));
            if is_whole {
                many.retire();
            }
        }
    }

    /// What tells later whether others are still served by it.
    pub(crate) fn afterlife(&self) -> Afterlife {
        match self {
            Self::One(_) => Afterlife(None),
            Self::Many(share) => Afterlife(Some(Arc::downgrade(&share.many.common))),
        }
    }

    /// Whether the end of a response's body has to be told by more than that nothing comes any more.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Many(_))
    }

    /// Whether a byte has come since the last request was sent, be it of no whole response. Of many requests on one
    /// connection it cannot be told which.
    pub(crate) fn has_heard(&self) -> bool {
        matches!(self, Self::One(one) if one.heard.load(Ordering::Relaxed))
    }
}

impl One {
    /// Whether a request can be sent, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until a request can be sent; not where the server has closed it.
    pub(crate) async fn becomes_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(crate) async fn begin<T>(stream: T) -> Result<Self, FetchError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let heard = Arc::new(AtomicBool::new(false));
        let stream = Listening { inner: stream, heard: Arc::clone(&heard) };
        let begun = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = begun.map_err(|error| FetchError::of_head(&error))?;
        // What ends it is told to the request that is on it.
        let driver = tokio::spawn(connection.with_upgrades()).abort_handle();
        Ok(Self { sender, driver, heard })
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Drop for Common {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Afterlife {
    /// Whether nobody is served by it any more.
    pub(crate) fn is_over(&self) -> bool {
        let common = self.0.as_ref().and_then(Weak::upgrade);
        common.is_none_or(|common| common.is_retired.load(Ordering::Relaxed))
    }
}

impl Share {
    pub(crate) fn of(many: Many) -> Self {
        Self { many, upload: Upload::new(None) }
    }

    pub(crate) fn many(&self) -> &Many {
        &self.many
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // hyper goes on sending the rest, for as long as the server lets it wait: who else is on the connection stays, and
        // it ends with the last.
        if !self.upload.is_gone() {
            self.many.retire();
        }
        // Who is woken looks once this is gone: all of it is one core's.
        if let Some(freed) = self.many.common.freed.get() {
            freed.notify_one();
        }
    }
}

impl Many {
    /// Whether a request can be sent, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        !self.common.is_retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    /// How many have it.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.common)
    }

    /// Tells this from now on of each share that is free again.
    pub(crate) fn tell(&self, freed: &Arc<Notify>) {
        let _ = self.common.freed.set(Arc::clone(freed));
    }

    fn retire(&self) {
        self.common.is_retired.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn begin<T>(stream: T, scheme: Scheme) -> Result<Self, FetchError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(limits::ORIGIN_HTTP2_WINDOW)
            // Who does not read its own response keeps no other waiting.
            .initial_connection_window_size(limits::ORIGIN_HTTP2_WINDOW * SHARES)
            .max_header_list_size(limits::ORIGIN_HTTP2_HEADER_BYTES)
            // One that is dead is found out while somebody waits for it.
            .keep_alive_interval(ASKED_EVERY)
            .keep_alive_timeout(ASKED_EVERY);
        let heard = Arc::new(AtomicBool::new(false));
        let stream = Listening { inner: stream, heard: Arc::clone(&heard) };
        let begun = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = begun.map_err(|error| FetchError::of_head(&error))?;
        let driver = tokio::spawn(connection).abort_handle();
        let common = Arc::new(Common { driver, is_retired: AtomicBool::new(false), heard, freed: OnceLock::new() });
        Ok(Self { sender, scheme, common })
    }
}

/// As many requests share a connection at most, and so many may be on it as the least that RFC 9113 §6.5.2 recommends.
pub(crate) const SHARES: u32 = 100;

/// How often a silent connection is asked whether it is there.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// Writes a request's target as HTTP/2 does: RFC 9113 §8.3.1, "Clients that generate HTTP/2 requests directly MUST use the
/// ":authority" pseudo-header field to convey authority information".
fn name_target(request: &mut Request<Upload>, scheme: &Scheme) {
    let authority = request.headers_mut().remove(header::HOST);
    let authority = authority.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let builder = Uri::builder().scheme(scheme.clone()).path_and_query(path);
    // Without a Host that can be one the request is refused as it stands.
    if let Some(Ok(uri)) = authority.map(|authority| builder.authority(authority).build()) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
}

pin_project! {
    /// A stream that tells whether anything has come.
    struct Listening<T> {
        #[pin]
        inner: T,
        heard: Arc<AtomicBool>,
    }
}

impl<T: AsyncRead> AsyncRead for Listening<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buffer.filled().len();
        let read = this.inner.poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<T: AsyncWrite> AsyncWrite for Listening<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_target_is_named_as_http2_does() {
        let mut request = Request::new(Upload::new(None));
        *request.uri_mut() = "/a?b=c".parse().unwrap();
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("shop.example:8443"));
        name_target(&mut request, &Scheme::HTTPS);
        assert_eq!(request.uri(), "https://shop.example:8443/a?b=c");
        assert_eq!((request.headers().len(), request.version()), (0, Version::HTTP_2));
    }
}
