//! HTTP/1.1 and HTTP/2 connections, clear or over TLS, with their limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::limits;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::body::{Body, empty};
use crate::connection::{Connection, Scheme};
use crate::cores::Stop;
use crate::crowd::{Crowd, One};
use crate::drive::{Protocols, drive};
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
        let crowd = Arc::<Crowd>::default();
        let protocols = Arc::new(Protocols::new());
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
                Ok((stream, peer)) => {
                    if let Some(one) = crowd.join(peer.ip(), limits::HTTP_CONNECTIONS_OF_ONE) {
                        self.spawn(stream, peer, (place, one), &protocols, &stop);
                    }
                }
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
        place: (OwnedSemaphorePermit, One),
        protocols: &Arc<Protocols>,
        stop: &Stop,
    ) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Responses are written whole: waiting to coalesce only delays them.
        let _ = stream.set_nodelay(true);
        let stream = Measured::new(stream, peer.ip().to_canonical(), self.round_trips.clone());
        let scheme = if self.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let connection = Connection { peer, local, scheme, sni: None, interim: None };
        let (mounts, tls, protocols) = (Arc::clone(&self.mounts), self.tls.clone(), Arc::clone(protocols));
        let open = Open::new(self.connections.clone());
        let stop = stop.clone();
        tokio::spawn(async move {
            let _held = (place, open);
            match tls {
                None => drive(&protocols, stream, connection, &mounts, &stop).await,
                Some(tls) => {
                    // In a box of its own: what a handshake needs the connection does not keep.
                    let handshake = Box::pin(TlsAcceptor::from(tls).accept(stream));
                    let Ok(Ok(stream)) = tokio::time::timeout(limits::TLS_HANDSHAKE_TIME, handshake).await else {
                        return;
                    };
                    let sni = stream.get_ref().1.server_name().map(Arc::from);
                    drive(&protocols, stream, Connection { sni, ..connection }, &mounts, &stop).await;
                }
            }
        });
    }
}

/// Answers a request by whoever is mounted at its path, within the limits.
pub(crate) async fn answer(mounts: &Mounts, request: Request<Incoming>, connection: Connection) -> Response<Body> {
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
        return response;
    } else if let Some(handler) = mounts.find(request.uri().path()) {
        return handler.serve(request, connection).await;
    } else if request.method() == Method::CONNECT {
        // We are no proxy for clients (RFC 9110 §9.3.6): "An empty Allow field value indicates that the resource
        // allows no methods" (§10.2.1).
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(""));
        return response;
    } else if request.method() == Method::OPTIONS && request.uri().path() == "*" {
        // A ping of the server as a whole (RFC 9110 §9.3.7).
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    };
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
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
