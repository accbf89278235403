//! Connections to one server that many fetches share.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::limits;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::connect::{Protocol, Target};
use crate::connection::{Connection, Many, SHARES, Share};
use crate::error::FetchError;

/// The connections of HTTP/2 to one server, of one core.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// One core has it for itself: the lock is never waited for.
    list: Mutex<Vec<Kept>>,
    /// Held while a connection is made: all who find none with room meanwhile get a share in that, or one that others leave.
    making: tokio::sync::Mutex<()>,
    /// Told when a share is free again.
    freed: Arc<Notify>,
    /// That the server has chosen HTTP/1.1, if it has.
    declined: Mutex<Option<Declined>>,
}

#[derive(Debug)]
struct Kept {
    many: Many,
    /// When the last share in it was given out.
    used: Instant,
}

/// That a server was offered HTTP/2 and has chosen HTTP/1.1.
#[derive(Clone, Copy, Debug)]
struct Declined {
    /// When it did, or is offered it again.
    at: Instant,
    /// Whether somebody is about to offer it again.
    is_asked_again: bool,
}

/// Whether a connection was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    New,
    Used,
}

/// What comes of waiting.
enum Waited<'s> {
    Share(Share),
    /// It is one's own turn to make a connection, until this is dropped.
    Turn(tokio::sync::MutexGuard<'s, ()>),
}

impl Shared {
    /// What the server speaks, of what it is to be asked for. Of those who ask a while after it has declined one offers it
    /// again; the others go on as before.
    pub(crate) fn protocol(&self, preferred: Protocol) -> Protocol {
        match &mut *self.declined() {
            None => preferred,
            Some(declined) if Instant::now() < declined.at + limits::ORIGIN_HTTP2_AGAIN => Protocol::Http1,
            Some(declined) => {
                *declined = Declined { at: Instant::now(), is_asked_again: true };
                preferred
            }
        }
    }

    /// A share in a connection, which is made where there is none with room; a connection for one where the server has
    /// just chosen HTTP/1.1, and none where it has while this was waited for.
    pub(crate) async fn take(&self, target: &Target, time: Duration) -> Result<Option<(Connection, Age)>, FetchError> {
        let until = Instant::now() + time;
        let _turn = match self.wait(until).await? {
            Waited::Share(share) => return Ok(Some((Connection::Many(share), Age::Used))),
            Waited::Turn(turn) => turn,
        };
        let now = Instant::now();
        if self.is_declined() {
            return Ok(None);
        }
        let connection = target.connect(Protocol::Http2, until.saturating_duration_since(now)).await?;
        match &connection {
            Connection::Many(share) => {
                self.keep(share.many());
                self.note(Protocol::Http2);
            }
            Connection::One(_) => self.note(Protocol::Http1),
        }
        Ok(Some((connection, Age::New)))
    }

    /// Waits for a share, or for one's turn to make a connection.
    async fn wait(&self, until: Instant) -> Result<Waited<'_>, FetchError> {
        let mut turn = pin!(timeout_at(until, self.making.lock()));
        loop {
            // Before it is looked: what is free after that is heard of.
            let freed = self.freed.notified();
            if let Some(share) = self.find(Instant::now()) {
                return Ok(Waited::Share(share));
            }
            tokio::select! {
                turn = &mut turn => {
                    let turn = turn.map_err(|_| FetchError::ConnectionTimeout)?;
                    // Whoever had the turn may have made what there is room on.
                    return Ok(self.find(Instant::now()).map_or(Waited::Turn(turn), Waited::Share));
                }
                () = freed => {}
            }
        }
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

    fn keep(&self, many: &Many) {
        many.tell(&self.freed);
        self.list().push(Kept { many: many.clone(), used: Instant::now() });
    }

    /// Notes what the server has chosen.
    fn note(&self, chosen: Protocol) {
        let declined = Declined { at: Instant::now(), is_asked_again: false };
        *self.declined() = (chosen == Protocol::Http1).then_some(declined);
    }

    /// Whether it has chosen HTTP/1.1, and is not to be offered HTTP/2 now: who is to offer it again does so once.
    fn is_declined(&self) -> bool {
        self.declined().as_mut().is_some_and(|declined| !std::mem::take(&mut declined.is_asked_again))
    }

    fn list(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn declined(&self) -> MutexGuard<'_, Option<Declined>> {
        self.declined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Scheme;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_declined_is_asked_again_by_one_after_a_while() {
        let shared = Shared::default();
        let asks = || shared.protocol(Protocol::Http2) == Protocol::Http2;
        assert!(asks() && !shared.is_declined());
        shared.note(Protocol::Http1);
        assert!(!asks() && shared.is_declined());
        for _ in 0..3 {
            sleep(limits::ORIGIN_HTTP2_AGAIN - Duration::from_secs(1)).await;
            assert!(!asks());
            sleep(Duration::from_secs(1)).await;
            assert!(asks() && !asks(), "one asks, and nobody waits for what comes of it");
            assert!(!shared.is_declined() && shared.is_declined(), "once");
        }
        shared.note(Protocol::Http2);
        assert!(asks() && asks() && !shared.is_declined());
        assert_eq!(shared.protocol(Protocol::Http1), Protocol::Http1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_connection_takes_a_share_that_becomes_free() {
        let (shared, (ours, _server)) = (Shared::default(), tokio::io::duplex(64 << 10));
        let many = Many::begin(ours, Scheme::HTTP).await.unwrap();
        shared.keep(&many);
        drop(many);
        let until = Instant::now() + Duration::from_secs(5);
        let mut shares = Vec::new();
        for _ in 0..SHARES {
            match shared.wait(until).await {
                Ok(Waited::Share(share)) => shares.push(share),
                Ok(Waited::Turn(_)) => panic!("there is room"),
                Err(error) => panic!("{error:?}"),
            }
        }
        // Another connection is being made, and does not come.
        let making = shared.making.lock().await;
        let leaves = async {
            sleep(Duration::from_secs(1)).await;
            shares.pop();
            sleep(Duration::from_secs(1)).await;
            shares.pop();
        };
        let begun = Instant::now();
        let waits = async { matches!(shared.wait(until).await, Ok(Waited::Share(_))).then(|| begun.elapsed()) };
        let keeps = async {
            let Ok(Waited::Share(share)) = shared.wait(until).await else { return None };
            sleep(Duration::from_secs(10)).await;
            drop(share);
            Some(begun.elapsed())
        };
        let both = async { tokio::join!(keeps, waits) };
        let ((kept, waited), ()) = tokio::join!(both, leaves);
        assert_eq!((kept.unwrap().as_secs(), waited.unwrap().as_secs()), (11, 2));
        drop(making);
        drop(shares);
        assert!(timeout(Duration::from_secs(1), shared.making.lock()).await.is_ok());
    }
}
