//! Writing responses: from an object, from a filling, from the origin's own, or ours.

use std::time::Duration;

use bytes::Bytes;
use caching::{
    CacheStatus, Condition, HITHER_CDN_CACHE_CONTROL, Handled, Moment, Part, Plan, add_via, append_status, evaluate,
    not_modified, plan, remove_hop_by_hop, set_age, set_part, ttl, unsatisfiable,
};
use futures_util::stream::{self, StreamExt};
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use listen::{Body, BoxError, empty, full};
use origin::{FetchError, Fetched};

use crate::ask::{Ask, Refusal};
use crate::filling::Reader;
use crate::head::Head;
use crate::object::Object;
use crate::sites::parts_of;
use crate::slices::Slices;

/// Where each intermediary tells what went wrong (RFC 9209).
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// A response, and how it came about.
pub(crate) struct Written {
    pub(crate) response: Response<Body>,
    pub(crate) handled: Handled,
    pub(crate) ttl: Option<i64>,
    pub(crate) detail: Option<&'static str>,
    /// The version by which it came from the origin.
    version: Version,
}

impl Written {
    fn new(status: StatusCode, headers: HeaderMap, body: Body, handled: Handled) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Self { response, handled, ttl: None, detail: None, version: Version::HTTP_11 }
    }

    /// One that came with this head.
    fn of(head: &Head, now: Moment, answer: Answer, body: Body, handled: Handled) -> Self {
        let ttl = Some(ttl(&head.terms, now));
        Self { ttl, version: head.version, ..Self::new(answer.status, answer.headers, body, handled) }
    }

    /// Adds fields that nobody else may have, where the whole response goes out.
    pub(crate) fn add(&mut self, for_asker: &HeaderMap) {
        if self.response.status() != StatusCode::NOT_MODIFIED {
            let headers = self.response.headers_mut();
            for_asker.iter().for_each(|(name, value)| _ = headers.append(name, value.clone()));
        }
    }

    /// Adds what every response carries: Via and Cache-Status.
    pub(crate) fn sign(mut self, node: &str) -> Response<Body> {
        let headers = self.response.headers_mut();
        headers.remove(HITHER_CDN_CACHE_CONTROL);
        add_via(headers, self.version, node);
        let Self { handled, ttl, detail, .. } = self;
        append_status(headers, &CacheStatus { cache: node, handled, ttl, key: None, detail });
        self.response
    }
}

/// The answer to a request that cannot be taken.
pub(crate) fn refuse(refusal: Refusal) -> Written {
    match refusal {
        Refusal::NotOneHost | Refusal::OddHost => {
            let mut written = own(StatusCode::BAD_REQUEST, "a request has one Host: a name or address, and a port");
            // What else comes on this connection cannot be trusted either.
            written.response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            written
        }
        Refusal::UnknownHost => own(StatusCode::MISDIRECTED_REQUEST, "no site here has this host"),
        Refusal::Loop => {
            own(StatusCode::LOOP_DETECTED, "the request has been here before: does the origin point at this CDN?")
        }
    }
}

/// What is to be answered from a stored object: it as it is, a part of it, or that it has not changed.
pub(crate) fn answer_of(ask: &Ask, object: &Object) -> Answer {
    let mut headers = HeaderMap::clone(&object.head.headers);
    set_age(&mut headers, &object.head.terms, ask.now);
    shape(ask, &object.head, headers, Some(object.body.length()))
}

/// Writes what is to be answered from a stored object, with this body.
pub(crate) fn from_object(ask: &Ask, object: &Object, answer: Answer, body: Body, handled: Handled) -> Written {
    Written::of(&object.head, ask.now, answer, body, handled)
}

/// The bytes of a part that are all in memory.
pub(crate) fn from_slices(slices: &Slices, part: Part) -> Body {
    pieces(slices.part(part.first, part.length()))
}

