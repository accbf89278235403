//! A core's turns: requests that cost it more are begun a few at a time, so that those that cost it little need not wait
//! for all of them.
//!
//! ```text
//! events ─> tasks ─┬─ hits (fast.rs): answered as they come
//!                  └─ others: TURNS of them, then a look at what else has come, then the next
//! ```
//!
//! Of 64 misses that come at once each takes a core some 50 us before it waits for an origin: a hit behind them waited 3 ms.
//! A request that is answered without waiting for anything was a hit, or less, and gives its turn back: many streams of
//! one HTTP/2 connection are answered, and written, together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// How many begin between two looks.
const TURNS: usize = 2;

struct Core {
    left: Semaphore,
    /// Whether somebody gives out new turns.
    is_renewed: AtomicBool,
}

thread_local! {
    static CORE: Arc<Core> = Arc::new(Core { left: Semaphore::new(TURNS), is_renewed: AtomicBool::new(false) });
}

/// A turn that was taken. Dropped, it is spent; another comes after the next look.
#[must_use]
pub(crate) struct Turn(Option<Arc<Core>>);

/// Waits for a turn on this core; those who came first have theirs first. Call it in a runtime of one thread.
pub(crate) async fn turn() -> Turn {
    let core = CORE.with(Arc::clone);
    // It is never closed.
    if let Ok(turn) = core.left.acquire().await {
        turn.forget();
    }
    Turn(Some(core))
}

impl Turn {
    /// What it was taken for has cost little: the next who waits may begin at once.
    pub(crate) fn give_back(mut self) {
        if let Some(core) = self.0.take() {
            core.left.add_permits(1);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(core) = self.0.take()
            && !core.is_renewed.swap(true, Ordering::Relaxed)
        {
            tokio::spawn(renew(core));
        }
    }
}

/// Gives out new turns after each look, until nobody takes any.
async fn renew(core: Arc<Core>) {
    let renewing = Renewing(core);
    let core = &renewing.0;
    while core.left.available_permits() < TURNS {
        // Goes on when the runtime has asked the kernel what has come.
        yield_now().await;
        core.left.add_permits(TURNS.saturating_sub(core.left.available_permits()));
    }
}

/// Somebody gives out new turns, until this is dropped.
struct Renewing(Arc<Core>);

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.is_renewed.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::task::{LocalSet, spawn_local};

    #[test]
    fn a_few_begin_between_two_looks_and_all_do_in_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (begun, last) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
            let all: Vec<_> = (0..10 * TURNS)
                .map(|number| {
                    let (begun, last) = (Rc::clone(&begun), Rc::clone(&last));
                    spawn_local(async move {
                        drop(turn().await);
                        begun.set(begun.get() + 1);
                        assert!(last.replace(Some(number)) < Some(number), "{number} is late");
                    })
                })
                .collect();
            // One that gives up while it waits takes no turn from those behind it.
            yield_now().await;
            all[5 * TURNS].abort();
            let mut looks = 0;
            while begun.get() < all.len() - 1 {
                let before = begun.get();
                yield_now().await;
                assert!(begun.get() - before <= 2 * TURNS, "{} at once", begun.get() - before);
                looks += 1;
            }
            assert!(looks >= 5, "{looks} looks");
            // When nobody has asked for a while, too.
            for _ in 0..3 {
                (0..10).for_each(|_| drop(spawn_local(yield_now())));
                drop(turn().await);
                yield_now().await;
            }
        });
    }

    #[test]
    fn who_gives_a_turn_back_lets_the_next_begin_without_a_look() {
        let gives_back = async {
            for _ in 0..10 * TURNS {
                turn().now_or_never().expect("there is one").give_back();
            }
            let spent: Vec<Turn> = (0..TURNS).filter_map(|_| turn().now_or_never()).collect();
            assert_eq!(spent.len(), TURNS);
            assert!(turn().now_or_never().is_none(), "all are taken");
            drop(spent);
            drop(turn().await);
        };
        // A thread of its own has all turns.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        std::thread::spawn(move || runtime.block_on(gives_back)).join().unwrap();
    }
}
