//! Where other nodes reach this one: only by who can sign.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use admin::Door;
use config::{Config, NodeId, Problem, Severity};
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
