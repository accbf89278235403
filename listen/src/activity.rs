//! Whether a connection is in use, and whether its client takes what it has asked for.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use config::limits;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::body::{Body, BoxError};
use crate::delivery::{Delivers, Delivery, Looks, Progress};
use crate::tunnel::{Duplex, Tunnel};

/// What happens on a connection. It is one core's: the lock is never waited for.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    /// Whether the stream is to say what the client has of it.
    is_asked: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Requests being answered, with their numbers: one, or as many as HTTP/2 has streams.
    open: Vec<(u64, Turn)>,
    begun: u64,
    sending: Sending,
    /// Whether more than the last request's head may have been read, or may be still to come: of a body that nobody
    /// takes. What follows is no request then.
    is_amid: bool,
    /// Whether the last request was [`Way::Old`].
    is_old: bool,
    /// Whether nothing was written since the stream was last flushed.
    is_flushed: bool,
    written: u64,
    /// Bytes that came or went.
    moved: u64,
    /// When a request last ended, or the client took more than it does by answering pings.
    since: Instant,
    /// Bytes written since then.
    written_since: u64,
    /// Where the connection leads once its last answer is sent.
    switch: Option<Tunnel>,
    /// What the stream said last of what the client has.
    told: Option<Delivery>,
}

/// Who has to do something before a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Ours,
    /// The client's: it was handed a piece of its response then.
    Client(Instant),
    /// Nobody's: its stream leads elsewhere, or is to.
    Elsewhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Done,
    /// Bytes wait for the client to read, since then.
    Waiting(Instant),
}

/// What a request makes of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its head is all there is, and another may follow.
    Plain,
    /// A body follows, or nothing does.
    Other,
    /// It is of HTTP/1.0, whose clients take the end of the connection for that of a body (RFC 9112 §6.3).
    Old,
}

/// A request on its way; its end is noted when it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    activity: Arc<Activity>,
    number: u64,
}

