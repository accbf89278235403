//! One fetch: the servers in order, each within its times.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use config::{Origin, OriginServer, Secret, limits};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body as _;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use crate::aws::Signer;
use crate::balance::order;
use crate::body::{FetchBody, Lent};
use crate::breaker::Fit;
use crate::budget::Budget;
use crate::connect::{Protocol, Target};
use crate::connection::{Connection, One, Unsent};
use crate::error::{FetchError, is_refused};
use crate::framing;
use crate::head::Head;
use crate::pace::Pace;
use crate::place::{Place, Places};
use crate::pool::Pool;
use crate::secret::add_secrets;
use crate::servers::{Health, Servers, Standing};
use crate::shared::{Age, Shared};
use crate::switched::Switched;
use crate::times::Times;
use crate::tls::{self, Unfit};
use crate::upload::{RequestBody, State, Upload};
use crate::warm::Keeper;

/// A response from the origin, its body still on its way.
pub type Fetched = Response<Pin<Box<FetchBody>>>;

/// Fetches for one site, on one core.
#[derive(Debug)]
pub struct Fetcher {
    /// In the config's order; none where a server's name can be in no certificate.
    list: Vec<Option<Server>>,
    weights: Vec<u16>,
    /// How they fare, as all cores see it.
    servers: Arc<Servers>,
    /// Whether probes say which are well.
    is_probed: bool,
    /// How many fetches there were.
    turn: AtomicU64,
    budget: Budget,
    host: Option<HeaderValue>,
    secrets: Vec<(HeaderName, Secret)>,
    signer: Option<Signer>,
    times: Times,
    /// This site's places.
    places: Places,
    /// The core's, for all sites.
    all: Places,
    /// Bytes of bodies that have come.
    received: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Server {
    /// As the config writes it.
    name: Arc<str>,
    target: Arc<Target>,
    pool: Arc<Pool<One>>,
    shared: Shared,
    keeper: Option<Arc<Keeper>>,
}

impl Fetcher {
    /// Makes a fetcher for a site's origin, with what is known of its servers and the core's places for fetches.
    ///
    /// # Errors
    /// The TLS settings cannot be used.
    pub fn new(origin: &Origin, servers: Arc<Servers>, all: Places) -> Result<Self, Unfit> {
        Ok(Self::with(origin, servers, Times::of(origin), &tls::of(origin)?, all))
    }

    fn with(origin: &Origin, servers: Arc<Servers>, times: Times, tls: &Arc<ClientConfig>, all: Places) -> Self {
        let server = |(place, server): (usize, &OriginServer)| {
            let name = servers.get(place)?.name();
            let (target, pool) = (Arc::new(Target::new(origin, server, tls)?), Arc::new(Pool::new()));
            let keeper = Keeper::of(origin, &target, &pool, (&servers, place));
            Some(Server { name, target, pool, shared: Shared::default(), keeper })
        };
        let host = origin.host.as_ref().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        Self {
            list: origin.servers.iter().enumerate().map(server).collect(),
            weights: origin.weights.clone(),
            servers,
            is_probed: origin.probe.is_some(),
            turn: AtomicU64::new(0),
            budget: Budget::new(),
            host,
            secrets: origin.secret_headers.clone(),
            signer: origin.aws.as_ref().map(Signer::of),
            times,
            places: Places::new(limits::ORIGIN_FETCHES),
            all,
            received: Arc::default(),
        }
    }

    /// The same, with bytes of bodies added to a count as they come.
    #[must_use]
    pub fn counting(self, received: Arc<AtomicU64>) -> Self {
        Self { received, ..self }
    }

    /// Sends a request, and returns when the response's head is there.
    ///
    /// The next server is tried when one cannot have seen the request; a request of an idempotent
    /// method (RFC 9110 §9.2.2), nothing of whose body is gone, also when the connection died before
    /// a byte of any response. Those that fare badly are left out.
    ///
    /// # Errors
    /// The last server's failure.
    pub async fn fetch(&self, head: &Head<'_>, body: Option<RequestBody>) -> Result<Fetched, FetchError> {
        let upload = Upload::new(body);
        let until = self.times.total.map(|total| Instant::now() + total);
        self.budget.earn();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // Where nobody that is well takes it, probes say nothing of whom to ask.
        let rounds = if self.is_probed { &[Some(Health::Up), None][..] } else { &[None] };
        for health in rounds.iter().copied() {
            let tried = self.try_servers((head, &upload), until, turn, health).await;
            if let Some(tried) = tried {
                return tried;
            }
        }
        Err(FetchError::DestinationUnavailable)
    }

