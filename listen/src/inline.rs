//! Where HTTP/2 and HTTP/3 run their handlers: at once, and as tasks only if they have to wait.
//!
//! A task for each request would cost an allocation, two turns of the scheduler and a wake of the connection; a hit is
//! answered as soon as it is asked for. So each is polled here first, with a waker that does nothing. What is pending
//! becomes a task, and a task is polled anew before anything else could be waited for: whatever it had its waker left
//! with meanwhile gets the task's then, so that no wake is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Runs what answers a request: polls it once, then spawns it if it is not done. Used on a runtime.
pub(crate) fn run(future: impl Future<Output = ()> + Send + Unpin + 'static) {
    if let Some(waiting) = begin(future) {
        tokio::spawn(waiting);
    }
}

/// Polls what answers a request once. One that is not done is given back, and is to be spawned before anything is waited for.
pub(crate) fn begin<F: Future<Output = ()> + Unpin>(mut future: F) -> Option<F> {
    let poll = || Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
    // A panic is one stream's, which is reset as it is dropped, as it would be in a task of its own.
    let polled = catch_unwind(AssertUnwindSafe(poll));
    matches!(polled, Ok(Poll::Pending)).then_some(future)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Notify, oneshot};

    #[tokio::test]
    async fn what_is_ready_is_done_at_once_and_what_waits_is_woken() {
        let done = Arc::new(AtomicUsize::new(0));
        let ready = Arc::clone(&done);
        run(Box::pin(async move { _ = ready.fetch_add(1, Ordering::Relaxed) }));
        assert_eq!(done.load(Ordering::Relaxed), 1);

        // What it waits for happens before its task has run, or after.
        for has_run in [false, true] {
            let (asks, answers) = oneshot::channel();
            let (said, hears) = oneshot::channel();
            run(Box::pin(async move {
                let number: u32 = answers.await.unwrap();
                tokio::task::yield_now().await;
                said.send(number).unwrap();
            }));
            if has_run {
                tokio::task::yield_now().await;
            }
            asks.send(7).unwrap();
            assert_eq!(hears.await, Ok(7));
        }
        let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (waits, tells) = (Arc::clone(&first), Arc::clone(&second));
        run(Box::pin(async move {
            waits.notified().await;
            tells.notify_one();
        }));
        first.notify_one();
        second.notified().await;
    }

    #[tokio::test]
    async fn only_what_waits_is_given_back() {
        let done = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&done);
        assert!(begin(Box::pin(async move { _ = counts.fetch_add(1, Ordering::Relaxed) })).is_none());
        let counts = Arc::clone(&done);
        let waiting = begin(Box::pin(async move {
            tokio::task::yield_now().await;
            counts.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(done.load(Ordering::Relaxed), 1);
        waiting.expect("it waits").await;
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_panic_is_its_own() {
        let bug: Option<()> = std::hint::black_box(None);
        run(Box::pin(async move { bug.unwrap() }));
    }
}
