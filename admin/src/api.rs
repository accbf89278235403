//! The paths of the admin address.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use config::{Location, limits};
use fleet::latency::{Handover, Since};
use fleet::{Demand, PurgeOrder, wall_clock_ms};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use listen::{Body, Connection, Handler, Incoming, Reply};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{csv, error, json, json_of, not_allowed, refuse, text};
use crate::console::File;
use crate::gather::{Flow, FlowsSeen, Gathering, Sample};
use crate::gathered;
use crate::guard::{Door, Keys, Reach, Refusal, may_change, may_look, may_read};
use crate::openapi;
use crate::paths::{self, Path};
use crate::query::field;

/// Something that is told later.
pub type Told<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the program knows, asked by path.
pub trait Facts: Send + Sync + 'static {
    /// What the node tells of itself; nothing where it is none.
    fn node(&self) -> Option<Value>;
    /// What it tells who gathers; nothing where it is none.
    fn sample(&self) -> Option<Sample>;
    /// Where its queries come from; nothing where it is no name server.
    fn flows(&self) -> Option<Vec<Flow>>;
    /// What is gathered here of the whole fleet, where it is.
    fn gathering(&self) -> Option<Arc<Gathering>>;
    /// Why a client is sent where it is for a name; an error is the asker's.
    fn explain(&self, name: String, client: Client) -> Told<Result<Value, String>>;
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

/// Which client an explanation is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Client {
    /// That of an address.
    From(IpAddr),
    /// One that is known to be at a place, and of which nothing else is known.
    At(Location),
}

impl Client {
    /// As it stands in a query.
    #[must_use]
    pub fn in_query(&self) -> String {
        match self {
            Self::From(address) => format!("from={address}"),
            Self::At(Location { latitude, longitude }) => format!("at={latitude},{longitude}"),
        }
    }
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
            if let Some(file) = File::at(&head).filter(|_| door == Door::Admin && head.method == Method::GET) {
                return match may_look(&head) {
                    Ok(()) => file.response(&head),
                    Err(refusal) => refuse(refusal).await,
                };
            }
            let facts = facts.as_ref();
            let Some((row, gap)) = paths::find(head.uri.path(), door) else {
                return match may_read(&head, connection.peer, door, &facts.keys()) {
                    Ok(()) => text(StatusCode::NOT_FOUND, format!("known here: {}\n", paths::in_words())),
                    Err(refusal) => refuse(refusal).await,
                };
            };
            match row.path {
                _ if head.method != row.method.method() => not_allowed(&row.method.method()),
                Path::Purge => purge(facts, &head, body).await,
                Path::Drain => drain(facts, &head, body, Drain::Begin).await,
                Path::Undrain => drain(facts, &head, body, Drain::End).await,
                Path::Challenge => challenge(facts, &head, body).await,
                path => match may_read(&head, connection.peer, door, &facts.keys()) {
                    Ok(()) => read(facts, (path, gap), &head, door).await,
                    Err(refusal) => refuse(refusal).await,
                },
            }
        })
    }
}

async fn read(facts: &dyn Facts, (path, gap): (Path, &str), head: &Parts, door: Door) -> Response<Body> {
    let query = head.uri.query().unwrap_or_default();
    // Nodes ask each other for what is their own.
    let gathering = facts.gathering().filter(|_| door == Door::Admin);
    match path {
        Path::Root => text(StatusCode::OK, format!("hither admin: {}\n", paths::in_words())),
        Path::OpenApi => json(StatusCode::OK, &openapi::describe()),
        Path::Status => match gathering {
            Some(gathering) => json_of(StatusCode::OK, &*gathering.overview()),
            None => told(facts.node(), "this is no node"),
        },
        Path::Node => told(facts.node(), "this is no node"),
        Path::Sample => told(facts.sample(), "this is no node"),
        Path::Flows => match gathering {
            Some(gathering) => json_of(StatusCode::OK, &gathering.flows()),
            None => told(
                facts.flows().map(|flows| FlowsSeen::at(wall_clock_ms(), flows)),
                "this node is no name server, and does not gather",
            ),
        },
        Path::Events => gathered::events(gathering, head),
        Path::History => gathered::history(gathering, query),
        Path::Plots => gathered::plot(gathering, gap, query),
        Path::Report => report(facts, query).await,
        Path::Metrics => text(StatusCode::OK, facts.metrics().await),
        Path::Explain => explain(facts, query).await,
        Path::Latency => of_name_server(facts.latency().await.map(|stats| json(StatusCode::OK, &stats))),
        Path::LatencyCsv => of_name_server(facts.latency_csv().await.map(csv)),
        Path::RoundTrips => round_trips(facts, query),
        Path::Certificates => {
            let known = field(query, "known").unwrap_or_default();
            told(facts.certificates(known.to_owned()), "there is no fleet key")
        }
        Path::Demand => of_edge(facts.demand()),
        // These are posted.
        Path::Purge | Path::Drain | Path::Undrain | Path::Challenge => not_allowed(&Method::POST),
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
    let from = field(query, "from").map(|from| from.parse::<IpAddr>().ok().map(Client::From));
    let at = field(query, "at").map(|at| location(at).map(Client::At));
    let (Some(name), Some(Some(client))) = (name, from.or(at)) else {
        return error(
            StatusCode::BAD_REQUEST,
            "write /explain?name=NAME&from=IP, or &at=LATITUDE,LONGITUDE for a place",
        );
    };
    match facts.explain(name, client).await {
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

/// Degrees north and east, as `52.4,4.9`; a comma may be written as `%2C`.
fn location(text: &str) -> Option<Location> {
    let (latitude, longitude) = text.split_once(',').or_else(|| text.split_once("%2C"))?;
    let within = |text: &str, most: f64| text.parse::<f64>().ok().filter(|degrees| degrees.abs() <= most);
    Some(Location { latitude: within(latitude, 90.0)?, longitude: within(longitude, 180.0)? })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_two_numbers_on_the_earth() {
        for (text, expected) in [
            ("52.4,4.9", Some((52.4, 4.9))),
            ("-33.9%2C151.2", Some((-33.9, 151.2))),
            ("91,0", None),
            ("0,181", None),
            ("NaN,0", None),
            ("52.4", None),
            ("a,b", None),
        ] {
            assert_eq!(location(text).map(|at| (at.latitude, at.longitude)), expected, "{text}");
        }
        let at = Client::At(Location { latitude: -33.9, longitude: 151.2 });
        assert_eq!(at.in_query(), "at=-33.9,151.2");
    }
}
