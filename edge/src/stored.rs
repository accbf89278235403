//! Answering from what is stored: a body in memory, or one whose slices are read, joined or fetched.

use std::sync::Arc;

use bytes::Bytes;
use caching::{ForwardReason, Handled};
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use listen::empty;
use origin::FetchError;

use crate::answered::Answered;
use crate::ask::Ask;
use crate::edge::{Edge, Wish};
use crate::effect::Effect;
use crate::filling::Place;
use crate::object::{Body, Object};
use crate::part::Source;
use crate::reading::Reading;
use crate::respond::{Written, answer_of, from_object, from_slices};

/// Why a stored body is not read.
pub(crate) enum Unread {
    /// It is not there: it is to be fetched as if nothing were stored.
    Missing,
    /// What is missing could not be fetched.
    Failed(FetchError),
}

impl Edge {
    /// Answers from a stored object; where its body is missing, as if it were not stored.
    pub(crate) async fn hit(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        object: Arc<Object>,
        answered: Answered,
    ) -> (Written, Answered) {
        match self.from_stored(ask, effect, &object, None, Handled::Hit).await {
            Ok(written) if written.handled == Handled::Hit => (written, answered),
            Ok(written) => (written, Answered::Miss),
            Err(Unread::Missing) => {
                let variant = Some(object.head.selector.variant);
                Box::pin(self.fetch(ask, effect, Wish { stored: None, reason: ForwardReason::Partial, variant })).await
            }
            Err(Unread::Failed(error)) => {
                let handled = Handled::Forwarded {
                    reason: ForwardReason::Partial,
                    status: None,
                    stored: false,
                    collapsed: false,
                };
                self.without_answer((error, error.status()), handled)
            }
        }
    }

    /// Answers from a stored object. Of a body that is stored apart the first bytes are read before anything
    /// is answered: what is wrong with it is told by a status, or mended.
    pub(crate) async fn from_stored(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        object: &Arc<Object>,
        place: Option<Place>,
        handled: Handled,
    ) -> Result<Written, Unread> {
        let answer = answer_of(ask, object);
        let (sliced, part) = match (&object.body, answer.part) {
            (_, None) => return Ok(from_object(ask, object, answer, empty(), handled)),
            (Body::Whole(slices), Some(part)) => {
                let body = from_slices(slices, part);
                return Ok(from_object(ask, object, answer, body, handled));
            }
            (Body::Sliced(sliced), Some(part)) => (Arc::clone(sliced), part),
        };
        let fetcher = self.fetcher(&ask.site).ok_or(Unread::Failed(FetchError::ProxyInternalError))?;
        let shared = Arc::clone(&self.shared);
        let source = Source { shared, fetcher, ask: Arc::clone(ask), policy: effect.policy.clone() };
        let mut reading = Reading::new(source, Arc::clone(object), Arc::clone(&sliced), part, place);
        // All of it is fetched at once, not part by part.
        if answer.status == StatusCode::OK && handled == Handled::Hit && !reading.is_there() {
            return Err(Unread::Missing);
        }
        let first = match reading.read().await {
            Some(Ok(first)) => first,
            Some(Err(_)) if handled == Handled::Hit && !self.shared.store.has_body(&ask.key, sliced.id()) => {
                return Err(Unread::Missing);
            }
            Some(Err(error)) => return Err(Unread::Failed(error)),
            None => Bytes::new(),
        };
        let handled = match handled {
            Handled::Hit if reading.has_fetched() => Handled::Forwarded {
                reason: ForwardReason::Partial,
                status: Some(StatusCode::PARTIAL_CONTENT),
                stored: true,
                collapsed: false,
            },
            other => other,
        };
        let body = StreamBody::new(reading.into_frames(first)).boxed_unsync();
        Ok(from_object(ask, object, answer, body, handled))
    }

    /// Answers from an object after the origin was asked.
    pub(crate) async fn delivered(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        object: &Arc<Object>,
        place: Option<Place>,
        (handled, answered): (Handled, Answered),
    ) -> (Written, Answered) {
        match self.from_stored(ask, effect, object, place, handled).await {
            Ok(written) => (written, answered),
            Err(Unread::Missing) => {
                let error = FetchError::HttpResponseIncomplete;
                self.without_answer((error, error.status()), handled)
            }
            Err(Unread::Failed(error)) => self.without_answer((error, error.status()), handled),
        }
    }
}
