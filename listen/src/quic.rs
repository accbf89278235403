//! QUIC connections (RFC 9000) with their limits, for whatever speaks over them.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;

use config::limits;
use prometheus::IntGauge;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{
    Connecting, Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    ZeroRttAccepted,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SetOnce};
use tokio::time::timeout;

use crate::cores::Stop;
use crate::crowd::{Crowd, One};
use crate::open::Open;
use crate::quitting::Quitting;
use crate::round_trip::RoundTrips;
use crate::steer::{Ids, Seat, steer};

/// What all cores' sockets of an address share: certificates, and the keys by which each knows what another gave out.
#[derive(Clone, Debug)]
pub struct QuicConfig(ServerConfig);

/// One UDP socket, and the QUIC connections on it.
pub struct Quic {
    endpoint: Endpoint,
    socket: Arc<Quitting>,
    connections: IntGauge,
    round_trips: Option<Arc<dyn RoundTrips>>,
}

/// A connection whose client has said hello.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The connection.
    pub connection: quinn::Connection,
    /// The address it reached.
    pub local: SocketAddr,
    /// The name the client asked a certificate for (RFC 6066 §3).
    pub sni: Option<Arc<str>>,
    /// Set once the handshake is over: what came before may be a replay of what was sent once (RFC 9001 §9.2).
    pub established: Arc<SetOnce<()>>,
}

impl QuicConfig {
    /// Takes a TLS 1.3 server with its protocols.
    ///
    /// # Errors
    /// It lacks the cipher suite that QUIC begins with.
    pub fn new(tls: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        // Each is accepted or refused at once: none waits.
        server.max_incoming(limits::QUIC_HANDSHAKES).incoming_buffer_size_total(limits::QUIC_HANDSHAKE_BYTES);
        server.transport_config(Arc::new(transport()));
        Ok(Self(server))
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(limits::HTTP_HEADER_TIME).ok();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::HTTP2_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(limits::QUIC_UNI_STREAMS))
        .max_idle_timeout(idle)
        // Who waits for a slow answer says nothing meanwhile; who has nothing open is closed by whoever serves it.
        .keep_alive_interval(Some(limits::HTTP_HEADER_TIME / 3))
        .stream_receive_window(VarInt::from_u32(limits::QUIC_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(limits::QUIC_WINDOW))
        .send_window(u64::from(limits::QUIC_WINDOW))
        .datagram_receive_buffer_size(None);
    transport
}

impl Quic {
    /// Takes a bound socket, one of as many as there are cores, bound in their order; call it on the runtime that will
    /// serve.
    ///
    /// # Errors
    /// The socket cannot be registered.
    pub fn new(socket: UdpSocket, config: &QuicConfig, seat: Seat, connections: IntGauge) -> io::Result<Self> {
        if seat.cores > 1
            && let Err(error) = steer(&socket, seat.cores)
        {
            tracing::warn!(%error, "clients that change their address lose their QUIC connections");
        }
        let mut endpoint = EndpointConfig::default();
        endpoint.cid_generator(move || Box::new(Ids::new(seat)));
        let socket = Quitting::new(socket, &TokioRuntime)?;
        let (server, runtime) = (Some(config.0.clone()), Arc::new(TokioRuntime));
        let endpoint = Endpoint::new_with_abstract_socket(endpoint, server, Arc::clone(&socket) as _, runtime)?;
        Ok(Self { endpoint, socket, connections, round_trips: None })
    }

    /// Tells the round trip of every connection that ends.
    #[must_use]
    pub fn telling(self, round_trips: Option<Arc<dyn RoundTrips>>) -> Self {
        Self { round_trips, ..self }
    }