/// Answers from a response that is still coming.
pub(crate) fn from_filling(ask: &Ask, head: &Head, length: Option<u64>, reader: Reader, handled: Handled) -> Written {
    let answer = shape(ask, head, HeaderMap::clone(&head.headers), length);
    let body = match (answer.part, length) {
        (None, Some(_)) => empty(),
        (None, None) if answer.status == StatusCode::NOT_MODIFIED || ask.method == Method::HEAD => empty(),
        (None, None) => follow(reader, 0, u64::MAX),
        (Some(part), _) => follow(reader, part.first, part.length()),
    };
    Written::of(head, ask.now, answer, body, handled)
}

/// What of a response goes out.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// The bytes to send; none where there are none, or their number isn't known.
    pub(crate) part: Option<Part>,
}

/// Applies the client's conditions and range (RFC 9110 §13, §14) to a whole response.
fn shape(ask: &Ask, head: &Head, mut headers: HeaderMap, length: Option<u64>) -> Answer {
    if evaluate(&ask.headers, head.status, &head.headers, ask.now) == Condition::NotModified {
        return Answer { status: StatusCode::NOT_MODIFIED, headers: not_modified(&headers), part: None };
    }
    let Some(length) = length else {
        return Answer { status: head.status, headers, part: None };
    };
    let planned =
        // Who has a part of the bytes that came from the origin must not get one of those compressed since.
        if head.status == StatusCode::OK && head.coded.is_none() { plan(&ask.method, &ask.headers, &headers, length) } else { Plan::Whole };
    let (status, part) = match planned {
        Plan::Part(part) => {
            set_part(&mut headers, part, length);
            (StatusCode::PARTIAL_CONTENT, Some(part))
        }
        Plan::Unsatisfiable => {
            return Answer { status: StatusCode::RANGE_NOT_SATISFIABLE, headers: unsatisfiable(length), part: None };
        }
        Plan::Whole => {
            if has_length(head.status) {
                set_length(&mut headers, length);
            }
            (head.status, length.checked_sub(1).map(|last| Part { first: 0, last }))
        }
    };
    Answer { status, headers, part: part.filter(|_| ask.method != Method::HEAD) }
}

/// RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with a status
/// code of 1xx (Informational) or 204 (No Content)."
fn has_length(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT
}

/// Says how long a response is, where it does not already.
fn set_length(headers: &mut HeaderMap, length: u64) {
    let mut digits = itoa::Buffer::new();
    if headers.get(CONTENT_LENGTH).is_none_or(|said| said != digits.format(length)) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Forwards what the origin answered to this request alone.
pub(crate) fn from_origin(fetched: Fetched, handled: Handled) -> Written {
    let (mut head, body) = fetched.into_parts();
    remove_hop_by_hop(&mut head.headers);
    let body = body.map_err(|error| -> BoxError { Box::new(error) }).boxed_unsync();
    Written { version: head.version, ..Written::new(head.status, head.headers, body, handled) }
}

/// An answer of our own, with a line for people.
pub(crate) fn own(status: StatusCode, message: &str) -> Written {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))]);
    Written::new(status, headers, full(format!("{} {message}\n", status.as_u16())), Handled::Own)
}

/// Another place to look.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Written {
    let mut written = own(status, location);
    if let Ok(location) = HeaderValue::from_str(location) {
        written.response.headers_mut().insert(LOCATION, location);
    }
    written
}

/// The same URL over TLS. Browsers make a GET of what they send again after a 301, unless it is one or a HEAD
/// (RFC 9110 §15.4.2).
pub(crate) fn over_tls(ask: &Ask, port: u16) -> Written {
    let (name, _) = parts_of(&ask.host);
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let is_read = ask.method == Method::GET || ask.method == Method::HEAD;
    let status = if is_read { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
    redirect(status, &format!("https://{name}{port}{}", ask.target()))
}

/// What the config has in the origin's place.
pub(crate) fn written_in_config(answer: &config::Answer) -> Written {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, answer.content_type.clone())]);
    Written::new(answer.status, headers, full(answer.body.clone()), Handled::Own)
}

