//! Leading a flight: ask the origin, judge, fill the store, tell those who wait.

use std::sync::Arc;

use caching::{
    Asked, Conclusion, Fallback, Judgement, Keep, Payload, Policy, Received, Reuse, Selector, Sharing, Validators,
    Verdict, add_validators, conclude, judge, merge, reuse,
};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use origin::{FetchError, Fetched, Fetcher};
use tokio::sync::oneshot;

use crate::ask::Ask;
use crate::filling::{Filling, Reader, Wanted};
use crate::flight::{Landing, Pilot};
use crate::object::{Head, Object, Slices};
use crate::shared::Shared;

/// What came of a fetch, for the request that began it.
pub(crate) enum Landed {
    /// A response still coming, with a place at its first byte.
    Filling(Arc<Filling>, Option<Reader>),
    /// The stored response holds.
    Holds(Arc<Object>),
    /// A response for this request alone.
    Own(Box<Fetched>),
    /// The origin answered with an error that the stored response may hide.
    Hidden(StatusCode),
    /// No response.
    Failed(FetchError),
}

/// Whether a body is stored once it has come whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Storing {
    Yes,
    No,
}

/// Who may have a stored response that a 304 has renewed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holding {
    Shared,
    Alone,
}

/// A fetch for the store.
pub(crate) struct Errand {
    pub(crate) shared: Arc<Shared>,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) ask: Ask,
    pub(crate) head: Parts,
    pub(crate) policy: Policy,
    pub(crate) stored: Option<Arc<Object>>,
    pub(crate) pilot: Pilot,
}

impl Errand {
    /// Runs to the end of the fill, whether or not anybody still waits.
    pub(crate) async fn run(self, leader: oneshot::Sender<Landed>) {
        let validators = self.stored.as_ref().map(|object| Validators::of(&object.head.headers));
        let validators = validators.filter(|validators| !validators.is_empty());
        let asked_at = self.shared.clock.now();
        let mut fetched = self.fetch(validators.as_ref()).await;
        let mut conclusion = self.conclusion(validators.as_ref(), &fetched);
        if conclusion == Some(Conclusion::Mismatch) {
            fetched = self.fetch(None).await;
            conclusion = self.conclusion(None, &fetched);
        }
        self.ask.site.count_fetch(&fetched);
        let response = match fetched {
            Ok(response) => response,
            Err(error) => return self.finish(leader, Landing::Failed(error), Landed::Failed(error)),
        };
        match (conclusion, self.stored.clone()) {
            (Some(Conclusion::Holds), Some(stored)) => {
                let (object, sharing) = self.renew(&stored, response.headers(), asked_at);
                // A 304 may bring what only its asker may have, such as a cookie.
                let landing = match sharing {
                    Holding::Shared => Landing::Holds(Arc::clone(&object)),
                    Holding::Alone => Landing::Alone,
                };
                self.finish(leader, landing, Landed::Holds(object));
            }
            (Some(Conclusion::Failed), Some(stored)) if self.may_hide_error(&stored) => {
                // The others have the same object and hide the error too.
                let status = response.status();
                self.finish(leader, Landing::Hidden(status), Landed::Hidden(status));
            }
            _ => self.take(response, asked_at, leader).await,
        }
    }

    async fn fetch(&self, validators: Option<&Validators>) -> Result<Fetched, FetchError> {
        let mut head = self.head.clone();
        if let Some(validators) = validators {
            add_validators(&mut head.headers, validators);
        }
        self.fetcher.fetch(head, None).await
    }

    fn conclusion(&self, validators: Option<&Validators>, fetched: &Result<Fetched, FetchError>) -> Option<Conclusion> {
        let response = fetched.as_ref().ok()?;
        self.stored.as_ref()?;
        let none = Validators::default();
        Some(conclude(validators.unwrap_or(&none), response.status(), response.headers()))
    }

    fn may_hide_error(&self, stored: &Object) -> bool {
        let reuse = reuse(&stored.head.terms, self.shared.clock.now());
        matches!(reuse, Reuse::Stale { on_error: Fallback::Serve, .. } | Reuse::Grace)
    }

