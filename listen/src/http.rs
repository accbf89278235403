//! HTTP/1.1 and HTTP/2 connections, clear or over TLS, with their limits.

use std::net::SocketAddr;
use std::sync::Arc;

use config::limits;
use prometheus::IntGauge;
use telemetry::Seldom;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::congestion::{self, CongestionNow};
use crate::connection::{Connection, Scheme};
use crate::cores::Stop;
use crate::crowd::{Crowd, One};
use crate::drive::{Protocols, drive};
use crate::http2::serve_http2;
use crate::mount::Mounts;
use crate::open::Open;
use crate::proxies::{Nameless, Naming, Proxies, read_client};
use crate::round_trip::{Measured, RoundTrips};
use crate::tls_stream::Tls;
use crate::waiting::accept_waiting;

/// One listening socket and what answers on it.
pub struct Server {
    listener: TcpListener,
    mounts: Arc<Mounts>,
    tls: Option<Arc<rustls::ServerConfig>>,
    connections: IntGauge,
    round_trips: Option<Arc<dyn RoundTrips>>,
    proxies: Option<Arc<dyn Proxies>>,
    congestion: Option<CongestionNow>,
}

/// What all connections of a listener share.
struct Service {
    mounts: Arc<Mounts>,
    tls: Option<Arc<rustls::ServerConfig>>,
    connections: IntGauge,
    round_trips: Option<Arc<dyn RoundTrips>>,
    congestion: Option<CongestionNow>,
    proxies: Option<Arc<dyn Proxies>>,
    protocols: Arc<Protocols>,
    crowd: Arc<Crowd>,
    stop: Stop,
    crowded: Seldom,
    nameless: Seldom,
}

/// A connection's place among all, and that among its client's; none among a proxy's.
type Places = (OwnedSemaphorePermit, Option<One>);

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
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            mounts,
            tls,
            connections,
            round_trips: None,
            proxies: None,
            congestion: None,
        })
    }

    /// Tells the round trip of every client's connection that ends: the kernel knows none of a client behind a proxy.
    #[must_use]
    pub fn telling(self, round_trips: Option<Arc<dyn RoundTrips>>) -> Self {
        Self { round_trips, ..self }
    }

    /// Takes some addresses for those of proxies: so many connections as one address may have they may have for each
    /// client.
    #[must_use]
    pub fn behind(self, proxies: Option<Arc<dyn Proxies>>) -> Self {
        Self { proxies, ..self }
    }

    /// Sends by the congestion control that this says; the kernel's own, where there is none or the kernel lacks it.
    #[must_use]
    pub fn sending_by(self, congestion: Option<CongestionNow>) -> Self {
        Self { congestion, ..self }
    }

    /// Serves until stopped; then no new connections, open requests get ten seconds.
    pub async fn serve(self, stop: Stop) {
        let Self { listener, mounts, tls, connections, round_trips, proxies, congestion } = self;
        let places = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
        let service = Arc::new(Service {
            mounts,
            tls,
            connections,
            round_trips,
            congestion,
            proxies,
            protocols: Arc::new(Protocols::new()),
            crowd: Arc::default(),
            stop: stop.clone(),
            crowded: Seldom::default(),
            nameless: Seldom::default(),
        });
        let stopped = stop.stopped();
        tokio::pin!(stopped);
        let exhausted = Seldom::default();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stopped => break,
            };
            match accepted {
                Ok((stream, peer)) => service.welcome(stream, peer, place),
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
        // Who comes after these is refused at once, and the address is free for others.
        for (stream, peer) in accept_waiting(listener) {
            if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                service.welcome(stream, peer, place);
            }
        }
        // Every place is free again once every connection has ended.
        let all = u32::try_from(limits::HTTP_CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(limits::HTTP_DRAIN, places.acquire_many(all)).await;
    }
}

impl Service {
    /// Serves a connection as what it is: a client's, or a proxy's.
    fn welcome(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        match self.proxies.as_ref().and_then(|proxies| proxies.at(peer.ip().to_canonical())) {
            None => self.take(stream, peer, place, self.round_trips.clone()),
            Some(Naming::InRequests) => self.spawn(stream, (peer, Relayed::No), (place, None), None),
            Some(Naming::InHeader) => drop(tokio::spawn(hear(Arc::clone(self), stream, peer, place))),
        }
    }

