//! Connections to one server that many fetches share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::limits;
use tokio::time::{Instant, timeout_at};

use crate::connect::{Protocol, Target};
use crate::connection::{Connection, Many, SHARES, Share};
use crate::error::FetchError;

/// The connections of HTTP/2 to one server, of one core.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// One core has it for itself: the lock is never waited for.
    list: Mutex<Vec<Kept>>,
    /// Held while a connection is made: all who find none with room meanwhile get a share in that.
    making: tokio::sync::Mutex<()>,
    /// Whether the server has chosen HTTP/1.1, which it is not asked again.
    is_declined: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    many: Many,
    /// When the last share in it was given out.
    used: Instant,
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

    /// A share in a connection, which is made where there is none with room; a connection for one where the server has
    /// just chosen HTTP/1.1, and none where it has while this was waited for.
    pub(crate) async fn take(&self, target: &Target, time: Duration) -> Result<Option<(Connection, Age)>, FetchError> {
        let until = Instant::now() + time;
        if let Some(share) = self.find(Instant::now()) {
            return Ok(Some((Connection::Many(share), Age::Used)));
        }
        let _making = timeout_at(until, self.making.lock()).await.map_err(|_| FetchError::ConnectionTimeout)?;
        let now = Instant::now();
        if self.is_declined.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if let Some(share) = self.find(now) {
            return Ok(Some((Connection::Many(share), Age::Used)));
        }
        let connection = target.connect(Protocol::Http2, until.saturating_duration_since(now)).await?;
        match &connection {
            Connection::Many(share) => self.list().push(Kept { many: share.many().clone(), used: Instant::now() }),
            Connection::One(_) => self.is_declined.store(true, Ordering::Relaxed),
        }
        Ok(Some((connection, Age::New)))
    }

    /// A share in a connection that is there and has room.
    fn find(&self, now: Instant) -> Option<Share> {
        let mut list = self.list();
        // The list holds each, too.
        let is_in_use = |kept: &Kept| kept.many.holders() > 1 || now < kept.used + limits::ORIGIN_IDLE_TIME;
        list.retain(|kept| kept.many.is_ready() && is_in_use(kept));
        let kept = list.iter_mut().find(|kept| kept.many.holders() <= SHARES as usize)?;
        kept.used = now;
        Some(Share::of(kept.many.clone()))
    }

    fn list(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
