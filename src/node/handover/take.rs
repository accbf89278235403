//! The new process's part.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ::fleet::PurgeEntry;
use config::limits;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::line::Line;
use super::{Answer, Ask, Place, Rest, VERSION, path};
use crate::node::sockets::{Reached, Socket, Sockets};

/// What the process that serves has handed over.
pub(in crate::node) struct Taken {
    line: Line,
    pub(in crate::node) listeners: Sockets,
    pub(in crate::node) admin: Option<TcpListener>,
    pub(in crate::node) peer: Reached,
}

/// The process before, which finishes what it has begun.
#[derive(Debug)]
pub(in crate::node) struct Before {
    stream: BufReader<UnixStream>,
    pid: Option<i32>,
}

/// Whether a process of the node serves and can hand over.
pub(in crate::node) fn is_anybody_there(home: &Path) -> bool {
    UnixStream::connect(path(home)).is_ok()
}

/// Asks the process that serves for its sockets; none where there is no such process.
///
/// # Errors
/// It hands nothing over, and serves on.
pub(in crate::node) async fn ask(home: &Path) -> io::Result<Option<Taken>> {
    let stream = match tokio::net::UnixStream::connect(path(home)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut taken = Taken { line: Line::new(stream), listeners: Sockets::new(), admin: None, peer: Reached::new() };
    taken.line.say(&Ask::Sockets { version: VERSION }, &[]).await?;
    loop {
        let (places, rest) = match taken.line.hear(limits::HANDOVER_PATIENCE).await? {
            Answer::Sockets { places, rest } => (places, rest),
            other => return Err(refused(other)),
        };
        for place in places {
            let socket = taken.line.socket()?;
            match place {
                Place::Admin => taken.admin = Some(socket.into()),
                Place::Peer { address } => _ = taken.peer.insert(address, socket.into()),
                Place::Listener { listener, kind } => {
                    taken.listeners.entry(listener).or_default().push(Socket::of(kind, socket));
                }
            }
        }
        if rest == Rest::None {
            return Ok(Some(taken));
        }
    }
}

fn refused(answer: Answer) -> io::Error {
    match answer {
        Answer::Refused { why } => io::Error::other(why),
        other => io::Error::other(format!("it said {other:?}")),
    }
}

impl Taken {
    /// Has the other let go of what only one may have.
    ///
    /// # Errors
    /// It does not, and serves on.
    pub(in crate::node) async fn release(&mut self) -> io::Result<()> {
        self.line.say(&Ask::Release, &[]).await?;
        match self.line.hear(limits::HANDOVER_PATIENCE).await? {
            Answer::Released => Ok(()),
            other => Err(refused(other)),
        }
    }

    /// Tells the other that this process serves.
    ///
    /// # Errors
    /// It has not waited, and serves on: this process must end.
    pub(in crate::node) async fn serving(mut self) -> io::Result<Before> {
        self.line.say(&Ask::Serving, &[]).await?;
        match self.line.hear(limits::HANDOVER_PATIENCE).await? {
            Answer::Left => {}
            other => return Err(refused(other)),
        }
        let pid = self.line.other();
        let stream = self.line.into_std()?;
        stream.set_read_timeout(Some(limits::HANDOVER_HEARD))?;
        stream.set_write_timeout(Some(limits::HANDOVER_HEARD))?;
        Ok(Before { stream: BufReader::new(stream), pid })
    }
}

impl Before {
    fn tell(&mut self, last: u64, entries: &[PurgeEntry]) -> io::Result<()> {
        let mut text = serde_json::to_vec(&Ask::Purged { last, entries: entries.to_vec() })?;
        text.push(b'\n');
        self.stream.get_mut().write_all(&text)?;
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match serde_json::from_str(&line)? {
            Answer::Heard { last: heard } if heard == last => Ok(()),
            other => Err(refused(other)),
        }
    }
}

impl edge::Witness for Before {
    fn hears(&mut self, last: u64, entries: &[PurgeEntry]) -> bool {
        let Err(error) = self.tell(last, entries) else { return true };
        let is_gone =
            matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        // It may still serve what was purged.
        if !is_gone && let Some(pid) = self.pid.filter(|pid| *pid > 1) {
            tracing::error!(%error, pid, "the process before this one does not hear of purges: it is ended");
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        false
    }
}
