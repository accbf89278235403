//! Where other nodes reach this one: only by who can sign.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use admin::Door;
use config::{Config, NodeId};
use futures_util::future::join_all;
use listen::{BindError, Sharing, bind_tcp, is_own};

use super::gate::Gate;
use super::sockets::{Reached, overlap};
use super::{Node, lock};

/// The listeners for `peer`; they follow the config.
#[derive(Default)]
pub(crate) struct Peer(Mutex<Vec<Gate>>);

/// Listeners that are not served yet.
pub(crate) struct Bound {
    dialled: Option<SocketAddr>,
    wanted: BTreeSet<SocketAddr>,
    new: Reached,
}

/// Where other nodes dial this one; nowhere without the fleet's key. Name servers are dialled while there are certificates that
/// get themselves, or a node that gathers.
fn dialled(config: &Config, node: &config::Node<'_>) -> Option<SocketAddr> {
    config.fleet_key.as_ref()?;
    let edge = node.edge.and_then(|(_, edge)| config.network.peer_of(edge));
    let is_asked = !certs::wanted(config).is_empty() || !config.network.admin.gather.is_empty();
    let name_server = node.name_server.filter(|_| is_asked);
    edge.or_else(|| config.network.peer_of_name_server(name_server?))
}

impl Peer {
    /// Binds what a config wants and is not open, unless another process has handed it over. Nothing else changes.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub(crate) fn bind(&self, config: &Config, id: &NodeId, mut handed: Reached) -> Result<Bound, BindError> {
        let node = config.network.node(id);
        let dialled = node.and_then(|node| dialled(config, &node));
        let wanted: BTreeSet<SocketAddr> = match node.zip(dialled) {
            Some((node, peer)) => {
                config.network.peer_listen_of(&node, &config.sites, peer, is_own).into_iter().collect()
            }
            None => BTreeSet::new(),
        };
        let open: BTreeSet<SocketAddr> = lock(&self.0).iter().map(|gate| gate.address).collect();
        let had: BTreeSet<SocketAddr> = open.iter().chain(handed.keys()).copied().collect();
        // As of other listeners: what this node gives up with the same config may be shared for a moment.
        let is_left = |new: SocketAddr| had.iter().any(|old| !wanted.contains(old) && overlap(*old, new));
        let mut new = Reached::new();
        for address in wanted.difference(&open).copied() {
            let socket = match handed.remove(&address) {
                Some(socket) => socket,
                None => {
                    if !is_left(address) {
                        // A socket that shares would join another program's silently.
                        bind_tcp(address, Sharing::Alone)?;
                    }
                    bind_tcp(address, Sharing::Cores)?
                }
            };
            new.insert(address, socket);
        }
        Ok(Bound { dialled, wanted, new })
    }

    /// Serves what was bound, and closes what is no longer wanted. Call it on the control runtime.
    pub(crate) fn put(&self, node: &Arc<Node>, bound: Bound) {
        let mut open = lock(&self.0);
        let gates = std::mem::take(&mut *open).into_iter();
        let (kept, gone): (Vec<Gate>, Vec<Gate>) = gates.partition(|gate| bound.wanted.contains(&gate.address));
        gone.into_iter().for_each(Gate::close);
        *open = kept;
        for (address, socket) in bound.new {
            match Gate::open(node, socket, Door::Peer) {
                Ok(gate) => open.push(gate),
                Err(failure) => {
                    tracing::error!(%address, %failure, "other nodes cannot reach this one");
                    continue;
                }
            }
            if let Some(peer) = bound.dialled.filter(|peer| *peer != address) {
                tracing::info!(%address, %peer, "`peer` is no address of this machine: what comes there has to be led here");
            }
        }
    }

    /// Handles of its sockets, for another process.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn sockets(&self) -> io::Result<Reached> {
        lock(&self.0).iter().map(|gate| Ok((gate.address, gate.socket()?))).collect()
    }

    /// As [`Gate::rest`], of all at once.
    pub(super) async fn rest(&self) {
        let mut gates = std::mem::take(&mut *lock(&self.0));
        join_all(gates.iter_mut().map(Gate::rest)).await;
        *lock(&self.0) = gates;
    }

    /// As [`Gate::resume`].
    pub(super) fn resume(&self, node: &Arc<Node>) {
        lock(&self.0).iter_mut().for_each(|gate| gate.resume(node));
    }

    /// Closes them.
    pub(crate) fn end(&self) {
        std::mem::take(&mut *lock(&self.0)).into_iter().for_each(Gate::close);
    }
}
