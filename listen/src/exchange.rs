//! A plain request that a handler answers: what is to be sent next, until its response is whole.
//!
//! ```text
//! request ─> handler ─┬─ interim responses ─┐
//!                     └─ head, body ────────┴─> pieces, which the front (fast.rs) sends
//! ```
//!
//! Plain is a GET of HTTP/1.1 without a body that changes nothing about its connection, which thus stays with the front. All others
//! are hyper's, which has to be given a connection and asked for it back (drive.rs).

use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use smallvec::SmallVec;

use crate::body::Body;
use crate::cores::Stop;
use crate::interim::Queue;

/// A request on its way.
pub(crate) struct Exchange {
    state: State,
    /// Interim responses.
    queue: Arc<Queue>,
    stop: Stop,
}

/// A response that a handler is making.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

enum State {
    /// The handler has it.
    Asked(Answer),
    /// Its response has begun.
    Answered {
        body: Body,
        framing: Framing,
        after: After,
    },
    Over(After),
}

/// How a client knows where a body ends (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// So many bytes are left.
    Length(u64),
    Chunked,
}

/// What comes next.
pub(crate) enum Step {
    /// These bytes are to be sent.
    Send(SmallVec<[Bytes; 2]>),
    /// The response is over.
    Over(After),
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Another request may follow.
    Next,
    /// It ends, as the client was told.
    End,
    /// It is cut: the response is not whole.
    Cut,
}

/// Whether a body that is over has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

/// Pieces of a response; those that are small lie in one.
#[derive(Default)]
struct Pieces {
    list: SmallVec<[Bytes; 2]>,
    /// What further bytes can be added to.
    open: BytesMut,
    bytes: usize,
}

/// A piece of this size is copied: one is sent cheaper than two.
const COPIED_BYTES: usize = 4 << 10;
/// Room for a head, and for a small body.
const OPEN_BYTES: usize = 2 << 10;
/// So many pieces of a body are gathered before they are sent, or so many bytes and one more piece.
const MOST_PIECES: usize = 16;
const MOST_BYTES: usize = 256 << 10;

impl Exchange {
    /// A request that this answers, and whose interim responses come by this.
    pub(crate) fn new(answer: Answer, queue: Arc<Queue>, stop: Stop) -> Self {
        Self { state: State::Asked(answer), queue, stop }
    }

    /// What is to be sent next. Poll it again once that has been sent.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let mut pieces = Pieces::default();
        loop {
            match &mut self.state {
                State::Asked(answer) => {
                    let polled = answer.as_mut().poll(cx);
                    // Those that came with the response stand before it.
                    while let Poll::Ready(interim) = self.queue.poll_waiting(cx) {
                        pieces.push(interim);
                    }
                    let Poll::Ready(response) = polled else { break };
                    self.state = begin(response, &self.stop, &mut pieces);
                }
                State::Answered { body, framing, after } => {
                    match gather(body, framing, &mut pieces, cx) {
                        Some(Whole::Yes) => self.state = State::Over(*after),
                        Some(Whole::No) => self.state = State::Over(After::Cut),
                        None => break,
                    };
                }
                State::Over(_) => break,
            }
        }
        match (pieces.take(), &self.state) {
            (Some(list), _) => Poll::Ready(Step::Send(list)),
            (None, State::Over(after)) => Poll::Ready(Step::Over(*after)),
            (None, _) => Poll::Pending,
        }
    }
}

