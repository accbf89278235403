//! WebSocket over HTTP/2 (RFC 8441): handlers see what a client of HTTP/1.1 would ask (RFC 6455), the client has its stream.
//!
//! ```text
//! CONNECT, :protocol = websocket ─> GET, Upgrade: websocket, a key of ours ─> handler
//! 200, then bytes to and fro     <─ 101, the key's proof, a Tunnel         <─┘
//! ```

use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rand;
use data_encoding::BASE64;
use futures_util::TryStreamExt;
use h2::ext::Protocol;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyDataStream, BodyExt, StreamBody};
use tokio::io::{duplex, join};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::activity::Activity;
use crate::answer::answer;
use crate::body::{Body, BoxError, empty, full};
use crate::connection::Connection;
use crate::cores::Stop;
use crate::incoming::Incoming;
use crate::mount::Mounts;
use crate::tunnel::{Tunnel, carry};

/// The one protocol that streams are switched to.
const WEBSOCKET: &str = "websocket";
/// What a key is proved with (RFC 6455 §1.3).
const PROOF: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What of a conversation waits for its client at most, beside what the stream itself has.
const BUFFERED: usize = 16 << 10;

/// Whether a request is for another protocol on its stream (RFC 8441 §4).
pub(crate) fn is_extended<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some()
}

/// Answers such a request; where the handler switches, the bodies of both messages lead there.
pub(crate) async fn connect(
    mounts: &Mounts,
    request: Request<Incoming>,
    connection: Connection,
    (seen, stop): (&Arc<Activity>, &Stop),
) -> Response<Body> {
    // RFC 9220 §3 says of HTTP/3 what RFC 8441 leaves open: a protocol that is not known "SHOULD" be answered with 501.
    if request.extensions().get::<Protocol>().is_none_or(|protocol| protocol.as_str() != WEBSOCKET) {
        return own(StatusCode::NOT_IMPLEMENTED, "of other protocols, WebSocket alone is spoken here\n");
    }
    let Some(open) = seen.begin_tunnel() else {
        return own(StatusCode::SERVICE_UNAVAILABLE, "this connection has as many conversations as one may\n");
    };
    let Some(key) = new_key() else {
        return own(StatusCode::INTERNAL_SERVER_ERROR, "there is no randomness\n");
    };
    let accept = proof(&key);
    let (head, said) = request.into_parts();
    let asked = ask(Request::from_parts(head, Incoming::from(empty())), key);
    let (response, far) = match judge(answer(mounts, asked, connection).await, &accept) {
        Judged::Switched(response, far) => (response, far),
        Judged::Answered(response) => return response,
    };
    // Else it was taken before.
    let Some(far) = far.take() else { return not_taken() };
    let (writes, reads) = duplex(BUFFERED);
    let near = join(StreamReader::new(BodyDataStream::new(said).map_err(std::io::Error::other)), writes);
    let stop = stop.clone();
    tokio::spawn(async move {
        // What is cut ends without WebSocket's own close, which clients know from an end (RFC 6455 §7.1.5).
        drop(carry(near, far, &stop).await);
        drop(open);
    });
    let heard = ReaderStream::new(reads).map_ok(Frame::data).map_err(BoxError::from);
    response.map(|_| BodyExt::boxed_unsync(StreamBody::new(heard)))
}

/// What a handler makes of it.
enum Judged {
    /// The stream leads elsewhere.
    Switched(Response<Body>, Tunnel),
    /// It does not, and says why.
    Answered(Response<Body>),
}

/// Makes the answer to what was asked into one to the client, whom any 2xx tells that it has what it asked for.
fn judge(mut response: Response<Body>, accept: &str) -> Judged {
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Judged::Answered(if status.is_success() || status.is_informational() { not_taken() } else { response });
    }
    // RFC 6455 §4.1: a client that gets another proof "MUST _Fail the WebSocket Connection_".
    let mut proofs = response.headers().get_all(SEC_WEBSOCKET_ACCEPT).iter();
    let is_proved =
        matches!((proofs.next(), proofs.next()), (Some(proof), None) if proof.as_bytes() == accept.as_bytes());
    let Some(far) = response.extensions_mut().remove::<Tunnel>().filter(|_| is_proved) else {
        return Judged::Answered(not_taken());
    };
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    for name in [SEC_WEBSOCKET_ACCEPT, UPGRADE, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    Judged::Switched(response, far)
}

/// The same as a client of HTTP/1.1 asks it (RFC 8441 §5), in the version that it came by.
fn ask<B>(mut request: Request<B>, key: HeaderValue) -> Request<B> {
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    // What trailers there are WebSocket does not know.
    headers.remove(TE);
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_KEY, key);
    request
}

/// RFC 6455 §4.1: "a randomly selected 16-byte value that has been base64-encoded".
fn new_key() -> Option<HeaderValue> {
    let mut nonce = [0; 16];
    rand::fill(&mut nonce).ok()?;
    HeaderValue::from_str(&BASE64.encode(&nonce)).ok()
}

/// What who has read a key answers (RFC 6455 §4.2.2).
fn proof(key: &HeaderValue) -> String {
    let proved = [key.as_bytes(), PROOF.as_bytes()].concat();
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &proved).as_ref())
}

fn not_taken() -> Response<Body> {
    own(StatusCode::BAD_GATEWAY, "who was asked does not speak WebSocket here\n")
}

fn own(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = Response::new(full(why));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
