//! One single-threaded runtime for each core.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::watch;

/// Tells every core when to stop.
#[derive(Clone, Debug)]
pub struct Stop {
    sender: Arc<watch::Sender<bool>>,
}

/// The cores' threads.
#[derive(Debug)]
pub struct Cores {
    threads: Vec<JoinHandle<()>>,
}

impl Stop {
    /// Not stopped yet.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: Arc::new(watch::channel(false).0) }
    }

    /// Stops everything that waits.
    pub fn stop(&self) {
        self.sender.send_replace(true);
    }

    /// Resolves once stopped.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut receiver = self.sender.subscribe();
        async move {
            // An error means that every sender is gone, which is a stop too.
            let _ = receiver.wait_for(|stopped| *stopped).await;
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Cores {
    /// Starts a thread for each job; a job is a future made on its own thread.
    ///
    /// # Errors
    /// No thread or runtime could be made.
    pub fn start<F, M>(jobs: Vec<M>) -> std::io::Result<Self>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let mut threads = Vec::new();
        for (number, job) in jobs.into_iter().enumerate() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new().name(format!("core-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(async { job().await }))?);
        }
        Ok(Self { threads })
    }

    /// Waits for every job to end.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a core's thread has panicked");
            }
        }
    }

    /// How many cores this process may use.
    #[must_use]
    pub fn available() -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    }
}
