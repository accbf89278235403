//! Requests that the store does not answer: other methods, HEAD, and what the origin has to answer itself.

use std::sync::Arc;

use caching::{ForwardReason, Handled, HeadWord, Verdict, compare_head, displaces, has_conditions, invalidated};
use http::Method;
use origin::{FetchError, Fetched, RequestBody};
use tokio::sync::oneshot;

use crate::ask::Ask;
use crate::edge::{Delivery, Edge, Wish};
use crate::fetching::{Errand, Landed, hides};
use crate::flight::Pilot;
use crate::intake::Intake;
use crate::outgoing::{Load, compose};
use crate::respond::{Written, from_origin};
use crate::sites::{Answered, Effect};

impl Edge {
    /// Answers a HEAD by the origin's own word, which also tells whether what is stored still holds
    /// (RFC 9111 §4.3.5).
    pub(crate) async fn ask_for_head(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        wish: Wish,
    ) -> (Written, Answered) {
        let mut intake = Intake::begin(&self.shared, ask, effect.policy);
        let fetched = match (self.forward(ask, None).await, &wish.stored) {
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
            // The body is the one of then.
            intake.position = stored.head.position;
            match compare_head(&stored.head.headers, status, headers) {
                HeadWord::Agrees => drop(intake.renew(stored, headers)),
                HeadWord::Differs if displaces(&ask.headers, status) => {
                    self.shared.store.remove_variant(&ask.key, stored.head.selector.variant);
                }
                HeadWord::Differs | HeadWord::Silent => {}
            }
        }
        let (reason, status) = (wish.reason, Some(status));
        (from_origin(fetched, Handled::Forwarded { reason, status, stored: false, collapsed: false }), Answered::Pass)
    }

    /// Forwards a request of a method that is not answered from the store; a change at the origin empties
    /// its keys, and what a POST brings may be stored (RFC 9110 §9.3.3).
    pub(crate) async fn send(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        body: RequestBody,
    ) -> (Written, Answered) {
        let intake = Intake::begin(&self.shared, ask, effect.policy);
        let reason = ForwardReason::Method;
        let fetched = match self.forward(ask, Some(body)).await {
            Ok(fetched) => fetched,
            Err(error) => {
                return self.deliver(ask, effect, Delivery::alone(Landed::Failed(error), reason)).await;
            }
        };
        let status = fetched.status();
        for key in invalidated(&ask.method, &ask.key, status, fetched.headers()) {
            self.shared.store.empty(&key);
        }
        if ask.method == Method::POST && !has_conditions(&ask.headers) {
            let intake = intake.after_post();
            if matches!(intake.judge(status, fetched.headers()).verdict, Verdict::Store(_))
                && let Some(errand) = self.errand(ask, effect, None, Pilot::unlisted())
            {
                let (leader, landed) = oneshot::channel();
                tokio::spawn(Errand { intake, ..errand }.take(fetched, Some(leader)));
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
        match self.forward(ask, None).await {
            Ok(fetched) => {
                let handled = forwarded(Some(fetched.status()));
                (from_origin(fetched, handled), Answered::Pass)
            }
            Err(error) => self.without_answer((error, error.status()), forwarded(None)),
        }
    }

    async fn forward(&self, ask: &Arc<Ask>, body: Option<RequestBody>) -> Result<Fetched, FetchError> {
        let load = if body.is_some() { Load::Body } else { Load::Empty };
        let (Some(head), Some(fetcher)) = (compose(ask, load), self.fetcher(&ask.site)) else {
            return Err(FetchError::ProxyInternalError);
        };
        let fetched = fetcher.fetch(head, body).await;
        ask.site.count_fetch(&fetched);
        fetched
    }
}
