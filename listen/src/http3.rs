//! HTTP/3 (RFC 9114) on a QUIC connection: the same handlers, limits and interim responses as on any other.

mod body;
mod frames;
mod guarded;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use config::limits;
use h3::error::Code;
use h3::quic::SendStream as _;
use h3::server::RequestResolver;
use h3_quinn::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::SetOnce;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until, timeout};

use self::body::Http3Body;
use self::guarded::{Guarded, GuardedStream};
use crate::answer::answer;
use crate::body::Body;
use crate::connection::{Connection, Scheme};
use crate::cores::Stop;
use crate::fast::{Sent, Whole};
use crate::incoming::Incoming;
use crate::inline;
use crate::interim::{Hint, Interim};
use crate::mount::Mounts;
use crate::outgoing::{OF_CONNECTIONS, compose, interim};
use crate::quic::{Arrived, Quic};

type Receiving = h3::server::RequestStream<GuardedStream<RecvStream>, Bytes>;
type Resolver = RequestResolver<Guarded<h3_quinn::Connection>, Bytes>;

/// Overhead of a field in a section's size (RFC 9114 §4.2.2).
const FIELD_OVERHEAD: usize = 32;

/// Serves HTTP/3 until stopped; then no new connections, open requests get ten seconds.
pub async fn serve_http3(quic: Quic, mounts: Arc<Mounts>, stop: Stop) {
    let stops = stop.clone();
    quic.serve(&stop, move |arrived| drive(arrived, Arc::clone(&mounts), stops.clone())).await;
}

/// Serves a connection until it ends, nothing moves for too long, or all is to stop: then what was begun is finished, and
/// no more taken.
async fn drive(arrived: Arrived, mounts: Arc<Mounts>, stop: Stop) {
    let Arrived { connection: quic, local, sni, established } = arrived;
    let peer = quic.remote_address();
    // QUIC has no other version (RFC 9001 §4.2).
    let tls = Some("TLSv1.3");
    let connection = Connection { peer, is_relayed: false, local, scheme: Scheme::Https, sni, tls, interim: None };
    let largest = limits::HTTP_HEADER_BYTES + FIELD_OVERHEAD * limits::HTTP_HEADERS;
    let mut builder = h3::server::builder();
    builder.max_field_section_size(u64::try_from(largest).unwrap_or(u64::MAX)).send_grease(false);
    let built = builder.build::<_, Bytes>(Guarded(h3_quinn::Connection::new(quic.clone())));
    let Ok(Ok(mut http3)) = timeout(limits::TLS_HANDSHAKE_TIME, built).await else { return };
    let (mut requests, mut asked) = (JoinSet::new(), 0);
    let mut until = Instant::now() + limits::HTTP_HEADER_TIME;
    let mut stopping = Stopping::Not;
    let progress = Arc::<AtomicU64>::default();
    let mut handed_over = pin!(stop.handed_over());
    loop {
        let is_over = tokio::select! {
            resolver = http3.accept() => match resolver {
                // What it was told that it is not done.
                Ok(Some(mut late)) if stopping == Stopping::Told => {
                    late.frame_stream.reset(Code::H3_REQUEST_REJECTED.value());
                    false
                }
                Ok(Some(resolver)) => {
                    let (mounts, connection) = (Arc::clone(&mounts), connection.clone());
                    let serve = serve(resolver, mounts, connection, Arc::clone(&established), Arc::clone(&progress));
                    match inline::begin(Box::pin(serve)) {
                        Some(waiting) => _ = requests.spawn(waiting),
                        None => until = Instant::now() + limits::HTTP_HEADER_TIME,
                    }
                    asked += 1;
                    asked >= limits::HTTP3_REQUESTS
                }
                Ok(None) => break,
                // A rule is broken, or nobody is there.
                Err(_) => return quic.close(code(Code::H3_NO_ERROR), b""),
            },
            Some(_) = requests.join_next() => {
                until = Instant::now() + limits::HTTP_HEADER_TIME;
                stopping == Stopping::Told && requests.is_empty()
            }
            () = stop.stopped(), if stopping == Stopping::Not => true,
            () = sleep_until(until), if requests.is_empty() => true,
            () = &mut handed_over => return quic.close(code(Code::H3_NO_ERROR), b""),
        };
        match stopping {
            Stopping::Told if is_over && requests.is_empty() => break,
            Stopping::Not if is_over => {
                stopping = Stopping::Told;
                // "The identifier ... MAY be ... higher" than that of the last that is answered (RFC 9114 §5.2).
                if !matches!(timeout(limits::QUIC_CLOSE_TIME, http3.shutdown(1)).await, Ok(Ok(()))) {
                    break;
                }
                if requests.is_empty() {
                    until = Instant::now() + limits::QUIC_CLOSE_TIME;
                }
            }
            Stopping::Not | Stopping::Told => {}
        }
    }
    tokio::select! {
        _ = timeout(limits::HTTP_DRAIN, taken(&quic)) => {}
        () = &mut handed_over => {}
    }
    quic.close(code(Code::H3_NO_ERROR), b"");
}

