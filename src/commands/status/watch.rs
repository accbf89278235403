//! `hither status --watch`: looks every second, on a terminal in place, else one look after the other.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde_json::Value;
use terminal_size::{Height, Width, terminal_size};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::ask;
use super::screen::{Look, change, fit, paint};
use super::seen::Seen;
use crate::directory::Known;
use crate::exit::{Done, Exit, Failure};
use crate::say::note;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// What a terminal is taken to be that does not tell.
const SIZE: (usize, usize) = (80, 24);

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
    let mut ending = Ending::listen().map_err(Failure::ours)?;
    let mut sizes = signal(SignalKind::window_change()).map_err(Failure::ours)?;
    let began = Instant::now();
    let mut seen = Seen::default();
    let mut output = match form {
        Form::Table if std::io::stdout().is_terminal() => Output::Screen(Screen::open()),
        Form::Table => Output::Lines,
        Form::Json => Output::Json,
    };
    loop {
        let look = Instant::now();
        files.read_again();
        let told = tokio::select! {
            told = ask(dir, &files.known, form) => told,
            () = ending.told() => return Ok(Exit::Done),
        };
        let clock = clock();
        let status = match told {
            Ok(status) => {
                seen.take(status.clone(), files.known.version, began.elapsed(), &clock);
                Some(status)
            }
            Err(why) => {
                seen.miss(&why.to_string(), began.elapsed(), &clock);
                None
            }
        };
        // Who reads no more is told no more.
        if output.show(&seen, status.as_ref(), began.elapsed()).is_err() {
            return Ok(Exit::Done);
        }
        loop {
            tokio::select! {
                () = sleep(LOOK.saturating_sub(look.elapsed())) => break,
                () = ending.told() => return Ok(Exit::Done),
                _ = sizes.recv() => if let Output::Screen(screen) = &mut output {
                    screen.clear();
                    if screen.draw(&seen, began.elapsed()).is_err() {
                        return Ok(Exit::Done);
                    }
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
struct Ending([Signal; 3]);

impl Ending {
    fn listen() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn told(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Where looks are shown.
enum Output {
    Screen(Screen),
    Lines,
    Json,
}

impl Output {
    fn show(&mut self, seen: &Seen, status: Option<&Value>, now: Duration) -> std::io::Result<()> {
        let mut out = std::io::stdout();
        match (self, status) {
            (Self::Screen(screen), _) => screen.draw(seen, now),
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
}

/// A terminal's other screen, without its cursor; what was there before comes back when it is dropped.
struct Screen {
    look: Look,
    drawn: Vec<String>,
}

impl Screen {
    fn open() -> Self {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let _ = write!(std::io::stdout(), "\x1b[?1049h\x1b[?25l\x1b[2J");
        Self { look: if is_plain { Look::Plain } else { Look::Coloured }, drawn: Vec::new() }
    }

    /// Forgets what is drawn: the terminal has moved it about.
    fn clear(&mut self) {
        self.drawn.clear();
        let _ = write!(std::io::stdout(), "\x1b[2J");
    }

    fn draw(&mut self, seen: &Seen, now: Duration) -> std::io::Result<()> {
        let size = terminal_size().map(|(Width(width), Height(height))| (usize::from(width), usize::from(height)));
        let (width, height) = size.unwrap_or(SIZE);
        let lines = fit(&seen.frame(now, &clock()), width, height);
        let lines: Vec<String> = lines.iter().map(|line| paint(line, self.look)).collect();
        let mut out = std::io::stdout();
        write!(out, "{}", change(&self.drawn, &lines))?;
        self.drawn = lines;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = std::io::stdout();
        let _ = write!(out, "\x1b[?25h\x1b[?1049l");
        let _ = out.flush();
    }
}
