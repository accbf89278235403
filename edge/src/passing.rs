//! Requests that the store does not answer: other methods, HEAD, and what the origin has to answer itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use caching::{
    ForwardReason, Handled, HeadWord, Verdict, compare_head, displaces, has_conditions, invalidated, vary_by_coding,
};
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use listen::Incoming;
use origin::{FetchError, Fetched, RequestBody};
use tokio::sync::oneshot;

use crate::answered::Answered;
use crate::ask::Ask;
use crate::edge::{Delivery, Edge, Wish};
use crate::effect::Effect;
use crate::fetching::{Errand, Landed, hides};
use crate::flight::Pilot;
use crate::intake::Intake;
use crate::outgoing::{Load, compose};
use crate::respond::{Written, from_origin, own};

impl Edge {
    /// Answers a HEAD by the origin's own word, which also tells whether what is stored still holds
    /// (RFC 9111 §4.3.5).
    pub(crate) async fn ask_for_head(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        wish: Wish,
    ) -> (Written, Answered) {
        let intake = Intake::begin(&self.shared, ask, &effect.policy);
        // What it says of the stored holds for the key: the origin is asked for that.
        let fetched = match (self.forward(ask, None, ask.key.path_and_query()).await, &wish.stored) {
            (Ok(fetched), Some(stored)) if hides(stored, fetched.status(), ask.now) => {
                let landed = Landed::Hidden(fetched.status());
                return self.deliver(ask, effect, Delivery::own(landed, wish)).await;
            }
            (Ok(fetched), _) => fetched,
            (Err(error), _) => {
                return self.deliver(ask, effect, Delivery::own(Landed::Failed(error), wish)).await;
            }
        };
        let (status, headers) = (fetched.status(), fetched.headers());
        if let Some(stored) = &wish.stored {
            let (known, said) = stored.head.to_compare(headers);
            match compare_head(&known, status, &said) {
                HeadWord::Agrees => drop(intake.renew(stored, headers)),
                HeadWord::Differs if displaces(&ask.headers, status) => {
                    self.shared.store.remove_variant(&ask.key, stored.head.selector.variant);
                }
                HeadWord::Differs | HeadWord::Silent => {}
            }
        }
        let (reason, status) = (wish.reason, Some(status));
        let handled = Handled::Forwarded { reason, status, stored: false, collapsed: false };
        let mut written = from_origin(fetched, handled);
        if effect.policy.compress {
            // As a GET says it (RFC 9110 §9.3.2).
            vary_by_coding(written.response.headers_mut());
        }
        (written, Answered::Pass)
    }

    /// Forwards a request of a method that is not answered from the store; a change at the origin empties
    /// its keys, and what a POST brings may be stored (RFC 9110 §9.3.3).
    pub(crate) async fn send(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        body: Incoming,
    ) -> (Written, Answered) {
        let Some((body, is_over)) = limited(body, effect.largest_body.unwrap_or(u64::MAX)) else {
            return (too_large(), Answered::Own);
        };
        let intake = Intake::begin(&self.shared, ask, &effect.policy);
        let reason = ForwardReason::Method;
        let fetched = match self.forward(ask, Some(body), ask.target()).await {
            Ok(fetched) => fetched,
            Err(_) if is_over.load(Ordering::Relaxed) => return (too_large(), Answered::Own),
            Err(error) => {
                return self.deliver(ask, effect, Delivery::alone(Landed::Failed(error), reason)).await;
            }
        };
        let status = fetched.status();
        for key in invalidated(&ask.method, &ask.key, status, fetched.headers()) {
            self.shared.store.empty(&key);
        }
        // What was asked with more than the key has is no answer to the key.
        let may_store = !effect.bypass && ask.target() == ask.key.path_and_query();
        if ask.method == Method::POST && may_store && !has_conditions(&ask.headers) {
            let intake = intake.after_post();
            if matches!(intake.judge(status, fetched.headers()).verdict, Verdict::Store(_))
                && let Some(errand) = self.errand(ask, effect, None, Pilot::unlisted())
            {
                let (leader, landed) = oneshot::channel();
                let take = Errand { intake, ..errand }.take(fetched, Some(leader));
                self.shared.spawn_for(&ask.site, Box::pin(take));
                let landed = landed.await.unwrap_or(Landed::Failed(FetchError::ProxyInternalError));
                return self.deliver(ask, effect, Delivery::alone(landed, reason)).await;
            }
        }
        let handled = Handled::Forwarded { reason, status: Some(status), stored: false, collapsed: false };
        (from_origin(fetched, handled), Answered::Pass)
    }

    /// Forwards a request as it is, past the store.
    pub(crate) async fn pass(&self, ask: &Arc<Ask>, reason: ForwardReason) -> (Written, Answered) {
        let forwarded = |status| Handled::Forwarded { reason, status, stored: false, collapsed: false };
        match self.forward(ask, None, ask.target()).await {
            Ok(fetched) => {
                let handled = forwarded(Some(fetched.status()));
                (from_origin(fetched, handled), Answered::Pass)
            }
            Err(error) => self.without_answer((error, error.status()), forwarded(None)),
        }
    }

    pub(crate) async fn forward(
        &self,
        ask: &Arc<Ask>,
        body: Option<RequestBody>,
        target: &str,
    ) -> Result<Fetched, FetchError> {
        let load = if body.is_some() { Load::Body } else { Load::Empty };
        let (Some(head), Some(fetcher)) = (compose(ask, load, target), self.fetcher(&ask.site)) else {
            return Err(FetchError::ProxyInternalError);
        };
        let fetched = fetcher.fetch(&head, body).await;
        ask.note_fetch(&fetched);
        fetched
    }
}

/// A request's body of so many bytes at most, and whether it was more; none where it says beforehand that it is.
fn limited(body: Incoming, most: u64) -> Option<(RequestBody, Arc<AtomicBool>)> {
    if body.size_hint().lower() > most {
        return None;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    let body = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX)).map_err(move |error| {
        if error.is::<LengthLimitError>() {
            told.store(true, Ordering::Relaxed);
        }
        error
    });
    Some((body.boxed_unsync(), is_over))
}

/// The answer to a body that is larger than the site takes (RFC 9110 §15.5.14).
fn too_large() -> Written {
    own(StatusCode::PAYLOAD_TOO_LARGE, "the site takes no body of this size")
}
