//! What is answered of a whole fleet: events, history, plots.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use listen::{Body, BoxError};

use crate::answer::{answer, error, json_of};
use crate::gather::{Gathering, Of, Span, Stream};
use crate::openapi::{EventsTold, HistoryTold};
use crate::plot::{Plot, draw};
use crate::query::field;

/// What has happened: as a list, or as a stream of it.
pub(crate) fn events(gathering: Option<Arc<Gathering>>, head: &Parts) -> Response<Body> {
    let Some(gathering) = gathering else { return not_here() };
    let said = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let wants_stream = said("accept").is_some_and(|accepted| accepted.contains(EVENT_STREAM));
    if !wants_stream {
        return json_of(StatusCode::OK, &EventsTold { events: gathering.events() });
    }
    let last = said("last-event-id").and_then(|last| last.trim().parse().ok());
    match gathering.stream(last) {
        Some(stream) => answer(StatusCode::OK, EVENT_STREAM, body_of(stream)),
        None => error(StatusCode::SERVICE_UNAVAILABLE, "too many event streams are open; ask /status instead"),
    }
}

/// How much went on, in numbers.
pub(crate) fn history(gathering: Option<Arc<Gathering>>, query: &str) -> Response<Body> {
    let Some(gathering) = gathering else { return not_here() };
    let (of, span) = match asked(query) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let Some(points) = gathering.points(&of, span) else { return unknown() };
    let of = field(query, "of").unwrap_or(FLEET).to_owned();
    let (span_s, step_s) = (span.seconds(), span.step_seconds());
    json_of(StatusCode::OK, &HistoryTold { of, span_s, step_s, points })
}

/// How much went on, drawn.
pub(crate) fn plot(gathering: Option<Arc<Gathering>>, name: &str, query: &str) -> Response<Body> {
    let Some(gathering) = gathering else { return not_here() };
    let Some(plot) = Plot::named(name) else {
        let known: Vec<&str> = Plot::ALL.into_iter().map(Plot::name).collect();
        return error(StatusCode::NOT_FOUND, &format!("there is no such plot; known: {}", known.join(", ")));
    };
    let (of, span) = match asked(query) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let Some(points) = gathering.points(&of, span) else { return unknown() };
    match draw(plot, &of, span, (&points, gathering.overview().at_ms)) {
        Ok(svg) => answer(StatusCode::OK, "image/svg+xml", listen::full(svg)),
        Err(fault) => error(StatusCode::INTERNAL_SERVER_ERROR, &fault.to_string()),
    }
}

const EVENT_STREAM: &str = "text/event-stream";
const FLEET: &str = "fleet";

/// Of what, and how far back.
fn asked(query: &str) -> Result<(Of, Span), Box<Response<Body>>> {
    let of = Of::parse(&plain(field(query, "of").unwrap_or(FLEET)));
    let span = Span::parse(field(query, "span").unwrap_or("10m"));
    of.zip(span).ok_or_else(|| {
        let why = "write ?of=fleet, pop:ID, edge:ID or site:ID, and &span=10m, 1h or 6h";
        Box::new(error(StatusCode::BAD_REQUEST, why))
    })
}

/// A colon may come encoded; ids have nothing else to be.
fn plain(text: &str) -> String {
    text.replace("%3A", ":").replace("%3a", ":")
}

fn unknown() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "the config has no such PoP, edge or site")
}

fn not_here() -> Response<Body> {
    error(
        StatusCode::NOT_FOUND,
        "this node does not gather; name it in `gather` of [admin], or ask one that is named there",
    )
}

/// A stream as a body; who reads it too slowly finds its end.
fn body_of(stream: Stream) -> Body {
    let pieces = unfold(stream, |mut stream| async move {
        let lines: Bytes = stream.next().await?;
        Some((Ok::<_, BoxError>(Frame::data(lines)), stream))
    });
    StreamBody::new(pieces).boxed_unsync()
}
