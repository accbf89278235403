//! Where other nodes reach this one: only by who can sign.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use admin::Door;
use config::{Config, NodeId};
use listen::{BindError, Sharing, bind_tcp};

use super::gate::Gate;
use super::{Node, lock};

/// The listener at `peer`; it follows the config.
#[derive(Default)]
pub(crate) struct Peer(Mutex<Option<Gate>>);

/// A listener that is not served yet.
pub(crate) struct Bound {
    wanted: Option<SocketAddr>,
    new: Option<TcpListener>,
}

/// Where a config wants the node to be reached; nowhere without the fleet's key. Name servers are while there are
/// certificates that get themselves, or a node that gathers.
fn wanted(config: &Config, id: &NodeId) -> Option<SocketAddr> {
    let node = config.network.node(id).filter(|_| config.fleet_key.is_some())?;
    let edge = node.edge.and_then(|(_, edge)| config.network.peer_of(edge));
    let is_asked = !certs::wanted(config).is_empty() || !config.network.admin.gather.is_empty();
    let name_server = node.name_server.filter(|_| is_asked);
    edge.or_else(|| config.network.peer_of_name_server(name_server?))
}

impl Peer {
    /// Binds what a config wants and is not open, unless another process has handed it over. Nothing else changes.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(crate) fn bind(
        &self,
        config: &Config,
        id: &NodeId,
        handed: Option<(SocketAddr, TcpListener)>,
    ) -> Result<Bound, BindError> {
        let wanted = wanted(config, id);
        let open = lock(&self.0).as_ref().map(|gate| gate.address);
        let new = match (wanted.filter(|wanted| open != Some(*wanted)), handed) {
            (Some(address), Some((at, socket))) if at == address => Some(socket),
            (Some(address), _) => Some(bind_tcp(address, Sharing::Alone)?),
            (None, _) => None,
        };
        Ok(Bound { wanted, new })
    }

    /// Serves what was bound, and closes what is no longer wanted. Call it on the control runtime.
    pub(crate) fn put(&self, node: &Arc<Node>, bound: Bound) {
        let mut open = lock(&self.0);
        if open.as_ref().map(|gate| gate.address) == bound.wanted {
            return;
        }
        if let Some(gate) = open.take() {
            gate.close();
        }
        let (Some(address), Some(socket)) = (bound.wanted, bound.new) else { return };
        match Gate::open(node, socket, Door::Peer) {
            Ok(gate) => *open = Some(gate),
            Err(failure) => tracing::error!(%address, %failure, "other nodes cannot reach this one"),
        }
    }

    /// A handle of its socket, for another process; none where it is not open.
    pub(super) fn socket(&self) -> std::io::Result<Option<(SocketAddr, TcpListener)>> {
        lock(&self.0).as_ref().map(|gate| Ok((gate.address, gate.socket()?))).transpose()
    }

    /// As [`Gate::rest`].
    pub(super) async fn rest(&self) {
        let gate = lock(&self.0).take();
        if let Some(mut gate) = gate {
            gate.rest().await;
            *lock(&self.0) = Some(gate);
        }
    }

    /// As [`Gate::resume`].
    pub(super) fn resume(&self, node: &Arc<Node>) {
        if let Some(gate) = lock(&self.0).as_mut() {
            gate.resume(node);
        }
    }

    /// Closes it.
    pub(crate) fn end(&self) {
        if let Some(gate) = lock(&self.0).take() {
            gate.close();
        }
    }
}
