//! The idle connections to one server.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use config::limits;
use tokio::time::{Instant, sleep_until};

/// Connections between two requests, the one used last on top: it is the least likely to be just closing.
///
/// One core has it for itself, so that its lock is never waited for.
#[derive(Debug)]
pub(crate) struct Pool<C> {
    idle: Mutex<Idle<C>>,
}

impl<C: Send + 'static> Pool<C> {
    /// Makes an empty pool.
    pub(crate) fn new() -> Self {
        Self { idle: Mutex::new(Idle { stack: Vec::new(), is_swept: false }) }
    }

    /// Takes the connection used last that is still usable; those above it that aren't are dropped.
    pub(crate) fn take(&self, now: Instant, is_usable: impl Fn(&C) -> bool) -> Option<C> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.expire(now);
        while let Some((connection, _)) = idle.stack.pop() {
            if is_usable(&connection) {
                return Some(connection);
            }
        }
        None
    }

    /// How many there are that are still usable; those that aren't are dropped.
    pub(crate) fn ready(&self, now: Instant, is_usable: impl Fn(&C) -> bool) -> usize {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.expire(now);
        idle.stack.retain(|(connection, _)| is_usable(connection));
        idle.stack.len()
    }

    /// Puts a connection back, to be kept until then; the one idle longest goes where there are too many. Call it
    /// in a runtime.
    pub(crate) fn put(self: &Arc<Self>, connection: C, until: Instant) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(connection, until);
        if !idle.is_swept {
            idle.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self), until));
        }
    }
}

/// Drops connections that have been idle too long, also where nobody takes any; ends when none is left.
async fn sweep<C: Send + 'static>(pool: Weak<Pool<C>>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.expire(Instant::now());
        match idle.stack.iter().map(|(_, until)| *until).min() {
            Some(until) => next = until,
            None => {
                idle.is_swept = false;
                return;
            }
        }
    }
}

#[derive(Debug)]
struct Idle<C> {
    /// Each with the time until which it is kept; the first is the one idle longest.
    stack: Vec<(C, Instant)>,
    /// Whether a sweep runs.
    is_swept: bool,
}

impl<C> Idle<C> {
    fn push(&mut self, connection: C, until: Instant) {
        if self.stack.len() >= limits::ORIGIN_IDLE {
            self.stack.remove(0);
        }
        self.stack.push((connection, until));
    }

    fn expire(&mut self, now: Instant) {
        self.stack.retain(|(_, until)| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn the_connection_used_last_is_taken_first() {
        let pool = filled(&[1, 2, 3]);
        let now = Instant::now();
        assert_eq!([pool.take(now, any), pool.take(now, any), pool.take(now, any)], [Some(3), Some(2), Some(1)]);
        assert_eq!(pool.take(now, any), None);
    }

    #[tokio::test(start_paused = true)]
    async fn closed_connections_are_passed_over_and_dropped() {
        let pool = filled(&[1, 2, 3]);
        assert_eq!(pool.take(Instant::now(), |number| *number == 1), Some(1));
        assert_eq!(pool.take(Instant::now(), any), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_closed_or_too_old_is_not_ready() {
        let pool = filled(&[1, 2, 3]);
        let now = Instant::now();
        assert_eq!(pool.ready(now, any), 3);
        assert_eq!(pool.ready(now, |number| *number != 2), 2);
        assert_eq!(pool.ready(now, any), 2);
        assert_eq!(pool.ready(now + TIME, any), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_for_its_time() {
        let pool = filled(&[1]);
        let now = Instant::now();
        let almost = now + TIME - Duration::from_millis(1);
        assert_eq!(pool.take(almost, any), Some(1));
        pool.put(2, now + TIME);
        assert_eq!(pool.take(now + TIME, any), None);
    }

    #[tokio::test(start_paused = true)]
    async fn each_connection_has_its_own_time() {
        let pool = filled(&[1]);
        let now = Instant::now();
        pool.put(2, now + TIME / 10);
        assert_eq!(pool.take(now + TIME / 2, any), Some(1), "the newer one's is over");
        assert_eq!(pool.take(now, any), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_idle_longest_goes_when_there_are_too_many() {
        let all: Vec<usize> = (0..=limits::ORIGIN_IDLE).collect();
        let pool = filled(&all);
        let kept: Vec<usize> = std::iter::from_fn(|| pool.take(Instant::now(), any)).collect();
        assert_eq!((kept.len(), kept.last()), (limits::ORIGIN_IDLE, Some(&1)));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_nobody_takes_are_dropped_in_time() {
        let pool = Arc::new(Pool::new());
        let (one, other) = (Arc::new(()), Arc::new(()));
        pool.put(Arc::clone(&one), Instant::now() + TIME);
        advance(TIME / 2).await;
        pool.put(Arc::clone(&other), Instant::now() + TIME);
        tokio::time::sleep(TIME / 2 + Duration::from_millis(2)).await;
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&other)), (1, 2));
        tokio::time::sleep(TIME / 2).await;
        assert_eq!(Arc::strong_count(&other), 1);
        // The next one is swept anew.
        pool.put(Arc::clone(&one), Instant::now() + TIME);
        tokio::time::sleep(TIME + Duration::from_millis(2)).await;
        assert_eq!(Arc::strong_count(&one), 1);
    }

    fn filled(numbers: &[usize]) -> Arc<Pool<usize>> {
        let pool = Arc::new(Pool::new());
        for number in numbers {
            pool.put(*number, Instant::now() + TIME);
        }
        pool
    }

    fn any(_: &usize) -> bool {
        true
    }
}
