//! A log file behind a bounded queue.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use serde::Serialize;

/// Writes records as JSON lines. A full queue drops records and counts them: logging never delays
/// an answer.
#[derive(Clone, Debug)]
pub struct Log {
    queue: SyncSender<Vec<u8>>,
    dropped: IntCounter,
}

/// At most so many lines between two flushes.
const BATCH: usize = 1_000;
/// How often it is said that lines are lost.
const TOLD_EVERY: Duration = Duration::from_secs(60);

impl Log {
    /// Starts the writer of a file; what it appends to may come, go and come back.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(path: &Path, lines: usize, dropped: IntCounter) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(lines);
        let (path, lost) = (path.to_owned(), dropped.clone());
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&path, &lines, &lost))?;
        Ok(Self { queue, dropped })
    }

    /// Hands a record to the writer.
    pub fn add(&self, record: &impl Serialize) {
        let Ok(mut line) = serde_json::to_vec(record) else {
            return;
        };
        line.push(b'\n');
        if self.queue.try_send(line).is_err() {
            self.dropped.inc();
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes until every handle is gone: all that waits, then a flush. A file that was moved away to
/// rotate it is opened again with the next line; so is one that fails (disk full), whose lines are lost,
/// counted and told.
fn write(path: &Path, lines: &Receiver<Vec<u8>>, dropped: &IntCounter) {
    let mut file = None;
    let mut told: Option<Instant> = None;
    while let Ok(first) = lines.recv() {
        let batch: Vec<Vec<u8>> = std::iter::once(first).chain(lines.try_iter().take(BATCH)).collect();
        let here = file.take().filter(|file: &BufWriter<File>| is_at(file.get_ref(), path));
        let out = here.map_or_else(|| open(path).map(BufWriter::new), Ok);
        match out.and_then(|out| append(out, &batch)) {
            Ok(out) => file = Some(out),
            Err(error) => {
                dropped.inc_by(u64::try_from(batch.len()).unwrap_or(u64::MAX));
                if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    told = Some(Instant::now());
                    tracing::error!(path = %path.display(), %error, "a log cannot be written: lines are lost");
                }
            }
        }
    }
}

fn append(mut out: BufWriter<File>, lines: &[Vec<u8>]) -> std::io::Result<BufWriter<File>> {
    let written = lines.iter().try_for_each(|line| out.write_all(line)).and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(out),
        Err(error) => {
            // What is left in the buffer would be tried again, and fail again, at the end.
            drop(out.into_parts());
            Err(error)
        }
    }
}

/// Whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let dropped = IntCounter::new("dropped", "Lines.").unwrap();
        // A device that is always full.
        let log = Log::start(Path::new("/dev/full"), 100, dropped.clone()).unwrap();
        (0..10).for_each(|number| log.add(&number));
        let start = Instant::now();
        while dropped.get() < 10 {
            assert!(start.elapsed() < Duration::from_secs(5), "{}", dropped.get());
            std::thread::yield_now();
        }
    }
}
