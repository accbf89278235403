//! The paths of the admin address.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::limits;
use fleet::latency::{Handover, Since};
use fleet::{Demand, PurgeOrder};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use listen::{Body, Connection, Handler, Incoming, Reply, full};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::guard::{Door, Keys, Reach, Refusal, may_change, may_read};

/// Something that is told later.
pub type Told<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the program knows, asked by path.
pub trait Facts: Send + Sync + 'static {
    /// Nodes, health, load, versions.
    fn status(&self) -> Told<Value>;
    /// Why a client is sent where it is for a name; an error is the asker's.
    fn explain(&self, name: String, from: IpAddr) -> Told<Result<Value, String>>;
    /// All series in the Prometheus text format.
    fn metrics(&self) -> Told<String>;
    /// Takes back what is stored, of these sites. What is told has been done and stays done.
    fn purge(&self, order: PurgeOrder, reach: Reach) -> Told<Result<Purged, Refused>>;
    /// Has an edge ask for no new clients, or for clients again; without an id this node's. What is told has been done, and
    /// stays so over a restart.
    fn drain(&self, edge: Option<String>, drain: Drain) -> Told<Result<Value, Refused>>;
    /// What sites took by day.
    fn report(&self, asked: Asked) -> Told<Result<Value, Refused>>;
    /// Round trips of clients that have come since then; nothing where the node is no edge. For nodes alone.
    fn round_trips(&self, since: Since) -> Option<Handover>;
    /// What was learned of round trips, in figures; nothing where the node is no name server.
    fn latency(&self) -> Told<Option<Value>>;
    /// What was measured of them, as CSV; nothing where the node is no name server.
    fn latency_csv(&self) -> Told<Option<String>>;
    /// What clients take of an edge; nothing where the node is none. For nodes alone.
    fn demand(&self) -> Option<Demand>;
    /// Certificates that were got, sealed; only their digest where it is known. For nodes alone.
    fn certificates(&self, known: String) -> Option<Value>;
    /// Has an answer for an authority of certificates ready; an error is the asker's. For nodes alone.
    fn challenge(&self, challenge: Value) -> Result<(), String>;
    /// What a request has to show, as the config has it now.
    fn keys(&self) -> Keys;
}

/// Whether an edge is to ask for new clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// It is not: it serves who comes.
    Begin,
    /// It is again.
    End,
}

impl Drain {
    /// Where it is asked for.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Begin => "/drain",
            Self::End => "/undrain",
        }
    }
}

/// Of which days and site a report is asked, as it was written. What is left out is for who answers to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The first day.
    pub from: Option<String>,
    /// The last day.
    pub to: Option<String>,
    /// The only site.
    pub site: Option<String>,
}

/// The body of a request to drain, which may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whom {
    edge: Option<String>,
}

/// What came of a purge.
#[derive(Clone, Debug, PartialEq)]
pub enum Purged {
    /// It is done everywhere.
    Done(Value),
    /// Some edges have not acknowledged it.
    InPart(Value),
}

/// Why something was not done at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The order is wrong.
    Wrong(String),
    /// The token is for another site.
    OtherSite(String),
    /// It cannot be done here, or not now.
    Unable(String),
}

/// Answers on the admin address, or where nodes reach each other.
pub struct Admin {
    facts: Arc<dyn Facts>,
    door: Door,
}

/// Who shows a wrong token waits so long for the answer: guessing takes for ever anyway, this keeps it from
/// being work.
const REFUSED_AFTER: Duration = Duration::from_millis(500);

const KNOWN: &str = "/status /metrics /explain?name=NAME&from=IP /latency /latency.csv /report?from=DAY&to=DAY, and POST /purge /drain /undrain";

impl Admin {
    /// Answers from these facts.
    #[must_use]
    pub fn new(facts: Arc<dyn Facts>, door: Door) -> Self {
        Self { facts, door }
    }
}

