//! Leading a flight: ask the origin, judge, fill the store, tell those who wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caching::{
    Conclusion, ContentRange, Fallback, Keep, Moment, Part, Reuse, Sharing, Validators, Verdict, add_validators,
    conclude, displaces, forbids_transform, has_strong_tag, may_hide, reuse, set_whole,
};
use http::header::{CONTENT_LENGTH, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use origin::{FetchError, Fetched, Fetcher};
use tokio::sync::oneshot;

use crate::filling::{Filling, Place, Reader, Wanted};
use crate::flight::{Landing, Pilot};
use crate::head::Storing;
use crate::intake::Intake;
use crate::object::{Body, Object};
use crate::outgoing::compose_for_store;
use crate::part::fill_slices;
use crate::shared::SLICED_FROM;
use crate::sliced::may_be_sliced;
use crate::slices::Slices;

/// What came of a fetch, for the request that began it.
pub(crate) enum Landed {
    /// A response still coming, with a place at its first byte, and fields for who asked alone.
    Filling(Arc<Filling>, Option<Reader>, HeaderMap),
    /// The stored response holds.
    Holds(Arc<Object>, Storing),
    /// A response whose body is stored apart, as it comes; its status, and a place at the first byte.
    Brought(Arc<Object>, StatusCode, Option<Place>),
    /// A part that cannot be stored, and is another than the client asks for.
    Unfit,
    /// A response for this request alone.
    Own(Fetched),
    /// The origin answered with an error that the stored response may hide.
    Hidden(StatusCode),
    /// No response.
    Failed(FetchError),
}

impl Landed {
    /// What landed, for one of those who waited; `None`: each has to go alone.
    pub(crate) fn of(landing: Landing) -> Option<Self> {
        Some(match landing {
            Landing::Filling(filling) => {
                let reader = filling.join();
                Self::Filling(filling, reader, HeaderMap::new())
            }
            Landing::Holds(object) => Self::Holds(object, Storing::Yes),
            Landing::Brought(object, status) => Self::Brought(object, status, None),
            Landing::Failed(error) => Self::Failed(error),
            Landing::Hidden(status) => Self::Hidden(status),
            Landing::Again | Landing::Alone => return None,
        })
    }
}

/// A fetch for the store.
pub(crate) struct Errand {
    pub(crate) intake: Intake,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) stored: Option<Arc<Object>>,
    /// The part to ask for, where the client wants one and nothing is stored.
    pub(crate) range: Option<HeaderValue>,
    pub(crate) pilot: Pilot,
}

/// Bodies larger than this are gathered apart from the core: a copy of 64 MiB takes 10 ms.
const LARGE_BYTES: u64 = 1 << 20;

/// How long a fetch without a response goes on for those who may come: a client that reloads a page.
const ABANDONED: Duration = Duration::from_secs(1);

/// The length of a whole body that is to be stored in slices. What claims to be longer than may be is too long to be
/// stored at all, and slides past its readers.
fn sliced_whole(status: StatusCode, keep: &Keep, response: &Fetched) -> Option<u64> {
    let length = length_of(response).filter(|length| *length > SLICED_FROM && may_be_sliced(*length))?;
    (status == StatusCode::OK && has_strong_tag(&keep.headers)).then_some(length)
}

fn length_of(response: &Fetched) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}

/// Tells the leader, who may have hung up.
fn tell(leader: Option<oneshot::Sender<Landed>>, landed: Landed) {
    if let Some(leader) = leader {
        let _ = leader.send(landed);
    }
}

/// Whether a stored object may stand in for an origin that answers with this status (RFC 5861 §4).
pub(crate) fn hides(stored: &Object, status: StatusCode, now: Moment) -> bool {
    may_hide(status)
        && matches!(reuse(&stored.head.terms, now), Reuse::Stale { on_error: Fallback::Serve, .. } | Reuse::Grace)
}

impl Errand {
    /// Runs to the end of the fill, whether or not anybody still waits; but ends where all have gone
    /// before there is anything to fill. Nobody leads in the background.
    pub(crate) async fn run(self, mut leader: Option<oneshot::Sender<Landed>>) {
        let validators = self.stored.as_ref().map(|object| object.head.validators());
        let validators = validators.filter(|validators| !validators.is_empty());
        let mut fetched = tokio::select! {
            fetched = self.fetch(validators.as_ref()) => fetched,
            () = self.abandoned(&mut leader) => return,
        };
        let mut conclusion = self.conclusion(validators.as_ref(), &fetched);
        if conclusion == Some(Conclusion::Mismatch) {
            fetched = self.fetch(None).await;
            conclusion = self.conclusion(None, &fetched);
        }
        self.intake.ask.note_fetch(&fetched);
        let response = match fetched {
            Ok(response) => response,
            Err(error) => return self.finish(leader, Landing::Failed(error), Landed::Failed(error)),
        };
        match (conclusion, self.stored.clone()) {
            (Some(Conclusion::Holds), Some(stored)) => {
                let (object, storing) = self.intake.renew(&stored, response.headers());
                // A 304 may bring what only its asker may have, such as a cookie.
                let landing = match storing {
                    Storing::Yes => Landing::Holds(Arc::clone(&object)),
                    Storing::No => Landing::Alone,
                };
                self.finish(leader, landing, Landed::Holds(object, storing));
            }
            (Some(Conclusion::Failed), Some(stored)) if hides(&stored, response.status(), self.now()) => {
                // The others have the same object and hide the error too.
                let status = response.status();
                self.finish(leader, Landing::Hidden(status), Landed::Hidden(status));
            }
            _ => Box::pin(self.take(response, leader)).await,
        }
    }

