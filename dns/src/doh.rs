//! DNS over HTTPS (RFC 8484).

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use config::limits;
use data_encoding::BASE64URL_NOPAD;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use listen::{Body, Connection, Handler, Incoming, Reply as HttpReply, full};

use crate::arrival::{Arrival, Transport};
use crate::reply::Reply;
use crate::transport::Answer;

/// Where it is asked (RFC 8484 §4.1.1 has no path of its own; this is what everybody writes).
pub const PATH: &str = "/dns-query";

/// What queries and replies are.
const MEDIA_TYPE: &str = "application/dns-message";

/// What a message has at most.
const MOST_BYTES: usize = u16::MAX as usize;

/// Answers queries that come by HTTP.
pub struct Doh {
    answer: Arc<dyn Answer>,
}

impl Doh {
    /// Answers by this.
    #[must_use]
    pub fn new(answer: Arc<dyn Answer>) -> Self {
        Self { answer }
    }
}

impl Handler for Doh {
    fn serve(&self, request: Request<Incoming>, connection: Connection) -> HttpReply {
        let answer = Arc::clone(&self.answer);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            if head.uri.path() != PATH {
                return refuse(StatusCode::NOT_FOUND, "ask at /dns-query");
            }
            match read(&head, body).await {
                Ok(message) => reply(answer.as_ref(), &message, connection.peer),
                Err((status, why)) => refuse(status, why),
            }
        })
    }
}

type Refusal = (StatusCode, &'static str);

/// The query of a request (RFC 8484 §4.1).
async fn read(head: &Parts, body: Incoming) -> Result<Vec<u8>, Refusal> {
    match head.method {
        Method::GET | Method::HEAD => asked(head.uri.query().unwrap_or_default()),
        Method::POST => {
            // Some clients lose an answer that comes before they have sent all: what is a little too long is read, too.
            let read = Limited::new(body, 4 * MOST_BYTES).collect();
            let read = tokio::time::timeout(limits::DNS_TCP_IDLE, read).await;
            let read = read.map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the query did not come in time"))?;
            let read = read.map(http_body_util::Collected::to_bytes).ok().filter(|read| read.len() <= MOST_BYTES);
            let read = read.ok_or((StatusCode::PAYLOAD_TOO_LARGE, "a message has at most 65,535 bytes"))?;
            if head.headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != MEDIA_TYPE) {
                return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content is application/dns-message"));
            }
            Ok(read.to_vec())
        }
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, "GET or POST")),
    }
}

/// The query in a URL: `dns=` and base64url without padding.
fn asked(query: &str) -> Result<Vec<u8>, Refusal> {
    let written = query.split('&').find_map(|pair| pair.strip_prefix("dns="));
    let written = written.ok_or((StatusCode::BAD_REQUEST, "write /dns-query?dns=MESSAGE, in base64url"))?;
    let wrong = (StatusCode::BAD_REQUEST, "`dns` is base64url without padding");
    BASE64URL_NOPAD.decode(written.as_bytes()).map_err(|_| wrong)
}

fn reply(answer: &dyn Answer, message: &[u8], peer: SocketAddr) -> Response<Body> {
    let arrival = Arrival::by(Transport::Https, peer.ip().to_canonical());
    // A panic costs its query alone.
    let reply = catch_unwind(AssertUnwindSafe(|| {
        let reply = answer.answer(message, peer, &arrival)?;
        Some((ttl(&reply), reply.to_stream()?))
    }));
    let Some((ttl, bytes)) = reply.ok().flatten() else {
        return refuse(StatusCode::BAD_REQUEST, "this is no DNS query");
    };
    let mut response = Response::new(full(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Ok(value) = HeaderValue::try_from(format!("max-age={ttl}")) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    response
}

/// How long a reply may be kept: RFC 8484 §5.1: "less than or equal to the smallest TTL in the Answer section"; without
/// an answer for as long as its SOA says (RFC 2308 §5); an error not at all.
fn ttl(reply: &Reply) -> u32 {
    let ttls = |records: &[hickory_server::proto::rr::Record]| records.iter().map(|record| record.ttl).min();
    ttls(&reply.message.answers).or_else(|| ttls(&reply.message.authorities)).unwrap_or(0)
}

fn refuse(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = Response::new(full(format!("{why}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}
