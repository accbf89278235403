//! A log file behind a bounded queue.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use serde::Serialize;

/// Writes records as lines. A full queue drops records and counts them: logging never delays
/// an answer.
#[derive(Clone, Debug)]
pub struct Log(Arc<Handle>);

/// Makes lines of the bytes that were handed in, on the writer's thread.
type Render = Box<dyn FnMut(&[u8], &mut Vec<u8>) + Send>;

#[derive(Debug)]
struct Handle {
    queue: Arc<Queue>,
    most: usize,
    dropped: IntCounter,
}

/// Records on their way to the writer.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    count: u64,
    /// Whether the writer is to be woken.
    is_writer_waiting: bool,
    /// Whether the file is to be opened anew.
    is_reopening: bool,
    /// Whether every handle is gone.
    is_closed: bool,
    /// Whether the writer has ended.
    is_done: bool,
}

/// The writer rests so long after each write: woken for every line it costs requests more than the line does (48 % of a
/// hit's time in the kernel was seen, most of it wake-ups).
const REST: Duration = Duration::from_millis(5);
/// The writer keeps a buffer of this size between two writes.
const KEPT: usize = 256 << 10;
/// What the writer takes at once.
struct Taken {
    count: u64,
    file: Where,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// To the file that is open, if the path still leads there.
    Open,
    /// To the one that the path leads to, whatever is open.
    Anew,
}

/// How long a process that ends waits for its last lines.
const CLOSING: Duration = Duration::from_secs(1);
/// How often it is said that lines are lost.
const TOLD_EVERY: Duration = Duration::from_secs(60);

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Log {
    /// Starts the writer of a file of JSON lines; what it appends to may come, go and come back. At most so many bytes
    /// wait for it.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(path: &Path, most: usize, dropped: IntCounter) -> std::io::Result<Self> {
        Self::start_writer(path, most, dropped, None)
    }

    /// The same of lines that the writer makes of what is handed in by [`Self::add_bytes`]: `render` gets all that waits,
    /// one after another.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start_rendering(
        path: &Path,
        most: usize,
        dropped: IntCounter,
        render: impl FnMut(&[u8], &mut Vec<u8>) + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::start_writer(path, most, dropped, Some(Box::new(render)))
    }

    fn start_writer(path: &Path, most: usize, dropped: IntCounter, render: Option<Render>) -> std::io::Result<Self> {
        let queue = Arc::<Queue>::default();
        queue.state().lines.reserve(KEPT);
        let (path, lost, lines) = (path.to_owned(), dropped.clone(), Arc::clone(&queue));
        let writer = std::thread::Builder::new().name("log".to_owned());
        writer.spawn(move || {
            write(&path, &lines, &lost, render);
            lines.state().is_done = true;
            lines.changed.notify_all();
        })?;
        Ok(Self(Arc::new(Handle { queue, most, dropped })))
    }

    /// Hands a record to the writer, as a line.
    pub fn add(&self, record: &impl Serialize) {
        self.add_bytes(|line| {
            let is_written = serde_json::to_writer(&mut *line, record).is_ok();
            line.push(b'\n');
            is_written
        });
    }

    /// Hands bytes to the writer, if `write` says that they are whole.
    pub fn add_bytes(&self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            if write(line) {
                self.0.add(line);
            }
        });
    }

    /// Has the file opened that the path leads to now, made where there is none: whoever has moved the old one away gets no
    /// line more there.
    pub fn reopen(&self) {
        let queue = &self.0.queue;
        let mut state = queue.state();
        state.is_reopening = true;
        state.is_writer_waiting = false;
        queue.changed.notify_all();
    }

    /// Opens a log's file as its writer will, and makes it where there is none. A pipe is left to the writer.
    ///
    /// # Errors
    /// It cannot be appended to.
    pub fn try_file(path: &Path) -> std::io::Result<()> {
        // Its opening waits for who reads it.
        if std::fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo()) {
            return Ok(());
        }
        open(path).map(drop)
    }
}

/// Lets go of what holds a log, as the last: who is that waits until every line is written, which those who hand lines in must
/// not. No one else may come to hold it any more.
pub fn let_go<T>(holder: Arc<T>) {
    let start = Instant::now();
    while Arc::strong_count(&holder) > 1 && start.elapsed() < CLOSING {
        std::thread::sleep(REST);
    }
    drop(holder);
}

impl Handle {
    fn add(&self, line: &[u8]) {
        let mut state = self.queue.state();
        if state.lines.len() + line.len() > self.most {
            self.dropped.inc();
            return;
        }
        state.lines.extend_from_slice(line);
        state.count += 1;
        if std::mem::take(&mut state.is_writer_waiting) {
            self.queue.changed.notify_all();
        }
    }
}