impl Handler for Admin {
    fn serve(&self, request: Request<Incoming>, connection: Connection) -> Reply {
        let (facts, door) = (Arc::clone(&self.facts), self.door);
        let (head, body) = request.into_parts();
        Box::pin(async move {
            match (head.uri.path(), head.method == Method::POST) {
                ("/purge", true) => purge(facts.as_ref(), &head, body).await,
                ("/drain", true) => drain(facts.as_ref(), &head, body, Drain::Begin).await,
                ("/undrain", true) => drain(facts.as_ref(), &head, body, Drain::End).await,
                ("/purge" | "/drain" | "/undrain", false) => not_allowed("POST"),
                ("/challenge", true) if door == Door::Peer => challenge(facts.as_ref(), &head, body).await,
                _ => read(facts.as_ref(), &head, &connection, door).await,
            }
        })
    }
}

async fn read(facts: &dyn Facts, head: &Parts, connection: &Connection, door: Door) -> Response<Body> {
    if let Err(refusal) = may_read(head, connection.peer, door, &facts.keys()) {
        return refuse(refusal).await;
    }
    if head.method != Method::GET {
        return not_allowed("GET");
    }
    match head.uri.path() {
        "/" => text(StatusCode::OK, format!("hither admin: {KNOWN}\n")),
        "/metrics" => text(StatusCode::OK, facts.metrics().await),
        "/status" => json(StatusCode::OK, &facts.status().await),
        "/explain" => explain(facts, head.uri.query().unwrap_or_default()).await,
        "/report" => report(facts, head.uri.query().unwrap_or_default()).await,
        "/latency" => of_name_server(facts.latency().await.map(|stats| json(StatusCode::OK, &stats))),
        "/latency.csv" => of_name_server(facts.latency_csv().await.map(|csv| text(StatusCode::OK, csv))),
        "/round-trips" if door == Door::Peer => round_trips(facts, head.uri.query().unwrap_or_default()),
        "/certificates" if door == Door::Peer => {
            let known = field(head.uri.query().unwrap_or_default(), "known").unwrap_or_default();
            told(facts.certificates(known.to_owned()), "there is no fleet key")
        }
        "/demand" if door == Door::Peer => of_edge(facts.demand()),
        _ => text(StatusCode::NOT_FOUND, format!("known here: {KNOWN}\n")),
    }
}

async fn purge(facts: &dyn Facts, head: &Parts, body: Incoming) -> Response<Body> {
    let Some(body) = whole(body, limits::PURGE_ORDER_BYTES).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "the order is too long, or did not come whole");
    };
    let reach = match may_change(head, &body, &facts.keys()) {
        Ok(reach) => reach,
        Err(refusal) => return refuse(refusal).await,
    };
    let order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(wrong) => {
            let why =
                format!("the order is not understood: {wrong}; write {{\"url\": [\"https://www.shop.example/a\"]}}");
            return error(StatusCode::BAD_REQUEST, &why);
        }
    };
    match facts.purge(order, reach).await {
        Ok(Purged::Done(value)) => json(StatusCode::OK, &value),
        Ok(Purged::InPart(value)) => json(StatusCode::BAD_GATEWAY, &value),
        Err(refused) => not_done(&refused),
    }
}

async fn drain(facts: &dyn Facts, head: &Parts, body: Incoming, drain: Drain) -> Response<Body> {
    let Some(body) = whole(body, limits::DRAIN_ORDER_BYTES).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "the order is too long, or did not come whole");
    };
    match may_change(head, &body, &facts.keys()) {
        Ok(Reach::All) => {}
        // An edge is not one site's.
        Ok(Reach::Site(_)) => return refuse(Refusal::NoToken).await,
        Err(refusal) => return refuse(refusal).await,
    }
    let whom = if body.is_empty() { Ok(Whom::default()) } else { serde_json::from_slice(&body) };
    let told = match whom {
        Ok(Whom { edge }) => facts.drain(edge, drain).await,
        Err(wrong) => {
            Err(Refused::Wrong(format!("the order is not understood: {wrong}; write {{\"edge\": \"fra-1\"}}")))
        }
    };
    match told {
        Ok(value) => json(StatusCode::OK, &value),
        Err(refused) => not_done(&refused),
    }
}

