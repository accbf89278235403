//! One request within the limits that hold for all of them, whoever answers it.

use std::future::poll_fn;
use std::task::Poll;

use config::limits;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::body::{Body, empty};
use crate::connection::Connection;
use crate::incoming::Incoming;
use crate::mount::Mounts;
use crate::turns::turn;

/// `: ` and the line's end around each field.
const FIELD_FRAME: usize = 4;

/// Answers a request by whoever is mounted at its path, within the limits.
pub(crate) async fn answer(mounts: &Mounts, request: Request<Incoming>, connection: Connection) -> Response<Body> {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_FRAME);
    let status = if fields.sum::<usize>() > limits::HTTP_HEADER_BYTES {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > limits::HTTP_TARGET_BYTES) {
        StatusCode::URI_TOO_LONG
    } else if has_strange_coding(request.headers()) {
        // What follows cannot be told from the body.
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    } else if let Some(handler) = mounts.find(request.uri().path()) {
        let turn = if handler.takes_turns() { Some(turn().await) } else { None };
        let mut reply = handler.serve(request, connection);
        let Some(turn) = turn else { return reply.await };
        return match poll_fn(|cx| Poll::Ready(reply.as_mut().poll(cx))).await {
            Poll::Ready(response) => {
                turn.give_back();
                response
            }
            Poll::Pending => {
                drop(turn);
                reply.await
            }
        };
    } else if request.method() == Method::CONNECT {
        // We are no proxy for clients (RFC 9110 §9.3.6): "An empty Allow field value indicates that the resource
        // allows no methods" (§10.2.1).
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(""));
        return response;
    } else if request.method() == Method::OPTIONS && request.uri().path() == "*" {
        // A ping of the server as a whole (RFC 9110 §9.3.7).
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    };
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

/// RFC 9112 §6.1: "A server that receives a request message with a transfer coding it does not understand
/// SHOULD respond with 501 (Not Implemented)." Chunked alone, once, is understood.
fn has_strange_coding(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => false,
        (Some(coding), None) => !coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}