/// The page in a site's place (RFC 9110 §15.6.4).
pub(crate) fn closed(page: &config::Maintenance) -> Written {
    let fields = [
        (CONTENT_TYPE, page.content_type.clone()),
        (RETRY_AFTER, HeaderValue::from(page.retry_after.as_secs())),
        // Whatever a cache thinks of a 503: the next request asks again.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let headers = HeaderMap::from_iter(fields);
    Written::new(StatusCode::SERVICE_UNAVAILABLE, headers, full(page.body.clone()), Handled::Own)
}

/// The answer to who asks too often (RFC 6585 §4), with when to ask again.
pub(crate) fn too_many(wait: Duration) -> Written {
    let mut written = own(StatusCode::TOO_MANY_REQUESTS, "too many requests");
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    written.response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    written
}

/// An answer that is in its fields alone.
pub(crate) fn no_content() -> Written {
    Written::new(StatusCode::NO_CONTENT, HeaderMap::new(), empty(), Handled::Own)
}

/// The answer to a method that is not served, with those that are: "The origin server MUST generate
/// an Allow header field in a 405 response" (RFC 9110 §15.5.6).
pub(crate) fn not_allowed() -> Written {
    let mut written = own(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here");
    written.response.headers_mut().insert(ALLOW, SERVED);
    written
}

/// The answer to an OPTIONS that may go no further (RFC 9110 §7.6.2: "respond as the final recipient").
pub(crate) fn options() -> Written {
    let headers = HeaderMap::from_iter([(ALLOW, SERVED)]);
    Written::new(StatusCode::NO_CONTENT, headers, empty(), Handled::Own)
}

/// The methods that edges let through; others too, but these have a name.
const SERVED: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// The answer to `only-if-cached` where the store has none (RFC 9111 §5.2.1.7).
pub(crate) fn not_cached(message: &'static str) -> Written {
    Written { detail: Some("only-if-cached"), ..own(StatusCode::GATEWAY_TIMEOUT, message) }
}

/// The answer where a fetch has failed, with the reason in Proxy-Status (RFC 9209).
pub(crate) fn failed((error, status): (FetchError, StatusCode), node: &str, handled: Handled) -> Written {
    let message = match error {
        FetchError::HttpRequestError | FetchError::HttpRequestTimeout => "the request's body did not come whole",
        FetchError::ProxyInternalError => "the edge could not ask the origin",
        _ => "the origin could not be reached or did not answer as it must",
    };
    let mut written = own(status, message);
    if let Ok(value) = HeaderValue::try_from(format!("{node}; error={}", error.name())) {
        written.response.headers_mut().insert(PROXY_STATUS, value);
    }
    written.handled = handled;
    written
}

/// A body of pieces that are all there.
fn pieces(mut list: Vec<Bytes>) -> Body {
    match list.len() {
        0 => empty(),
        1 => full(list.remove(0)),
        _ => StreamBody::new(stream::iter(list).map(|piece| Ok::<_, BoxError>(Frame::data(piece)))).boxed_unsync(),
    }
}

/// A body that follows a filling, from a byte on and for so many.
fn follow(reader: Reader, skip: u64, count: u64) -> Body {
    struct Place {
        reader: Reader,
        skip: u64,
        left: u64,
    }
    let place = Place { reader, skip, left: count };
    let frames = stream::unfold(Some(place), |place| async move {
        let mut place = place?;
        while place.left > 0 {
            let piece = match place.reader.read().await? {
                Ok(piece) => piece,
                Err(error) => return Some((Err(Box::new(error) as BoxError), None)),
            };
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if place.skip >= length {
                place.skip -= length;
                continue;
            }
            let take = place.left.min(length - place.skip);
            let (from, to) =
                (usize::try_from(place.skip).unwrap_or(0), usize::try_from(place.skip + take).unwrap_or(0));
            place.left -= take;
            place.skip = 0;
            return Some((Ok(Frame::data(piece.slice(from..to))), Some(place)));
        }
        None
    });
    StreamBody::new(frames).boxed_unsync()
}
