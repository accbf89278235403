//! Connections to one server that many fetches share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::connect::{Protocol, Target};
use crate::connection::{Connection, Many, SHARES};
use crate::error::FetchError;

/// The connections of HTTP/2 to one server, of one core.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Held while one is made: all who come meanwhile get a share in that.
    list: Mutex<Vec<Many>>,
    /// Whether the server has chosen HTTP/1.1, which it is not asked again.
    is_declined: AtomicBool,
}

/// Whether a connection was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    New,
    Used,
}

impl Shared {
    /// What the server speaks, of what it is to be asked for.
    pub(crate) fn protocol(&self, preferred: Protocol) -> Protocol {
        if self.is_declined.load(Ordering::Relaxed) { Protocol::Http1 } else { preferred }
    }

    /// A share in a connection, which is made where there is none with room; a connection for one where the server
    /// speaks no HTTP/2.
    pub(crate) async fn take(&self, target: &Target, time: Duration) -> Result<(Connection, Age), FetchError> {
        let until = Instant::now() + time;
        let mut list = timeout_at(until, self.list.lock()).await.map_err(|_| FetchError::ConnectionTimeout)?;
        list.retain(Many::is_ready);
        // The list has a share, too.
        let has_room = |many: &&Many| many.shares() <= SHARES as usize;
        if let Some(many) = list.iter().find(has_room) {
            return Ok((Connection::Many(many.clone()), Age::Used));
        }
        let connection = target.connect(Protocol::Http2, until.saturating_duration_since(Instant::now())).await?;
        match &connection {
            Connection::Many(many) => list.push(many.clone()),
            Connection::One(_) => self.is_declined.store(true, Ordering::Relaxed),
        }
        Ok((connection, Age::New))
    }
}
