//! One process of a node hands over to the next: sockets first, then what only one may have, then the clients.
//!
//! ```text
//! the new                                     the old
//! reads the config, compiles the map          serves
//!            ── Sockets ─────────────────>
//!            <───────────── all sockets ──    (SCM_RIGHTS; it serves on)
//! binds what is missing
//!            ── Release ─────────────────>    accepts no more: who connects waits in the kernel;
//!            <──────────────── Released ──    lets go of the disk tier and the log of purges
//! opens these, serves, looks at itself
//!            ── Serving ─────────────────>
//!            <──────────────────── Left ──    finishes what it has begun
//!            ── Purged ──────────────────>    keeps what it still serves in step
//!            <─────────────────── Heard ──    ends
//! ```
//!
//! If the new one ends, or says nothing for too long, before it has said that it serves, the old one takes everything up
//! again. From then on it is the old one that may end at any time.

mod check;
mod give;
mod line;
mod take;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ::fleet::PurgeEntry;
use config::{Network, Problem, Severity};
use serde::{Deserialize, Serialize};

use super::sockets::{Kind, Listener};

pub(super) use check::check;
pub(super) use give::{Giver, Heir, NotGiven, hand_over};
pub(super) use take::{Taken, ask, is_anybody_there};

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    /// Hand me your sockets.
    Sockets { version: u32 },
    /// Let go of what only one of us may have.
    Release,
    /// I serve.
    Serving,
    /// These purges are written down; I acknowledge them once you have them.
    Purged { last: u64, entries: Vec<PurgeEntry> },
}

/// What the old process says.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// Some sockets, in this order.
    Sockets {
        places: Vec<Place>,
        rest: Rest,
    },
    Released,
    /// I serve no one new any more.
    Left,
    /// I serve nothing that these reach.
    Heard {
        last: u64,
    },
    /// I hand nothing over.
    Refused {
        why: String,
    },
}

/// Whether more sockets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Rest {
    Follows,
    None,
}

/// What a socket is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    Listener { listener: Listener, kind: Kind },
    Admin,
    Peer { address: SocketAddr },
}

/// Raised when words change their meaning: an old process hands nothing to one that it would not understand.
const VERSION: u32 = 1;

/// Where the process that serves is asked.
fn path(home: &Path) -> PathBuf {
    home.join("handover.sock")
}

/// The most bytes of such a path (unix(7): `sun_path`, without the zero at its end).
const MOST_PATH: usize = 107;

/// A warning where a node's directory is so deep that nobody can be asked there.
pub(super) fn warn_of_path(network: &Network) -> Option<Problem> {
    let paths = network.node_ids().into_iter().map(|id| path(&network.state.join(id.as_str())));
    let deepest = paths.max_by_key(|path| path.as_os_str().len())?;
    if deepest.as_os_str().len() <= MOST_PATH {
        return None;
    }
    let what = format!(
        "{} is longer than the {MOST_PATH} bytes that the path of a socket may have: `--take-over` cannot replace that node",
        deepest.display()
    );
    let problem =
        Problem::general(what).help("name a `state` whose path is shorter, or replace the binary by restarts");
    Some(Problem { severity: Severity::Warning, ..problem })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_path_that_no_socket_can_have_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sites")).unwrap();
        let text = "[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n\
            [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-12\"\naddresses = [\"192.0.2.2\"]\n";
        // With "/one-12/handover.sock".
        for (length, is_told) in [(MOST_PATH - 21, false), (MOST_PATH - 20, true)] {
            let state = format!("/{}", "x".repeat(length - 1));
            let network = format!("zone = \"cdn.example\"\nstate = \"{state}\"\n{text}");
            fs::write(dir.path().join("hither.toml"), network).unwrap();
            let network = config::load(dir.path()).unwrap().config.network;
            let told = warn_of_path(&network).map(|problem| problem.to_string());
            assert_eq!(told.is_some(), is_told, "{length}: {told:?}");
            assert!(told.is_none_or(|told| told.contains("/one-12/handover.sock is longer")));
        }
    }
}
