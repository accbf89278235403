//! All that a node answers at.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::Node;
use super::ending::End;
use super::gate::Gate;
use super::listeners::Listeners;
use super::peer::Peer;
use super::sockets::{Reached, Sockets};

/// The open listeners and addresses of a node.
pub(super) struct Doors {
    pub(super) listeners: Arc<Listeners>,
    pub(super) peer: Peer,
    pub(super) admin: Mutex<Gate>,
}

/// A handle of every socket of a node.
pub(super) struct Handles {
    pub(super) listeners: Sockets,
    pub(super) admin: TcpListener,
    pub(super) peer: Reached,
}

impl Doors {
    /// A handle of every socket.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) async fn handles(&self) -> std::io::Result<Handles> {
        let admin = self.admin.lock().await.socket()?;
        Ok(Handles { listeners: self.listeners.sockets()?, admin, peer: self.peer.sockets()? })
    }

    /// Takes nothing more, and keeps the sockets: whoever comes waits in the kernel. Where purges come first, so that none is
    /// taken afterwards. Whether nothing is read by UDP any more.
    pub(super) async fn rest(&self, node: &Node) -> bool {
        // Who watches asks again, where it is answered then.
        node.end_streams();
        self.peer.rest().await;
        self.admin.lock().await.rest().await;
        let listeners = Arc::clone(&self.listeners);
        tokio::task::spawn_blocking(move || listeners.rest()).await.unwrap_or(false)
    }

    /// Takes again what comes, and what has waited.
    pub(super) async fn resume(&self, node: &Arc<Node>) {
        self.listeners.resume();
        self.admin.lock().await.resume(node);
        self.peer.resume(node);
    }

    /// Closes everything and waits for open requests to end.
    pub(super) async fn end(self, end: End) {
        self.admin.into_inner().close();
        self.peer.end();
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(listeners) = Arc::into_inner(self.listeners) {
                listeners.end(end);
            }
        });
        let _ = ended.await;
    }
}
