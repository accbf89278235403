//! One request, from the client's to the answer: the driver.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use caching::{
    Admission, Fallback, ForwardReason, Handled, Payload, Reuse, Variant, admit, has_conditions, reuse, widen,
};
use config::{Origin, SiteId};
use futures_util::FutureExt;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use listen::{AtOnce, Body, Connection, Handler, Incoming, Mount, Plain, Reply, Whole};
use origin::{FetchError, Fetcher, Places, Servers, Switched};
use tokio::sync::oneshot;

use crate::answered::Answered;
use crate::ask::{Ask, read};
use crate::client::Caller;
use crate::counted::{Counted, Tally, lead, note_refusal};
use crate::effect::{Effect, OwnReply};
use crate::fast::{AsWritten, Fast};
use crate::fetching::{Errand, Landed};
use crate::flight::{FlightKey, Landing, Part, Pilot, landed};
use crate::head::Storing;
use crate::health::Health;
use crate::intake::Intake;
use crate::object::Object;
use crate::reading::MOST_AT_ONCE;
use crate::respond::{
    Written, closed, failed, from_filling, from_origin, no_content, not_allowed, not_cached, options, over_tls, own,
    redirect, refuse, too_many, written_in_config,
};
use crate::shared::Shared;
use crate::sites::Site;
use crate::sliced::SLICE;
use crate::store::Found;

/// What answers on one core: every site, and the health of the edge. Call it on the core.
#[must_use]
pub fn mounts(shared: &Arc<Shared>) -> Vec<Mount> {
    shared.beat();
    let edge = Arc::new(Edge {
        shared: Arc::clone(shared),
        fetchers: Mutex::default(),
        places: Places::of_all(),
        fast: Fast::new(shared),
    });
    vec![
        Mount { path: "/", handler: Arc::new(Core(edge)) },
        Mount { path: "/.hither/", handler: Arc::new(Health(Arc::clone(shared))) },
    ]
}

/// The edge on one core.
pub(crate) struct Edge {
    pub(crate) shared: Arc<Shared>,
    /// This core's own: the lock is never waited for.
    fetchers: Mutex<HashMap<SiteId, OfSite>>,
    /// This core's, for fetches from all origins.
    places: Places,
    fast: Fast,
}

/// A fetcher, and what it was made of.
struct OfSite {
    origin: Origin,
    servers: Arc<Servers>,
    fetcher: Arc<Fetcher>,
}

struct Core(Arc<Edge>);

impl Handler for Core {
    fn at_once(&self, plain: &Plain<'_>, connection: &Connection, head: &mut Vec<u8>) -> Option<AtOnce> {
        // The general way panics, too, and tells of it.
        catch_unwind(AssertUnwindSafe(|| self.0.fast.at_once(plain, connection, head))).unwrap_or_default()
    }

    fn whole_at_once(&self, head: &Parts, connection: &Connection) -> Option<Whole> {
        catch_unwind(AssertUnwindSafe(|| self.0.fast.whole_at_once(head, connection))).unwrap_or_default()
    }

    fn takes_turns(&self) -> bool {
        true
    }

    fn serve(&self, request: Request<Incoming>, connection: Connection) -> Reply {
        Box::pin(answer_or_fail(Arc::clone(&self.0), request, connection))
    }
}

/// Answers; a panic is one request's, and its site's to bear.
async fn answer_or_fail(edge: Arc<Edge>, request: Request<Incoming>, connection: Connection) -> Response<Body> {
    let asked = OnceLock::new();
    // Where it is: it is large, and would be moved into what catches its panics.
    let answering = pin!(answer(&edge, request, connection, &asked));
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        asked.get().into_iter().for_each(|site| edge.shared.note_panic(site));
        own(StatusCode::INTERNAL_SERVER_ERROR, "a fault of the edge, which is told to its operator")
            .sign(edge.shared.id.as_str())
    })
}

