//! The front of an HTTP/1.1 connection: requests that can be answered at once are; any other goes on.
//!
//! ```text
//! bytes -> head (httparse) ── plain ──> Handler::at_once ── answer ──> one write
//!                                │            └── none ──> Handler::serve, piece by piece (exchange.rs)
//!                                └── any other ──> the bytes, untouched, for hyper (drive.rs)
//! ```
//!
//! While a connection is idle it is here, and owns no buffer: bytes are read into the core's. Only GETs of HTTP/1.1
//! that have no body and change nothing about the connection are answered here; whatever is odd about a message
//! is hyper's to judge.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use config::limits;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use httparse::{Header, Status};
use smallvec::SmallVec;
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::body::empty;
use crate::delivery::{Looks, Progress};
use crate::exchange::{After, Exchange, Step};
use crate::incoming::Incoming;
use crate::wire::Wire;

/// A request that may be answered at once, as it was written.
#[derive(Debug)]
pub struct Plain<'a> {
    /// Path and query.
    pub target: &'a str,
    /// The header lines, none of which frames a body or is about the connection.
    pub fields: &'a [Header<'a>],
}

/// The rest of an answer whose head is written.
pub struct AtOnce {
    /// The body: as long as the head says.
    pub body: SmallVec<[Bytes; 2]>,
    /// Who is told when it has gone.
    pub sent: Box<dyn Sent>,
}

/// An answer by HTTP/2 or 3: a 200 with its body in one piece.
pub struct Whole {
    /// The head's fields, with all that it needs.
    pub fields: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Who is told when it has gone.
    pub sent: Box<dyn Sent>,
}

/// Who is told how much of an answer went out.
pub trait Sent: Send {
    /// So many bytes of the body were handed to the connection by now, and more are to follow.
    fn sent_so_far(&mut self, _: u64) {}

    /// So many bytes of the body were handed to the connection: all, or those before it broke.
    fn sent(&mut self, bytes: u64);
}

/// What comes after a front's turn.
pub(crate) enum Next {
    /// Nothing: the connection has ended.
    Ended,
    /// Nothing: the client was told with the last answer that the connection ends.
    Told,
    /// Nothing: it is cut, within a response or since its client has gone.
    Cut,
    /// These bytes begin a request that is not for here.
    General(Bytes),
    /// These bytes begin the connection, and may be HTTP/2 (RFC 9113 §3.4).
    Unknown(Bytes),
}

/// The front of a connection.
pub(crate) struct Front<S> {
    pub(crate) stream: S,
    /// Read, and not yet looked at; or what does not tell yet whether the connection is HTTP/2.
    carried: Bytes,
    owed: Option<Owed>,
    /// The request that a handler has.
    exchange: Option<Exchange>,
    /// Whether nothing was read yet that tells this.
    is_new: bool,
    timer: Pin<Box<Sleep>>,
    /// Bytes moved since the timer last fired, and how often it did without enough of them.
    moved: u64,
    idle: u8,
    looks: Looks,
}

/// What of an answer is not sent yet.
struct Owed {
    head: Bytes,
    body: SmallVec<[Bytes; 2]>,
    sent: u64,
    teller: Box<dyn Sent>,
}

/// How a preface of HTTP/2 begins (RFC 9113 §3.4), as far as it tells it from HTTP/1.1.
const PREFACE: &[u8] = b"PRI ";
/// The most that is read at once: heads of browsers are of 1 to 4 KiB.
const READ_BYTES: usize = 16 << 10;
/// Pieces of a body in one write.
const PIECES: usize = 64;
/// A body of this size is copied behind its head: one piece is sent cheaper than two.
const COPIED_BYTES: usize = 4 << 10;
/// How often a connection looks whether anything moves.
const TICK: Duration = Duration::from_secs(limits::HTTP_HEADER_TIME.as_secs() / 2);
/// A connection ends at the second look in a row that finds nothing has moved,
const IDLE_TICKS: u8 = 2;
/// or at the fourth while its client has something to take, of us or of the kernel.
const STALLED_TICKS: u8 = 4;
/// What a client takes at least from one look to the next.
const LEAST_MOVED: u64 = limits::HTTP_LEAST_RATE * TICK.as_secs();

