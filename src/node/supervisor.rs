//! Telling systemd how a node fares, where it wants to know (sd_notify(3)).
//!
//! No watchdog is fed: what would be seen to hang is the runtime that reloads and probes, and a node whose reload waits
//! for a disk serves its clients all the same.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// What systemd is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// The node serves; what a person is shown by `systemctl status`.
    Serving(&'a str),
    /// This process is the main one now: another would be taken for it, whose end would be the node's.
    Main,
    /// A change is read.
    Reloading,
    /// The node ends. Whoever has handed over to another process does not say it: the node goes on.
    Stopping,
}

/// Says it, where somebody listens.
pub(super) fn tell(word: Word<'_>) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, &message(word, std::process::id(), now())) {
        tracing::error!(?word, %error, "systemd cannot be told");
    }
}

/// Characters of a status that are shown.
const STATUS: usize = 200;

fn message(word: Word<'_>, process: u32, now_us: i64) -> String {
    match word {
        Word::Serving(status) => {
            // A line's end would begin another word.
            let line: String = status.chars().map(|c| if c.is_control() { ' ' } else { c }).take(STATUS).collect();
            format!("READY=1\nSTATUS={line}\n")
        }
        Word::Main => format!("READY=1\nMAINPID={process}\n"),
        Word::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={now_us}\n"),
        Word::Stopping => "STOPPING=1\n".to_owned(),
    }
}

/// Microseconds of the clock by which systemd tells a reload from one before.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

fn send(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_sd_notify() {
        let long = "x".repeat(1_000);
        let cut = format!("READY=1\nSTATUS={}\n", "x".repeat(STATUS));
        for (word, expected) in [
            (Word::Serving("config 7\nMAINPID=1"), "READY=1\nSTATUS=config 7 MAINPID=1\n"),
            (Word::Serving(&long), cut.as_str()),
            (Word::Main, "READY=1\nMAINPID=12\n"),
            (Word::Reloading, "RELOADING=1\nMONOTONIC_USEC=34\n"),
            (Word::Stopping, "STOPPING=1\n"),
        ] {
            assert_eq!(message(word, 12, 34), expected, "{word:?}");
        }
    }

    #[test]
    fn a_message_reaches_a_socket_by_its_path_and_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("hither-story-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let by_path = UnixDatagram::bind(&path).unwrap();
        for (socket, address) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            send(&address, "MAINPID=7\n").unwrap();
            let mut message = [0; 64];
            let length = socket.recv(&mut message).unwrap();
            assert_eq!(&message[..length], b"MAINPID=7\n");
        }
        assert!(send(OsStr::new("/nowhere/notify"), "x").is_err());
    }
}
