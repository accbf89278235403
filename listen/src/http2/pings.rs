//! Pings that find out whether a client is still there (RFC 9113 §6.7).
//!
//! The answer of one that reads slowly stands behind all that the kernel keeps for it, which may be minutes. So one that has
//! not answered is gone only where nothing shows that it reads: no byte comes or goes, and it acknowledges too little.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use config::limits;
use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

use crate::activity::Activity;
use crate::delivery::{Delivery, Looks, Progress};

/// The pings of a connection.
pub(super) struct Pings {
    pings: PingPong,
    timer: Pin<Box<Sleep>>,
    /// Bytes that had come or gone when it was last looked.
    moved: u64,
    /// While an answer is waited for: looks at what the client takes.
    unanswered: Option<Looks>,
    /// A look that is under way.
    look: Option<Look>,
}

type Look = Pin<Box<dyn Future<Output = Option<Delivery>> + Send>>;

/// How long a client may take to answer.
const PING_TIME: Duration = Duration::from_secs(10);
/// What it takes at least in that time while much is held for it,
const LEAST_TAKEN: u64 = limits::HTTP_LEAST_RATE * PING_TIME.as_secs();
/// and so many times in a row may find that it has not.
const MOST_WAITS: u64 = limits::HTTP_WRITE_TIME.as_secs() / PING_TIME.as_secs();

impl Pings {
    pub(super) fn new(pings: PingPong) -> Self {
        let timer = Box::pin(sleep(limits::HTTP_HEADER_TIME));
        Self { pings, timer, moved: 0, unanswered: None, look: None }
    }

    /// Ready when the client has not answered, and nothing else shows that it is there.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>, activity: &Arc<Activity>) -> Poll<()> {
        loop {
            if self.unanswered.is_some() && self.pings.poll_pong(cx).is_ready() {
                (self.unanswered, self.look) = (None, None);
                self.timer.as_mut().reset(Instant::now() + limits::HTTP_HEADER_TIME);
            }
            if self.look.is_none() {
                ready!(self.timer.as_mut().poll(cx));
                let before = std::mem::replace(&mut self.moved, activity.moved());
                match &mut self.unanswered {
                    Some(_) if self.moved == before => {
                        let activity = Arc::clone(activity);
                        self.look = Some(Box::pin(async move { activity.delivery().await }));
                    }
                    Some(looks) => looks.moves(),
                    None if self.pings.send_ping(Ping::opaque()).is_err() => return Poll::Ready(()),
                    None => {}
                }
            }
            let looks = self.unanswered.get_or_insert_default();
            if let Some(look) = &mut self.look {
                let told = ready!(look.as_mut().poll(cx));
                self.look = None;
                if is_gone(looks, told) {
                    return Poll::Ready(());
                }
            }
            self.timer.as_mut().reset(Instant::now() + PING_TIME);
        }
    }
}

/// Whether a client that has not answered a ping, and for which nothing has moved, has taken nothing either for too long. What is
/// held for one that has gone is little: a ping, or a short answer.
fn is_gone(looks: &mut Looks, told: Option<Delivery>) -> bool {
    let holds_much = told.is_some_and(|told| told.held > LEAST_TAKEN);
    match looks.look(told, LEAST_TAKEN) {
        Progress::Takes => false,
        Progress::Waits(waits) => !holds_much || waits > MOST_WAITS,
        Progress::Done => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which look a client is gone that has taken, and for which is held, so much at each; none where it is there to the end.
    fn gone_at(looks: impl IntoIterator<Item = Option<(u64, u64)>>) -> Option<usize> {
        let mut unanswered = Looks::default();
        let mut looks = looks.into_iter().map(|look| look.map(|(taken, held)| Delivery { taken, held }));
        looks.position(|told| is_gone(&mut unanswered, told)).map(|before| before + 1)
    }

    #[test]
    fn a_client_that_does_not_answer_is_there_only_while_it_takes_much_that_is_held() {
        /// More than a client has to take from one look to the next.
        const MUCH: u64 = 100_000;
        let takes = |look: u64| Some((1 + look * LEAST_TAKEN, MUCH));
        let waits = Some((1, MUCH));
        for (what, looks, expected) in [
            ("nobody knows", vec![None], Some(1)),
            ("nothing is held", vec![Some((9_000, 0))], Some(1)),
            ("a ping is", vec![Some((9_000, 17))], Some(1)),
            ("no more is than has to be taken", vec![Some((9_000, LEAST_TAKEN))], Some(1)),
            // 60 s after the first look.
            ("it takes nothing", vec![waits; 50], Some(7)),
            ("or too little", (0..50).map(|look| Some((1 + look * (LEAST_TAKEN - 1), MUCH))).collect(), Some(7)),
            ("it takes", (0..500).map(takes).collect(), None),
            ("to the end, and has not answered", vec![takes(0), takes(1), Some((9_000, 17))], None),
            ("which is all", vec![takes(0), takes(1), Some((9_000, 0)), Some((9_000, 0))], Some(4)),
            ("it begins to", [vec![waits; 6], (1..9).map(takes).collect()].concat(), None),
            ("and ends", [vec![waits; 6], vec![takes(1); 50]].concat(), Some(6 + 1 + 7)),
        ] {
            assert_eq!(gone_at(looks), expected, "{what}");
        }
    }

    #[test]
    fn what_moves_for_a_client_counts_as_what_it_takes() {
        let mut unanswered = Looks::default();
        let waits = Some(Delivery { taken: 1, held: 100_000 });
        for _ in 0..10 {
            assert!((0..6).all(|_| !is_gone(&mut unanswered, waits)));
            unanswered.moves();
        }
        assert!((0..6).all(|_| !is_gone(&mut unanswered, waits)) && is_gone(&mut unanswered, waits));
    }
}