/// Writes a response's head.
fn begin(response: Response<Body>, stop: &Stop, pieces: &mut Pieces) -> State {
    let (mut head, body) = response.into_parts();
    if head.status.is_informational() {
        // No final response is one.
        return State::Over(After::Cut);
    }
    // RFC 9112 §9.6: a server "SHOULD send a "close" connection option in its final response".
    if stop.is_stopped() {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let after = if head.headers.contains_key(header::CONNECTION) { After::End } else { After::Next };
    // RFC 9110 §8.6: a 204 "MUST NOT" have a length, and that of a 304 would be another response's.
    let may_have_body = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_empty = !may_have_body || body.is_end_stream();
    let framing = match told_length(&head.headers).or(body.size_hint().exact()) {
        _ if is_empty => Framing::Length(0),
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    write_head(&head, framing, may_have_body, pieces.open());
    if is_empty { State::Over(after) } else { State::Answered { body, framing, after } }
}

/// The length that a head tells.
fn told_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Writes a head with its framing: status line, field lines, an empty line (RFC 9112 §2.1), and a Date where it has none (RFC 9110
/// §6.6.1).
fn write_head(head: &Parts, framing: Framing, may_have_body: bool, out: &mut BytesMut) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(head.status.as_str().as_bytes());
    out.put_slice(b" ");
    // RFC 9112 §4: the space is there also without a reason.
    out.put_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    let mut is_framed = !may_have_body;
    for (name, value) in &head.headers {
        if *name == header::CONTENT_LENGTH {
            // In the place that it has.
            is_framed = is_framed || write_length(framing, out);
        } else if *name != header::TRANSFER_ENCODING {
            write_field(name.as_str().as_bytes(), value.as_bytes(), out);
        }
    }
    if !is_framed && !write_length(framing, out) {
        write_field(b"transfer-encoding", b"chunked", out);
    }
    if !head.headers.contains_key(header::DATE) {
        write_field(b"date", httpdate::fmt_http_date(SystemTime::now()).as_bytes(), out);
    }
    out.put_slice(b"\r\n");
}

/// Writes the length of a body, if it has one.
fn write_length(framing: Framing, out: &mut BytesMut) -> bool {
    let Framing::Length(length) = framing else { return false };
    write!(out, "content-length: {length}\r\n").is_ok()
}

fn write_field(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Gathers what there is of a body, up to a bound; tells when it is over.
fn gather(body: &mut Body, framing: &mut Framing, pieces: &mut Pieces, cx: &mut Context<'_>) -> Option<Whole> {
    while !pieces.are_enough() {
        // What a body has beyond the length that was told is nobody's.
        if *framing == Framing::Length(0) {
            return Some(Whole::Yes);
        }
        let frame = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => return None,
            Poll::Ready(None) => return Some(framing.end(pieces)),
            Poll::Ready(Some(Err(_))) => return Some(Whole::No),
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        // Trailers are for those who say that they take them (RFC 9110 §6.5.1), which a plain request does not.
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            framing.frame(data, pieces);
        }
        if body.is_end_stream() {
            return Some(framing.end(pieces));
        }
    }
    None
}

impl Framing {
    /// Adds bytes of a body.
    fn frame(&mut self, mut data: Bytes, pieces: &mut Pieces) {
        match self {
            Self::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= u64::try_from(data.len()).unwrap_or(0);
                pieces.push(data);
            }
            // RFC 9112 §7.1: the size in hexadecimal digits.
            Self::Chunked => {
                let _ = write!(pieces.open(), "{:x}\r\n", data.len());
                pieces.push(data);
                pieces.open().put_slice(b"\r\n");
            }
        }
    }

    /// Ends a body.
    fn end(self, pieces: &mut Pieces) -> Whole {
        match self {
            Self::Length(0) => Whole::Yes,
            Self::Length(_) => Whole::No,
            Self::Chunked => {
                pieces.open().put_slice(b"0\r\n\r\n");
                Whole::Yes
            }
        }
    }
}

impl Pieces {
    /// What bytes can be added to.
    fn open(&mut self) -> &mut BytesMut {
        if self.open.capacity() == 0 {
            self.open.reserve(OPEN_BYTES);
        }
        &mut self.open
    }

    fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() <= COPIED_BYTES {
            return self.open().extend_from_slice(&piece);
        }
        self.seal();
        self.list.push(piece);
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.list.push(self.open.split().freeze());
        }
    }

    fn are_enough(&self) -> bool {
        self.list.len() >= MOST_PIECES || self.bytes >= MOST_BYTES
    }

    /// All of them, if there are any.
    fn take(mut self) -> Option<SmallVec<[Bytes; 2]>> {
        self.seal();
        Some(self.list).filter(|list| !list.is_empty())
    }
}

#[cfg(test)]
mod tests;
