//! A log file behind a bounded queue.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

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

impl Log {
    /// Opens a file to append to, and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread be started.
    pub fn open(path: &Path, lines: usize, dropped: IntCounter) -> std::io::Result<Self> {
        let file = open(path)?;
        let (queue, lines) = sync_channel(lines);
        let path = path.to_owned();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&path, file, &lines))?;
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

/// Writes until every handle is gone: all that waits, then a flush. A file that fails (disk full), or
/// that was moved away to rotate it, is opened again with the next line.
fn write(path: &Path, file: File, lines: &Receiver<Vec<u8>>) {
    let mut file = Some(BufWriter::new(file));
    while let Ok(first) = lines.recv() {
        let here = file.take().filter(|file| is_at(file.get_ref(), path));
        let out = here.or_else(|| open(path).ok().map(BufWriter::new));
        file = out.and_then(|mut out| {
            let waiting = std::iter::once(first).chain(lines.try_iter().take(BATCH));
            let written = waiting.map(|line| out.write_all(&line)).find(Result::is_err);
            (written.is_none() && out.flush().is_ok()).then_some(out)
        });
    }
}

/// Whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}
