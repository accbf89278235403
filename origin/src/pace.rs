//! Whether an origin sends a body at a pace that is worth waiting for.
//!
//! Only its own turns count: from when a piece is asked for to when it is there, be it read at once or much later by a
//! client that is slow.

use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::Duration;

use config::limits;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;

/// What came while it was waited for: in each window of waiting there must be so many bytes.
#[derive(Debug)]
pub(crate) struct Pace {
    window: Duration,
    waited: Duration,
    bytes: u64,
    /// When the turn began that is not over.
    since: Option<Instant>,
    noted: Option<Arc<Noted>>,
    /// When the last turn's piece was there, if that is known.
    woken: Option<Instant>,
}

impl Pace {
    /// The pace of an answer's body, where pauses may be so long; none where it may be slow on purpose: events come when
    /// they happen, and who works long on what was sent to it may show by blanks that it lives.
    pub(crate) fn of(method: &Method, response: &HeaderMap, pause: Duration) -> Option<Self> {
        let kind = response.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let may_be_slow = *method != Method::GET || kind.eq_ignore_ascii_case(b"text/event-stream");
        // One long pause that is allowed leaves as much time to make up for it.
        let window = limits::ORIGIN_LEAST_WINDOW.max(pause.saturating_mul(2));
        (!may_be_slow).then(|| Self { window, waited: Duration::ZERO, bytes: 0, since: None, noted: None, woken: None })
    }

    /// The waker to poll with in the place of one; once for each poll.
    pub(crate) fn waker(&mut self, waker: &Waker) -> Waker {
        let before = self.noted.take();
        self.woken = before.as_ref().and_then(|noted| noted.at.get().copied());
        let again = before.and_then(|noted| noted.again(waker));
        let noted = again.unwrap_or_else(|| Arc::new(Noted { waker: waker.clone(), at: OnceLock::new() }));
        self.noted = Some(Arc::clone(&noted));
        noted.into()
    }

    /// Nothing is there yet. Returns how long it may be waited for.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        self.since.get_or_insert(now);
        if self.bytes < limits::ORIGIN_LEAST_BYTES { self.window.saturating_sub(self.waited) } else { Duration::MAX }
    }

    /// So many bytes were there.
    pub(crate) fn took(&mut self, bytes: usize, now: Instant) {
        let over = self.woken.unwrap_or(now);
        self.waited += self.since.take().map_or(Duration::ZERO, |since| over.saturating_duration_since(since));
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.bytes >= limits::ORIGIN_LEAST_BYTES && self.waited >= self.window {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
    }
}

/// Passes a wake on, and notes when it came.
#[derive(Debug)]
struct Noted {
    waker: Waker,
    at: OnceLock<Instant>,
}

impl Noted {
    /// The same for another poll, where nobody else holds it, or where it has noted nothing and wakes whom it is to wake.
    fn again(mut self: Arc<Self>, waker: &Waker) -> Option<Arc<Self>> {
        if let Some(own) = Arc::get_mut(&mut self) {
            own.waker.clone_from(waker);
            own.at = OnceLock::new();
            return Some(self);
        }
        (self.at.get().is_none() && self.waker.will_wake(waker)).then_some(self)
    }
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.at.get_or_init(Instant::now);
        self.waker.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ENOUGH: usize = 6_000;

    fn pace(pause: Duration) -> Pace {
        Pace::of(&Method::GET, &HeaderMap::new(), pause).expect("a GET")
    }

    /// Waits for a piece, which comes after a time, and is read after another.
    async fn turn(pace: &mut Pace, comes: Duration, read: Duration, bytes: usize) -> Duration {
        let waker = pace.waker(Waker::noop());
        let left = pace.wait(Instant::now());
        advance(comes).await;
        waker.wake();
        advance(read).await;
        let _ = pace.waker(Waker::noop());
        pace.took(bytes, Instant::now());
        left
    }

    #[test]
    fn what_may_be_slow_has_no_pace() {
        let table = [
            ("GET", "text/html", true),
            ("GET", "", true),
            ("GET", "text/event-stream", false),
            ("GET", " text/event-stream ;x", false),
            ("GET", "text/event-streams", true),
            ("GET", "Text/Event-Stream; charset=utf-8", false),
            ("POST", "application/xml", false),
            ("HEAD", "text/html", false),
        ];
        for (method, kind, is_paced) in table {
            let response = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            let pace = Pace::of(&method.parse().unwrap(), &response, SECOND);
            assert_eq!(pace.is_some(), is_paced, "{method} {kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_drips_has_less_and_less_time() {
        let mut pace = pace(SECOND * 30);
        for number in 0..3 {
            let left = turn(&mut pace, SECOND * 20, Duration::ZERO, 10).await;
            assert_eq!(left, SECOND * (60 - 20 * number));
        }
        assert_eq!(pace.wait(Instant::now()), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_up_has_all_the_time_in_each_window() {
        let mut pace = pace(SECOND * 30);
        assert_eq!(turn(&mut pace, SECOND * 29, Duration::ZERO, ENOUGH).await, SECOND * 60);
        assert_eq!(turn(&mut pace, SECOND * 29, Duration::ZERO, 1).await, Duration::MAX);
        assert_eq!(turn(&mut pace, SECOND * 29, Duration::ZERO, 1).await, Duration::MAX);
        assert_eq!(pace.wait(Instant::now()), SECOND * 60, "a new window");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_reads_is_not_the_origins() {
        let mut pace = pace(SECOND * 30);
        for number in 0..50 {
            let left = turn(&mut pace, SECOND, SECOND * 100, 10).await;
            assert_eq!(left, SECOND * (60 - number));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_waker_is_used_again_while_nobody_waits_for_what_it_notes() {
        let mut pace = pace(SECOND);
        let first = pace.waker(Waker::noop());
        let place = first.data();
        first.wake();
        let second = pace.waker(Waker::noop());
        assert!(second.data() == place && pace.woken.is_some(), "nobody else had it");
        let third = pace.waker(Waker::noop());
        assert!(third.data() == place && pace.woken.is_none(), "it has noted nothing");
        advance(SECOND).await;
        second.wake();
        let fourth = pace.waker(Waker::noop());
        assert!(fourth.data() != place && pace.woken == Some(Instant::now()), "whoever has it may wake once more");
        advance(SECOND).await;
        third.wake();
        let _ = pace.waker(Waker::noop());
        assert_eq!(pace.woken, None, "that was another turn's");
    }

    #[test]
    fn longer_pauses_make_the_window_longer() {
        assert_eq!(pace(SECOND).window, SECOND * 60);
        assert_eq!(pace(SECOND * 600).window, SECOND * 1_200);
    }
}
