//! Fetching a part of a body whose slices are stored apart.

use std::sync::Arc;

use caching::{CacheKey, ContentRange, Part, Policy, ask_for_part, is_same_representation, is_same_whole};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use origin::{FetchError, Fetched, Fetcher};

use crate::ask::Ask;
use crate::filling::{Filling, Place, Wanted};
use crate::intake::Intake;
use crate::object::Object;
use crate::outgoing::compose_for_store;
use crate::shared::Shared;
use crate::sliced::{Sliced, Slicer};
use crate::store::Store;

/// Where a request's parts come from, besides the store.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) shared: Arc<Shared>,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) ask: Arc<Ask>,
    pub(crate) policy: Policy,
}

impl Source {
    /// A place at a byte: in a fetch under way, else in one that begins for it and runs in a task of its
    /// own.
    pub(crate) fn fetch(&self, object: &Arc<Object>, sliced: &Arc<Sliced>, part: Part, at: u64) -> Option<Place> {
        let room = self.ask.site.room(&self.shared.room);
        let begin = || Filling::sliced(object.head.clone(), part.first, part.length(), room);
        let (place, begun) = sliced.join_or_begin(at, begin)?;
        if let Some(filling) = begun {
            let (source, object, sliced) = (self.clone(), Arc::clone(object), Arc::clone(sliced));
            tokio::spawn(async move {
                let end = source.fill(&object, &sliced, part, &filling).await;
                filling.end(end);
            });
        }
        Some(place)
    }

    async fn fill(&self, object: &Object, sliced: &Sliced, part: Part, filling: &Filling) -> Result<(), FetchError> {
        let store = &self.shared.store;
        let intake = Intake::begin(&self.shared, &self.ask, &self.policy);
        let mut head = compose_for_store(&self.ask).ok_or(FetchError::ProxyInternalError)?;
        if !ask_for_part(head.headers.to_mut(), &object.head.headers, part) {
            store.remove_body(&self.ask.key, sliced.id());
            return Err(FetchError::HttpResponseIncomplete);
        }
        let fetched = self.fetcher.fetch(&head, None).await;
        self.ask.note_fetch(&fetched);
        let response = fetched?;
        match fit(&object.head.headers, sliced.length, part, response.status(), response.headers()) {
            Fit::Part(part) => {
                let _ = intake.renew(object, response.headers());
                fill_slices(store, (&self.ask.key, sliced), filling, response, part).await
            }
            Fit::Whole => {
                sliced.note_ranges_ignored();
                let _ = intake.renew(object, response.headers());
                let whole = Part { first: 0, last: sliced.length.saturating_sub(1) };
                fill_slices(store, (&self.ask.key, sliced), filling, response, whole).await
            }
            Fit::Other => {
                store.remove_body(&self.ask.key, sliced.id());
                Err(FetchError::HttpResponseIncomplete)
            }
            Fit::Failed => Err(FetchError::HttpProtocolError),
        }
    }
}

/// Whether an answer is the part that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// It is, or its beginning.
    Part(Part),
    /// It is all of the same version: "A server MAY ignore the Range header field" (RFC 9110 §14.2).
    Whole,
    /// It is about another version: what is stored is no longer what the origin has.
    Other,
    /// The origin failed.
    Failed,
}

/// RFC 9111 §3.4: "a cache MAY combine" parts "if they share the same strong validator"; RFC 9110 §15.3.7: "A
/// client MUST inspect a 206 response's Content-Type and Content-Range field(s) to determine what parts are
/// enclosed".
fn fit(stored: &HeaderMap, length: u64, asked: Part, status: StatusCode, answer: &HeaderMap) -> Fit {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Fit::Failed;
    }
    if status == StatusCode::OK && is_same_whole(stored, length, answer) {
        return Fit::Whole;
    }
    if status != StatusCode::PARTIAL_CONTENT || !is_same_representation(stored, answer) {
        return Fit::Other;
    }
    match ContentRange::of(answer) {
        Some(ContentRange { part, complete: Some(complete) })
            if complete == length && part.first == asked.first && part.last <= asked.last =>
        {
            Fit::Part(part)
        }
        _ => Fit::Other,
    }
}

