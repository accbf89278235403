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
use serde::{Deserialize, Serialize};

use super::sockets::{Kind, Listener};

pub(super) use check::check;
pub(super) use give::{Giver, Heir, NotGiven, give};
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
