//! Starting a node: build, bind, serve on every core, stop in order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use admin::Admin;
use arc_swap::ArcSwapOption;
use certs::Certificates;
use config::{Config, NodeId, limits};
use dns::transport::{Answer, serve_tcp, serve_udp};
use listen::{Cores, Handler, Mount, Mounts, Server, Sharing, Stop, bind_tcp, bind_udp, probe_free};
use telemetry::{Clients, Log, Metrics};
use tokio::signal::unix::{SignalKind, signal};

use super::answer::Answering;
use super::facts::NodeFacts;
use super::marker::Marker;
use super::{Built, NameServer, Node, Roles, build, reload};
use crate::directory;
use crate::exit::{Done, Exit, Failure};

/// Runs a node until it is told to stop.
pub(crate) fn serve(dir: &Path, id: &str, admin: Option<SocketAddr>) -> Done {
    let started = Instant::now();
    let id = NodeId::parse(id).map_err(|wrong| Failure::operator(wrong.message))?;
    let config = config::load(dir).map_err(|refused| directory::refused(&refused.0))?.config;
    let Some(node) = config.network.node(&id) else {
        let known: Vec<String> = config.network.node_ids().iter().map(ToString::to_string).collect();
        return Err(Failure::operator(format!(
            "there is no node `{id}` in {}; known: {}",
            dir.display(),
            known.join(", ")
        )));
    };
    let roles = Roles { name_server: node.name_server.is_some(), edge: node.edge.is_some() };
    let admin = admin.unwrap_or_else(|| config.network.admin_of(&node));
    let built = build(dir, roles, None).map_err(|problems| directory::refused(&problems))?;
    directory::print(&built.warnings);
    let sockets = Sockets::bind(built.config(), &id)?;
    let admin = bind_tcp(admin, Sharing::Alone).map_err(|error| Failure::operator(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::ours)?;
    runtime.block_on(run(dir, id, built, sockets, admin, started))
}

async fn run(
    dir: &Path,
    id: NodeId,
    built: Built,
    sockets: Sockets,
    admin: std::net::TcpListener,
    started: Instant,
) -> Done {
    let config = built.config().clone();
    let home = config.network.state.join(id.as_str());
    std::fs::create_dir_all(&home)
        .map_err(|error| Failure::operator(format!("cannot write to {}: {error}", home.display())))?;
    let metrics = Arc::new(Metrics::new().map_err(Failure::ours)?);
    let node = Arc::new(make(dir, &id, &built, &home, &metrics, started)?);
    let stop = Stop::new();
    let log = open_log(&config, config.network.log.queries, &home, "queries", &metrics)?;
    let answer: Arc<dyn Answer> = Arc::new(Answering::new(Arc::clone(&node), log));
    node.apply(built);
    let cores = Cores::start(sockets.jobs(&node, &answer, &stop)?).map_err(Failure::ours)?;
    let marker_path = Marker::path(&config.network.state, &id);
    let address = admin.local_addr().map_err(Failure::ours)?;
    let token = config.network.admin.token.clone();
    let api: Arc<dyn Handler> = Arc::new(Admin::new(Arc::new(NodeFacts(Arc::clone(&node))), token));
    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler: api }]));
    let connections = prometheus_gauge().map_err(Failure::ours)?;
    let server = Server::new(admin, mounts, None, connections).map_err(Failure::ours)?;
    tokio::spawn(server.serve(stop.clone()));
    tokio::spawn(reload::follow(Arc::clone(&node)));
    let marker = Marker { pid: std::process::id().cast_signed(), admin: address };
    marker.write(&marker_path).map_err(|error| Failure::operator(format!("{}: {error}", marker_path.display())))?;
    tracing::info!(node = %id, admin = %address, "serving");
    wait_for_end().await.map_err(Failure::ours)?;
    tracing::info!(node = %id, "stopping");
    stop.stop();
    let _ = std::fs::remove_file(&marker_path);
    let _ = tokio::task::spawn_blocking(move || cores.join()).await;
    Ok(Exit::Done)
}

/// The node before its first config is applied.
fn make(
    dir: &Path,
    id: &NodeId,
    built: &Built,
    home: &Path,
    metrics: &Arc<Metrics>,
    started: Instant,
) -> Result<Node, Failure> {
    let config = built.config();
    let name_server = match &built.view {
        Some((_, world)) => {
            let watch = fleet::Watch::new(home.join("health.json"), Arc::clone(metrics));
            Some(NameServer {
                answers: ArcSwapOption::empty(),
                watch: Mutex::new(watch),
                world: Mutex::new(world.clone()),
            })
        }
        None => None,
    };
    let edge = match &built.sites {
        Some(_) => {
            let log = open_log(config, config.network.log.requests, home, "requests", metrics)?;
            let memory = config.network.edge.memory.unwrap_or_else(edge::default_memory);
            Some(edge::Shared::new(id.clone(), memory, Arc::clone(metrics), log, config.fleet_key.clone()))
        }
        None => None,
    };
    Ok(Node {
        id: id.clone(),
        dir: dir.to_owned(),
        metrics: Arc::clone(metrics),
        certificates: Arc::new(Certificates::default()),
        name_server,
        edge,
        started,
        version: AtomicU64::new(0),
    })
}

