//! The terminal that a table is drawn on: its other screen, without its cursor and what is typed there.

use std::future::pending;
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::libc::SIGTSTP;
use nix::sys::signal::{Signal as Order, raise};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcdrain, tcgetattr, tcsetattr};
use terminal_size::{Height, Width, terminal_size};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};

use super::screen::{Frame, Look, change, fit, paint};
use crate::say::is_coloured;

/// What a terminal is taken to be that does not tell.
const SIZE: (usize, usize) = (80, 24);

/// What happens at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing of what was drawn is there any more.
    Blank,
    /// Whoever sits there has seen enough.
    Enough,
}

/// What was there before comes back when it is dropped.
pub(super) struct Terminal {
    look: Look,
    drawn: Vec<String>,
    loan: Loan,
    keys: Keys,
    sizes: Signal,
    stops: Signal,
}

impl Terminal {
    /// Takes over the terminal that standard output is.
    ///
    /// # Errors
    /// The system takes no more signals.
    pub(super) fn open() -> std::io::Result<Self> {
        let look = if is_coloured(&stdout()) { Look::Coloured } else { Look::Plain };
        let sizes = signal(SignalKind::window_change())?;
        let stops = signal(SignalKind::from_raw(SIGTSTP))?;
        let loan = Loan::default();
        loan.end_with_panics();
        let mut this = Self { look, drawn: Vec::new(), loan, keys: Keys::read(), sizes, stops };
        this.enter();
        Ok(this)
    }

    /// What happens next.
    pub(super) async fn event(&mut self) -> Event {
        tokio::select! {
            () = self.keys.quit() => return Event::Enough,
            // The terminal has moved about what is there.
            _ = self.sizes.recv() => self.clear(),
            _ = self.stops.recv() => self.stop(),
        }
        Event::Blank
    }

    /// Draws what fits, where it differs from what is there.
    pub(super) fn draw(&mut self, frame: &Frame) -> std::io::Result<()> {
        let size = terminal_size().map(|(Width(width), Height(height))| (usize::from(width), usize::from(height)));
        let (width, height) = size.unwrap_or(SIZE);
        if self.loan.is_over() {
            // Somewhere was a panic that did not end this.
            self.enter();
        }
        let lines = fit(frame, width, height);
        let lines: Vec<String> = lines.iter().map(|line| paint(line, self.look)).collect();
        let mut out = stdout();
        write!(out, "{}", change(&self.drawn, &lines))?;
        self.drawn = lines;
        out.flush()
    }

    /// Keys come one by one, and are not shown: they would stand in the table. Ctrl-C and Ctrl-Z are signals as ever.
    fn enter(&mut self) {
        // In the background the modes are those by which a shell edits its line: there this stops, until it is in the foreground.
        let _ = tcdrain(stdout());
        let before = tcgetattr(stdout()).ok();
        if let Some(mut silent) = before.clone() {
            silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
            let _ = tcsetattr(stdout(), OptionalActions::Now, &silent);
        }
        self.loan.begin(before);
        let _ = write!(stdout(), "\x1b[?1049h\x1b[?25l");
        self.clear();
    }

    fn clear(&mut self) {
        self.drawn.clear();
        let _ = write!(stdout(), "\x1b[2J");
    }

    /// As Ctrl-Z asks for: until somebody has this process go on, the terminal is the shell's. Where there is no shell
    /// that could (`ssh -t HOST hither ...`), this signal stops nothing, as Ctrl-Z stops nothing there.
    fn stop(&mut self) {
        self.loan.end();
        let _ = raise(Order::SIGTTOU);
        self.enter();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.loan.end();
    }
}

/// A terminal while it is drawn on. Whoever comes first gives it back, and nobody a second time.
#[derive(Clone, Debug, Default)]
struct Loan(Arc<Mutex<Option<Lent>>>);

#[derive(Debug)]
struct Lent {
    /// How it takes keys when nobody draws on it, if it tells.
    before: Option<Termios>,
}

impl Loan {
    fn begin(&self, before: Option<Termios>) {
        *self.lock() = Some(Lent { before });
    }

    fn is_over(&self) -> bool {
        self.lock().is_none()
    }

    fn end(&self) {
        let lent = self.lock().take();
        let Some(Lent { before }) = lent else { return };
        let mut out = stdout();
        let _ = write!(out, "\x1b[?25h\x1b[?1049l");
        let _ = out.flush();
        if let Some(before) = before {
            let _ = tcsetattr(&out, OptionalActions::Now, &before);
        }
    }

    /// Has a panic end it before its message is printed, which would be gone with the other screen.
    fn end_with_panics(&self) {
        let (loan, tell) = (self.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            loan.end();
            tell(info);
        }));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that are pressed.
struct Keys(Receiver<u8>);

impl Keys {
    /// Of a terminal; of anything else none is read. A thread waits for them, and ends with the process.
    fn read() -> Self {
        let (tell, told) = channel(16);
        if stdin().is_terminal() {
            thread::spawn(move || {
                let mut key = [0];
                while let Ok(1..) = stdin().read(&mut key) {
                    let [key] = key;
                    if tell.blocking_send(key).is_err() {
                        return;
                    }
                }
            });
        }
        Self(told)
    }

    /// Waits for the key that ends it.
    async fn quit(&mut self) {
        loop {
            match self.0.recv().await {
                Some(b'q' | b'Q') => return,
                Some(_) => {}
                // There are no more keys; a signal ends it.
                None => pending().await,
            }
        }
    }
}
