//! Between two processes of a node: words, each a line of JSON, and sockets beside them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// One end of it.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    /// Read, and not yet a word.
    bytes: Vec<u8>,
    /// Those that came, in their order: one is here before the last byte of the word that it came with.
    sockets: VecDeque<OwnedFd>,
}

/// Sockets beside one word; Linux takes 253.
pub(super) const MOST_AT_ONCE: usize = 64;
/// The longest word: a thousand purges of a KiB.
const MOST_BYTES: usize = 4 << 20;
const READ_BYTES: usize = 16 << 10;

impl Line {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, bytes: Vec::new(), sockets: VecDeque::new() }
    }

    /// Says a word, with sockets beside it.
    pub(super) async fn say(&mut self, word: &impl Serialize, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut text = serde_json::to_vec(word)?;
        text.push(b'\n');
        let stream = &self.stream;
        let send = || -> io::Result<usize> {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_AT_ONCE))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
                return Err(io::Error::other("too many sockets at once"));
            }
            Ok(sendmsg(stream, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?)
        };
        let sent = stream.async_io(Interest::WRITABLE, send).await?;
        self.stream.write_all(text.get(sent..).unwrap_or_default()).await
    }

    /// Hears the next word, if it comes in time.
    pub(super) async fn hear<W: DeserializeOwned>(&mut self, patience: Duration) -> io::Result<W> {
        match timeout(patience, self.line()).await {
            Ok(line) => Ok(serde_json::from_slice(&line?)?),
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// The next socket that came.
    pub(super) fn socket(&mut self) -> io::Result<OwnedFd> {
        self.sockets.pop_front().ok_or_else(|| io::Error::other("a socket is missing"))
    }

    /// Ends the process at the other end, which has said nothing for too long: it must not come to itself beside this one.
    pub(super) fn end_other(&self) {
        if let Some(pid) = self.other().filter(|pid| *pid > 1) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// The process at the other end.
    pub(super) fn other(&self) -> Option<i32> {
        self.stream.peer_cred().ok()?.pid()
    }

    /// For threads that wait.
    pub(super) fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        let stream = self.stream.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                return Ok(self.bytes.drain(..=end).collect());
            }
            if self.bytes.len() > MOST_BYTES {
                return Err(io::Error::other("a word is too long"));
            }
            let (stream, sockets) = (&self.stream, &mut self.sockets);
            let mut buffer = vec![0; READ_BYTES];
            let receive = || -> io::Result<usize> {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_AT_ONCE))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let into = &mut [IoSliceMut::new(&mut buffer)];
                let received = recvmsg(stream, into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(list) = message {
                        sockets.extend(list);
                    }
                }
                Ok(received.bytes)
            };
            let count = stream.async_io(Interest::READABLE, receive).await?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn sockets_come_with_the_words_that_they_were_sent_with() {
        let (one, two) = UnixStream::pair().unwrap();
        let (mut one, mut two) = (Line::new(one), Line::new(two));
        let listeners: Vec<std::net::TcpListener> =
            (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let borrowed: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
        one.say(&"a word alone", &[]).await.unwrap();
        one.say(&"two", &borrowed[..2]).await.unwrap();
        one.say(&"one more", &borrowed[2..]).await.unwrap();
        let patience = Duration::from_secs(5);
        for expected in ["a word alone", "two", "one more"] {
            assert_eq!(two.hear::<String>(patience).await.unwrap(), expected);
        }
        for listener in &listeners {
            let came = std::net::TcpListener::from(two.socket().unwrap());
            came.set_nonblocking(true).unwrap();
            let came = TcpListener::from_std(came).unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut stream, _) = came.accept().await.unwrap();
            stream.write_all(b"x").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
        }
        assert!(two.socket().is_err());
        drop(one);
        assert_eq!(two.hear::<String>(patience).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_word_that_does_not_come_and_one_that_is_none_are_told() {
        let (one, two) = UnixStream::pair().unwrap();
        let mut two = Line::new(two);
        let late = two.hear::<String>(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let mut one = one;
        one.write_all(b"{\"what\": 1}\n").await.unwrap();
        assert!(two.hear::<String>(Duration::from_secs(5)).await.is_err());
    }
}
