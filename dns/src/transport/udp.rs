//! DNS over UDP: receive, answer, send, many at once; no task and no queue per datagram.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::{Answer, Limited};
use crate::arrival::{Arrival, Transport};
use crate::cookie::Standing;
use crate::fast::Fast;
use crate::limiter::{Limiter, Same, Verdict};
use crate::sampling::{Sampled, Sampling};
use crate::view::View;

mod batch;

use batch::{Batch, Reply};

/// How often a thread that waits for datagrams looks whether it is to stop.
const LOOKS_UP: Duration = Duration::from_millis(100);

/// Answers datagrams until `stop` resolves, and a tenth of a second longer at most; replies leave from where they were asked. Called
/// within a runtime.
///
/// A thread of its own waits in the kernel: a socket that a runtime polls wakes the poller for each reply that has left
/// (`ep_poll_callback` under `sock_wfree`), which costs a quarter of a microsecond of the server's and as much of the
/// asker's core; and a flood here leaves the runtime's connections their turn.
///
/// # Errors
/// The socket's, at its start.
///
/// # Panics
/// Where the thread has.
pub async fn serve_udp(
    socket: UdpSocket,
    answer: Arc<dyn Answer>,
    stop: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(LOOKS_UP))?;
    let is_over = Over::default();
    let over = Arc::clone(&is_over.0);
    let mut serving = tokio::task::spawn_blocking(move || serve(&socket, answer, &over));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop => {
            drop(is_over);
            serving.await
        }
    };
    match ended {
        Ok(served) => served,
        // As if it had been in this task: whoever watches that hears of it.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Tells the thread to end, whatever becomes of who waits for it.
#[derive(Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// After an error that is not the wait's end: it may be memory that is short, and is not to take the whole core.
const PAUSE: Duration = Duration::from_millis(1);

fn serve(socket: &UdpSocket, answer: Arc<dyn Answer>, is_over: &AtomicBool) -> std::io::Result<()> {
    let mut batch = Batch::new(socket)?;
    let (limiter, sampling) = (Limiter::new(), Sampling::default());
    let mut answering = Answering { answer, fast: None, limiter, sampling, started: Instant::now(), now_us: 0 };
    while !is_over.load(Ordering::Relaxed) {
        match batch.receive(socket) {
            Ok(count) => {
                let view = answering.follow();
                batch.answer(count, socket, |message, peer, reply| {
                    answering.answer(view.as_ref(), message, peer, reply)
                });
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // It passes: the socket is ours and stays good.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    Ok(())
}

/// Answers one socket's queries: by the fast path what it knows, and by the general one what it is to know.
struct Answering {
    answer: Arc<dyn Answer>,
    fast: Option<Fast>,
    limiter: Limiter,
    sampling: Sampling,
    started: Instant,
    /// Since it started: the time of this batch.
    now_us: u64,
}

impl Answering {
    /// Goes on with the view of now, if answers may go without being looked at.
    fn follow(&mut self) -> Option<Arc<View>> {
        self.now_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (view, now) = (self.answer.view()?, SystemTime::now());
        match &mut self.fast {
            Some(fast) => fast.follow(&view, now),
            None => self.fast = Some(Fast::new(Arc::clone(&view), now)),
        }
        Some(view)
    }

    /// Writes the reply; its length, 0 for silence.
    fn answer(&mut self, view: Option<&Arc<View>>, message: &[u8], peer: SocketAddr, out: &mut Reply) -> usize {
        if peer.port() == 0 || is_reflected(peer.ip()) {
            return 0;
        }
        // A panic costs its query, not the core.
        let answered = catch_unwind(AssertUnwindSafe(|| {
            let client = peer.ip().to_canonical();
            let fast = self.fast.as_ref().zip(view);
            if let Some((fast, view)) = fast
                && let Some(sent) = fast.answer(message, (client, Transport::Udp), out)
            {
                self.answer.count(view, Transport::Udp, &sent);
                if let (Some((pop, _)), Some(client)) = (sent.routed, sent.client)
                    && let Some(queries) = self.sampling.take(self.now_us)
                {
                    self.answer.sampled(view, Sampled::new(client, pop, queries));
                }
                let verdict =
                    judge(&mut self.limiter, view.rate_limit(), client, (sent.standing, sent.same), self.now_us);
                note(&*self.answer, verdict);
                return match verdict {
                    Verdict::Send => Some(sent.length),
                    Verdict::Slip => sent.cut(out),
                    Verdict::Drop => None,
                };
            }
            self.answer_generally(view, message, peer, out)
        }));
        answered.ok().flatten().unwrap_or(0)
    }

    fn answer_generally(
        &mut self,
        view: Option<&Arc<View>>,
        message: &[u8],
        peer: SocketAddr,
        out: &mut Reply,
    ) -> Option<usize> {
        let arrival = Arrival::by_udp(peer.ip().to_canonical());
        let reply = self.answer.answer(message, peer, &arrival)?;
        if let Some((fast, view)) = self.fast.as_mut().zip(view) {
            fast.learn(view, message, &arrival, &reply);
        }
        let kind = (reply.facts.standing, reply.facts.same);
        let verdict = judge(&mut self.limiter, self.answer.rate_limit(), arrival.resolver, kind, self.now_us);
        note(&*self.answer, verdict);
        let bytes = match verdict {
            Verdict::Send => reply.to_udp()?,
            Verdict::Slip => reply.cut()?,
            Verdict::Drop => return None,
        };
        out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some(bytes.len())
    }
}

/// Who has shown that replies reach it is not limited.
fn judge(limiter: &mut Limiter, rate: u32, client: IpAddr, (standing, same): (Standing, Same), now_us: u64) -> Verdict {
    match standing {
        Standing::Proven => Verdict::Send,
        Standing::Unproven => limiter.judge(rate, client, same, now_us),
    }
}

fn note(answer: &dyn Answer, verdict: Verdict) {
    match verdict {
        Verdict::Send => {}
        Verdict::Slip => answer.limited(Limited::Cut),
        Verdict::Drop => answer.limited(Limited::Dropped),
    }
}

/// Sources that no asker has: a reply would go to many or to nobody.
fn is_reflected(address: IpAddr) -> bool {
    address.is_multicast() || address.is_unspecified() || address == IpAddr::from([255, 255, 255, 255])
}