    /// Hands over connections until stopped; then takes no new ones, and gives the open ones ten seconds, or one where the
    /// socket is another process's.
    pub async fn serve<S, F>(self, stop: &Stop, serve: S)
    where
        S: Fn(Arrived) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
        let handshakes = Arc::new(Semaphore::new(limits::QUIC_HANDSHAKES));
        let (crowd, shaking) = (Arc::<Crowd>::default(), Arc::<Crowd>::default());
        let Ok(local) = self.endpoint.local_addr() else { return };
        let mut stopped = pin!(stop.stopped());
        loop {
            let incoming = tokio::select! {
                incoming = self.endpoint.accept() => incoming,
                () = &mut stopped => break,
            };
            let Some(incoming) = incoming else { break };
            // Under load whoever comes shows first that it is where it says (RFC 9000 §8.1.2), which costs us little.
            if handshakes.available_permits() < limits::QUIC_HANDSHAKES / 2 && incoming.may_retry() {
                let _ = incoming.retry();
                continue;
            }
            // Of whom it is known where they are: nobody takes all places by saying nothing more.
            let one = incoming
                .remote_address_validated()
                .then(|| shaking.join(incoming.remote_address().ip(), limits::QUIC_HANDSHAKES_OF_ONE));
            if matches!(one, Some(None)) {
                incoming.refuse();
                continue;
            }
            let handshake = Arc::clone(&handshakes).try_acquire_owned().ok();
            let Some(places) = handshake.zip(Arc::clone(&places).try_acquire_owned().ok()) else {
                incoming.refuse();
                continue;
            };
            let local = SocketAddr::new(incoming.local_ip().unwrap_or(local.ip()), local.port());
            let Ok(connecting) = incoming.accept() else { continue };
            let (crowd, serve, round_trips) = (Arc::clone(&crowd), serve.clone(), self.round_trips.clone());
            let open = Open::new(self.connections.clone());
            tokio::spawn(async move {
                let (handshake, place) = places;
                let handshake = (handshake, one.flatten());
                let _held = (place, open);
                if let Ok(Some((arrived, early))) = timeout(limits::TLS_HANDSHAKE_TIME, greet(connecting, local)).await
                {
                    let connection = arrived.connection.clone();
                    let established = establish(arrived.clone(), early, handshake, crowd);
                    let (one, ()) = tokio::join!(established, serve(arrived));
                    if let Some(told) = round_trips.filter(|_| one.is_some()) {
                        told.seen(connection.remote_address().ip().to_canonical(), connection.rtt());
                    }
                }
            });
        }
        self.endpoint.set_server_config(None);
        let all = u32::try_from(limits::HTTP_CONNECTIONS).unwrap_or(u32::MAX);
        tokio::select! {
            _ = timeout(limits::HTTP_DRAIN, places.acquire_many(all)) => {}
            () = stop.handed_over() => {}
        }
        self.endpoint.close(VarInt::from_u32(0), b"");
        let _ = timeout(limits::QUIC_CLOSE_TIME, self.endpoint.wait_idle()).await;
        // Connections over long ways are done later than that, and would read what is meant for another process.
        self.socket.quit();
    }
}

/// Waits for the client's hello; what it sends with it can be served at once.
async fn greet(mut connecting: Connecting, local: SocketAddr) -> Option<(Arrived, ZeroRttAccepted)> {
    let hello = connecting.handshake_data().await.ok()?.downcast::<HandshakeData>().ok()?;
    // "Always" for servers.
    let (connection, early) = connecting.into_0rtt().ok()?;
    let sni = hello.server_name.as_deref().map(Arc::from);
    Some((Arrived { connection, local, sni, established: Arc::default() }, early))
}

/// Sees a handshake to its end. Only then it is known that the client is where it says: its address has one connection
/// more, or so many that this one is closed.
async fn establish(
    arrived: Arrived,
    early: ZeroRttAccepted,
    handshake: (OwnedSemaphorePermit, Option<One>),
    crowd: Arc<Crowd>,
) -> Option<One> {
    let connection = &arrived.connection;
    let is_over = timeout(limits::TLS_HANDSHAKE_TIME, early).await.is_ok() && connection.close_reason().is_none();
    drop(handshake);
    let peer = connection.remote_address().ip();
    let one = if is_over { crowd.join(peer, limits::QUIC_CONNECTIONS_OF_ONE) } else { None };
    match one {
        Some(_) => drop(arrived.established.set(())),
        None => connection.close(VarInt::from_u32(0), b""),
    }
    one
}