fn not_done(refused: &Refused) -> Response<Body> {
    match refused {
        Refused::Wrong(why) => error(StatusCode::BAD_REQUEST, why),
        Refused::OtherSite(why) => error(StatusCode::FORBIDDEN, why),
        Refused::Unable(why) => error(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// A body of so many bytes at most, if it comes in time: who it is from is known only with it.
async fn whole(body: Incoming, most: usize) -> Option<Bytes> {
    let collected = tokio::time::timeout(limits::ADMIN_BODY_TIME, Limited::new(body, most).collect()).await;
    Some(collected.ok()?.ok()?.to_bytes())
}

async fn challenge(facts: &dyn Facts, head: &Parts, body: Incoming) -> Response<Body> {
    let Some(body) = whole(body, limits::CHALLENGE_BYTES).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "the answer is too long, or did not come whole");
    };
    match may_change(head, &body, &facts.keys()) {
        Ok(Reach::All) => {}
        Ok(Reach::Site(_)) => return refuse(Refusal::NoToken).await,
        Err(refusal) => return refuse(refusal).await,
    }
    let taken = serde_json::from_slice(&body).map_err(|error| error.to_string());
    match taken.and_then(|challenge| facts.challenge(challenge)) {
        Ok(()) => json(StatusCode::OK, &json!({})),
        Err(why) => error(StatusCode::BAD_REQUEST, &why),
    }
}

async fn explain(facts: &dyn Facts, query: &str) -> Response<Body> {
    let name = field(query, "name").map(str::to_owned);
    let from = field(query, "from").and_then(|from| from.parse::<IpAddr>().ok());
    let (Some(name), Some(from)) = (name, from) else {
        return error(StatusCode::BAD_REQUEST, "write /explain?name=NAME&from=IP");
    };
    match facts.explain(name, from).await {
        Ok(value) => json(StatusCode::OK, &value),
        Err(why) => error(StatusCode::NOT_FOUND, &why),
    }
}

async fn report(facts: &dyn Facts, query: &str) -> Response<Body> {
    let [from, to, site] = ["from", "to", "site"].map(|name| field(query, name).map(str::to_owned));
    match facts.report(Asked { from, to, site }).await {
        Ok(value) => json(StatusCode::OK, &value),
        Err(refused) => not_done(&refused),
    }
}

fn round_trips(facts: &dyn Facts, query: &str) -> Response<Body> {
    let number = |name: &str| field(query, name).and_then(|value| value.parse().ok());
    let (Some(boot), Some(position)) = (number("boot"), number("since")) else {
        return error(StatusCode::BAD_REQUEST, "write /round-trips?boot=N&since=N");
    };
    of_edge(facts.round_trips(Since { boot, position }))
}

/// What only a name server has.
fn of_name_server(told: Option<Response<Body>>) -> Response<Body> {
    told.unwrap_or_else(|| error(StatusCode::NOT_FOUND, "this node is no name server"))
}

/// What only an edge has.
fn of_edge(fact: Option<impl Serialize>) -> Response<Body> {
    told(fact, "this node is no edge")
}

/// What some nodes have, or why this one has not.
fn told(fact: Option<impl Serialize>, otherwise: &str) -> Response<Body> {
    match fact.and_then(|fact| serde_json::to_value(fact).ok()) {
        Some(fact) => json(StatusCode::OK, &fact),
        None => error(StatusCode::NOT_FOUND, otherwise),
    }
}

/// A field of a query string.
fn field<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name).map(|pair| pair.1)
}

async fn refuse(refusal: Refusal) -> Response<Body> {
    tokio::time::sleep(REFUSED_AFTER).await;
    text(refusal.status(), refusal.message().to_owned())
}

fn not_allowed(method: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {method} is known here\n"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(method));
    response
}

fn error(status: StatusCode, why: &str) -> Response<Body> {
    json(status, &json!({ "error": why }))
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn json(status: StatusCode, value: &Value) -> Response<Body> {
    answer(status, "application/json", format!("{value}\n"))
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