/// A core's buffers: what is in them is used up before anything else runs.
struct Scratch {
    read: Box<[u8]>,
    head: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { read: vec![0; READ_BYTES].into_boxed_slice(), head: Vec::new() });
}

impl<S: Wire> Front<S> {
    /// The front of a connection that has just been made.
    pub(crate) fn new(stream: S) -> Self {
        Self { is_new: true, ..Self::again(stream, Bytes::new()) }
    }

    /// The front of one that comes back, with what is read of its next requests.
    pub(crate) fn again(stream: S, carried: Bytes) -> Self {
        let timer = Box::pin(sleep(TICK));
        let looks = Looks::default();
        Self { stream, carried, owed: None, exchange: None, is_new: false, timer, moved: 0, idle: 0, looks }
    }

    /// Answers plain requests: at once, or as by an exchange that begins; until another comes.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        at_once: &dyn Fn(&Plain<'_>, &mut Vec<u8>) -> Option<AtOnce>,
        begin: &dyn Fn(Request<Incoming>) -> Exchange,
    ) -> Poll<Next> {
        loop {
            let polled = match self.exchange {
                // Whoever answers may use the core's buffers, too.
                Some(_) => self.poll_exchange(cx),
                None => SCRATCH.with_borrow_mut(|scratch| self.poll_requests(cx, scratch, at_once, begin)),
            };
            match polled {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(next))) => return Poll::Ready(next),
                // The client has gone.
                Poll::Ready(Err(_)) => return Poll::Ready(Next::Cut),
                Poll::Pending => return self.poll_timer(cx),
            }
        }
    }

    /// Whether it would be cut off by ending now.
    pub(crate) fn is_owing(&self) -> bool {
        self.owed.is_some() || self.exchange.is_some()
    }

    /// Sends what a handler answers, to the response's end.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Next>>> {
        loop {
            ready!(self.poll_owed(cx))?;
            let Some(exchange) = &mut self.exchange else {
                return Poll::Ready(Ok(None));
            };
            match exchange.poll(cx) {
                Poll::Ready(Step::Send(pieces)) => self.owed = Some(Owed::pieces(pieces)),
                Poll::Ready(Step::Over(after)) => {
                    self.exchange = None;
                    return Poll::Ready(Ok(match after {
                        After::Next => None,
                        After::End => Some(Next::Told),
                        After::Cut => Some(Next::Cut),
                    }));
                }
                Poll::Pending => return self.poll_gone(cx).map_ok(|()| Some(Next::Cut)),
            }
        }
    }

    /// Ready when the client, which waits for an answer, has gone. What it asks meanwhile is read once.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.carried.is_empty() {
            return Poll::Pending;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut into = ReadBuf::new(&mut scratch.read);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
            if into.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.moved += 1;
            self.carried = Bytes::copy_from_slice(into.filled());
            Poll::Pending
        })
    }

    fn poll_requests(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        at_once: &dyn Fn(&Plain<'_>, &mut Vec<u8>) -> Option<AtOnce>,
        begin: &dyn Fn(Request<Incoming>) -> Exchange,
    ) -> Poll<io::Result<Option<Next>>> {
        let Scratch { read: buffer, head } = scratch;
        loop {
            ready!(self.poll_owed(cx))?;
            let carried = if self.is_new { Bytes::new() } else { std::mem::take(&mut self.carried) };
            let bytes = if carried.is_empty() {
                let mut into = ReadBuf::new(buffer);
                into.put_slice(&self.carried);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
                let count = into.filled().len();
                if count == self.carried.len() {
                    return Poll::Ready(Ok(Some(Next::Ended)));
                }
                self.moved += 1;
                self.carried = Bytes::new();
                buffer.get(..count).unwrap_or_default()
            } else {
                &carried
            };
            if self.is_new && is_like_preface(bytes) {
                let bytes = Bytes::copy_from_slice(bytes);
                if bytes.len() < PREFACE.len() {
                    self.carried = bytes;
                    continue;
                }
                return Poll::Ready(Ok(Some(Next::Unknown(bytes))));
            }
            self.is_new = false;
            // What was kept before is not copied again for each request in it.
            let keep =
                |rest: &[u8]| if carried.is_empty() { Bytes::copy_from_slice(rest) } else { carried.slice_ref(rest) };
            let mut rest = bytes;
            while !rest.is_empty() {
                head.clear();
                let (length, answer) = match read(rest, |plain| at_once(plain, head)) {
                    Read::AtOnce(length, answer) => (length, answer),
                    Read::Plain(length, request) => {
                        self.carried = keep(rest.get(length..).unwrap_or_default());
                        self.exchange = Some(begin(request));
                        return Poll::Ready(Ok(None));
                    }
                    Read::Other => return Poll::Ready(Ok(Some(Next::General(keep(rest))))),
                };
                rest = rest.get(length..).unwrap_or_default();
                if let Some(owed) = self.send(cx, head, answer)? {
                    self.owed = Some(owed);
                    self.carried = keep(rest);
                    break;
                }
            }
        }
    }

    /// Sends an answer; what of it the client does not take at once is owed.
    fn send(&mut self, cx: &mut Context<'_>, head: &mut Vec<u8>, at_once: AtOnce) -> io::Result<Option<Owed>> {
        let AtOnce { body, sent: mut teller } = at_once;
        let head_length = head.len();
        let length = body.iter().map(Bytes::len).sum::<usize>();
        let polled = if length <= COPIED_BYTES {
            body.iter().for_each(|piece| head.extend_from_slice(piece));
            Pin::new(&mut self.stream).poll_write(cx, head)
        } else {
            poll_write(&mut self.stream, cx, &[IoSlice::new(head)], &body)
        };
        let written = match polled {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => {
                teller.sent(0);
                return Err(error);
            }
            Poll::Pending => 0,
        };
        if written == head_length + length {
            teller.sent(u64::try_from(length).unwrap_or(u64::MAX));
            return match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(flushed) => flushed.map(|()| None),
                // Whoever is owed nothing still waits for the flush.
                Poll::Pending => Ok(Some(Owed::nothing())),
            };
        }
        let head = Bytes::copy_from_slice(head.get(..head_length).unwrap_or_default());
        let mut owed = Owed { head, body, sent: 0, teller };
        owed.advance(written);
        Ok(Some(owed))
    }

    /// Sends what is owed.
    fn poll_owed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(owed) = &mut self.owed else {
            return Poll::Ready(Ok(()));
        };
        // What a stream has taken and keeps has not moved.
        let before = owed.left() + self.stream.unsent();
        let sent = owed.poll_send(&mut self.stream, cx);
        let moved = before.saturating_sub(owed.left() + self.stream.unsent());
        self.moved += u64::try_from(moved).unwrap_or(0);
        ready!(sent)?;
        self.owed = None;
        Poll::Ready(Ok(()))
    }

    /// Ends a connection on which nothing moves for too long.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let (least, most) = match (&self.owed, &self.exchange) {
                (Some(_), _) => (LEAST_MOVED, STALLED_TICKS),
                // Whoever answers has a time of its own.
                (None, Some(_)) => (0, IDLE_TICKS),
                (None, None) => (1, IDLE_TICKS),
            };
            let progress = if std::mem::take(&mut self.moved) < least {
                self.looks.look(self.stream.delivery(), LEAST_MOVED)
            } else {
                self.looks = Looks::default();
                Progress::Takes
            };
            self.idle = if progress == Progress::Takes { 0 } else { self.idle + 1 };
            let most = if matches!(progress, Progress::Waits(_)) { STALLED_TICKS } else { most };
            if self.idle >= most {
                return Poll::Ready(if self.is_owing() { Next::Cut } else { Next::Ended });
            }
            self.timer.as_mut().reset(Instant::now() + TICK);
        }
        Poll::Pending
    }
}