/// What a client that still reads a response takes in the time that a connection may be idle.
const LEAST_WRITTEN: u64 = limits::HTTP_LEAST_RATE * limits::HTTP_HEADER_TIME.as_secs();

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        let (open, sending, since) = (Vec::new(), Sending::Done, Instant::now());
        let state = State {
            open,
            begun: 0,
            sending,
            is_amid: false,
            is_old: false,
            is_flushed: true,
            written: 0,
            moved: 0,
            since,
            written_since: 0,
            switch: None,
            told: None,
        };
        Arc::new(Self { state: Mutex::new(state), is_asked: AtomicBool::new(false) })
    }

    /// A request begins. That one without a body begins shows that the body before it was read.
    pub(crate) fn begin(self: &Arc<Self>, way: Way) -> Open {
        let number = self.change(|state| {
            state.begun += 1;
            state.is_amid = way != Way::Plain;
            state.is_old = way == Way::Old;
            state.open.push((state.begun, Turn::Ours));
            state.begun
        });
        Open { activity: Arc::clone(self), number }
    }

    /// A request of HTTP/2 begins whose answer is its client's to take already.
    pub(crate) fn hand_over(self: &Arc<Self>) -> Open {
        let number = self.change(|state| {
            state.begun += 1;
            state.open.push((state.begun, Turn::Client(Instant::now())));
            state.begun
        });
        Open { activity: Arc::clone(self), number }
    }

    /// A request begins whose stream is to lead elsewhere, unless as many do as may on one connection.
    pub(crate) fn begin_tunnel(self: &Arc<Self>) -> Option<Open> {
        let number = self.change(|state| {
            let tunnels = state.open.iter().filter(|(_, turn)| *turn == Turn::Elsewhere).count();
            if tunnels >= limits::HTTP2_TUNNELS {
                return None;
            }
            state.begun += 1;
            state.open.push((state.begun, Turn::Elsewhere));
            Some(state.begun)
        });
        number.map(|number| Open { activity: Arc::clone(self), number })
    }

    /// Resolves once no request was open, and nothing sent, for so long; later while the client still takes what the kernel
    /// holds for it.
    pub(crate) async fn idle(&self, limit: Duration) {
        let mut looks = Looks::default();
        loop {
            let now = Instant::now();
            let until = self.idle_at(now, limit);
            if until > now {
                looks = Looks::default();
                sleep_until(until).await;
                continue;
            }
            let told = self.delivery().await;
            if self.idle_at(now, limit) > now {
                // A request has come meanwhile.
                continue;
            }
            match looks.look(told, LEAST_WRITTEN) {
                // The first finds none that takes.
                Progress::Takes | Progress::Waits(1) => {}
                Progress::Waits(_) | Progress::Done => return,
            }
            sleep_until(now + limit).await;
        }
    }

    /// When it will have been idle for so long.
    fn idle_at(&self, now: Instant, limit: Duration) -> Instant {
        self.change(|state| {
            let is_idle = state.open.is_empty() && state.sending == Sending::Done;
            if is_idle { state.since + limit } else { now + limit }
        })
    }

    /// Resolves once a response has waited for its client for so long and hardly anything was sent
    /// meanwhile. An HTTP/2 client that gives no window, and answers pings, is found out by nothing else.
    pub(crate) async fn stalled(&self, limit: Duration) {
        let least = limits::HTTP_LEAST_RATE * limit.as_secs();
        loop {
            let begun = Instant::now();
            let (written, may_stall) = self.change(|state| (state.written, state.has_waited_since(begun)));
            let mut looks = if may_stall { Looks::since(self.delivery().await) } else { Looks::default() };
            sleep_until(begun + limit).await;
            let is_stalled = self.change(|state| state.written - written < least && state.has_waited_since(begun));
            // What the kernel has no room for yet the client may be taking.
            if is_stalled && looks.look(self.delivery().await, least) != Progress::Takes {
                return;
            }
        }
    }

    /// What the client has of what was written, as the stream tells when it is polled next. Await it where that is: in
    /// the task that polls the stream at each of its turns.
    pub(crate) async fn delivery(&self) -> Option<Delivery> {
        self.is_asked.store(true, Ordering::Relaxed);
        // Of this turn the stream may have had its part. The next is whole.
        yield_now().await;
        yield_now().await;
        self.change(|state| state.told)
    }

    /// Answers who has asked.
    fn tell(&self, stream: &impl Delivers) {
        if self.is_asked.load(Ordering::Relaxed) {
            self.is_asked.store(false, Ordering::Relaxed);
            let told = stream.delivery();
            self.change(|state| state.told = told);
        }
    }

    /// The connection ends with the answer that is on its way.
    pub(crate) fn ends(&self) {
        self.change(|state| state.is_amid = true);
    }

    /// How many bytes have come or gone by now.
    pub(crate) fn moved(&self) -> u64 {
        self.change(|state| state.moved)
    }

    /// Whether nothing that was written waits for the client.
    pub(crate) fn is_flushed(&self) -> bool {
        self.change(|state| state.is_flushed)
    }

    /// The connection leads elsewhere after the answer that is on its way.
    pub(crate) fn switches(&self, to: Tunnel) {
        self.change(|state| state.switch = Some(to));
    }

    /// Where it leads, once.
    pub(crate) fn switched(&self) -> Option<Box<dyn Duplex>> {
        self.change(|state| state.switch.take())?.take()
    }

    /// Whether the client would take the end of the connection for that of a body.
    pub(crate) fn is_old(&self) -> bool {
        self.change(|state| state.is_old)
    }

    /// Whether no request is open.
    pub(crate) fn is_answered(&self) -> bool {
        self.change(|state| state.open.is_empty())
    }

    /// Whether requests were answered, all that there were, and every byte has gone.
    pub(crate) fn is_between(&self) -> bool {
        self.change(|state| state.begun > 0 && !state.is_amid && state.open.is_empty() && state.is_flushed)
    }

    /// Whether nothing is on its way to the client.
    pub(crate) fn is_sent(&self) -> bool {
        self.change(|state| state.open.is_empty() && state.is_flushed)
    }

    fn sent(&self, polled: &Poll<std::io::Result<usize>>) {
        self.change(|state| match polled {
            Poll::Pending => {
                state.is_flushed = false;
                if state.sending == Sending::Done {
                    state.sending = Sending::Waiting(Instant::now());
                }
            }
            Poll::Ready(written) => {
                let written = u64::try_from(written.as_ref().copied().unwrap_or_default()).unwrap_or_default();
                state.written += written;
                state.moved += written;
                state.is_flushed = false;
                state.written_since += written;
                // What a client that is done makes us write, such as answers to its pings, is little.
                if state.sending != Sending::Done || state.written_since >= LEAST_WRITTEN {
                    (state.since, state.written_since) = (Instant::now(), 0);
                }
                state.sending = Sending::Done;
            }
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Whether it is the client's to take something, since then at the latest.
    fn has_waited_since(&self, begun: Instant) -> bool {
        let waits = |turn: &Turn| matches!(turn, Turn::Client(since) if *since <= begun);
        let is_sent_to = matches!(self.sending, Sending::Waiting(since) if since <= begun);
        is_sent_to || self.open.iter().any(|(_, turn)| waits(turn))
    }
}

impl Open {
    fn turn(&self, turn: Turn) {
        self.activity.change(|state| {
            let own = state.open.iter_mut().find(|(number, _)| *number == self.number);
            own.into_iter().for_each(|(_, old)| *old = turn);
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.activity.change(|state| {
            state.open.retain(|(number, _)| *number != self.number);
            state.since = Instant::now();
        });
    }
}

pin_project! {
    /// A body that keeps its request open until it is handed over or dropped.
    pub(crate) struct Held {
        #[pin]
        inner: Body,
        open: Open,
    }
}

impl Held {
    pub(crate) fn new(inner: Body, open: Open) -> Self {
        // The head is a piece, too.
        open.turn(Turn::Client(Instant::now()));
        Self { inner, open }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        this.open.turn(Turn::Ours);
        let frame = ready!(this.inner.poll_frame(cx));
        this.open.turn(Turn::Client(Instant::now()));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project! {
    /// A stream whose writing is noted.
    pub(crate) struct Watched<S> {
        #[pin]
        inner: S,
        activity: Arc<Activity>,
    }
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Delivers> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.project();
        this.activity.tell(&*this.inner);
        let before = buffer.filled().len();
        let polled = this.inner.poll_read(cx, buffer);
        let more = buffer.filled().len() - before;
        if more > 0 {
            this.activity.change(|state| state.moved += u64::try_from(more).unwrap_or_default());
        }
        polled
    }
}

impl<S: AsyncWrite + Delivers> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.project();
        this.activity.tell(&*this.inner);
        let polled = this.inner.poll_write(cx, bytes);
        this.activity.sent(&polled);
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.project();
        this.activity.tell(&*this.inner);
        let polled = this.inner.poll_write_vectored(cx, pieces);
        this.activity.sent(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.project();
        this.activity.tell(&*this.inner);
        ready!(this.inner.poll_flush(cx))?;
        this.activity.change(|state| state.is_flushed = true);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