    /// Tries those of this health; none, where no server takes it.
    async fn try_servers(
        &self,
        (head, upload): (&Head<'_>, &Upload),
        until: Option<Instant>,
        turn: u64,
        health: Option<Health>,
    ) -> Option<Result<Fetched, FetchError>> {
        // A client can make the sending of its body last.
        let fit = if upload.is_end_stream() { Fit::ForTrial } else { Fit::Not };
        let mut failed = None;
        for place in order(&self.weights, self.list.len(), turn) {
            let (Some(Some(server)), Some(standing)) = (self.list.get(place), self.servers.get(place)) else {
                continue;
            };
            let now = Instant::now();
            if health.is_some_and(|health| health != standing.health()) || until.is_some_and(|until| until <= now) {
                continue;
            }
            if failed.is_some() && !self.budget.take() {
                break;
            }
            let Some(permit) = standing.takes(now, fit) else {
                failed.iter().for_each(|_| self.budget.give_back());
                continue;
            };
            let failure = match self.ask((server, standing), head, upload, until).await {
                Ok(response) => {
                    self.servers.succeeded(standing, permit);
                    failed.iter().for_each(|_| self.budget.give_back());
                    return Some(Ok(response));
                }
                Err(failure) => failure,
            };
            let is_over = until.is_some_and(|until| until <= Instant::now());
            // One that was left what others had not used up may have had too little.
            if !is_over || failed.is_none() {
                self.servers.failed(standing, permit, failure.error);
            }
            if is_over {
                return Some(Err(FetchError::HttpResponseTimeout));
            }
            failed = Some(failure.error);
            if failure.may_repeat(&head.method, upload.state()) == Repeat::No {
                break;
            }
        }
        failed.map(Err)
    }

    /// Asks one server: on a connection that is there, and where that has died, once on another.
    async fn ask(
        &self,
        (server, standing): (&Server, &Standing),
        head: &Head<'_>,
        upload: &Upload,
        until: Option<Instant>,
    ) -> Result<Fetched, Failure> {
        if let Some(keeper) = &server.keeper {
            keeper.note_fetch(Instant::now());
        }
        let mut place = self.place(standing, until).await?;
        // Only a connection of HTTP/1.1 can be switched to another protocol.
        let protocol = match head.headers.contains_key(header::UPGRADE) {
            true => Protocol::Http1,
            false => server.shared.protocol(server.target.preferred),
        };
        if let Some((connection, age)) = self.find(server, protocol, until).await? {
            let afterlife = connection.afterlife();
            match self.send((server, connection, place), head, upload, until).await {
                // A server may be through with one request and not with its connection: it is not asked for that again.
                Err(failure)
                    if age == Age::Used
                        && afterlife.is_over()
                        && failure.may_repeat(&head.method, upload.state()) == Repeat::Yes => {}
                answered => return answered,
            }
            place = self.place(standing, until).await?;
        }
        let connection = self.make(server, protocol, until).await?;
        self.send((server, connection, place), head, upload, until).await
    }

    /// A connection that is there; of HTTP/2, also one that is made.
    async fn find(
        &self,
        server: &Server,
        protocol: Protocol,
        until: Option<Instant>,
    ) -> Result<Option<(Connection, Age)>, Failure> {
        if protocol == Protocol::Http2
            && let Some(taken) = self.share(server, until).await?
        {
            return Ok(Some(taken));
        }
        Ok(server.pool.take(Instant::now(), One::is_ready).map(|one| (Connection::One(one), Age::Used)))
    }

    async fn make(&self, server: &Server, protocol: Protocol, until: Option<Instant>) -> Result<Connection, Failure> {
        if protocol == Protocol::Http2
            && let Some((connection, _)) = self.share(server, until).await?
        {
            return Ok(connection);
        }
        // In a box of its own: it is large, seldom needed, and would be moved along with every fetch.
        let connected = Box::pin(server.target.connect(Protocol::Http1, self.times.connect.min(left(until)))).await;
        connected.map_err(|error| Failure { error, seen: Seen::No })
    }

    async fn share(&self, server: &Server, until: Option<Instant>) -> Result<Option<(Connection, Age)>, Failure> {
        let taken = Box::pin(server.shared.take(&server.target, self.times.connect.min(left(until)))).await;
        taken.map_err(|error| Failure { error, seen: Seen::No })
    }

    async fn place(&self, standing: &Standing, until: Option<Instant>) -> Result<Place, Failure> {
        let full = Failure { error: FetchError::ConnectionLimitReached, seen: Seen::No };
        self.places.take(&self.all, standing.room(), limits::ORIGIN_PLACE.min(left(until))).await.ok_or(full)
    }

    async fn send(
        &self,
        (server, mut connection, place): (&Server, Connection, Place),
        head: &Head<'_>,
        upload: &Upload,
        until: Option<Instant>,
    ) -> Result<Fetched, Failure> {
        let began = Instant::now();
        upload.begin(began);
        let answer = connection.send(self.request(head, upload));
        let answered = self.in_time(answer, upload, (began, until)).await;
        let answered = answered.inspect_err(|_| connection.note_failure(None))?;
        let mut response = answered.map_err(|error| {
            connection.note_failure(Some(error.error()));
            Failure::of(&error, upload, connection.has_heard())
        })?;
        let status = response.status();
        let failed = |error| Failure { error, seen: Seen::Perhaps };
        framing::check(&head.method, &head.headers, status, response.headers_mut()).map_err(failed)?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let switched = self.in_time(hyper::upgrade::on(&mut response), upload, (began, until)).await?;
            let switched = switched.map_err(|_| failed(FetchError::HttpUpgradeFailed))?;
            response.extensions_mut().insert(Switched::new(switched));
        }
        let idle = idle_time(response.headers(), self.times.idle);
        let lent = Lent { connection, pool: Arc::clone(&server.pool), place, idle };
        let pause = self.times.between_bytes;
        let pace = Pace::of(&head.method, response.headers(), pause);
        let (name, received) = (Arc::clone(&server.name), Arc::clone(&self.received));
        Ok(response.map(|body| FetchBody::new((body, name), (pause, pace), until, lent, received)))
    }

