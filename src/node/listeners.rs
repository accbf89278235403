//! A node's listeners: a reload opens what is new and closes what is gone, the rest goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use certs::Certificates;
use config::{Config, NodeId};
use dns::transport::{Answer, serve_quic, serve_tcp, serve_udp};
use listen::{
    BindError, CongestionNow, Cores, Job, Mount, Mounts, Proxies, Quic, QuicConfig, RoundTrips, Seat, Server, Sharing,
    Stop, bind_tcp, bind_udp, serve_http3,
};
use prometheus::IntGauge;

use super::Node;
use super::answer::Answering;
use super::challenges;
use super::ending::End;
use super::latency::Told;
use super::proxies::Trusted;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Dns,
    /// DNS over TLS and QUIC.
    DnsTls,
    /// DNS over HTTPS.
    DnsHttps,
    Http,
    Https,
}

/// Where a node listens, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listener {
    role: Role,
    address: SocketAddr,
}

/// What jobs of one core share: the edge's handlers.
type Core = Arc<Mounts>;

/// The open listeners, and the cores they are served on.
pub(crate) struct Listeners {
    cores: Cores<Core>,
    open: Mutex<BTreeMap<Listener, Stop>>,
    answer: Arc<dyn Answer>,
    edge_tls: Secured,
    dns_tls: Secured,
    dns_https: Secured,
    connections: IntGauge,
    round_trips: Option<Arc<dyn RoundTrips>>,
    proxies: Arc<dyn Proxies>,
    congestion: CongestionNow,
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

/// Sockets of new listeners, one for each core, not served yet.
pub(crate) struct Bound {
    sockets: Vec<(Listener, Vec<Socket>)>,
    wanted: BTreeSet<Listener>,
}

enum Socket {
    Udp(std::net::UdpSocket),
    Tcp(std::net::TcpListener),
}

/// Where a config wants a node to listen.
fn wanted(config: &Config, id: &NodeId) -> BTreeSet<Listener> {
    let node = config.network.node(id);
    let name_server = node.and_then(|node| node.name_server);
    let edge = node.and_then(|node| node.edge).map(|(_, edge)| edge);
    let has_tls = config.sites.iter().any(|site| site.tls.is_some());
    let dns = name_server.map_or_else(Vec::new, |node| node.listen.clone());
    let http = edge.map(|edge| config.network.http_of(edge)).unwrap_or_default();
    let https = edge.filter(|_| has_tls).map(|edge| config.network.https_of(edge)).unwrap_or_default();
    let of = |role, addresses: Vec<SocketAddr>| addresses.into_iter().map(move |address| Listener { role, address });
    let of_dns = |port: Option<u16>| {
        let mut at: Vec<SocketAddr> =
            port.into_iter().flat_map(|port| dns.iter().map(move |at| SocketAddr::new(at.ip(), port))).collect();
        at.dedup();
        at
    };
    let encrypted = config.network.dns.tls.as_ref();
    let dns_tls = of_dns(encrypted.map(|tls| tls.port));
    let dns_https = of_dns(encrypted.and_then(|tls| tls.https));
    let of_name_server = of(Role::DnsTls, dns_tls).chain(of(Role::DnsHttps, dns_https)).chain(of(Role::Dns, dns));
    of_name_server.chain(of(Role::Http, http)).chain(of(Role::Https, https)).collect()
}

impl Listeners {
    /// Starts the cores; nothing is open yet.
    pub(crate) fn start(node: &Arc<Node>, answering: Answering) -> std::io::Result<Self> {
        let (edge, challenges) = (node.edge.clone(), Arc::clone(&node.holding.challenges));
        let cores = Cores::start(move || {
            let mounts = edge.as_ref().map(edge::mounts).unwrap_or_default();
            Arc::new(Mounts::new(challenges::mount(mounts, &challenges)))
        })?;
        Ok(Self {
            cores,
            open: Mutex::default(),
            answer: Arc::new(answering),
            edge_tls: Secured::new(&node.certificates, &["h2", "http/1.1"], "h3")?,
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
        let wanted = wanted(config, id);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<Listener> = wanted.iter().filter(|listener| !open.contains_key(listener)).copied().collect();
        // What this node itself gives up with the same config may be shared for a moment: a port that
        // changes its use, an address that becomes all of them.
        let leaving = |new: &Listener| open.keys().any(|old| !wanted.contains(old) && old.overlaps(new));
        for listener in new.iter().filter(|listener| !leaving(listener)) {
            listener.probe()?;
        }
        let sockets = new.into_iter().map(|listener| Ok((listener, listener.bind(self.cores.count())?)));
        Ok(Bound { sockets: sockets.collect::<Result<_, _>>()?, wanted })
    }

    /// Serves what was bound, and closes what is no longer wanted: open requests get their time.
    pub(crate) fn put(&self, bound: Bound) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (listener, sockets) in bound.sockets {
            let stop = Stop::new();
            // A listener may have two sockets a core.
            let cores = (0..self.cores.count()).cycle();
            for (core, socket) in cores.zip(sockets) {
                let job = self.job(listener, core, socket, stop.clone());
                self.cores.add(core, job);
            }
            tracing::info!(address = %listener.address, role = ?listener.role, "listening");
            open.insert(listener, stop);
        }
        open.retain(|listener, stop| {
            let stays = bound.wanted.contains(listener);
            if !stays {
                stop.stop();
                tracing::info!(address = %listener.address, role = ?listener.role, "no longer listening");
            }
            stays
        });
    }

    /// Resolves when a listener was lost by a panic.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cores.failed()
    }

    /// Closes everything and waits for open requests to end.
    pub(crate) fn end(self, end: End) {
        let stop = match end {
            End::Gently => Stop::stop,
            End::Soon => Stop::hurry,
        };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(stop);
        self.cores.join();
    }

    fn job(&self, listener: Listener, core: usize, socket: Socket, stop: Stop) -> Job<Core> {
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
        let seat = Seat { core, cores: self.cores.count() };
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

async fn serve_streams(
    socket: std::net::TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: Arc<dyn Answer>,
    stop: Stop,
) -> std::io::Result<()> {
    serve_tcp(tokio::net::TcpListener::from_std(socket)?, tls, answer, stop.stopped()).await;
    Ok(())
}

impl Listener {
    /// Whether datagrams come there, too: queries, or QUIC.
    fn has_udp(self) -> bool {
        self.role != Role::Http
    }

    /// Checks that nobody has its address. Sockets that share would join another program's silently.
    fn probe(self) -> Result<(), BindError> {
        bind_tcp(self.address, Sharing::Alone)?;
        if self.has_udp() {
            bind_udp(self.address, Sharing::Alone)?;
        }
        Ok(())
    }

    /// Whether a connection could be meant for both.
    fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (self.address.ip(), other.address.ip());
        let is_shared = one == two || one.is_unspecified() || two.is_unspecified();
        self.address.port() == other.address.port() && one.is_ipv4() == two.is_ipv4() && is_shared
    }

    /// A socket of each kind for each core.
    fn bind(self, cores: usize) -> Result<Vec<Socket>, BindError> {
        let mut sockets = Vec::new();
        for _ in 0..cores {
            sockets.push(Socket::Tcp(bind_tcp(self.address, Sharing::Cores)?));
        }
        for _ in (0..cores).filter(|_| self.has_udp()) {
            sockets.push(Socket::Udp(bind_udp(self.address, Sharing::Cores)?));
        }
        Ok(sockets)
    }
}
