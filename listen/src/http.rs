//! HTTP/1.1 and HTTP/2 connections, clear or over TLS, with their limits.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::limits;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::activity::{Activity, Held, Watched};
use crate::body::{Body, empty};
use crate::connection::{Connection, Scheme};
use crate::cores::Stop;
use crate::interim::{Interim, Queue, WithInterim};
use crate::mount::Mounts;
use crate::round_trip::{Measured, RoundTrips};

/// One listening socket and what answers on it.
pub struct Server {
    listener: TcpListener,
    mounts: Arc<Mounts>,
    tls: Option<Arc<rustls::ServerConfig>>,
    connections: IntGauge,
    round_trips: Option<Arc<dyn RoundTrips>>,
}

impl Server {
    /// Takes a bound socket; call it on the runtime that will serve.
    ///
    /// # Errors
    /// The socket cannot be registered.
    pub fn new(
        listener: std::net::TcpListener,
        mounts: Arc<Mounts>,
        tls: Option<Arc<rustls::ServerConfig>>,
        connections: IntGauge,
    ) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::from_std(listener)?, mounts, tls, connections, round_trips: None })
    }

    /// Tells the round trip of every connection that ends.
    #[must_use]
    pub fn telling(self, round_trips: Option<Arc<dyn RoundTrips>>) -> Self {
        Self { round_trips, ..self }
    }

    /// Serves until stopped; then no new connections, open requests get ten seconds.
    pub async fn serve(self, stop: Stop) {
        let places = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
        let builder = Arc::new(builder());
        let stopped = stop.stopped();
        tokio::pin!(stopped);
        let mut told = None;
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stopped => break,
            };
            match accepted {
                Ok((stream, peer)) => self.spawn(stream, peer, place, &builder, &stop),
                Err(error) if error.raw_os_error().is_some_and(is_exhausted) => {
                    if told.is_none_or(|told: Instant| told.elapsed() >= TOLD_EVERY) {
                        told = Some(Instant::now());
                        tracing::warn!(%error, "connections have to wait: raise the limit (LimitNOFILE, ulimit -n)");
                    }
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
                // The client has gone before it was accepted.
                Err(_) => {}
            }
        }
        // Who comes now is refused at once, and the address is free for others.
        drop(self.listener);
        // Every place is free again once every connection has ended.
        let all = u32::try_from(limits::HTTP_CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(limits::HTTP_DRAIN, places.acquire_many(all)).await;
    }

    fn spawn(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
        builder: &Arc<Builder<TokioExecutor>>,
        stop: &Stop,
    ) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Responses are written whole: waiting to coalesce only delays them.
        let _ = stream.set_nodelay(true);
        let activity = Activity::new();
        let stream = Measured::new(stream, peer.ip().to_canonical(), self.round_trips.clone());
        let stream = Watched::new(unless_unread(stream, limits::HTTP_WRITE_TIME), Arc::clone(&activity));
        let scheme = if self.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let connection = Connection { peer, local, scheme, sni: None, interim: None };
        let (mounts, tls, builder) = (Arc::clone(&self.mounts), self.tls.clone(), Arc::clone(builder));
        let open = Open::new(self.connections.clone());
        let stop = stop.clone();
        tokio::spawn(async move {
            let _held = (place, open);
            match tls {
                None => drive(&builder, stream, connection, activity, mounts, &stop).await,
                Some(tls) => {
                    let handshake = TlsAcceptor::from(tls).accept(stream);
                    let Ok(Ok(stream)) = tokio::time::timeout(limits::TLS_HANDSHAKE_TIME, handshake).await else {
                        return;
                    };
                    let sni = stream.get_ref().1.server_name().map(Arc::from);
                    drive(&builder, stream, Connection { sni, ..connection }, activity, mounts, &stop).await;
                }
            }
        });
    }
}

/// Serves a connection until it ends, is idle for too long, or all is to stop: then open requests are
/// finished, and no more taken. Until the first bytes tell the HTTP version no other timer runs, and
/// HTTP/2 has none for a client that only answers pings.
async fn drive<S>(
    builder: &Builder<TokioExecutor>,
    stream: S,
    connection: Connection,
    activity: Arc<Activity>,
    mounts: Arc<Mounts>,
    stop: &Stop,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (seen, queue) = (Arc::clone(&activity), Arc::<Queue>::default());
    let stream = WithInterim::new(stream, Arc::clone(&queue));
    let service = service_fn(move |request: Request<Incoming>| {
        let interim = (request.version() == Version::HTTP_11).then(|| queue.begin());
        let connection = Connection { interim: interim.clone(), ..connection.clone() };
        let (open, mounts) = (seen.begin(), Arc::clone(&mounts));
        async move {
            let response = answer(mounts, request, connection).await?;
            interim.iter().for_each(Interim::end);
            Ok::<_, Infallible>(response.map(|body| Held::new(body, open).boxed_unsync()))
        }
    });
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = served.as_mut() => return,
        () = stop.stopped() => {}
        () = activity.idle(limits::HTTP_HEADER_TIME) => {}
        () = activity.stalled(limits::HTTP_WRITE_TIME) => return,
    }
    served.as_mut().graceful_shutdown();
    // An error is the client's, which has gone.
    let _ = tokio::time::timeout(limits::HTTP_DRAIN, served).await;
}

/// A connection that fails once its client reads nothing for so long.
fn unless_unread<S: AsyncRead + AsyncWrite>(stream: S, limit: Duration) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limit));
    Box::pin(stream)
}

async fn answer(
    mounts: Arc<Mounts>,
    request: Request<Incoming>,
    connection: Connection,
) -> Result<Response<Body>, Infallible> {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_FRAME);
    let status = if fields.sum::<usize>() > limits::HTTP_HEADER_BYTES {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > limits::HTTP_TARGET_BYTES) {
        StatusCode::URI_TOO_LONG
    } else if has_strange_coding(request.headers()) {
        // What follows cannot be told from the body.
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    } else if let Some(handler) = mounts.find(request.uri().path()) {
        return Ok(handler.serve(request, connection).await);
    } else if request.method() == Method::CONNECT {
        // We are no proxy for clients (RFC 9110 §9.3.6): "An empty Allow field value indicates that the resource
        // allows no methods" (§10.2.1).
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(""));
        return Ok(response);
    } else if request.method() == Method::OPTIONS && request.uri().path() == "*" {
        // A ping of the server as a whole (RFC 9110 §9.3.7).
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    };
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    Ok(response)
}

/// RFC 9112 §6.1: "A server that receives a request message with a transfer coding it does not understand
/// SHOULD respond with 501 (Not Implemented)." Chunked alone, once, is understood.
fn has_strange_coding(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => false,
        (Some(coding), None) => !coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEADER_TIME)
        .max_headers(limits::HTTP_HEADERS)
        .max_buf_size(limits::HTTP_HEADER_BYTES + (64 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(limits::HTTP_HEADER_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(limits::HTTP_HEADER_TIME)
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// How often it is said that descriptors are wanting.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// `: ` and the line's end around each field.
const FIELD_FRAME: usize = 4;

/// EMFILE or ENFILE.
fn is_exhausted(code: i32) -> bool {
    matches!(code, 23 | 24)
}

/// Counts a connection while it lives.
struct Open(IntGauge);

impl Open {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_client_that_stops_reading_loses_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = unless_unread(stream, Duration::from_millis(100));
        let endless = async { while stream.write_all(&[0; 65_536]).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(5), endless).await.expect("the write fails");
        drop(client);
    }
}
