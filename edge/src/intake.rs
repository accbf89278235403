//! One response on its way into the store: judged, and kept if it may be.

use std::sync::Arc;

use caching::{
    Asked, Judgement, Keep, Moment, Payload, Policy, Position, Received, Selector, Terms, Verdict, displaces, judge,
    merge,
};
use http::{HeaderMap, Method, StatusCode};

use crate::ask::Ask;
use crate::clock::today;
use crate::head::{Head, Storing};
use crate::object::Object;
use crate::shared::Shared;
use crate::store::Generation;

/// What a response to a GET has to be judged by.
pub(crate) struct Intake {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ask: Arc<Ask>,
    pub(crate) policy: Policy,
    /// When the request went out.
    pub(crate) asked_at: Moment,
    /// The key's generation then.
    generation: Generation,
    /// Where the log of purges stood then.
    pub(crate) position: Position,
}

impl Intake {
    /// Call it before the request goes out: what the key loses from here on is not stored again.
    pub(crate) fn begin(shared: &Arc<Shared>, ask: &Arc<Ask>, policy: Policy) -> Self {
        let generation = shared.store.generation(&ask.key);
        let position = shared.purging.position();
        Self { shared: Arc::clone(shared), ask: Arc::clone(ask), policy, asked_at: today(), generation, position }
    }

    /// Whether and how a response may be stored, as the answer to a GET without a body.
    pub(crate) fn judge(&self, status: StatusCode, headers: &HeaderMap) -> Judgement {
        let asked =
            Asked { method: &Method::GET, key: &self.ask.key, headers: &self.ask.headers, payload: Payload::Empty };
        judge(&asked, &Received { status, headers, asked_at: self.asked_at, received_at: today() }, &self.policy)
    }

    /// The head under which a response is kept.
    pub(crate) fn head(&self, status: StatusCode, keep: Keep) -> Head {
        let selector =
            Selector::new(keep.nominated.clone(), &self.ask.headers, &keep.headers, self.shared.store.seed());
        // It came in by the time of day, and stays by the clock that does not jump.
        let terms = Terms { received_at: self.shared.clock.now(), ..keep.terms };
        Head::new(status, Keep { terms, ..keep }, selector, self.position)
    }

    /// Puts an object into the store, unless it was purged or its key emptied since the request went out: what
    /// was fetched after that may be there already.
    pub(crate) fn put(&self, object: Arc<Object>) {
        if self.shared.is_purged(&self.ask.key, &object.head) {
            return;
        }
        self.shared.store.put(&self.ask.key, Arc::clone(&object), self.generation);
        self.shared.store.keep(&self.ask.key, &object, self.ask.now);
    }

    /// The stored object with the fields of an answer that says it holds, in its place if it still
    /// may be stored.
    pub(crate) fn renew(&self, stored: &Object, answer: &HeaderMap) -> (Arc<Object>, Storing) {
        let merged = merge(&stored.head.headers, answer, today());
        let judgement = self.judge(stored.head.status, &merged);
        let (head, storing) = match judgement.verdict {
            Verdict::Store(keep) => (self.head(stored.head.status, *keep), Storing::Yes),
            Verdict::Share(keep) => (self.head(stored.head.status, *keep), Storing::No),
            Verdict::StorePart(..) | Verdict::Not(_) => (Head { headers: merged, ..stored.head.clone() }, Storing::No),
        };

        let before = stored.head.selector.variant;
        let moved = head.selector.variant != before;
        let object = Arc::new(Object::new(head, stored.body.clone()));
        if storing == Storing::Yes {
            self.put(Arc::clone(&object));
        }
        // Put first: there is no moment at which the key has neither.
        let ends = storing == Storing::No && displaces(&self.ask.headers, StatusCode::NOT_MODIFIED);
        if ends || (moved && storing == Storing::Yes) {
            self.shared.store.remove_variant(&self.ask.key, before);
        }
        (object, storing)
    }
}
