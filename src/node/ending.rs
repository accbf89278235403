//! How a node is told to end, and how it takes its leave.

use std::io;
use std::time::Duration;

use config::{NodeId, limits};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::Node;

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With time for its clients to go elsewhere.
    Gently,
    /// With the time that open requests take.
    Soon,
}

/// The signals that end a node.
pub(super) struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    /// Call it in the runtime that waits.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves with the next: SIGTERM is the operator's, whose clients are to notice nothing; SIGINT that of a person who
    /// waits.
    pub(super) async fn told(&mut self) -> End {
        tokio::select! {
            _ = self.terminate.recv() => End::Gently,
            _ = self.interrupt.recv() => End::Soon,
        }
    }
}

/// How often it is looked who has heard.
const LOOK: Duration = Duration::from_millis(20);

/// Asks for no new clients, and serves on until every name server has heard of it, or has had the time to. A further signal
/// is impatience: there is no waiting then.
pub(super) async fn take_leave(node: &Node, ending: &mut Ending) -> End {
    let (Some(edge), Some(config)) = (&node.edge, node.config.load_full()) else { return End::Gently };
    edge.draining.leave();
    let name_servers: Vec<&NodeId> = config.network.name_servers.iter().map(|node| &node.id).collect();
    // Who has left the config is asked by nobody, and without the key nobody says who asks.
    let is_asked = config.network.edges().any(|(_, edge)| edge.id == node.id) && config.fleet_key.is_some();
    if name_servers.is_empty() || !is_asked {
        return End::Gently;
    }
    tracing::info!("draining: it serves on until every name server knows");
    let all_know = async {
        loop {
            let told = edge.draining.told();
            if name_servers.iter().all(|id| told.contains(*id)) {
                break;
            }
            sleep(LOOK).await;
        }
        sleep(limits::DRAIN_SETTLE).await;
    };
    tokio::select! {
        known = timeout(limits::DRAIN_TOLD, all_know) => {
            if known.is_err() {
                tracing::warn!("some name servers have not heard that this node ends, and may name it for a moment more");
            }
            End::Gently
        }
        _ = ending.told() => End::Soon,
    }
}
