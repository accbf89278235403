//! `hither status --watch`: looks every second, on a terminal in place, else one look after the other.

use std::future::pending;
use std::io::Write;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::ask;
use super::screen::{Look, paint};
use super::seen::Seen;
use super::terminal::{Event, Terminal};
use crate::directory::Known;
use crate::exit::{Done, Exit, Failure};
use crate::say::{is_drawn_on, note};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    /// An object a line.
    Json,
}

/// Looks until it is told to end, or nobody reads any more.
pub(super) async fn run(dir: &Path, known: Known, form: Form) -> Done {
    let mut files = Files::new(dir, known);
    let mut watch = Watch::begin(form).map_err(Failure::ours)?;
    loop {
        let look = Instant::now();
        files.read_again();
        let Some(told) = watch.meanwhile(ask(dir, &files.known, form)).await else { return Ok(Exit::Done) };
        let (now, clock) = (watch.began.elapsed(), clock());
        let status = match told {
            Ok(status) => {
                watch.seen.take(status.clone(), files.known.version.clone(), now, &clock);
                Some(status)
            }
            Err(why) => {
                watch.seen.miss(&why.to_string(), now, &clock);
                None
            }
        };
        // Who reads no more is told no more.
        if watch.output.show(&watch.seen, status.as_ref(), now).is_err() {
            return Ok(Exit::Done);
        }
        if watch.meanwhile(sleep(LOOK.saturating_sub(look.elapsed()))).await.is_none() {
            return Ok(Exit::Done);
        }
    }
}

/// Who looks, and what has been seen.
struct Watch {
    output: Output,
    ending: Ending,
    seen: Seen,
    began: Instant,
}

impl Watch {
    fn begin(form: Form) -> std::io::Result<Self> {
        let ending = Ending::listen()?;
        let output = match form {
            Form::Table if is_drawn_on(&std::io::stdout()) => Output::Screen(Terminal::open()?),
            Form::Table => Output::Lines,
            Form::Json => Output::Json,
        };
        Ok(Self { output, ending, seen: Seen::default(), began: Instant::now() })
    }

    /// Waits for something, and draws anew where that is needed meanwhile. None once it is to end.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        let mut what = pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return Some(done),
                () = self.ending.told() => return None,
                event = self.output.event() => match event {
                    Event::Enough => return None,
                    Event::Blank => self.output.show_again(&self.seen, self.began.elapsed()).ok()?,
                },
            }
        }
    }
}

/// The time of day, for people.
fn clock() -> String {
    Timestamp::now().strftime("%H:%M:%S UTC").to_string()
}

/// What nodes are asked by; it is read again where `hither.toml` has changed, so that new nodes are seen.
struct Files {
    dir: std::path::PathBuf,
    known: Known,
    changed: Option<SystemTime>,
}

impl Files {
    fn new(dir: &Path, known: Known) -> Self {
        let mut this = Self { dir: dir.to_owned(), known, changed: None };
        this.changed = this.change();
        this
    }

    fn change(&self) -> Option<SystemTime> {
        std::fs::metadata(self.dir.join("hither.toml")).and_then(|meta| meta.modified()).ok()
    }

    /// Files that are refused change nothing: nodes serve on with those before.
    fn read_again(&mut self) {
        let changed = self.change();
        if changed == self.changed {
            return;
        }
        self.changed = changed;
        if let Ok(loaded) = config::load(&self.dir) {
            self.known = Known::of(loaded.config);
        }
    }
}

/// The signals that end it.
struct Ending([Signal; 4]);

impl Ending {
    fn listen() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, quit, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, quit?, terminate?, hangup?]))
    }

    async fn told(&mut self) {
        let [interrupt, quit, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Where looks are shown.
enum Output {
    Screen(Terminal),
    Lines,
    Json,
}

impl Output {
    fn show(&mut self, seen: &Seen, status: Option<&Value>, now: Duration) -> std::io::Result<()> {
        let mut out = std::io::stdout();
        match (self, status) {
            (Self::Screen(terminal), _) => terminal.draw(&seen.frame(now, &clock())),
            (Self::Json, Some(status)) => writeln!(out, "{status}"),
            (Self::Json, None) => {
                note(format!("hither: {}\n", seen.frame(now, &clock()).title.text));
                Ok(())
            }
            (Self::Lines, _) => {
                let frame = seen.frame(now, &clock());
                let lines = [&frame.title, &frame.heading].into_iter().chain(&frame.rows).chain(&frame.notes);
                let text: String = lines.map(|line| format!("{}\n", paint(line, Look::Plain))).collect();
                writeln!(out, "{text}")
            }
        }
    }

    /// The same once more, on a terminal that has lost it.
    fn show_again(&mut self, seen: &Seen, now: Duration) -> std::io::Result<()> {
        match self {
            Self::Screen(terminal) => terminal.draw(&seen.frame(now, &clock())),
            Self::Lines | Self::Json => Ok(()),
        }
    }

    /// What happens there; nothing where it is no terminal.
    async fn event(&mut self) -> Event {
        match self {
            Self::Screen(terminal) => terminal.event().await,
            Self::Lines | Self::Json => pending().await,
        }
    }
}
