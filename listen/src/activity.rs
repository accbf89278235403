//! Whether a connection is in use: requests being answered, bodies being sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};

use crate::body::{Body, BoxError};

/// What happens on a connection. It is one core's: the lock is never waited for.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    open: usize,
    /// When the last request ended, or the connection began.
    since: Instant,
}

/// A request on its way; its end is noted when it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Activity>);

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { open: 0, since: Instant::now() }) })
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        self.change(|state| state.open += 1);
        Open(Arc::clone(self))
    }

    /// Resolves once no request was open for so long.
    pub(crate) async fn idle(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let until = self.change(|state| if state.open > 0 { now + limit } else { state.since + limit });
            if until <= now {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.open = state.open.saturating_sub(1);
            state.since = Instant::now();
        });
    }
}

pin_project! {
    /// A body that keeps its request open until it is sent or dropped.
    pub(crate) struct Held {
        #[pin]
        inner: Body,
        open: Open,
    }
}

impl Held {
    pub(crate) fn new(inner: Body, open: Open) -> Self {
        Self { inner, open }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_without_open_requests() {
        let limit = Duration::from_secs(30);
        let activity = Activity::new();
        let start = Instant::now();
        let request = activity.begin();
        let ends = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(request);
        };
        tokio::join!(ends, activity.idle(limit));
        let idle_after = start.elapsed();
        assert!((130..160).contains(&idle_after.as_secs()), "{idle_after:?}");
    }
}