    /// Resolves once the leader has gone and nobody has followed for a while.
    async fn abandoned(&self, leader: &mut Option<oneshot::Sender<Landed>>) {
        let Some(leader) = leader else {
            return std::future::pending().await;
        };
        leader.closed().await;
        loop {
            tokio::time::sleep(ABANDONED).await;
            if !self.pilot.is_followed() {
                return;
            }
        }
    }

    async fn fetch(&self, validators: Option<&Validators>) -> Result<Fetched, FetchError> {
        let mut head = compose_for_store(&self.intake.ask).ok_or(FetchError::ProxyInternalError)?;
        if let Some(validators) = validators {
            add_validators(head.headers.to_mut(), validators);
        }
        if let Some(range) = &self.range {
            head.headers.to_mut().insert(RANGE, range.clone());
        }
        self.fetcher.fetch(&head, None).await
    }

    fn conclusion(&self, validators: Option<&Validators>, fetched: &Result<Fetched, FetchError>) -> Option<Conclusion> {
        let response = fetched.as_ref().ok()?;
        let stored = self.stored.as_ref()?;
        let none = Validators::default();
        let concluded = conclude(validators.unwrap_or(&none), response.status(), response.headers());
        // What was compressed here is none that may be sent from now on.
        let is_forbidden = stored.head.coded.is_some() && forbids_transform(response.headers());
        Some(if concluded == Conclusion::Holds && is_forbidden { Conclusion::Mismatch } else { concluded })
    }

    fn now(&self) -> Moment {
        self.intake.shared.clock.now()
    }

    fn finish(self, leader: Option<oneshot::Sender<Landed>>, landing: Landing, landed: Landed) {
        self.pilot.land(landing);
        tell(leader, landed);
    }

    /// Takes a full response in: for the store, for those who wait, or for the leader alone.
    pub(crate) async fn take(self, response: Fetched, leader: Option<oneshot::Sender<Landed>>) {
        let (shared, key) = (&self.intake.shared, &self.intake.ask.key);
        let judgement = self.intake.judge(response.status(), response.headers());
        match judgement.sharing {
            Sharing::Alone { remember } if !remember.is_zero() => shared.alone.insert(key.hash(), ()),
            Sharing::Alone { .. } => {}
            Sharing::Shared => shared.alone.invalidate(&key.hash()),
        }
        let status = response.status();
        let (mut keep, storing) = match judgement.verdict {
            Verdict::Store(keep) => match sliced_whole(status, &keep, &response) {
                Some(length) if !self.intake.compresses(&keep.headers, length) => {
                    // In a box of its own, so that bodies that are kept whole do not carry it.
                    return Box::pin(self.take_slices(response, *keep, length, leader)).await;
                }
                _ => (keep, Storing::Yes),
            },
            Verdict::StorePart(keep, ContentRange { complete: Some(length), .. })
                if self.range.is_some() && self.compresses_whole(&keep, length) =>
            {
                // Begun as a part, it would never be compressed.
                return self.finish(leader, Landing::Again, Landed::Unfit);
            }
            Verdict::StorePart(keep, ContentRange { part, complete: Some(length) })
                if self.range.is_some() && may_be_sliced(length) && has_strong_tag(&keep.headers) =>
            {
                return Box::pin(self.take_part(response, *keep, part, length, leader)).await;
            }
            Verdict::Share(keep) => (keep, Storing::No),
            Verdict::StorePart(..) | Verdict::Not(_)
                if self.range.is_some() && status == StatusCode::PARTIAL_CONTENT =>
            {
                // Parts of it are asked for as the client asks from now on.
                shared.long.insert(key.hash(), ());
                return self.finish(leader, Landing::Again, Landed::Unfit);
            }
            Verdict::StorePart(..) | Verdict::Not(_) => {
                self.remove_displaced(status);
                return self.finish(leader, Landing::Alone, Landed::Own(response));
            }
        };
        let room = self.intake.ask.site.room(&shared.room);
        if room.is_spent() {
            self.remove_displaced(status);
            return self.finish(leader, Landing::Alone, Landed::Own(response));
        }
        let length = length_of(&response);
        let for_asker = std::mem::take(&mut keep.for_asker);
        let head = self.intake.head((status, response.version()), *keep);
        let filling = Arc::new(Filling::new(head, length, storing, room));
        let landing = match judgement.sharing {
            Sharing::Shared => Landing::Filling(Arc::clone(&filling)),
            Sharing::Alone { .. } => Landing::Alone,
        };
        self.pilot.land(landing);
        // Its place is kept before the first piece comes: a large body does not slide past it.
        let reader = filling.join();
        tell(leader, Landed::Filling(Arc::clone(&filling), reader, for_asker));
        self.fill(response, &filling).await;
    }

