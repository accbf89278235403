//! Where other nodes reach this one: only by who can sign.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use admin::Door;
use config::{Config, NodeId, Problem, Severity, overlaps};
use futures_util::future::join_all;
use listen::{BindError, Sharing, bind_tcp, is_own};

use super::gate::Gate;
use super::sockets::Reached;
use super::{Node, lock};

/// The listeners for `peer`; they follow the config.
#[derive(Default)]
pub(crate) struct Peer(Mutex<Vec<Gate>>);

/// Listeners that are not served yet.
pub(crate) struct Bound {
    dialled: Option<SocketAddr>,
    wanted: BTreeMap<SocketAddr, Way>,
    new: Reached,
}

/// How what others send to `peer` comes to an address that is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Straight: it is that address.
    Straight,
    /// Led there, as by NAT.
    Led,
    /// Led there, and clients come, too, who are told nothing of `peer`: all addresses of the machine are bound.
    Open,
}

/// A warning of all that is lost without the fleet's key.
pub(super) fn warn_of_no_key(config: &Config) -> Option<Problem> {
    if config.fleet_key.is_some() {
        return None;
    }
    let mut message =
        "there is no secrets/fleet.key: nodes cannot tell each other purges, round trips, load and sites".to_owned();
    let gatherers: Vec<String> = config.network.admin.gather.iter().map(|id| format!("`{id}`")).collect();
    if !gatherers.is_empty() {
        message += &format!(", and {}, named by `gather` of [admin], cannot hear of other nodes", gatherers.join(", "));
    }
    let warning = Problem { severity: Severity::Warning, ..Problem::general(message) };
    Some(warning.help("write at least 16 random characters there, the same on every node, mode 0600"))
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

impl Way {
    fn of(address: SocketAddr, peer: SocketAddr, node: &config::Node<'_>) -> Self {
        match address.ip() {
            _ if address == peer => Self::Straight,
            ip if ip.is_unspecified() && !node.has_address(peer.ip()) => Self::Open,
            _ => Self::Led,
        }
    }

    fn tell(self, address: SocketAddr, peer: SocketAddr) {
        match self {
            Self::Straight => {}
            Self::Led => {
                tracing::info!(%address, %peer, "`peer` is no address of this machine: what comes there has to be led here");
            }
            Self::Open => {
                tracing::warn!(%address, %peer, "`peer` is no address of this machine: its port is open at all that are; what comes there has to be led here, and only nodes are to reach it");
            }
        }
    }
}

impl Peer {
    /// Binds what a config wants and is not open, unless another process has handed it over. Nothing else changes.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub(crate) fn bind(&self, config: &Config, id: &NodeId, mut handed: Reached) -> Result<Bound, BindError> {
        let node = config.network.node(id);
        let dialled = node.and_then(|node| dialled(config, &node));
        let wanted: BTreeMap<SocketAddr, Way> = match node.zip(dialled) {
            Some((node, peer)) => {
                let bound = config.network.peer_listen_of(&node, &config.sites, peer, is_own);
                bound.into_iter().map(|address| (address, Way::of(address, peer, &node))).collect()
            }
            None => BTreeMap::new(),
        };
        let open: BTreeSet<SocketAddr> = lock(&self.0).iter().map(|gate| gate.address).collect();
        let had: BTreeSet<SocketAddr> = open.iter().chain(handed.keys()).copied().collect();
        // As of other listeners: what this node gives up with the same config may be shared for a moment.
        let is_left = |new: SocketAddr| had.iter().any(|old| !wanted.contains_key(old) && overlaps(*old, new));
        let mut new = Reached::new();
        for address in wanted.keys().copied().filter(|address| !open.contains(address)) {
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
        let (kept, gone): (Vec<Gate>, Vec<Gate>) = gates.partition(|gate| bound.wanted.contains_key(&gate.address));
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
            if let Some((way, peer)) = bound.wanted.get(&address).zip(bound.dialled) {
                way.tell(address, peer);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_peer_that_clients_are_not_told_is_open_where_all_addresses_are_bound() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sites")).unwrap();
        let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"one-1\"\naddresses = [\"192.0.2.1\"]\n\
             [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.2\"]\n";
        fs::write(dir.path().join("hither.toml"), network).unwrap();
        let config = config::load(dir.path()).unwrap().config;
        let node = config.network.node(&NodeId::parse("one-1").unwrap()).unwrap();
        for (bound, peer, expected) in [
            ("192.0.2.2:8444", "192.0.2.2:8444", Way::Straight),
            ("10.0.0.1:8444", "10.0.0.1:8444", Way::Straight),
            ("10.0.0.1:8444", "192.0.2.2:8444", Way::Led),
            ("10.0.0.1:8444", "10.0.9.9:8444", Way::Led),
            // Clients are told these addresses, whatever is bound.
            ("0.0.0.0:8444", "192.0.2.2:8444", Way::Led),
            ("[::]:8444", "192.0.2.1:8444", Way::Led),
            ("0.0.0.0:8444", "10.0.9.9:8444", Way::Open),
            ("[::]:8444", "[fd00::9]:8444", Way::Open),
        ] {
            let way = Way::of(bound.parse().unwrap(), peer.parse().unwrap(), &node);
            assert_eq!(way, expected, "{bound} for {peer}");
        }
    }

    #[test]
    fn without_the_fleet_s_key_who_gathers_is_warned_of_too() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sites")).unwrap();
        fs::create_dir(dir.path().join("secrets")).unwrap();
        let warned = |gather: &str| {
            let network = format!(
                "zone = \"cdn.example\"\n[admin]\n{gather}\n\
                 [[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n\
                 [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.2\"]\n"
            );
            fs::write(dir.path().join("hither.toml"), network).unwrap();
            let problem = warn_of_no_key(&config::load(dir.path()).unwrap().config)?;
            assert_eq!(problem.severity, Severity::Warning);
            Some(problem.to_string())
        };
        let lost = "there is no secrets/fleet.key: nodes cannot tell each other purges, round trips, load and sites";
        let mend = "(write at least 16 random characters there, the same on every node, mode 0600)";
        for (gather, expected) in [
            ("", format!("{lost} {mend}")),
            (
                "gather = [\"ns1\"]",
                format!("{lost}, and `ns1`, named by `gather` of [admin], cannot hear of other nodes {mend}"),
            ),
            (
                "gather = [\"ns1\", \"one-1\"]",
                format!("{lost}, and `ns1`, `one-1`, named by `gather` of [admin], cannot hear of other nodes {mend}"),
            ),
        ] {
            assert_eq!(warned(gather), Some(expected), "{gather}");
        }
        fs::write(dir.path().join("secrets/fleet.key"), "a key for tests only").unwrap();
        assert_eq!(warned("gather = [\"ns1\"]"), None);
    }
}