/// Waits until the client has taken what it was sent, or takes nothing more, or is gone: what a connection has not sent
/// when it is closed is lost.
async fn taken(quic: &quinn::Connection) {
    loop {
        let before = quic.stats().frame_tx.stream;
        if timeout(limits::QUIC_CLOSE_TIME, quic.closed()).await.is_ok() || quic.stats().frame_tx.stream == before {
            return;
        }
    }
}

fn code(code: Code) -> quinn::VarInt {
    quinn::VarInt::from_u64(code.value()).unwrap_or_default()
}

/// Whether the client was told to ask no more here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    Not,
    Told,
}

/// Answers one request.
async fn serve(
    resolver: Resolver,
    mounts: Arc<Mounts>,
    connection: Connection,
    established: Arc<SetOnce<()>>,
    progress: Arc<AtomicU64>,
) {
    let came_early = !established.initialized();
    let Ok(Ok((request, stream))) = timeout(limits::HTTP_HEADER_TIME, resolver.resolve_request()).await else { return };
    let (sending, receiving) = stream.split();
    let mut sending = Sending { stream: sending, progress, is_finished: false };
    let Some(mut request) = read(request, receiving).await else {
        return sending.stop(Code::H3_MESSAGE_ERROR);
    };
    if came_early {
        if request.method().is_safe() {
            // RFC 8470 §5.1: who forwards what may be a replay says so.
            request.headers_mut().insert(EARLY_DATA, HeaderValue::from_static("1"));
        } else {
            // RFC 8470 §3: it "can delay processing until the handshake completes".
            established.wait().await;
        }
    }
    if !came_early && request.method() == Method::GET && request.body().is_end_stream() {
        let (head, body) = request.into_parts();
        let handler = mounts.find(head.uri.path());
        if let Some(whole) = handler.and_then(|handler| handler.whole_at_once(&head, &connection)) {
            let _ = send_whole(&mut sending, whole).await;
            return;
        }
        request = Request::from_parts(head, body);
    }
    let method = request.method().clone();
    let (told, mut hints) = Interim::told();
    let connection = Connection { interim: Some(told), ..connection };
    let answered = {
        let mut answered = Box::pin(answer(&mounts, request, connection));
        loop {
            tokio::select! {
                biased;
                Some((status, headers)) = hints.recv() => if hint(&mut sending, (status, headers)).await.is_none() { return },
                response = &mut answered => break response,
            }
        }
    };
    // Those that came with the response stand before it.
    hints.close();
    while let Some(late) = hints.recv().await {
        if hint(&mut sending, late).await.is_none() {
            return;
        }
    }
    // Where it is cut, what drops the stream says so.
    let _ = send(&mut sending, &method, answered).await;
}

/// RFC 8470 §5.1.
const EARLY_DATA: HeaderName = HeaderName::from_static("early-data");

/// Takes a request with what is known of its body; none where it is malformed (RFC 9114 §4.1.2), or does not come.
async fn read(request: Request<()>, receiving: Receiving) -> Option<Request<Incoming>> {
    let headers = request.headers();
    // RFC 9114 §4.2: "any message containing connection-specific fields MUST be treated as malformed", TE but for
    // trailers, too.
    let is_strange = OF_CONNECTIONS.iter().any(|name| headers.contains_key(name))
        || headers.get_all(header::TE).iter().any(|value| value != "trailers")
        || headers.len() > limits::HTTP_HEADERS;
    if is_strange {
        return None;
    }
    let length = length(headers)?;
    let mut body = Http3Body::new(receiving, length);
    // Whether there is one is seen by the end, which most send with the head: who never has one is waited for.
    if request.method().is_safe() && length.is_none_or(|length| length == 0) {
        timeout(limits::HTTP_HEADER_TIME, body.look()).await.ok()?;
    } else {
        body.glance();
    }
    Some(request.map(|()| Incoming::from(body.boxed_unsync())))
}

