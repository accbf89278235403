//! An address at which a node is told and asked: the admin address, and where nodes reach each other.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use admin::{Admin, Door};
use config::limits;
use listen::{Handler, Mount, Mounts, Server, Stop};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Node;
use super::facts::NodeFacts;
use crate::exit::Failure;

/// An address that is open.
#[derive(Debug)]
pub(super) struct Gate {
    door: Door,
    pub(super) address: SocketAddr,
    /// A handle of the socket, beside the one that is served.
    socket: TcpListener,
    stop: Stop,
    serving: JoinHandle<()>,
}

/// An address at which all is ready, and nobody is answered yet.
pub(super) struct Closed {
    door: Door,
    address: SocketAddr,
    socket: TcpListener,
    server: Server,
}

impl Closed {
    /// Makes everything ready that can fail. Call it on the control runtime.
    pub(super) fn new(node: &Arc<Node>, socket: TcpListener, door: Door) -> Result<Self, Failure> {
        let address = socket.local_addr().map_err(Failure::ours)?;
        let server = server(node, &socket, door)?;
        Ok(Self { door, address, socket, server })
    }

    /// Serves it.
    pub(super) fn open(self) -> Gate {
        let Self { door, address, socket, server } = self;
        let stop = Stop::new();
        let serving = tokio::spawn(server.serve(stop.clone()));
        Gate { door, address, socket, stop, serving }
    }
}

impl Gate {
    /// Serves a bound socket. Call it on the control runtime.
    pub(super) fn open(node: &Arc<Node>, socket: TcpListener, door: Door) -> Result<Self, Failure> {
        Closed::new(node, socket, door).map(Closed::open)
    }

    /// A handle of the socket, for another process.
    pub(super) fn socket(&self) -> std::io::Result<TcpListener> {
        self.socket.try_clone()
    }

    /// Takes nothing more, and keeps the socket: who comes waits. What is under way has a moment.
    pub(super) async fn rest(&mut self) {
        self.stop.hurry();
        // One that takes longer is told in the end that it was not done.
        if !self.serving.is_finished() {
            let _ = timeout(limits::HANDOVER_HEARD, &mut self.serving).await;
        }
    }

    /// Serves again after a rest.
    pub(super) fn resume(&mut self, node: &Arc<Node>) {
        match server(node, &self.socket, self.door) {
            Ok(server) => {
                self.stop = Stop::new();
                self.serving = tokio::spawn(server.serve(self.stop.clone()));
            }
            Err(failure) => tracing::error!(address = %self.address, %failure, "nobody is answered there any more"),
        }
    }

    /// Closes it.
    pub(super) fn close(self) {
        // What is served must have the last handle, to know who waits in it.
        drop(self.socket);
        self.stop.stop();
    }
}

fn server(node: &Arc<Node>, socket: &TcpListener, door: Door) -> Result<Server, Failure> {
    let api: Arc<dyn Handler> = Arc::new(Admin::new(Arc::new(NodeFacts { node: Arc::clone(node), door }), door));
    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler: api }]));
    // No series shows who reads the series.
    let connections = prometheus::IntGauge::new("admin_connections", "Open connections.").map_err(Failure::ours)?;
    let socket = socket.try_clone().map_err(Failure::ours)?;
    Server::new(socket, mounts, None, connections).map_err(Failure::ours)
}