/// Answers; `asked` is set as soon as it is known whose site the request is for.
async fn answer(
    edge: &Arc<Edge>,
    request: Request<Incoming>,
    connection: Connection,
    asked: &OnceLock<Arc<Site>>,
) -> Response<Body> {
    let started = Instant::now();
    let (shared, node) = (&edge.shared, edge.shared.id.as_str());
    let Some(sites) = shared.sites.load_full() else {
        return own(StatusCode::SERVICE_UNAVAILABLE, "no config is loaded yet").sign(node);
    };
    let now = shared.clock.now();
    let (mut head, body) = request.into_parts();
    let payload = if body.is_end_stream() { Payload::Empty } else { Payload::Present };
    let as_written = AsWritten::of(&head, &connection).filter(|_| payload == Payload::Empty);
    let trusted = if connection.is_relayed { &[] } else { sites.proxies.as_slice() };
    let caller = Caller::of(connection.peer.ip(), trusted, &head.headers);
    let said = shared.said(|access| access.said(&head.headers));
    let (ask, effect) = match read(now, &sites, node, (&mut head, payload), (&connection, &caller), asked) {
        Ok((mut ask, effect)) => {
            ask.said = said;
            (Arc::new(ask), effect)
        }
        Err(refusal) => {
            let response = refuse(refusal).sign(node);
            note_refusal(shared, &head, (caller.client, &said), &connection, response.status());
            return response;
        }
    };
    let (mut written, answered) = edge.serve(&ask, &effect, body).await;
    effect.edit(written.response.status(), written.response.headers_mut(), &ask.variables(node));
    if answered == Answered::Hit
        && let Some(as_written) = as_written
    {
        edge.fast.learn(as_written, (&ask, &effect), &connection, &sites);
    }
    let mut response = written.sign(node);
    let length = response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(length) = length {
        let _ = ask.expected.set(length);
    }
    let status = response.status().as_u16();
    let tally = Tally::new(Arc::clone(shared), Arc::clone(&ask), status, answered, started);
    if let Some(switched) = response.extensions_mut().remove::<Switched>() {
        return lead(response, &switched, tally);
    }
    response.map(|body| Counted::new(body, tally).boxed_unsync())
}

impl Edge {
    /// Answers: by the site's rules, from the store, or from the origin.
    async fn serve(self: &Arc<Self>, ask: &Arc<Ask>, effect: &Effect<'_>, body: Incoming) -> (Written, Answered) {
        let admission = admit(&ask.method, &ask.headers);
        match admission {
            Admission::Refuse => return (not_allowed(), Answered::Own),
            Admission::Last => return (options(), Answered::Own),
            Admission::Cache | Admission::OnlyIfCached | Admission::Pass => {}
        }
        if let Some(port) = ask.sent_to {
            return (over_tls(ask, port), Answered::Own);
        }
        if let Some(page) = effect.maintenance {
            return (closed(page), Answered::Own);
        }
        // Browsers send neither credentials nor a signature with one.
        if effect.is_preflight() {
            return (no_content(), Answered::Own);
        }
        if let Some(why) = effect.refused {
            return (own(StatusCode::FORBIDDEN, why), Answered::Own);
        }
        let of_site = |(rate, who)| self.shared.rates.take(ask.site.id.as_str(), rate, who).err();
        if let Some(wait) = effect.rate.and_then(of_site) {
            return (too_many(wait), Answered::Own);
        }
        match effect.reply {
            Some(OwnReply::Redirect(status, location)) => return (redirect(status, location), Answered::Own),
            Some(OwnReply::Answer(answer)) => return (written_in_config(answer), Answered::Own),
            None => {}
        }
        if ask.wants_switch() {
            return self.switch(ask).await;
        }
        if admission == Admission::Pass {
            // This, and fetches for the store, in boxes of their own: others do not carry them.
            return Box::pin(self.send(ask, effect, body)).await;
        }
        if (effect.is_ambiguous || effect.bypass) && admission == Admission::Cache {
            return self.pass(ask, ForwardReason::Bypass).await;
        }
        if effect.bypass {
            return (not_cached("nothing is stored for this request"), Answered::Own);
        }
        let found = self.shared.find(ask).await;
        let Found::Object(object) = found else {
            if admission == Admission::OnlyIfCached {
                return (not_cached("nothing is stored for this request"), Answered::Own);
            }
            let (reason, variant) = match found {
                Found::OtherVariants(names) => (ForwardReason::VaryMiss, Some(self.variant(&names, ask))),
                _ => (ForwardReason::UriMiss, None),
            };
            return Box::pin(self.fetch(ask, effect, Wish { stored: None, reason, variant })).await;
        };
        self.shared.store.keep(&ask.key, &object, ask.now);
        match reuse(&object.head.terms, ask.now) {
            Reuse::Fresh => self.hit(ask, effect, object, Answered::Hit).await,
            Reuse::Grace => {
                self.renew_in_background(ask, effect, &object);
                self.hit(ask, effect, object, Answered::Stale).await
            }
            Reuse::Stale { .. } | Reuse::Validate if admission == Admission::OnlyIfCached => {
                (not_cached("what is stored may not be used"), Answered::Own)
            }
            Reuse::Stale { .. } | Reuse::Validate => {
                let variant = Some(object.head.selector.variant);
                let wish = Wish { stored: Some(object), reason: ForwardReason::Stale, variant };
                Box::pin(self.fetch(ask, effect, wish)).await
            }
        }
    }

