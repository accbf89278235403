//! A node's listeners: a reload opens what is new and closes what is gone, the rest goes on.
//!
//! Of every socket one handle stays here, beside the one that is served: so that it can be handed to another process, and
//! served again where that comes to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use certs::{ACME_TLS, Certificates};
use config::{Config, NodeId, limits};
use dns::transport::{Answer, serve_quic, serve_tcp, serve_udp};
use listen::{
    BindError, CongestionNow, Cores, Job, Mount, Mounts, Proxies, Quic, QuicConfig, RoundTrips, Seat, Server, Stop,
    serve_http3,
};
use prometheus::IntGauge;

use super::Node;
use super::answer::Answering;
use super::challenges;
use super::doh;
use super::ending::End;
use super::latency::Told;
use super::proxies::Trusted;
use super::sockets::{self, Bound, Kind, Listener, Role, Socket, Sockets};

/// What jobs of one core share: the edge's handlers.
type Core = Arc<Mounts>;

/// The open listeners, and the cores they are served on.
pub(crate) struct Listeners {
    cores: Cores<Core>,
    open: Mutex<BTreeMap<Listener, Open>>,
    answer: Arc<dyn Answer>,
    edge_tls: Secured,
    dns_tls: Secured,
    dns_https: Secured,
    connections: IntGauge,
    round_trips: Option<Arc<dyn RoundTrips>>,
    proxies: Arc<dyn Proxies>,
    congestion: CongestionNow,
}

/// A listener that is served.
struct Open {
    /// A handle of each of its sockets.
    sockets: Vec<Socket>,
    served: Served,
}

/// By what the serving of a listener is ended, and known to have.
struct Served {
    tcp: Stop,
    udp: Stop,
    /// There once more for each socket from which datagrams are read.
    reading: Arc<()>,
}

/// How connections of one kind are encrypted, by TCP and by UDP.
#[derive(Clone)]
struct Secured {
    tls: Arc<rustls::ServerConfig>,
    quic: QuicConfig,
}

impl Secured {
    /// With the protocols by TCP, the best first, and the one by QUIC.
    fn new(certificates: &Arc<Certificates>, protocols: &[&str], by_quic: &str) -> std::io::Result<Self> {
        let tls = certificates.server(protocols).map_err(std::io::Error::other)?;
        let quic = certificates.quic(by_quic).map_err(std::io::Error::other)?;
        Ok(Self { tls: Arc::new(tls), quic: QuicConfig::new(Arc::new(quic))? })
    }
}

impl Listeners {
    /// Starts the cores; nothing is open yet.
    pub(crate) fn start(node: &Arc<Node>, answering: Answering) -> std::io::Result<Self> {
        let (edge, challenges) = (node.edge.clone(), Arc::clone(&node.holding.challenges));
        let answer: Arc<dyn Answer> = Arc::new(answering);
        let (certificates, of_queries) = (Arc::clone(&node.certificates), Arc::clone(&answer));
        let cores = Cores::start(move || {
            let mounts = edge.as_ref().map(edge::mounts).unwrap_or_default();
            let mounts = doh::mount(mounts, &certificates, &of_queries);
            Arc::new(Mounts::new(challenges::mount(mounts, &challenges)))
        })?;
        Ok(Self {
            cores,
            open: Mutex::default(),
            answer,
            edge_tls: Secured::new(&node.certificates, &["h2", "http/1.1", ACME_TLS], "h3")?,
            dns_tls: Secured::new(&node.dns_certificates, &["dot"], "doq")?,
            dns_https: Secured::new(&node.dns_certificates, &["h2", "http/1.1"], "h3")?,
            connections: node.metrics.connections.clone(),
            round_trips: node.collector.clone().map(|collector| Arc::new(Told(collector)) as _),
            proxies: Arc::new(Trusted(Arc::clone(node))),
            congestion: congestion_of(node),
        })
    }

