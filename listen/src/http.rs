//! HTTP/1.1 and HTTP/2 connections, clear or over TLS, with their limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::limits;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::connection::{Connection, Scheme};
use crate::cores::Stop;
use crate::crowd::{Crowd, One};
use crate::drive::{Protocols, drive};
use crate::mount::Mounts;
use crate::open::Open;
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
        let (mut exhausted, mut crowded) = (Told::default(), Told::default());
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stopped => break,
            };
            match accepted {
                Ok((stream, peer)) => match crowd.join(peer.ip(), limits::HTTP_CONNECTIONS_OF_ONE) {
                    Some(one) => self.spawn(stream, peer, (place, one), &protocols, &stop),
                    None if crowded.is_due() => {
                        let most = limits::HTTP_CONNECTIONS_OF_ONE;
                        tracing::warn!(client = %peer.ip(), most, "an address has as many connections as one may: further ones are closed");
                    }
                    None => {}
                },
                Err(error) if error.raw_os_error().is_some_and(is_exhausted) => {
                    if exhausted.is_due() {
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
                // In a box of its own: a connection in the clear would be as large as one with TLS else.
                Some(tls) => Box::pin(secure(tls, &protocols, stream, connection, &mounts, &stop)).await,
            }
        });
    }
}

/// Shakes hands, and serves what comes of it.
async fn secure(
    tls: Arc<rustls::ServerConfig>,
    protocols: &Protocols,
    stream: Measured,
    connection: Connection,
    mounts: &Arc<Mounts>,
    stop: &Stop,
) {
    // In a box of its own: what a handshake needs the connection does not keep.
    let handshake = Box::pin(TlsAcceptor::from(tls).accept(stream));
    let Ok(Ok(stream)) = tokio::time::timeout(limits::TLS_HANDSHAKE_TIME, handshake).await else {
        return;
    };
    let sni = stream.get_ref().1.server_name().map(Arc::from);
    drive(protocols, stream, Connection { sni, ..connection }, mounts, stop).await;
}

/// How often the same is said.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// When something was last said.
#[derive(Default)]
struct Told(Option<Instant>);

impl Told {
    /// Whether it is to be said again.
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= TOLD_EVERY);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// EMFILE or ENFILE.
fn is_exhausted(code: i32) -> bool {
    matches!(code, 23 | 24)
}