    /// Serves a client's connection, unless it has so many.
    fn take(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        place: OwnedSemaphorePermit,
        round_trips: Option<Arc<dyn RoundTrips>>,
    ) {
        let most = limits::HTTP_CONNECTIONS_OF_ONE;
        match self.crowd.join(client.ip(), most) {
            Some(one) => self.spawn(stream, (client, Relayed::No), (place, Some(one)), round_trips),
            None if self.crowded.is_due() => {
                tracing::warn!(client = %client.ip(), most, "an address has as many connections as one may: further ones are closed");
            }
            None => {}
        }
    }

    /// Serves a connection as one of this peer.
    fn spawn(
        &self,
        stream: TcpStream,
        (peer, relayed): (SocketAddr, Relayed),
        places: Places,
        round_trips: Option<Arc<dyn RoundTrips>>,
    ) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Responses are written whole: waiting to coalesce only delays them.
        let _ = stream.set_nodelay(true);
        if let Some(congestion) = self.congestion.as_ref().and_then(|now| now()) {
            // Where the kernel lacks it the operator has been warned, and its own will do.
            let _ = congestion::choose(&stream, &congestion);
        }
        let stream = Measured::new(stream, peer.ip().to_canonical(), round_trips);
        let scheme = if self.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let connection = Connection {
            peer,
            is_relayed: relayed == Relayed::Yes,
            local,
            scheme,
            sni: None,
            tls: None,
            interim: None,
        };
        let (mounts, tls, protocols) = (Arc::clone(&self.mounts), self.tls.clone(), Arc::clone(&self.protocols));
        let open = Open::new(self.connections.clone());
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let _held = (places, open);
            match tls {
                None => drive(&protocols, stream, connection, &mounts, &stop).await,
                // In a box of its own: a connection in the clear would be as large as one with TLS else.
                Some(tls) => Box::pin(secure(tls, &protocols, stream, connection, &mounts, &stop)).await,
            }
        });
    }
}

/// Whether a peer hands on what others write, without saying whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relayed {
    Yes,
    No,
}

/// Hears from a proxy whom it connects for, then serves the connection as that client's. What the proxy has itself is no
/// crowd.
async fn hear(service: Arc<Service>, mut stream: TcpStream, proxy: SocketAddr, place: OwnedSemaphorePermit) {
    let _open = Open::new(service.connections.clone());
    let client = tokio::select! {
        client = read_client(&mut stream) => client,
        () = service.stop.farewell() => return,
    };
    match client {
        Ok(Some(client)) => service.take(stream, client, place, None),
        Ok(None) => service.spawn(stream, (proxy, Relayed::Yes), (place, None), None),
        // A proxy that only looks whether we are there.
        Err(Nameless::Ended) => {}
        Err(why) if service.nameless.is_due() => {
            let proxy = proxy.ip().to_canonical();
            tracing::warn!(%proxy, %why, "connections of a trusted proxy do not begin with a PROXY protocol header, and are closed: have it send one (HAProxy: send-proxy-v2), or set `proxy_protocol = false`");
        }
        Err(_) => {}
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
    let handshake = Box::pin(async move { TlsAcceptor::from(tls).accept(stream).await.map(Tls::new) });
    let Ok(Ok(stream)) = tokio::time::timeout(limits::TLS_HANDSHAKE_TIME, handshake).await else {
        return;
    };
    let (session, sni) = (stream.session(), stream.session().server_name().map(Arc::from));
    let connection = Connection { sni, tls: session.protocol_version().map(name_of), ..connection };
    match stream.session().alpn_protocol() {
        Some(b"h2") => Box::pin(serve_http2(&protocols.http2, stream, connection, Arc::clone(mounts), stop)).await,
        Some(b"http/1.1") | None => drive(protocols, stream, connection, mounts, stop).await,
        // The handshake was all that was wanted, as by an authority that looks for a certificate (RFC 8737 §3).
        Some(_) => end(stream).await,
    }
}

/// What a version of TLS is called. No other is spoken here.
fn name_of(version: rustls::ProtocolVersion) -> &'static str {
    match version {
        rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => "TLSv1.3",
    }
}

/// Ends a connection over which nothing is to be said.
async fn end(mut stream: Tls<Measured>) {
    let _ = tokio::time::timeout(limits::TLS_HANDSHAKE_TIME, stream.shutdown()).await;
}

/// EMFILE or ENFILE.
fn is_exhausted(code: i32) -> bool {
    matches!(code, 23 | 24)
}