    /// Binds what a config wants and is not open. Nothing else changes.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub(crate) fn bind(&self, config: &Config, id: &NodeId) -> Result<Bound, BindError> {
        let open: BTreeSet<Listener> = self.open().keys().copied().collect();
        sockets::bind(sockets::wanted(config, id), &open, Sockets::new(), self.cores.count())
    }

    /// Serves what was bound, and closes what is no longer wanted: open requests get their time.
    pub(crate) fn put(&self, bound: Bound) {
        let mut open = self.open();
        for (listener, sockets) in bound.sockets {
            let served = self.serve(listener, &sockets);
            tracing::info!(address = %listener.address, role = ?listener.role, "listening");
            open.insert(listener, Open { sockets, served });
        }
        let gone: Vec<Listener> = open.keys().filter(|listener| !bound.wanted.contains(listener)).copied().collect();
        for listener in gone {
            if let Some(open) = open.remove(&listener) {
                open.close(Stop::stop);
                tracing::info!(address = %listener.address, role = ?listener.role, "no longer listening");
            }
        }
    }

    /// Resolves when a listener was lost by a panic.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cores.failed()
    }

    /// Handles of all sockets, for another process.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn sockets(&self) -> std::io::Result<Sockets> {
        let clones = |open: &Open| open.sockets.iter().map(Socket::try_clone).collect::<std::io::Result<Vec<_>>>();
        self.open().iter().map(|(listener, open)| Ok((*listener, clones(open)?))).collect()
    }

    /// Takes nothing more from any socket, and keeps them: what comes waits in the kernel for whoever serves them next. Open
    /// requests get their time, those over QUIC a moment. Waits until nothing is read by UDP any more; whether that is so.
    pub(super) fn rest(&self) -> bool {
        let open = self.open();
        let (of_quic, others): (Vec<_>, Vec<_>) = open.iter().partition(|(listener, _)| listener.has_quic());
        // Those take a moment, in which all else goes on.
        of_quic.iter().for_each(|(_, open)| open.served.udp.hand_over());
        let has_quic_ended = have_ended(of_quic.iter().map(|(_, open)| &open.served));
        // All are told, also where one does not end: what is served again must not be served twice.
        others.iter().for_each(|(_, open)| open.served.udp.hand_over());
        open.values().for_each(|open| open.served.tcp.hand_over());
        has_quic_ended && have_ended(open.values().map(|open| &open.served))
    }

    /// Serves every socket again after a rest.
    pub(super) fn resume(&self) {
        for (listener, open) in self.open().iter_mut() {
            open.served = self.serve(*listener, &open.sockets);
        }
    }

    /// Closes everything and waits for open requests to end.
    pub(crate) fn end(self, end: End) {
        let stop: fn(&Stop) = match end {
            End::Gently => Stop::stop,
            End::Soon => Stop::hurry,
        };
        std::mem::take(&mut *self.open()).into_values().for_each(|open| open.close(stop));
        self.cores.join();
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Listener, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a listener's sockets, dealt to the cores in turn.
    fn serve(&self, listener: Listener, sockets: &[Socket]) -> Served {
        let served = Served { tcp: Stop::new(), udp: Stop::new(), reading: Arc::default() };
        for (kind, stop) in [(Kind::Tcp, &served.tcp), (Kind::Udp, &served.udp)] {
            let of_kind: Vec<&Socket> = sockets.iter().filter(|socket| socket.kind() == kind).collect();
            for (number, socket) in of_kind.iter().enumerate() {
                // A datagram finds its socket by the number among those of the address, which may be another than the core's.
                let seat = Seat { core: number, cores: of_kind.len() };
                let reading = (kind == Kind::Udp).then(|| Arc::clone(&served.reading));
                match socket.try_clone() {
                    Ok(socket) => {
                        let job = self.job(listener, seat, socket, stop.clone(), reading);
                        self.cores.add(number.checked_rem(self.cores.count()).unwrap_or(0), job);
                    }
                    Err(error) => tracing::error!(%error, address = %listener.address, "a listener is lost"),
                }
            }
        }
        served
    }

    fn job(&self, listener: Listener, seat: Seat, socket: Socket, stop: Stop, reading: Option<Arc<()>>) -> Job<Core> {
        let (answer, connections) = (Arc::clone(&self.answer), self.connections.clone());
        let secured = match listener.role {
            Role::DnsTls => Some(self.dns_tls.clone()),
            Role::DnsHttps => Some(self.dns_https.clone()),
            Role::Https => Some(self.edge_tls.clone()),
            Role::Dns | Role::Http => None,
        };
        let is_edge = matches!(listener.role, Role::Http | Role::Https);
        let round_trips = self.round_trips.clone().filter(|_| is_edge);
        let proxies = is_edge.then(|| Arc::clone(&self.proxies));
        let congestion = is_edge.then(|| Arc::clone(&self.congestion));
        Box::new(move |mounts| {
            let mounts = match listener.role {
                Role::DnsHttps => {
                    let handler = Arc::new(dns::Doh::new(Arc::clone(&answer)));
                    Arc::new(Mounts::new(vec![Mount { path: "/", handler }]))
                }
                _ => Arc::clone(mounts),
            };
            Box::pin(async move {
                let (tls, quic) = secured.map(|secured| (secured.tls, secured.quic)).unzip();
                let served = match (socket, quic) {
                    (Socket::Udp(socket), None) => serve_udp(socket, answer, stop.stopped()).await,
                    (Socket::Udp(socket), Some(quic)) => match Quic::new(socket, &quic, seat, connections) {
                        Ok(quic) if listener.role == Role::DnsTls => {
                            serve_quic(quic, answer, stop).await;
                            Ok(())
                        }
                        Ok(quic) => {
                            serve_http3(quic.telling(round_trips), mounts, stop).await;
                            Ok(())
                        }
                        Err(error) => Err(error),
                    },
                    (Socket::Tcp(socket), _) if matches!(listener.role, Role::Dns | Role::DnsTls) => {
                        serve_streams(socket, tls, answer, stop).await
                    }
                    (Socket::Tcp(socket), _) => match Server::new(socket, mounts, tls, connections) {
                        Ok(server) => {
                            server.telling(round_trips).behind(proxies).sending_by(congestion).serve(stop).await;
                            Ok(())
                        }
                        Err(error) => Err(error),
                    },
                };
                drop(reading);
                if let Err(error) = served {
                    tracing::error!(%error, address = %listener.address, "a listener is lost");
                }
            })
        })
    }
}

/// What the config in use says, for each connection that comes.
fn congestion_of(node: &Arc<Node>) -> CongestionNow {
    let node = Arc::clone(node);
    Arc::new(move || {
        let config = node.config.load();
        config.as_ref()?.network.edge.congestion.clone()
    })
}

impl Open {
    /// Closes every handle, then ends the serving: what is served must have the last one, to know who waits in it.
    fn close(self, stop: fn(&Stop)) {
        drop(self.sockets);
        stop(&self.served.tcp);
        stop(&self.served.udp);
    }
}

/// Waits until nothing is read by UDP any more, for a while; whether that is so.
fn have_ended<'s>(served: impl Iterator<Item = &'s Served> + Clone) -> bool {
    let end = Instant::now() + limits::HANDOVER_HEARD;
    loop {
        if served.clone().all(|served| Arc::strong_count(&served.reading) == 1) {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// How often it is looked whether something has ended.
const LOOK: Duration = Duration::from_millis(2);

async fn serve_streams(
    socket: std::net::TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: Arc<dyn Answer>,
    stop: Stop,
) -> std::io::Result<()> {
    serve_tcp(tokio::net::TcpListener::from_std(socket)?, tls, answer, stop.stopped()).await;
    Ok(())
}
