//! One single-threaded runtime for each core, and the work sent to it.

use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;

use config::limits;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

/// Tells whoever waits when to stop.
#[derive(Clone, Debug)]
pub struct Stop {
    sender: Arc<watch::Sender<Going>>,
}

/// Whether something goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    On,
    /// Nothing new is begun, and clients are told so in their turn.
    Out,
    /// Nothing new is begun, and who has nothing under way is not waited for.
    OutAtOnce,
    /// Nothing new is begun, and the sockets are another process's, too: where what comes is not apart by connection, as by
    /// UDP, nothing more may be read.
    Away,
}

/// What a core is to do until its own stop; made on the core, from what the core has.
pub type Job<C> = Box<dyn FnOnce(&C) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The cores' threads. Dropping it lets each end when its jobs have.
#[derive(Debug)]
pub struct Cores<C> {
    // Jobs come with reloads alone, a handful each: no bound is needed.
    jobs: Vec<UnboundedSender<Job<C>>>,
    threads: Vec<JoinHandle<()>>,
    failed: Stop,
}

impl Stop {
    /// Not stopped yet.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: Arc::new(watch::channel(Going::On).0) }
    }

    /// Stops everything that waits.
    pub fn stop(&self) {
        self.sender.send_if_modified(|going| {
            let goes_on = *going == Going::On;
            if goes_on {
                *going = Going::Out;
            }
            goes_on
        });
    }

    /// Stops everything that waits, and keeps no connection for a request that may be on its way.
    pub fn hurry(&self) {
        self.sender.send_replace(Going::OutAtOnce);
    }

    /// Stops everything that waits, since the sockets are handed to another process: their connections have a moment, those
    /// of TCP as long as after any stop.
    pub fn hand_over(&self) {
        self.sender.send_replace(Going::Away);
    }

    /// Whether it was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.sender.borrow() != Going::On
    }

    /// Resolves once stopped.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.waits_for(|going| going != Going::On)
    }

    /// Resolves once a connection on which nothing is under way is to end: a while after a stop, so that a request which
    /// crosses it is answered, or at once where there is no time.
    pub fn farewell(&self) -> impl Future<Output = ()> + Send + 'static {
        let (stopped, hurried) = (self.stopped(), self.waits_for(|going| going == Going::OutAtOnce));
        async move {
            stopped.await;
            let _ = timeout(limits::HTTP_FAREWELL, hurried).await;
        }
    }

    /// Resolves once what was under way at a stop has had its time.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.stopped();
        async move {
            stopped.await;
            sleep(limits::HTTP_DRAIN).await;
        }
    }

    /// Resolves a moment after what is read by UDP has become another process's.
    pub(crate) fn handed_over(&self) -> impl Future<Output = ()> + Send + 'static {
        let away = self.waits_for(|going| going == Going::Away);
        async move {
            away.await;
            sleep(limits::QUIC_CLOSE_TIME).await;
        }
    }

    fn waits_for(&self, is_met: fn(Going) -> bool) -> impl Future<Output = ()> + Send + use<> {
        let mut receiver = self.sender.subscribe();
        async move {
            // An error means that every sender is gone, which is a stop too.
            let _ = receiver.wait_for(|going| is_met(*going)).await;
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: 'static> Cores<C> {
    /// Starts a thread for each core this process may use; `equip` makes, on the thread, what all
    /// jobs of that core share.
    ///
    /// # Errors
    /// No thread or runtime could be made.
    pub fn start<E>(equip: E) -> std::io::Result<Self>
    where
        E: FnOnce() -> C + Clone + Send + 'static,
    {
        let mut cores = Self { jobs: Vec::new(), threads: Vec::new(), failed: Stop::new() };
        for number in 0..available_cores() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (sender, receiver) = unbounded_channel();
            let (equip, failed) = (equip.clone(), cores.failed.clone());
            let thread = std::thread::Builder::new().name(format!("core-{number}"));
            cores.threads.push(thread.spawn(move || run(&runtime, equip, receiver, failed))?);
            cores.jobs.push(sender);
        }
        Ok(cores)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.jobs.len()
    }

    /// Gives a core one more job.
    pub fn add(&self, core: usize, job: Job<C>) {
        // A core that has ended has told so by `failed`.
        let _ = self.jobs.get(core).map(|jobs| jobs.send(job));
    }

    /// Resolves when a job has ended by a panic: what it listened on is lost.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.failed.stopped()
    }

    /// Takes no more jobs and waits for every one to end.
    pub fn join(self) {
        drop(self.jobs);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a core's thread has panicked");
            }
        }
    }
}

/// How many cores this process may use.
#[must_use]
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

fn run<C>(runtime: &Runtime, equip: impl FnOnce() -> C, mut jobs: UnboundedReceiver<Job<C>>, failed: Stop) {
    LocalSet::new().block_on(runtime, async {
        let core = equip();
        let mut running = JoinSet::new();
        let mut open = true;
        while open || !running.is_empty() {
            tokio::select! {
                job = jobs.recv(), if open => match job {
                    Some(job) => drop(running.spawn_local(job(&core))),
                    None => open = false,
                },
                Some(ended) = running.join_next() => {
                    if ended.is_err_and(|error| error.is_panic()) {
                        failed.stop();
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn who_has_nothing_under_way_is_waited_for_unless_there_is_no_time() {
        let (stop, began) = (Stop::new(), Instant::now());
        let farewell = tokio::spawn(stop.farewell());
        sleep(Duration::from_secs(7)).await;
        assert!(!farewell.is_finished() && !stop.is_stopped());
        stop.stop();
        farewell.await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(7) + limits::HTTP_FAREWELL);

        let (stop, began) = (Stop::new(), Instant::now());
        stop.stop();
        let farewell = tokio::spawn(stop.farewell());
        sleep(Duration::from_secs(1)).await;
        stop.hurry();
        // It was hurried once and for all.
        stop.stop();
        farewell.await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        assert!(stop.is_stopped());
    }

    #[test]
    fn a_job_that_panics_is_told_and_the_others_go_on() {
        let cores = Cores::start(|| 7).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        cores.add(0, Box::new(|_| Box::pin(async { panic!("a bug") })));
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), cores.failed()).await }).unwrap();
        cores.add(
            0,
            Box::new(move |core| {
                let core = *core;
                Box::pin(async move { sender.send(core).unwrap() })
            }),
        );
        assert_eq!(receiver.recv_timeout(Duration::from_secs(5)), Ok(7));
        cores.join();
    }
}
