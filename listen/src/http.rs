//! HTTP/1.1 and HTTP/2 connections, clear or over TLS, with their limits.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use config::limits;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::body::{Body, empty};
use crate::connection::{Connection, Scheme};
use crate::cores::Stop;
use crate::mount::Mounts;

/// One listening socket and what answers on it.
pub struct Server {
    listener: TcpListener,
    mounts: Arc<Mounts>,
    tls: Option<Arc<rustls::ServerConfig>>,
    connections: IntGauge,
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
        Ok(Self { listener: TcpListener::from_std(listener)?, mounts, tls, connections })
    }

    /// Serves until stopped; then no new connections, open requests get ten seconds.
    pub async fn serve(self, stop: Stop) {
        let places = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
        let graceful = Arc::new(GracefulShutdown::new());
        let builder = Arc::new(builder());
        let stopped = stop.stopped();
        tokio::pin!(stopped);
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stopped => break,
            };
            match accepted {
                Ok((stream, peer)) => self.spawn(stream, peer, place, &builder, &graceful),
                Err(error) if error.raw_os_error().is_some_and(is_exhausted) => {
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
                // The client has gone before it was accepted.
                Err(_) => {}
            }
        }
        if let Ok(graceful) = Arc::try_unwrap(graceful) {
            let _ = tokio::time::timeout(limits::HTTP_DRAIN, graceful.shutdown()).await;
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
        builder: &Arc<Builder<TokioExecutor>>,
        graceful: &Arc<GracefulShutdown>,
    ) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Responses are written whole: waiting to coalesce only delays them.
        let _ = stream.set_nodelay(true);
        let stream = unless_unread(stream, limits::HTTP_WRITE_TIME);
        let scheme = if self.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let connection = Connection { peer, local, scheme, sni: None };
        let (mounts, tls, builder) = (Arc::clone(&self.mounts), self.tls.clone(), Arc::clone(builder));
        let watcher = graceful.watcher();
        let open = Open::new(self.connections.clone());
        tokio::spawn(async move {
            let _held = (place, open);
            let seen = Arc::new(AtomicBool::new(false));
            let told = Arc::clone(&seen);
            let service = |connection: Connection| {
                service_fn(move |request| {
                    told.store(true, Ordering::Relaxed);
                    answer(Arc::clone(&mounts), request, connection.clone())
                })
            };
            match tls {
                None => {
                    let served = builder.serve_connection(TokioIo::new(stream), service(connection));
                    unless_silent(watcher.watch(served.into_owned()), &seen).await;
                }
                Some(tls) => {
                    let handshake = TlsAcceptor::from(tls).accept(stream);
                    let Ok(Ok(stream)) = tokio::time::timeout(limits::TLS_HANDSHAKE_TIME, handshake).await else {
                        return;
                    };
                    let sni = stream.get_ref().1.server_name().map(Arc::from);
                    let connection = Connection { sni, ..connection };
                    let served = builder.serve_connection(TokioIo::new(stream), service(connection));
                    unless_silent(watcher.watch(served.into_owned()), &seen).await;
                }
            }
        });
    }
}

/// A connection that fails once its client reads nothing for so long.
fn unless_unread(stream: TcpStream, limit: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limit));
    Box::pin(stream)
}

/// Serves a connection, but not one that brings no request in time: until the first bytes tell the
/// HTTP version, no other timer runs.
async fn unless_silent(served: impl Future, seen: &AtomicBool) {
    let served = std::pin::pin!(served);
    let mut served = served;
    tokio::select! {
        _ = &mut served => return,
        () = tokio::time::sleep(limits::HTTP_HEADER_TIME) => {}
    }
    if seen.load(Ordering::Relaxed) {
        served.await;
    }
}

async fn answer(
    mounts: Arc<Mounts>,
    request: Request<Incoming>,
    connection: Connection,
) -> Result<Response<Body>, std::convert::Infallible> {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_FRAME);
    let status = if fields.sum::<usize>() > limits::HTTP_HEADER_BYTES {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else if let Some(handler) = mounts.find(request.uri().path()) {
        return Ok(handler.serve(request, connection).await);
    } else if request.method() == Method::CONNECT {
        // We are no proxy for clients (RFC 9110 §9.3.6).
        StatusCode::METHOD_NOT_ALLOWED
    } else {
        StatusCode::NOT_FOUND
    };
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    Ok(response)
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