/// The length a head says, none where it says none; nothing where it says several, or what is none.
#[expect(clippy::option_option, reason = "nothing, and that it is malformed, are two things")]
fn length(headers: &HeaderMap) -> Option<Option<u64>> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Some(None) };
    if lengths.next().is_some() || !first.as_bytes().iter().all(u8::is_ascii_digit) {
        return None;
    }
    first.to_str().ok()?.parse().ok().map(Some)
}

/// A response's way out. Dropped before it is finished, as by a panic, it is reset: its client must not take that for the
/// end.
struct Sending {
    stream: h3::server::RequestStream<SendStream<Bytes>, Bytes>,
    /// Bytes that this connection has taken.
    progress: Arc<AtomicU64>,
    is_finished: bool,
}

/// As much is handed over at once: others have their turn then. Not after the last piece, so that the end goes with it.
const PIECE: usize = 16 << 10;

impl Sending {
    async fn head(&mut self, head: Response<()>) -> Option<()> {
        timeout(limits::HTTP_WRITE_TIME, self.stream.send_response(head)).await.ok()?.ok()
    }

    /// Sends data. A client is given up that takes less than it must of all that it asked for on this connection: one
    /// stream may wait for others.
    async fn data(&mut self, mut data: Bytes) -> Option<()> {
        while !data.is_empty() {
            let piece = data.split_to(PIECE.min(data.len()));
            let length = u64::try_from(piece.len()).unwrap_or_default();
            let mut sent = pin!(self.stream.send_data(piece));
            loop {
                let before = self.progress.load(Ordering::Relaxed);
                match timeout(limits::HTTP_WRITE_TIME, sent.as_mut()).await {
                    Ok(sent) => break sent.ok()?,
                    Err(_) if self.progress.load(Ordering::Relaxed) - before >= LEAST_TAKEN => {}
                    Err(_) => return None,
                }
            }
            self.progress.fetch_add(length, Ordering::Relaxed);
            if !data.is_empty() {
                yield_now().await;
            }
        }
        Some(())
    }

    async fn trailers(&mut self, trailers: HeaderMap) -> Option<()> {
        timeout(limits::HTTP_WRITE_TIME, self.stream.send_trailers(trailers)).await.ok()?.ok()
    }

    async fn finish(&mut self) -> Option<()> {
        timeout(limits::HTTP_WRITE_TIME, self.stream.finish()).await.ok()?.ok()?;
        self.is_finished = true;
        Some(())
    }

    fn stop(&mut self, code: Code) {
        self.stream.stop_stream(code);
        self.is_finished = true;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.is_finished {
            self.stop(Code::H3_INTERNAL_ERROR);
        }
    }
}

/// What a client that still reads takes in the time that it may take nothing.
const LEAST_TAKEN: u64 = limits::HTTP_LEAST_RATE * limits::HTTP_WRITE_TIME.as_secs();

/// Sends an interim response; nothing where the client is gone.
async fn hint(sending: &mut Sending, (status, headers): Hint) -> Option<()> {
    sending.head(interim(status, headers)).await
}

/// Sends an answer at once, and tells how much of it was taken; nothing where the client takes nothing.
async fn send_whole(sending: &mut Sending, Whole { fields, body, sent }: Whole) -> Option<()> {
    let mut telling = Telling { sent, bytes: 0 };
    let mut head = Response::new(());
    *head.headers_mut() = fields;
    sending.head(head).await?;
    let mut body = body;
    while !body.is_empty() {
        let piece = body.split_to(PIECE.min(body.len()));
        let length = u64::try_from(piece.len()).unwrap_or_default();
        sending.data(piece).await?;
        telling.bytes += length;
        telling.sent.sent_so_far(telling.bytes);
        if !body.is_empty() {
            yield_now().await;
        }
    }
    sending.finish().await
}

/// Tells how much of an answer was taken once it is over, by whatever.
struct Telling {
    sent: Box<dyn Sent>,
    bytes: u64,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.sent.sent(self.bytes);
    }
}

/// Sends a response; nothing where it is cut, or the client takes nothing.
async fn send(sending: &mut Sending, method: &Method, response: Response<Body>) -> Option<()> {
    let (head, body) = compose(method, response);
    sending.head(head).await?;
    if let Some(mut body) = body {
        while let Some(frame) = body.frame().await {
            match frame.ok()?.into_data() {
                Ok(data) => {
                    sending.data(data).await?;
                    if !body.is_end_stream() {
                        yield_now().await;
                    }
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().ok()?;
                    sending.trailers(trailers).await?;
                }
            }
        }
    }
    sending.finish().await
}

#[cfg(test)]
mod tests;