    /// What was validated and is answered anew no longer holds (RFC 9111 §4.3.3), also where the answer is not stored.
    fn remove_displaced(&self, status: StatusCode) {
        if let Some(stored) = self.stored.as_ref().filter(|_| displaces(&self.intake.ask.headers, status)) {
            self.intake.shared.store.remove_variant(&self.intake.ask.key, stored.head.selector.variant);
        }
    }

    /// Whether all of an object, of which this is a part, would be compressed.
    fn compresses_whole(&self, part: &Keep, length: u64) -> bool {
        let mut headers = part.headers.clone();
        set_whole(&mut headers, length);
        self.intake.compresses(&headers, length)
    }

    /// Takes a part in, the first that is known of its object.
    async fn take_part(
        self,
        response: Fetched,
        mut keep: Keep,
        part: Part,
        length: u64,
        leader: Option<oneshot::Sender<Landed>>,
    ) {
        set_whole(&mut keep.headers, length);
        self.take_slices_of(response, keep, part, length, leader).await;
    }

    /// Takes a whole body in whose slices are stored apart.
    async fn take_slices(self, response: Fetched, keep: Keep, length: u64, leader: Option<oneshot::Sender<Landed>>) {
        let part = Part { first: 0, last: length.saturating_sub(1) };
        self.take_slices_of(response, keep, part, length, leader).await;
    }

    /// The object is stored before its slices are there: whoever asks from here on finds it, and reads
    /// what has come, what comes, or has what is missing fetched.
    async fn take_slices_of(
        self,
        response: Fetched,
        keep: Keep,
        part: Part,
        length: u64,
        leader: Option<oneshot::Sender<Landed>>,
    ) {
        let Self { intake, pilot, .. } = self;
        let (shared, status) = (Arc::clone(&intake.shared), response.status());
        let head = intake.head((StatusCode::OK, response.version()), keep);
        let sliced = shared.sliced(&intake.ask.key, &intake.ask.headers, &head, length);
        let filling = Filling::sliced(head.clone(), part.first, part.length(), intake.ask.site.room(&shared.room));
        let (filling, place) = sliced.begin(filling);
        let object = Arc::new(Object::new(head, Body::Sliced(Arc::clone(&sliced))));
        intake.put(Arc::clone(&object));
        pilot.land(Landing::Brought(Arc::clone(&object), status));
        tell(leader, Landed::Brought(object, status, place));
        // Others find it in the store.
        drop(pilot);
        let end = fill_slices(&shared.store, (&intake.ask.key, &sliced), &filling, response, part).await;
        filling.end(end);
    }

    /// Stores a whole body, compressed if the site wants that and it is worth it.
    async fn store(&self, filling: &Filling, pieces: Vec<Bytes>, length: u64) {
        let head = &filling.head;
        let coding = self.intake.coding(head, length);
        let coded = match coding {
            Some(coding) => self.intake.shared.compressing.code(&pieces, coding).await.map(|coded| (coding, coded)),
            None => None,
        };
        let is_coded = coded.is_some();
        let (head, pieces) = match coded {
            Some((coding, bytes)) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                (head.clone().coded(coding, length), vec![bytes])
            }
            None => (head.clone(), pieces),
        };
        let gather = move || Slices::gather(&pieces);
        let gathered =
            if length > LARGE_BYTES { tokio::task::spawn_blocking(gather).await.ok() } else { Some(gather()) };
        let Some(slices) = gathered.map(Arc::new) else { return };
        if !is_coded {
            filling.go_on_in(Arc::clone(&slices));
        }
        self.intake.put(Arc::new(Object::new(head, Body::Whole(slices))));
    }

    /// Reads the body to its end. The flight lasts until the object is in the store, so that no
    /// request finds neither.
    async fn fill(self, response: Fetched, filling: &Filling) {
        let mut body = response.into_body();
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
        if let Some(pieces) = filling.end(end).filter(|_| filling.storing == Storing::Yes) {
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            let length = u64::try_from(bytes).unwrap_or(u64::MAX);
            if filling.length.is_none_or(|told| told == length) {
                self.store(filling, pieces, length).await;
            }
        }
        drop(self.pilot);
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{Client, Stage};

    #[test]
    fn while_clients_hold_too_much_a_body_is_passed_on_and_kept_by_nobody() {
        let stage = Stage::new("");
        let mut client = Client::to(stage.general);
        let mut ask = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
        let all = stage.shared.room.window_bytes() * 10;
        stage.shared.room.take(all);
        for _ in 0..2 {
            let passed = ask("/plain/held");
            assert!(passed.contains("fwd=uri-miss") && !passed.contains("stored"), "{passed}");
            assert!(passed.ends_with("\r\n\r\n/plain/held"), "{passed}");
        }
        stage.shared.room.give_back(all);
        assert!(ask("/plain/held").contains("stored"));
        assert!(ask("/plain/held").contains("hit"));
    }
}