    /// Waits for an answer for as long as whoever has the turn is within its time.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = T>,
        upload: &Upload,
        (began, over): (Instant, Option<Instant>),
    ) -> Result<T, Failure> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let (until, error) = upload.deadline(began, &self.times);
            let until = over.map_or(until, |over| over.min(until));
            let now = Instant::now();
            if until <= now {
                return Err(Failure { error, seen: Seen::Perhaps });
            }
            // The turn may pass meanwhile to the one who has less time.
            let wake = until.min(now + self.times.first_byte);
            if let Ok(answered) = timeout_at(wake, answer.as_mut()).await {
                return Ok(answered);
            }
        }
    }

    fn request(&self, head: &Head<'_>, upload: &Upload) -> Request<Upload> {
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut request = Request::new(upload.clone());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = Uri::from(path);
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = HeaderMap::clone(&head.headers);
        if let Some(told) = head.on_interim.clone() {
            hyper::ext::on_informational(&mut request, move |interim| {
                if interim.status() != StatusCode::CONTINUE {
                    told(interim.status(), interim.headers());
                }
            });
        }
        if let Some(host) = &self.host {
            request.headers_mut().insert(header::HOST, host.clone());
        }
        add_secrets(request.headers_mut(), &self.secrets);
        if let Some(signer) = &self.signer {
            signer.sign(&mut request, SystemTime::now());
        }
        request
    }
}

/// The time that is left of the whole.
fn left(until: Option<Instant>) -> Duration {
    until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
}

/// Why a server gave no response, and whether it may have acted.
#[derive(Clone, Copy, Debug)]
struct Failure {
    error: FetchError,
    seen: Seen,
}

/// Whether a server has seen a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing of it was sent.
    No,
    /// Something of it was sent.
    Perhaps,
    /// Something of a response has come.
    Surely,
}

/// Whether a request may be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Yes,
    No,
}

impl Failure {
    fn of(error: &Unsent, upload: &Upload, has_heard: bool) -> Self {
        let seen = match error.message() {
            _ if has_heard => Seen::Surely,
            Some(_) => Seen::No,
            None if is_refused(error.error()) => Seen::No,
            None => Seen::Perhaps,
        };
        let error = match upload.state() {
            State::Broken => FetchError::HttpRequestError,
            State::Whole | State::Begun => FetchError::of_head(error.error()),
        };
        Self { error, seen }
    }

    /// RFC 9110 §9.2.2: "A proxy MUST NOT automatically retry non-idempotent requests." One that was never
    /// sent is not retried but sent.
    fn may_repeat(self, method: &Method, upload: State) -> Repeat {
        let is_dead = self.error == FetchError::ConnectionTerminated;
        match (self.seen, upload) {
            // No server has a place where the site has none.
            _ if self.error == FetchError::ConnectionLimitReached => Repeat::No,
            (Seen::No, State::Whole) => Repeat::Yes,
            (Seen::Perhaps, State::Whole) if is_dead && is_idempotent(method) => Repeat::Yes,
            _ => Repeat::No,
        }
    }
}

/// How long a connection may wait for its next request: as the server says, less what a request takes to get
/// there, so that the two do not meet (RFC 9112 §9.3.1 leaves the field to those who use it: RFC 2068 §19.7.1.1).
fn idle_time(response: &HeaderMap, most: Duration) -> Duration {
    let lines = response.get_all(KEEP_ALIVE).into_iter().filter_map(|line| line.to_str().ok());
    let timeouts = lines.flat_map(|line| line.split(',')).filter_map(|member| {
        let (name, value) = member.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(Duration::from_secs(seconds))
    });
    let told = timeouts.map(|told| told.saturating_sub(ON_THE_WAY.min(told / 2)));
    told.min().map_or(most, |told| told.min(most))
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Before a server's own time is over its connection is left alone for so long.
const ON_THE_WAY: Duration = Duration::from_secs(1);

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE)
}

#[cfg(test)]
pub(crate) mod tests;