impl Owed {
    fn nothing() -> Self {
        Self::pieces(SmallVec::new())
    }

    /// Pieces of which nobody is told.
    fn pieces(body: SmallVec<[Bytes; 2]>) -> Self {
        struct Nobody;
        impl Sent for Nobody {
            fn sent(&mut self, _: u64) {}
        }
        Self { head: Bytes::new(), body, sent: 0, teller: Box::new(Nobody) }
    }

    fn is_done(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// Bytes that no stream has taken yet.
    fn left(&self) -> usize {
        self.head.len() + self.body.iter().map(Bytes::len).sum::<usize>()
    }

    /// Sends all of it.
    fn poll_send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_done() {
            let first = [IoSlice::new(&self.head)];
            let first = if self.head.is_empty() { &[][..] } else { &first[..] };
            let written = ready!(poll_write(stream, cx, first, &self.body))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn advance(&mut self, mut written: usize) {
        let of_head = written.min(self.head.len());
        self.head.advance(of_head);
        written -= of_head;
        self.sent += u64::try_from(written).unwrap_or(0);
        let whole = self.body.iter().take_while(|piece| {
            let fits = piece.len() <= written;
            written -= if fits { piece.len() } else { 0 };
            fits
        });
        let whole = whole.count();
        self.body.drain(..whole);
        if let Some(piece) = self.body.first_mut() {
            piece.advance(written);
            self.teller.sent_so_far(self.sent);
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.teller.sent(self.sent);
    }
}

/// Whether the first bytes of a connection could be those of HTTP/2.
fn is_like_preface(bytes: &[u8]) -> bool {
    bytes.iter().zip(PREFACE).all(|(byte, expected)| byte == expected)
}

/// One write of what comes first and of the body.
fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    first: &[IoSlice<'_>],
    body: &[Bytes],
) -> Poll<io::Result<usize>> {
    let pieces: SmallVec<[IoSlice<'_>; 4]> =
        first.iter().copied().chain(body.iter().take(PIECES).map(|piece| IoSlice::new(piece))).collect();
    Pin::new(stream).poll_write_vectored(cx, &pieces)
}

/// What a head that was read is.
enum Read {
    /// One of so many bytes, that is answered.
    AtOnce(usize, AtOnce),
    /// One that has to be answered yet.
    Plain(usize, Request<Incoming>),
    /// None that is plain, or not whole.
    Other,
}

/// Reads one head, and has it answered if it can be.
fn read(bytes: &[u8], at_once: impl FnOnce(&Plain<'_>) -> Option<AtOnce>) -> Read {
    // Heads of browsers have 15 to 30 lines.
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; 48];
    let mut request = httparse::Request::new(&mut []);
    let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(bytes, &mut headers) else {
        return Read::Other;
    };
    let (Some("GET"), Some(1), Some(target)) = (request.method, request.version, request.path) else {
        return Read::Other;
    };
    if !target.starts_with('/') || request.headers.iter().any(is_about_framing) {
        return Read::Other;
    }
    let plain = Plain { target, fields: request.headers };
    match at_once(&plain) {
        Some(answer) => Read::AtOnce(length, answer),
        None => compose(&plain, bytes.get(..length).unwrap_or_default())
            .map_or(Read::Other, |request| Read::Plain(length, request)),
    }
}

/// A plain request, from its head and what was read of that.
fn compose(plain: &Plain<'_>, head: &[u8]) -> Option<Request<Incoming>> {
    // One copy, of which all values are parts.
    let copy = Bytes::copy_from_slice(head);
    let part = |text: &[u8]| {
        let start = text.as_ptr().addr().checked_sub(head.as_ptr().addr())?;
        let range = start..start.checked_add(text.len())?;
        (range.end <= copy.len()).then(|| copy.slice(range))
    };
    let mut fields = HeaderMap::with_capacity(plain.fields.len());
    for line in plain.fields {
        let value = if line.value.is_empty() { Bytes::new() } else { part(line.value)? };
        fields.append(HeaderName::from_bytes(line.name.as_bytes()).ok()?, HeaderValue::from_maybe_shared(value).ok()?);
    }
    let mut request = Request::new(Incoming::from(empty()));
    *request.uri_mut() = Uri::from_maybe_shared(part(plain.target.as_bytes())?).ok()?;
    *request.headers_mut() = fields;
    Some(request)
}

/// Whether a line frames a body, or is about the connection and more than its usual "keep-alive".
fn is_about_framing(line: &Header<'_>) -> bool {
    let is = |name: &str| line.name.eq_ignore_ascii_case(name);
    match line.name.len() {
        2 => is("te"),
        6 => is("expect"),
        7 => is("upgrade") || is("trailer"),
        10 => is("connection") && !line.value.eq_ignore_ascii_case(b"keep-alive"),
        14 => is("content-length") || is("http2-settings"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    }
}