/// Reads a body into slices, and to those who wait for a part of it, up to the end of that. One that has another length
/// than it should is of another version, whatever its tag says: what is stored goes.
pub(crate) async fn fill_slices(
    store: &Store,
    (key, sliced): (&CacheKey, &Sliced),
    filling: &Filling,
    response: Fetched,
    part: Part,
) -> Result<(), FetchError> {
    let mut body = response.into_body();
    let mut slicer = Slicer::at(part.first, part.length());
    let mut come = 0;
    let odd = |error: FetchError| -> Result<(), FetchError> {
        store.remove_body(key, sliced.id());
        Err(error)
    };
    let end = loop {
        let frame = match body.frame().await {
            None if come == part.length() => break Ok(()),
            None => break odd(FetchError::HttpResponseIncomplete),
            Some(Err(error)) => break Err(error),
            Some(Ok(frame)) => frame,
        };
        let Some(piece) = frame.into_data().ok().filter(|piece| !piece.is_empty()) else {
            continue;
        };
        let at = part.first + come;
        come += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if come > part.length() {
            break odd(FetchError::HttpProtocolError);
        }
        // Stored before it is told of: whoever falls behind finds it there.
        for (number, span) in slicer.push(&piece) {
            store.put_span(key, sliced, number, &span);
        }
        let wanted = filling.wanted_of(piece, at);
        if !wanted.is_empty() && filling.add(wanted).await == Wanted::No {
            break Err(FetchError::HttpResponseIncomplete);
        }
        if filling.is_all_before(part.first + come) {
            break Ok(());
        }
    };
    if let Some((number, span)) = slicer.take() {
        store.put_span(key, sliced, number, &span);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};

    #[test]
    fn only_a_part_of_the_same_version_fits() {
        let asked = Part { first: 5, last: 9 };
        let table = [
            (206, "\"a\"", "bytes 5-9/20", Fit::Part(asked)),
            (206, "\"a\"", "bytes 5-7/20", Fit::Part(Part { first: 5, last: 7 })),
            (206, "\"b\"", "bytes 5-9/20", Fit::Other),
            (206, "W/\"a\"", "bytes 5-9/20", Fit::Other),
            (206, "\"a\"", "bytes 5-9/21", Fit::Other),
            (206, "\"a\"", "bytes 5-9/*", Fit::Other),
            (206, "\"a\"", "bytes 0-9/20", Fit::Other),
            (206, "\"a\"", "bytes 5-10/20", Fit::Other),
            (206, "\"a\"", "nonsense", Fit::Other),
            (200, "\"a\"", "", Fit::Whole),
            (200, "\"b\"", "", Fit::Other),
            (200, "W/\"a\"", "", Fit::Other),
            (416, "\"a\"", "bytes */20", Fit::Other),
            (404, "\"a\"", "", Fit::Other),
            (503, "\"a\"", "", Fit::Failed),
            (429, "\"a\"", "", Fit::Failed),
        ];
        let fields = |etag, range| {
            HeaderMap::from_iter([
                (ETAG, HeaderValue::from_static(etag)),
                (CONTENT_RANGE, HeaderValue::from_static(range)),
            ])
        };
        for (status, etag, range, expected) in table {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                fit(&fields("\"a\"", ""), 20, asked, status, &fields(etag, range)),
                expected,
                "{status} {etag} {range}"
            );
        }
    }

    #[test]
    fn a_whole_with_the_same_tag_and_another_length_or_coding_is_of_another_version() {
        let table = [
            (CONTENT_LENGTH, "20", Fit::Whole),
            (CONTENT_LENGTH, "19", Fit::Other),
            (CONTENT_LENGTH, "21", Fit::Other),
            (CONTENT_ENCODING, "gzip", Fit::Other),
        ];
        let tag = (ETAG, HeaderValue::from_static("\"a\""));
        let stored = HeaderMap::from_iter([tag.clone()]);
        for (name, value, expected) in table {
            let answer = HeaderMap::from_iter([tag.clone(), (name, HeaderValue::from_static(value))]);
            let asked = Part { first: 5, last: 9 };
            assert_eq!(fit(&stored, 20, asked, StatusCode::OK, &answer), expected, "{answer:?}");
        }
    }
}