    fn variant(&self, nominated: &[http::HeaderName], ask: &Ask) -> Variant {
        Variant::of(nominated, &ask.headers, self.shared.store.seed())
    }

    /// A request's part in the flight that is for it now.
    fn join(&self, key: FlightKey) -> Part {
        let generation = self.shared.store.generation(&key.key);
        self.shared.flights.join(key, generation)
    }

    /// Fetches for the store, together with all who ask for the same now.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        mut wish: Wish,
    ) -> (Written, Answered) {
        if ask.method == Method::HEAD {
            return Box::pin(self.ask_for_head(ask, effect, wish)).await;
        }
        let is_part = ask.headers.contains_key(header::RANGE);
        if is_part && wish.stored.is_none() && self.shared.long.contains_key(&ask.key.hash()) {
            return self.pass(ask, wish.reason).await;
        }
        if self.shared.alone.contains_key(&ask.key.hash()) {
            return self.fetch_alone(ask, effect, wish).await;
        }
        for _ in 0..FLIGHTS {
            let key = FlightKey { key: ask.key.clone(), variant: wish.variant };
            let receiver = match self.join(key.clone()) {
                Part::Leader(pilot) => return self.fetch_for_all(ask, effect, wish, pilot).await,
                Part::Follower(receiver) => receiver,
            };
            let landing = landed(receiver.clone()).await;
            if matches!(landing, Landing::Again) {
                continue;
            }
            // It may have begun before a purge that came before this request.
            if landing.head().is_some_and(|head| self.shared.is_purged(&ask.key, head)) {
                self.shared.flights.retire(&key, &receiver);
                continue;
            }
            let Some(nominated) = landing.of_another_variant(&ask.headers, self.shared.store.seed()) else {
                return match Landed::of(landing) {
                    Some(landed) => self.deliver(ask, effect, Delivery::collapsed(landed, wish)).await,
                    None => self.fetch_alone(ask, effect, wish).await,
                };
            };
            // Now it is known what the key varies by: all who want this variant fly together.
            wish = Wish { reason: ForwardReason::VaryMiss, variant: Some(self.variant(&nominated, ask)), ..wish };
        }
        let landed = self.lead(ask, effect, wish.stored.clone(), Pilot::unlisted()).await;
        self.deliver(ask, effect, Delivery::own(landed, wish)).await
    }

    /// Leads a flight that others may have joined.
    async fn fetch_for_all(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        wish: Wish,
        pilot: Pilot,
    ) -> (Written, Answered) {
        // The flight before may have landed since the store was looked at.
        if let Found::Object(object) = self.shared.store.find(&ask.key, &ask.headers)
            && reuse(&object.head.terms, ask.now) == Reuse::Fresh
            && let Ok(written) = self.from_stored(ask, effect, &object, None, Handled::Hit).await
        {
            pilot.land(Landing::Holds(object));
            return (written, Answered::Hit);
        }
        let landed = self.lead(ask, effect, wish.stored.clone(), pilot).await;
        self.deliver(ask, effect, Delivery::own(landed, wish)).await
    }

    /// Fetches for this request alone. What comes back is judged as ever, and stored if it may be by
    /// now; but where nothing is stored a request with conditions or a range is forwarded as it is,
    /// since the whole, for it alone, would be more than it asks for.
    async fn fetch_alone(self: &Arc<Self>, ask: &Arc<Ask>, effect: &Effect<'_>, wish: Wish) -> (Written, Answered) {
        if wish.stored.is_none() && has_conditions(&ask.headers) {
            return self.pass(ask, wish.reason).await;
        }
        let landed = self.lead(ask, effect, wish.stored.clone(), Pilot::unlisted()).await;
        self.deliver(ask, effect, Delivery::own(landed, wish)).await
    }

    /// Leads a flight, and waits for it to land.
    async fn lead(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        stored: Option<Arc<Object>>,
        pilot: Pilot,
    ) -> Landed {
        match self.begin(ask, effect, stored, pilot) {
            // A silent end is a panic, of ours.
            Some(landed) => landed.await.unwrap_or(Landed::Failed(FetchError::ProxyInternalError)),
            None => Landed::Failed(FetchError::ProxyInternalError),
        }
    }

    /// Begins a fetch in a task of its own: it outlives the client that began it.
    fn begin(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        stored: Option<Arc<Object>>,
        pilot: Pilot,
    ) -> Option<oneshot::Receiver<Landed>> {
        let (sender, receiver) = oneshot::channel();
        let errand = self.errand(ask, effect, stored, pilot)?;
        self.shared.spawn_for(&ask.site, Box::pin(errand.run(Some(sender))));
        Some(receiver)
    }

    pub(crate) fn errand(
        &self,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        stored: Option<Arc<Object>>,
        pilot: Pilot,
    ) -> Option<Errand> {
        // It may have been purged since it was found.
        let stored = stored.filter(|object| !self.shared.is_purged(&ask.key, &object.head));
        let range = if stored.is_some() { None } else { widen(&ask.method, &ask.headers, SLICE, MOST_AT_ONCE) };
        let fetcher = self.fetcher(&ask.site)?;
        let intake = Intake::begin(&self.shared, ask, &effect.policy);
        Some(Errand { intake, fetcher, stored, range, pilot })
    }

    fn renew_in_background(self: &Arc<Self>, ask: &Arc<Ask>, effect: &Effect<'_>, object: &Arc<Object>) {
        let variant = Some(object.head.selector.variant);
        if let Part::Leader(pilot) = self.join(FlightKey { key: ask.key.clone(), variant }) {
            let errand = self.errand(ask, effect, Some(Arc::clone(object)), pilot);
            errand.into_iter().for_each(|errand| self.shared.spawn_for(&ask.site, Box::pin(errand.run(None))));
        }
    }

    /// Answers with what a fetch brought.
    pub(crate) async fn deliver(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        effect: &Effect<'_>,
        delivery: Delivery,
    ) -> (Written, Answered) {
        let Delivery { landed, stored, reason, collapsed } = delivery;
        let forwarded = |status, stored| Handled::Forwarded { reason, status, stored, collapsed };
        match landed {
            Landed::Filling(filling, reader, for_asker) => {
                let long = filling.is_long();
                // A part of a long body is asked for as a part.
                let usable = !(long && ask.headers.contains_key(header::RANGE));
                if long {
                    self.shared.long.insert(ask.key.hash(), ());
                }
                match reader.filter(|_| usable) {
                    Some(reader) => {
                        let stored = filling.storing == Storing::Yes && !long;
                        let handled = forwarded(Some(filling.head.status), stored);
                        let mut written = from_filling(ask, &filling.head, filling.length, reader, handled);
                        written.add(&for_asker);
                        (written, Answered::Miss)
                    }
                    None => self.pass(ask, reason).await,
                }
            }
            Landed::Holds(object, storing) => {
                let handled = forwarded(Some(StatusCode::NOT_MODIFIED), storing == Storing::Yes);
                self.delivered(ask, effect, &object, None, (handled, Answered::Miss)).await
            }
            Landed::Brought(object, status, place) => {
                let answered = (forwarded(Some(status), true), Answered::Miss);
                self.delivered(ask, effect, &object, place, answered).await
            }
            Landed::Unfit => self.pass(ask, reason).await,
            Landed::Own(fetched) => {
                let handled = forwarded(Some(fetched.status()), false);
                (from_origin(fetched, handled), Answered::Miss)
            }
            Landed::Hidden(status) => match stored.filter(|object| !self.shared.is_purged(&ask.key, &object.head)) {
                Some(object) => {
                    let answered = (forwarded(Some(status), false), Answered::Stale);
                    self.delivered(ask, effect, &object, None, answered).await
                }
                None => self.pass(ask, reason).await,
            },
            Landed::Failed(error) => {
                let usable = stored.as_ref().filter(|object| self.is_good_without_origin(ask, object));
                let Some(object) = usable else {
                    // RFC 9111 §5.2.2.2: where what is stored may not be served stale, "the cache MUST generate an
                    // error response" to a failed validation, "a 504 (Gateway Timeout) status code SHOULD".
                    let status = if stored.is_some() { StatusCode::GATEWAY_TIMEOUT } else { error.status() };
                    return self.without_answer((error, status), forwarded(None, false));
                };
                let answered = (forwarded(None, false), Answered::Stale);
                let (mut written, answered) = self.delivered(ask, effect, object, None, answered).await;
                written.detail = Some(error.name());
                (written, answered)
            }
        }
    }

    /// Whether a stored object may stand in for an origin that does not answer (RFC 9111 §4.2.4).
    fn is_good_without_origin(&self, ask: &Ask, object: &Object) -> bool {
        matches!(reuse(&object.head.terms, ask.now), Reuse::Stale { on_unreachable: Fallback::Serve, .. })
            && !self.shared.is_purged(&ask.key, &object.head)
    }

    /// The answer where there is none.
    pub(crate) fn without_answer(&self, error: (FetchError, StatusCode), handled: Handled) -> (Written, Answered) {
        (failed(error, self.shared.id.as_str(), handled), Answered::Error)
    }

    /// This core's fetcher for a site, made when first needed and when the origin has changed.
    pub(crate) fn fetcher(&self, site: &Site) -> Option<Arc<Fetcher>> {
        let mut fetchers = self.fetchers.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = site.servers();
        let is_current = |made: &&OfSite| made.origin == site.origin && Arc::ptr_eq(&made.servers, &servers);
        if let Some(made) = fetchers.get(&site.id).filter(is_current) {
            return Some(Arc::clone(&made.fetcher));
        }
        let made = Fetcher::new(&site.origin, Arc::clone(&servers), self.places.clone())
            .map_err(|unfit| tracing::error!(site = %site.id, key = unfit.key, error = unfit.why, "no fetcher"));
        let fetcher = Arc::new(made.ok()?.counting(site.received()));
        let made = OfSite { origin: site.origin.clone(), servers, fetcher: Arc::clone(&fetcher) };
        fetchers.insert(site.id.clone(), made);
        Some(fetcher)
    }
}

/// Flights that a request joins, one after another, while each turns out to be for another variant.
const FLIGHTS: usize = 3;

/// What a request wants of the origin.
pub(crate) struct Wish {
    pub(crate) stored: Option<Arc<Object>>,
    pub(crate) reason: ForwardReason,
    pub(crate) variant: Option<Variant>,
}

/// What a fetch brought, on its way to a client.
pub(crate) struct Delivery {
    landed: Landed,
    stored: Option<Arc<Object>>,
    reason: ForwardReason,
    collapsed: bool,
}

impl Delivery {
    /// What this request fetched.
    pub(crate) fn own(landed: Landed, wish: Wish) -> Self {
        Self { landed, stored: wish.stored, reason: wish.reason, collapsed: false }
    }

    /// What came of a request that asks for nothing stored.
    pub(crate) fn alone(landed: Landed, reason: ForwardReason) -> Self {
        Self { landed, stored: None, reason, collapsed: false }
    }

    /// What another's fetch brought.
    fn collapsed(landed: Landed, wish: Wish) -> Self {
        Self { collapsed: true, ..Self::own(landed, wish) }
    }
}
