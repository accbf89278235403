//! The file by which a running node is found: `<state>/<id>/node.json`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Network, NodeId};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What a node tells about itself; written when it serves, removed when it stops.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) pid: i32,
    pub(crate) admin: SocketAddr,
}

/// A node that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) id: NodeId,
    pub(crate) marker: Marker,
}

impl Marker {
    pub(crate) fn path(state: &Path, id: &NodeId) -> PathBuf {
        state.join(id.as_str()).join("node.json")
    }

    /// Where a running `up` is found.
    pub(crate) fn path_of_up(state: &Path) -> PathBuf {
        state.join("up.json")
    }

    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, path)
    }

    /// Removes the file, unless another process has written its own since.
    pub(crate) fn remove(&self, path: &Path) {
        let written = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        if written.is_some_and(|written| written.pid == self.pid) {
            let _ = fs::remove_file(path);
        }
    }

    /// Reads a marker whose process lives and is a `hither`.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let marker: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        kill(Pid::from_raw(marker.pid), None).ok()?;
        // Ids are given out again after a restart of the machine, and an ended process whose parent is
        // gone may linger as a zombie: ask for name and state where they are told.
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", marker.pid)) else {
            return Some(marker);
        };
        let is_ours = stat.contains("(hither)") && !stat.contains("(hither) Z");
        is_ours.then_some(marker)
    }
}

/// The name servers among the nodes that run on this machine.
pub(crate) fn running_name_servers(network: &Network) -> Vec<Running> {
    let is_name_server = |node: &Running| network.node(&node.id).is_some_and(|node| node.name_server.is_some());
    running(network).into_iter().filter(is_name_server).collect()
}

/// The nodes of a network that run on this machine.
pub(crate) fn running(network: &Network) -> Vec<Running> {
    let found = |id: NodeId| Marker::read(&Marker::path(&network.state, &id)).map(|marker| Running { id, marker });
    network.node_ids().into_iter().filter_map(found).collect()
}