fn open_log(
    config: &Config,
    wanted: bool,
    home: &Path,
    name: &str,
    metrics: &Metrics,
) -> Result<Option<(Log, Clients)>, Failure> {
    if !wanted {
        return Ok(None);
    }
    let path = home.join(format!("{name}.jsonl"));
    let dropped = metrics.log_dropped.with_label_values(&[name]);
    let log = Log::open(&path, limits::LOG_QUEUE, dropped);
    let log = log.map_err(|error| Failure::operator(format!("cannot write {}: {error}", path.display())))?;
    let clients = match config.network.log.clients {
        config::Clients::Full => Clients::Full,
        config::Clients::Prefix => Clients::Prefix,
        config::Clients::None => Clients::None,
    };
    Ok(Some((log, clients)))
}

/// The admin address's own connections, which no series shows.
fn prometheus_gauge() -> Result<prometheus::IntGauge, prometheus::Error> {
    prometheus::IntGauge::new("admin_connections", "Open admin connections.")
}

async fn wait_for_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Every socket of a node's roles, one of each for each core.
struct Sockets {
    cores: Vec<CoreSockets>,
}

#[derive(Default)]
struct CoreSockets {
    udp: Vec<std::net::UdpSocket>,
    tcp: Vec<std::net::TcpListener>,
    http: Vec<std::net::TcpListener>,
    https: Vec<std::net::TcpListener>,
}

impl Sockets {
    fn bind(config: &Config, id: &NodeId) -> Result<Self, Failure> {
        let fail = |error: listen::BindError| Failure::operator(error.to_string());
        let node = config.network.node(id);
        let dns: &[SocketAddr] = node.and_then(|node| node.name_server).map_or(&[], |node| &node.listen);
        let edge = node.and_then(|node| node.edge).map(|(_, edge)| edge);
        let http = edge.map(|edge| config.network.http_of(edge)).unwrap_or_default();
        let has_tls = config.sites.iter().any(|site| site.tls.is_some());
        let https = edge.filter(|_| has_tls).map(|edge| config.network.https_of(edge)).unwrap_or_default();
        for address in dns.iter().chain(&http).chain(&https) {
            probe_free(*address).map_err(fail)?;
        }
        let mut cores = Vec::new();
        for _ in 0..Cores::available() {
            let tcp = |list: &[SocketAddr]| {
                list.iter().map(|address| bind_tcp(*address, Sharing::Cores)).collect::<Result<Vec<_>, _>>()
            };
            let udp = dns.iter().map(|address| bind_udp(*address, Sharing::Cores)).collect::<Result<Vec<_>, _>>();
            cores.push(CoreSockets {
                udp: udp.map_err(fail)?,
                tcp: tcp(dns).map_err(fail)?,
                http: tcp(&http).map_err(fail)?,
                https: tcp(&https).map_err(fail)?,
            });
        }
        Ok(Self { cores })
    }

    /// What each core does.
    fn jobs(
        self,
        node: &Arc<Node>,
        answer: &Arc<dyn Answer>,
        stop: &Stop,
    ) -> Result<Vec<impl FnOnce() -> Job + Send + use<>>, Failure> {
        let tls = Arc::new(node.certificates.server().map_err(Failure::ours)?);
        let jobs = self.cores.into_iter().map(|sockets| {
            let (node, answer, stop, tls) = (Arc::clone(node), Arc::clone(answer), stop.clone(), Arc::clone(&tls));
            move || -> Job { Box::pin(serve_core(sockets, node, answer, stop, tls)) }
        });
        Ok(jobs.collect())
    }
}

type Job = std::pin::Pin<Box<dyn Future<Output = ()>>>;

async fn serve_core(
    sockets: CoreSockets,
    node: Arc<Node>,
    answer: Arc<dyn Answer>,
    stop: Stop,
    tls: Arc<rustls::ServerConfig>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for socket in sockets.udp {
        match tokio::net::UdpSocket::from_std(socket) {
            Ok(socket) => drop(tasks.spawn(serve_udp(socket, Arc::clone(&answer), stop.stopped()))),
            Err(error) => tracing::error!(%error, "a UDP socket is lost"),
        }
    }
    for socket in sockets.tcp {
        let (answer, stopped) = (Arc::clone(&answer), stop.stopped());
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => drop(tasks.spawn(async move {
                if let Err(error) = serve_tcp(listener, answer, stopped).await {
                    tracing::error!(%error, "DNS over TCP has ended");
                }
            })),
            Err(error) => tracing::error!(%error, "a TCP socket is lost"),
        }
    }
    if let Some(edge) = &node.edge {
        let mounts = Arc::new(Mounts::new(edge::mounts(edge)));
        let clear = sockets.http.into_iter().map(|socket| (socket, None));
        let secure = sockets.https.into_iter().map(|socket| (socket, Some(Arc::clone(&tls))));
        for (socket, tls) in clear.chain(secure) {
            match Server::new(socket, Arc::clone(&mounts), tls, node.metrics.connections.clone()) {
                Ok(server) => drop(tasks.spawn(server.serve(stop.clone()))),
                Err(error) => tracing::error!(%error, "a listener is lost"),
            }
        }
    }
    tasks.join_all().await;
}
