//! The old process's part: it hands over, or goes on as if nothing had been.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::limits;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::line::{Line, MOST_AT_ONCE};
use super::{Answer, Ask, Place, Rest, VERSION, path};
use crate::node::doors::{Doors, Handles};
use crate::node::sockets::Socket;
use crate::node::{Node, latency};

/// Where the next process asks.
pub(in crate::node) struct Giver {
    path: PathBuf,
    /// None where it cannot be had: the node is only restarted then.
    listener: Option<UnixListener>,
}

/// A process that has every socket, and wants what only one may have.
pub(in crate::node) struct Handed {
    line: Line,
}

/// The process that has taken over.
pub(in crate::node) struct Heir {
    line: Line,
}

/// Why nothing was handed over.
#[derive(Debug)]
pub(in crate::node) enum NotGiven {
    /// Nobody asked for it in earnest.
    Unasked,
    /// The other gave up, or failed, before anything was let go of.
    Early(String),
    /// It was all let go of, and had to be taken up again.
    Late(String),
}

impl Giver {
    /// Listens, in place of the process before. Only who this process runs as may ask.
    pub(in crate::node) fn listen(home: &Path) -> Self {
        let path = path(home);
        let new = path.with_extension("new");
        let _ = fs::remove_file(&new);
        let listen = || {
            let listener = UnixListener::bind(&new)?;
            fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
            fs::rename(&new, &path)?;
            io::Result::Ok(listener)
        };
        let listener = listen()
            .map_err(|error| tracing::warn!(path = %path.display(), %error, "no process can take over from this one"));
        Self { listener: listener.ok(), path }
    }

    /// Resolves with whoever asks.
    pub(in crate::node) async fn asked(&self) -> UnixStream {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => sleep(limits::ACCEPT_PAUSE).await,
            }
        }
    }

    /// Ends it, where no other has begun.
    pub(in crate::node) fn end(self) {
        if self.listener.is_some() {
            let _ = fs::remove_file(self.path);
        }
    }
}

/// Hands the sockets to who asks, and waits until it wants the rest. Nothing is let go of; it may be dropped at any time.
pub(in crate::node) async fn hand_over(stream: UnixStream, doors: &Doors) -> Result<Handed, NotGiven> {
    let mut line = Line::new(stream);
    match line.hear(limits::HANDOVER_HEARD).await {
        Ok(Ask::Sockets { version: VERSION }) => {}
        Ok(Ask::Sockets { version }) => {
            let why = format!("it hands over by version {VERSION}, not {version}: restart the node instead");
            let _ = line.say(&Answer::Refused { why: why.clone() }, &[]).await;
            return Err(NotGiven::Early(why));
        }
        Ok(_) | Err(_) => return Err(NotGiven::Unasked),
    }
    let early = |error: io::Error| NotGiven::Early(error.to_string());
    let handles = doors.handles().await.map_err(early)?;
    hand(&mut line, &handles).await.map_err(early)?;
    drop(handles);
    match line.hear(limits::HANDOVER_PATIENCE).await.map_err(early)? {
        Ask::Release => Ok(Handed { line }),
        other => Err(NotGiven::Early(format!("it said {other:?}"))),
    }
}

impl Handed {
    /// Lets go of all the rest, until the other serves; or goes on as before.
    pub(in crate::node) async fn release(
        self,
        node: &Arc<Node>,
        doors: &Doors,
        round_trips: &Path,
    ) -> Result<Heir, NotGiven> {
        let mut line = self.line;
        match release(&mut line, node, doors, round_trips).await {
            Ok(()) => Ok(Heir { line }),
            Err(error) => {
                if error.kind() == ErrorKind::TimedOut {
                    line.end_other();
                }
                drop(line);
                take_up(node, doors).await;
                Err(NotGiven::Late(error.to_string()))
            }
        }
    }
}

/// Hands the sockets over, some at a time.
async fn hand(line: &mut Line, handles: &Handles) -> io::Result<()> {
    let mut all: Vec<(Place, BorrowedFd<'_>)> = vec![(Place::Admin, handles.admin.as_fd())];
    all.extend(handles.peer.iter().map(|(address, socket)| (Place::Peer { address: *address }, socket.as_fd())));
    for (listener, sockets) in &handles.listeners {
        let of = |socket: &Socket| Place::Listener { listener: *listener, kind: socket.kind() };
        all.extend(sockets.iter().map(|socket| (of(socket), socket.as_fd())));
    }
    let mut pieces = all.chunks(MOST_AT_ONCE).peekable();
    while let Some(piece) = pieces.next() {
        let (places, sockets): (Vec<Place>, Vec<BorrowedFd<'_>>) = piece.iter().copied().unzip();
        let rest = if pieces.peek().is_some() { Rest::Follows } else { Rest::None };
        line.say(&Answer::Sockets { places, rest }, &sockets).await?;
    }
    Ok(())
}

/// Lets go of everything, until the other serves.
async fn release(line: &mut Line, node: &Arc<Node>, doors: &Doors, round_trips: &Path) -> io::Result<()> {
    let is_at_rest = doors.rest(node).await;
    latency::save(node, round_trips).await;
    let is_released = match node.edge.clone() {
        Some(edge) => tokio::task::spawn_blocking(move || edge.release()).await.unwrap_or(false),
        None => true,
    };
    if !is_at_rest || !is_released {
        let why = if is_at_rest { "the disk tier does not let go" } else { "a listener does not come to rest" };
        let _ = line.say(&Answer::Refused { why: why.to_owned() }, &[]).await;
        return Err(io::Error::other(why));
    }
    line.say(&Answer::Released, &[]).await?;
    match line.hear(limits::HANDOVER_PATIENCE).await? {
        Ask::Serving => line.say(&Answer::Left, &[]).await,
        other => Err(io::Error::other(format!("it said {other:?}"))),
    }
}

/// Goes on as before.
async fn take_up(node: &Arc<Node>, doors: &Doors) {
    // Purges first: who comes is judged by all of them.
    if let Some(edge) = node.edge.clone() {
        let _ = tokio::task::spawn_blocking(move || edge.resume()).await;
    }
    doors.resume(node).await;
}

impl Heir {
    /// Follows what the other purges; resolves where it is no longer known what that is. Nothing may be served then.
    pub(in crate::node) async fn follow(mut self, node: Arc<Node>) {
        loop {
            let Ok(Ask::Purged { last, entries }) = self.line.hear(limits::HTTP_DRAIN * 2).await else { return };
            if node.edge.as_ref().is_some_and(|edge| !edge.hear_purges(last, &entries)) {
                return;
            }
            if self.line.say(&Answer::Heard { last }, &[]).await.is_err() {
                return;
            }
        }
    }
}
