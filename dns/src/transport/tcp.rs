//! DNS over TCP (RFC 7766): length, message; length, reply. A loop of our own, because what it has
//! to bound (connections, idle ones first, slow readers) is all there is to it.
//!
//! Queries that come together are answered together (§6.2.1.1); each reply is made at once, so that none waits behind
//! another.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use config::limits;
use listen::accept_waiting;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::Answer;
use crate::arrival::{Arrival, Transport};
use crate::fast::Fast;
use crate::transfer::Transfer;

/// Connections that may be ending beside those that are open.
const ENDING: usize = 64;

/// Answers connections until `stop` resolves; what is being answered then is finished. With TLS they are encrypted (RFC 7858).
pub async fn serve_tcp(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: Arc<dyn Answer>,
    stop: impl Future<Output = ()> + Send,
) {
    let tls = tls.map(TlsAcceptor::from);
    let connections = Arc::new(Connections::default());
    let answering = Answering { answer, fast: None, reply: vec![0; usize::from(u16::MAX)] };
    let answering = Arc::new(Mutex::new(answering));
    let mut serving = JoinSet::new();
    let mut number = 0;
    let accept = async {
        loop {
            let accepted = tokio::select! {
                // Those told to end keep their files until they have: no more are taken in meanwhile.
                accepted = listener.accept(), if serving.len() < limits::DNS_TCP_CONNECTIONS + ENDING => accepted,
                Some(_) = serving.join_next() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    number += 1;
                    let place = Connections::enter(&connections, number);
                    serving.spawn(place.begin(stream, tls.clone(), peer, Arc::clone(&answering)));
                }
                Err(error) if is_exhausted(&error) && connections.end_longest_idle() => {
                    tokio::task::yield_now().await;
                }
                Err(error) if is_exhausted(&error) => tokio::time::sleep(limits::ACCEPT_PAUSE).await,
                // The client has gone before it was accepted.
                Err(_) => {}
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop => {}
    }
    for (stream, peer) in accept_waiting(listener) {
        number += 1;
        let place = Connections::enter(&connections, number);
        serving.spawn(place.begin(stream, tls.clone(), peer, Arc::clone(&answering)));
    }
    // Each is told to end when it next waits; what it writes now has a deadline of its own.
    connections.end_all();
    while serving.join_next().await.is_some() {}
}

/// The open connections of a listener. It is one core's: the lock is never waited for.
struct Connections {
    open: Mutex<HashMap<u64, Open>>,
    transfers: Semaphore,
    /// Whether no more are taken.
    is_ending: AtomicBool,
}

impl Default for Connections {
    fn default() -> Self {
        let transfers = Semaphore::new(limits::DNS_TRANSFERS);
        Self { open: Mutex::default(), transfers, is_ending: AtomicBool::new(false) }
    }
}

struct Open {
    /// `None` until its task has run: what has come with it is to be answered first.
    idle_since: Option<Instant>,
    end: Arc<Notify>,
}

/// One connection's entry among the open, removed with it.
struct Place {
    connections: Arc<Connections>,
    number: u64,
    end: Arc<Notify>,
}

impl Connections {
    /// Takes a connection in. Where there are too many, the longest idle goes (RFC 7766 §6.2.3: a
    /// server may close idle connections at any time).
    fn enter(this: &Arc<Self>, number: u64) -> Place {
        if this.lock().len() >= limits::DNS_TCP_CONNECTIONS {
            this.end_longest_idle();
        }
        let end = Arc::new(Notify::new());
        this.lock().insert(number, Open { idle_since: None, end: Arc::clone(&end) });
        Place { connections: Arc::clone(this), number, end }
    }

    /// Whether there was one to end.
    fn end_longest_idle(&self) -> bool {
        let mut open = self.lock();
        let idle = open.iter().filter_map(|(number, open)| Some((open.idle_since?, *number)));
        let oldest = idle.min().map(|(_, number)| number);
        let ended = oldest.and_then(|number| open.remove(&number));
        // One permit is kept for a connection that is not waiting just now.
        ended.inspect(|open| open.end.notify_one()).is_some()
    }

    fn end_all(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.lock().drain().for_each(|(_, open)| open.end.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        lock(&self.open)
    }
}

impl Place {
    async fn begin(
        self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        peer: SocketAddr,
        answering: Arc<Mutex<Answering>>,
    ) {
        // Replies are written together: waiting for more only delays them.
        let _ = stream.set_nodelay(true);
        self.begin_idling();
        let Some(tls) = tls else { return self.serve(stream, (peer, Transport::Tcp), answering).await };
        // In a box of its own: what a handshake needs the connection does not keep.
        let mut handshake = Box::pin(timeout(limits::TLS_HANDSHAKE_TIME, tls.accept(stream)));
        let shaken = tokio::select! {
            shaken = &mut handshake => shaken,
            () = self.end.notified() => match self.is_ending() {
                true => handshake.await,
                false => return,
            },
        };
        if let Ok(Ok(stream)) = shaken {
            self.begin_idling();
            Box::pin(self.serve(stream, (peer, Transport::Tls), answering)).await;
        }
    }

    async fn serve(self, mut stream: impl Stream, from: (SocketAddr, Transport), answering: Arc<Mutex<Answering>>) {
        let mut input = Input::default();
        let mut output = Vec::new();
        let patience = if self.is_ending() { limits::DNS_TCP_FAREWELL } else { limits::DNS_TCP_IDLE };
        let mut deadline = Instant::now() + patience;
        let mut is_new = true;
        loop {
            let read = tokio::select! {
                biased;
                // RFC 7766 §6.2.3: a server may close idle connections. One that has only come is not idle: where all end it
                // has its answer first.
                () = self.end.notified() => match is_new && self.is_ending() {
                    true => timeout(limits::DNS_TCP_FAREWELL, input.read(&mut stream)).await,
                    false => return,
                },
                read = timeout_at(deadline, input.read(&mut stream)) => read,
            };
            is_new = false;
            if !matches!(read, Ok(Ok(1..))) {
                return;
            }
            let (mut last, mut answered) = (Last::More, 0);
            while let Some(message) = input.next() {
                let served = lock(&answering).answer(message, from, &mut output);
                match served {
                    Served::All => {}
                    Served::Ended => {
                        last = Last::Ended;
                        break;
                    }
                    Served::Transfer(transfer) => {
                        if !self.hand_over(&mut stream, &mut output, *transfer).await {
                            return;
                        }
                    }
                }
                deadline = Instant::now() + limits::DNS_TCP_IDLE;
                answered += 1;
                let is_long = output.len() >= WRITTEN_AT_ONCE || answered % ANSWERED_AT_ONCE == 0;
                if is_long {
                    if !self.write(&mut stream, &mut output).await {
                        return;
                    }
                    // Datagrams and other connections of this core wait no longer than that.
                    tokio::task::yield_now().await;
                }
            }
            if !self.write(&mut stream, &mut output).await || last == Last::Ended || self.is_ending() {
                return;
            }
        }
    }

    /// Writes a transfer, message by message; whether the client took it.
    async fn hand_over(&self, stream: &mut impl Stream, output: &mut Vec<u8>, mut transfer: Transfer) -> bool {
        let place = tokio::select! {
            place = timeout(limits::DNS_TCP_IDLE, self.connections.transfers.acquire()) => place,
            () = self.end.notified() => return false,
        };
        let Ok(Ok(_place)) = place else { return false };
        while let Some(message) = transfer.next(SystemTime::now()) {
            let Ok(length) = u16::try_from(message.len()) else { return false };
            output.extend(length.to_be_bytes());
            output.extend(message);
            if !self.write(stream, output).await {
                return false;
            }
            // A client that reads fast holds up nobody's queries.
            tokio::task::yield_now().await;
        }
        true
    }

    /// Whether all are to end.
    fn is_ending(&self) -> bool {
        self.connections.is_ending.load(Ordering::Relaxed)
    }

    fn begin_idling(&self) {
        if let Some(open) = self.connections.lock().get_mut(&self.number) {
            open.idle_since = Some(Instant::now());
        }
    }

    /// Writes what is to be written; whether the client took it.
    async fn write(&self, stream: &mut impl Stream, output: &mut Vec<u8>) -> bool {
        if output.is_empty() {
            return true;
        }
        let written = {
            let mut writing = std::pin::pin!(timeout(limits::DNS_TCP_WRITE, write_all(stream, output)));
            tokio::select! {
                biased;
                written = &mut writing => written,
                // Where all end it has its deadline.
                () = self.end.notified() => match self.is_ending() {
                    true => writing.await,
                    // Another needs its place: one that takes nothing would keep it for the whole deadline.
                    false => return false,
                },
            }
        };
        output.clear();
        self.begin_idling();
        matches!(written, Ok(Ok(())))
    }
}

/// Clear or encrypted.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

async fn write_all(stream: &mut impl Stream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    // What is encrypted may still be held back.
    stream.flush().await
}

/// So many bytes of replies are written before more queries are answered: a client that takes nothing holds no more.
const WRITTEN_AT_ONCE: usize = 16 << 10;

/// So many queries of one connection are answered before others have their turn.
const ANSWERED_AT_ONCE: usize = 32;
const READ_AT_ONCE: usize = 4 << 10;

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    More,
    Ended,
}

/// What became of a message.
#[derive(Debug)]
enum Served {
    /// It is answered.
    All,
    /// A zone is to be handed over.
    Transfer(Box<Transfer>),
    /// What came is no query: nothing that follows would be understood.
    Ended,
}

/// Answers what one listener's connections ask: by the fast path what it knows. It is one core's: the lock is never
/// waited for.
struct Answering {
    answer: Arc<dyn Answer>,
    fast: Option<Fast>,
    reply: Vec<u8>,
}

impl Answering {
    /// Adds the reply, behind its length, to the output.
    fn answer(&mut self, message: &[u8], (peer, transport): (SocketAddr, Transport), output: &mut Vec<u8>) -> Served {
        // A panic costs its connection, not the core.
        let answered = catch_unwind(AssertUnwindSafe(|| {
            let arrival = Arrival::by(transport, peer.ip().to_canonical());
            // What is encrypted may be padded, which the fast path does not know.
            let view = self.answer.view().filter(|_| !transport.is_encrypted());
            if let Some(view) = &view {
                let fast = self.fast.get_or_insert_with(|| Fast::new(Arc::clone(view), arrival.at));
                fast.follow(view, arrival.at);
                if let Some(sent) = fast.answer(message, (arrival.resolver, Transport::Tcp), &mut self.reply) {
                    self.answer.count(view, Transport::Tcp, &sent);
                    let length = u16::try_from(sent.length).ok()?;
                    output.extend(length.to_be_bytes());
                    output.extend(self.reply.get(..sent.length)?);
                    return Some(Served::All);
                }
            }
            if let Some(transfer) = self.answer.transfer(message, &arrival) {
                return Some(Served::Transfer(Box::new(transfer)));
            }
            let reply = self.answer.answer(message, peer, &arrival)?;
            if let Some((fast, view)) = self.fast.as_mut().zip(view.as_ref()) {
                fast.learn(view, message, &arrival, &reply);
            }
            output.extend(reply.to_tcp()?);
            Some(Served::All)
        }));
        answered.ok().flatten().unwrap_or(Served::Ended)
    }
}

/// What a client has sent and is not answered yet.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// What is before it has been answered.
    at: usize,
}

impl Input {
    /// Takes more in; how much, 0 at the end. What is taken in is bounded by one message and what comes with it.
    async fn read(&mut self, stream: &mut impl Stream) -> std::io::Result<usize> {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.reserve(READ_AT_ONCE);
        stream.read_buf(&mut self.bytes).await
    }

    /// The next whole message.
    fn next(&mut self) -> Option<&[u8]> {
        let (length, rest) = self.bytes.get(self.at..)?.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if rest.len() < length {
            return None;
        }
        let begin = self.at + 2;
        self.at = begin + length;
        self.bytes.get(begin..self.at)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// EMFILE or ENFILE.
fn is_exhausted(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests;
