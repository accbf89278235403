//! Where other nodes reach this one: only by who can sign.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use admin::Door;
use config::{Config, NodeId};
use listen::{BindError, Sharing, Stop, bind_tcp};

use super::serve::admin_server;
use super::{Node, lock};

/// The listener at `peer`; it follows the config.
#[derive(Default)]
pub(crate) struct Peer(Mutex<Option<(SocketAddr, Stop)>>);

/// A listener that is not served yet.
pub(crate) struct Bound {
    wanted: Option<SocketAddr>,
    new: Option<TcpListener>,
}

/// Where a config wants the node to be reached; nowhere without the fleet's key. Name servers are while there are
/// certificates that get themselves.
fn wanted(config: &Config, id: &NodeId) -> Option<SocketAddr> {
    let node = config.network.node(id).filter(|_| config.fleet_key.is_some())?;
    let edge = node.edge.and_then(|(_, edge)| config.network.peer_of(edge));
    let name_server = node.name_server.filter(|_| !certs::wanted(config).is_empty());
    edge.or_else(|| config.network.peer_of_name_server(name_server?))
}

impl Peer {
    /// Binds what a config wants and is not open. Nothing else changes.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(crate) fn bind(&self, config: &Config, id: &NodeId) -> Result<Bound, BindError> {
        let wanted = wanted(config, id);
        let open = lock(&self.0).as_ref().map(|(address, _)| *address);
        let new = wanted.filter(|wanted| open != Some(*wanted));
        Ok(Bound { wanted, new: new.map(|address| bind_tcp(address, Sharing::Alone)).transpose()? })
    }

    /// Serves what was bound, and closes what is no longer wanted. Call it on the control runtime.
    pub(crate) fn put(&self, node: &Arc<Node>, bound: Bound) {
        let mut open = lock(&self.0);
        if open.as_ref().map(|(address, _)| *address) == bound.wanted {
            return;
        }
        if let Some((_, stop)) = open.take() {
            stop.stop();
        }
        let (Some(address), Some(socket)) = (bound.wanted, bound.new) else { return };
        match admin_server(node, socket, Door::Peer) {
            Ok(server) => {
                let stop = Stop::new();
                tokio::spawn(server.serve(stop.clone()));
                *open = Some((address, stop));
            }
            Err(failure) => tracing::error!(%address, %failure, "other nodes cannot reach this one"),
        }
    }

    /// Closes it.
    pub(crate) fn end(&self) {
        if let Some((_, stop)) = lock(&self.0).take() {
            stop.stop();
        }
    }
}