    fn finish(self, leader: oneshot::Sender<Landed>, landing: Landing, landed: Landed) {
        self.pilot.land(landing);
        // The leader may have hung up.
        let _ = leader.send(landed);
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, asked_at: caching::Moment) -> Judgement {
        let received_at = self.shared.clock.now();
        let asked = Asked {
            method: &self.head.method,
            key: &self.ask.key,
            headers: &self.ask.headers,
            payload: Payload::Empty,
        };
        judge(&asked, &Received { status, headers, asked_at, received_at }, &self.policy)
    }

    /// The stored object with the fields of a 304, stored anew if it still may be.
    fn renew(&self, stored: &Arc<Object>, answer: &HeaderMap, asked_at: caching::Moment) -> (Arc<Object>, Holding) {
        let merged = merge(&stored.head.headers, answer, self.shared.clock.now());
        let judgement = self.judge(stored.head.status, &merged, asked_at);
        let is_stored = matches!(judgement.verdict, Verdict::Store(_));
        let head = match judgement.verdict {
            Verdict::Store(keep) | Verdict::Share(keep) => self.head(stored.head.status, *keep),
            Verdict::StorePart(..) | Verdict::Not(_) => Head { headers: merged, ..stored.head.clone() },
        };
        self.shared.store.remove_variant(&self.ask.key, stored.head.selector.variant);
        let object = Arc::new(Object { head, slices: stored.slices.clone() });
        if is_stored {
            self.shared.store.put(&self.ask.key, Arc::clone(&object));
        }
        (object, if is_stored { Holding::Shared } else { Holding::Alone })
    }

    fn head(&self, status: StatusCode, keep: Keep) -> Head {
        let selector = Selector::new(keep.nominated, &self.ask.headers, &keep.headers, self.shared.store.seed());
        Head::new(status, keep.headers, keep.terms, selector)
    }

    /// Takes a full response in: for the store, for those who wait, or for the leader alone.
    async fn take(self, response: Fetched, asked_at: caching::Moment, leader: oneshot::Sender<Landed>) {
        let judgement = self.judge(response.status(), response.headers(), asked_at);
        match judgement.sharing {
            Sharing::Alone { remember } if !remember.is_zero() => self.shared.alone.insert(self.ask.key.clone(), ()),
            Sharing::Alone { .. } => {}
            Sharing::Shared => self.shared.alone.invalidate(&self.ask.key),
        }
        let (keep, storing) = match judgement.verdict {
            Verdict::Store(keep) => (keep, Storing::Yes),
            Verdict::Share(keep) => (keep, Storing::No),
            Verdict::StorePart(..) | Verdict::Not(_) => {
                // What was validated and is answered anew no longer holds (RFC 9111 §4.3.3).
                if let Some(stored) = self.stored.as_ref().filter(|_| !response.status().is_server_error()) {
                    self.shared.store.remove_variant(&self.ask.key, stored.head.selector.variant);
                }
                return self.finish(leader, Landing::Alone, Landed::Own(Box::new(response)));
            }
        };
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let head = self.head(response.status(), *keep);
        let filling = Arc::new(Filling::new(head, length, Arc::clone(&self.shared.room)));
        let landing = match judgement.sharing {
            Sharing::Shared => Landing::Filling(Arc::clone(&filling)),
            Sharing::Alone { .. } => Landing::Alone,
        };
        self.pilot.land(landing);
        // Its place is kept before the first piece comes: a large body does not slide past it.
        let reader = filling.join();
        let _ = leader.send(Landed::Filling(Arc::clone(&filling), reader));
        self.fill(response, &filling, storing).await;
    }

    /// Reads the body to its end. The flight lasts until the object is in the store, so that no
    /// request finds neither.
    async fn fill(self, response: Fetched, filling: &Filling, storing: Storing) {
        let mut body = std::pin::pin!(response.into_body());
        let end = loop {
            let frame = match body.frame().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(error),
                Some(Ok(frame)) => frame,
            };
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if !piece.is_empty() && filling.add(piece).await == Wanted::No {
                break Err(FetchError::HttpResponseIncomplete);
            }
        };
        if let Some(pieces) = filling.end(end).filter(|_| storing == Storing::Yes) {
            let slices = Slices::gather(&pieces);
            if filling.length.is_none_or(|length| length == slices.length()) {
                let object = Object { head: filling.head.clone(), slices };
                self.shared.store.put(&self.ask.key, Arc::new(object));
            }
        }
        drop(self.pilot);
    }
}
