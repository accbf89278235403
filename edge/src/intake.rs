//! One response on its way into the store: judged, and kept if it may be.

use std::sync::Arc;

use caching::{
    Asked, CODED_BYTES, Coding, Judgement, Keep, Moment, Policy, Position, Received, Selector, Since, Terms, Verdict,
    displaces, judge, may_code, merge, set_unlike, vary_by_coding,
};
use http::{HeaderMap, Method, StatusCode, Version};

use crate::ask::Ask;
use crate::clock::today;
use crate::head::{Coded, Head, Storing};
use crate::object::Object;
use crate::shared::Shared;
use crate::store::Generation;

/// What a response has to be judged by.
pub(crate) struct Intake {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ask: Arc<Ask>,
    /// What the origin was asked with: GET, also for a HEAD, or POST.
    method: Method,
    pub(crate) policy: Policy,
    /// When the request went out, by the clock that does not jump.
    asked: Moment,
    /// The key's generation then.
    generation: Generation,
    /// Where the log of purges stood then.
    position: Position,
}

impl Intake {
    /// Call it before the request goes out: what the key loses from here on is not stored again.
    pub(crate) fn begin(shared: &Arc<Shared>, ask: &Arc<Ask>, policy: &Policy) -> Self {
        let generation = shared.store.generation(&ask.key);
        let position = shared.purging.position();
        let (shared, ask, asked, method) = (Arc::clone(shared), Arc::clone(ask), shared.clock.now(), Method::GET);
        Self { shared, ask, method, policy: policy.clone(), asked, generation, position }
    }

    /// Judges what a POST has drawn, from here on: what it has itself emptied its key of is gone, and what it
    /// brings may come in its place (RFC 9110 §9.3.3).
    pub(crate) fn after_post(self) -> Self {
        let generation = self.shared.store.generation(&self.ask.key);
        Self { method: Method::POST, generation, ..self }
    }

    /// Whether and how a response may be stored.
    pub(crate) fn judge(&self, status: StatusCode, headers: &HeaderMap) -> Judgement {
        let Self { method, ask, .. } = self;
        let asked = Asked { method, key: &ask.key, headers: &ask.headers, payload: ask.payload };
        // Of a clock that was set forward the other is right: what is new is not stale because of it.
        let received_at = today().min(self.shared.clock.now());
        let asked_at = received_at.before(self.shared.clock.now().since(self.asked));
        judge(&asked, &Received { status, headers, asked_at, received_at }, &self.policy)
    }

    /// Whether a response of this length is to be compressed before it is stored.
    pub(crate) fn compresses(&self, headers: &HeaderMap, length: u64) -> bool {
        self.policy.compress
            && CODED_BYTES.contains(&length)
            && usize::try_from(length)
                .is_ok_and(|length| length <= self.ask.site.room(&self.shared.room).window_bytes())
            && Coding::wanted(&self.ask.headers).is_some()
            && may_code(StatusCode::OK, headers)
    }

    /// The coding that a whole body is to be stored in, if any.
    pub(crate) fn coding(&self, head: &Head, length: u64) -> Option<Coding> {
        let is_to_be = head.status == StatusCode::OK && self.compresses(&head.headers, length);
        Coding::wanted(&self.ask.headers).filter(|_| is_to_be)
    }

    /// The head under which a response is kept.
    pub(crate) fn head(&self, start: (StatusCode, Version), mut keep: Keep) -> Head {
        if self.policy.compress {
            vary_by_coding(&mut keep.headers);
        }
        let selector =
            Selector::new(keep.nominated.clone(), &self.ask.headers, &keep.headers, self.shared.store.seed());
        // It came in by the time of day, and stays by the clock that does not jump.
        let terms = Terms { received_at: self.shared.clock.now(), ..keep.terms };
        Head::new(start, Keep { terms, ..keep }, selector, Since::fetch(self.position))
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
    /// may be stored. Its body is the one of then, which a hard purge since reaches; it is validated as of when
    /// the origin was asked.
    pub(crate) fn renew(&self, stored: &Object, answer: &HeaderMap) -> (Arc<Object>, Storing) {
        let mut merged = merge(&stored.head.headers, answer, today());
        // What was compressed here still is.
        let coded = stored
            .head
            .coded
            .as_ref()
            .map(|before| Coded { origin_tag: set_unlike(&mut merged).or_else(|| before.origin_tag.clone()) });
        let judgement = self.judge(stored.head.status, &merged);
        let start = (stored.head.status, stored.head.version);
        let (head, storing) = match judgement.verdict {
            Verdict::Store(keep) => (self.head(start, *keep), Storing::Yes),
            Verdict::Share(keep) => (self.head(start, *keep), Storing::No),
            Verdict::StorePart(..) | Verdict::Not(_) => {
                (Head { headers: Arc::new(merged), ..stored.head.clone() }, Storing::No)
            }
        };
        let since = Since { validated: self.position, ..stored.head.since };
        let head = Head { coded, since, ..head };
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