impl Drop for Handle {
    /// The last handle is gone: what waits is written before a process ends.
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.is_closed = true;
        self.queue.changed.notify_all();
        let is_writing = |state: &mut State| !state.is_done;
        let _ = self.queue.changed.wait_timeout_while(state, CLOSING, is_writing);
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, or for a file to be opened anew, and takes all; none once every handle is gone.
    fn take(&self, into: &mut Vec<u8>) -> Option<Taken> {
        let mut state = self.state();
        while state.lines.is_empty() && !state.is_closed && !state.is_reopening {
            state.is_writer_waiting = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_writer_waiting = false;
        std::mem::swap(&mut state.lines, into);
        let count = std::mem::take(&mut state.count);
        let file = if std::mem::take(&mut state.is_reopening) { Where::Anew } else { Where::Open };
        (count > 0 || file == Where::Anew).then_some(Taken { count, file })
    }

    /// Lets lines gather.
    fn rest(&self) {
        let state = self.state();
        let _ = self.changed.wait_timeout_while(state, REST, |state| !state.is_closed);
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes until every handle is gone. A file that was moved away to rotate it is opened again with the next lines; so is
/// one that fails (disk full), whose lines are lost, counted and told.
fn write(path: &Path, queue: &Queue, dropped: &IntCounter, mut render: Option<Render>) {
    let mut open_file = None;
    let mut told: Option<Instant> = None;
    let (mut lines, mut rendered) = (Vec::with_capacity(KEPT), Vec::new());
    while let Some(Taken { count, file }) = queue.take(&mut lines) {
        let here = open_file.take().filter(|open| file == Where::Open && is_at(open, path));
        let out = here.map_or_else(|| open(path), Ok);
        let text = match &mut render {
            Some(render) => {
                render(&lines, &mut rendered);
                &rendered
            }
            None => &lines,
        };
        match out.and_then(|mut out| out.write_all(text).map(|()| out)) {
            Ok(out) => open_file = Some(out),
            Err(error) => {
                dropped.inc_by(count);
                if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    told = Some(Instant::now());
                    tracing::error!(path = %path.display(), %error, "a log cannot be written: lines are lost");
                }
            }
        }
        for buffer in [&mut lines, &mut rendered] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        queue.rest();
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
        let log = Log::start(Path::new("/dev/full"), 1_000, dropped.clone()).unwrap();
        (0..10).for_each(|number| log.add(&number));
        let start = Instant::now();
        while dropped.get() < 10 {
            assert!(start.elapsed() < Duration::from_secs(5), "{}", dropped.get());
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_was_handed_in_is_rendered_by_the_writer_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let dropped = IntCounter::new("dropped", "Lines.").unwrap();
        let render = |bytes: &[u8], out: &mut Vec<u8>| {
            bytes.iter().for_each(|byte| out.extend_from_slice(format!("{byte}\n").as_bytes()));
        };
        let log = Log::start_rendering(&path, 1_000, dropped.clone(), render).unwrap();
        for number in 0..200 {
            log.add_bytes(|line| {
                line.push(number);
                // What is not whole is left out.
                number % 2 == 0
            });
        }
        drop(log);
        let written = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<u8> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(lines, (0..200).step_by(2).collect::<Vec<u8>>());
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn a_file_that_is_opened_anew_is_there_before_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("moved"));
        let log = Log::start(&path, 1_000, IntCounter::new("dropped", "Lines.").unwrap()).unwrap();
        let until_there = || {
            let start = Instant::now();
            while !path.exists() {
                assert!(start.elapsed() < Duration::from_secs(5));
                std::thread::yield_now();
            }
        };
        log.reopen();
        until_there();
        log.add(&1);
        let start = Instant::now();
        while std::fs::read_to_string(&path).unwrap() != "1\n" {
            assert!(start.elapsed() < Duration::from_secs(5));
            std::thread::yield_now();
        }
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        until_there();
        log.add(&2);
        drop(log);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "1\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
    }

    #[test]
    fn a_file_is_tried_before_it_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert!(Log::try_file(&path).is_ok() && path.exists());
        assert!(Log::try_file(dir.path()).is_err(), "a directory is no file");
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || said.send(Log::try_file(&path).is_ok()));
        assert_eq!(heard.recv_timeout(Duration::from_secs(5)), Ok(true));
    }

    #[test]
    fn who_lets_go_waits_for_who_writes_and_for_the_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let dropped = IntCounter::new("dropped", "Lines.").unwrap();
        let holder = Arc::new(Log::start(&path, 1_000, dropped).unwrap());
        let other = Arc::clone(&holder);
        let writing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            other.add(&1);
        });
        let_go(holder);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
        writing.join().unwrap();
    }

    #[test]
    fn what_was_added_is_there_once_the_log_is_gone_and_what_is_too_much_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let dropped = IntCounter::new("dropped", "Lines.").unwrap();
        let path = dir.path().join("log");
        let log = Log::start(&path, 1_000, dropped.clone()).unwrap();
        let again = log.clone();
        (0..10_000).for_each(|number| if number % 2 == 0 { log.add(&number) } else { again.add(&number) });
        drop((log, again));
        let written = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<u64> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert!(lines.is_sorted() && lines.starts_with(&[0, 1]), "{lines:?}");
        assert_eq!(u64::try_from(lines.len()).unwrap() + dropped.get(), 10_000);
    }
}
