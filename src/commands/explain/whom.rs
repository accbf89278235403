//! Who is asked: a node, or `hither up`, that serves the directory which is named. Who serves another knows nothing of
//! this one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Network, Secret};
use serde_json::Value;

use crate::client::{self, AskError};
use crate::directory::is_same;
use crate::marker::running_name_servers;

/// Who is asked.
#[derive(Debug)]
pub(super) enum Whom {
    /// Who serves the directory, at its admin address.
    At(SocketAddr),
    /// Nobody, and why: the files alone have to do.
    Nobody(String),
}

/// A name server that runs on this machine, else who is at the admin address: an edge may have that.
///
/// # Errors
/// Somebody is there, and does not tell what it serves.
pub(super) fn find(network: &Network, dir: &Path) -> Result<Whom, AskError> {
    let here = running_name_servers(network).into_iter().map(|node| node.marker.admin);
    let mut why = "nobody answers at the admin address".to_owned();
    for address in here.chain([network.admin.listen]) {
        match directory_of(address, network.admin.token.as_ref()) {
            Ok(served) if is_same(&served, dir) => return Ok(Whom::At(address)),
            // Its word is quoted: it could be anything.
            Ok(served) => why = format!("{address} serves {served:?}, which is another directory"),
            Err(AskError::NobodyThere(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Whom::Nobody(why))
}

/// The directory that is served by who answers at an address.
fn directory_of(address: SocketAddr, token: Option<&Secret>) -> Result<PathBuf, AskError> {
    let told = match client::ask_json(address, "/node", token) {
        // `up` is no node, and tells it with all that it has gathered.
        Err(AskError::Refused(_)) => client::ask_json(address, "/status", token),
        told => told,
    }?;
    let served = told.get("directory").and_then(Value::as_str).map(PathBuf::from);
    served.ok_or_else(|| AskError::Failed(format!("{address} does not tell which directory it serves")))
}
