//! An epoll loop that answers every GET with bytes made before: as many as the path says at its end, `/o/1024`. Each answer
//! is numbered, so that one that comes from a store can be told from one that was fetched.

use std::collections::HashMap;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    /// The answer on its way: its body's length, its head, and how much of both was sent.
    answer: Option<(usize, Vec<u8>, usize)>,
}

/// Serves until it is ended.
pub(crate) fn serve(address: &str) -> ! {
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
    let body = vec![b'x'; 1 << 20];
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let mut number = 0;
    let mut clients: HashMap<u64, Client> = HashMap::new();
    let mut events = vec![EpollEvent::empty(); 128];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
        for event in &events[..count] {
            if event.data() == 0 {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let id = u64::try_from(stream.as_raw_fd()).unwrap();
                    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
                    epoll.add(&stream, EpollEvent::new(flags, id)).unwrap();
                    clients.insert(id, Client { stream, read: Vec::new(), answer: None });
                }
                continue;
            }
            let is_over =
                clients.get_mut(&event.data()).is_some_and(|client| client.go_on(&body, &mut number, &date).is_none());
            if is_over {
                clients.remove(&event.data());
            }
        }
    }
}

fn head(size: usize, number: u64, date: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/plain\r\nCache-Control: max-age=3600\r\nETag: \"{size}\"\r\nX-Number: {number}\r\nContent-Length: {size}\r\n\r\n"
    )
    .into_bytes()
}

impl Client {
    /// Reads and writes what it can; nothing where the client has gone.
    fn go_on(&mut self, body: &[u8], number: &mut u64, date: &str) -> Option<()> {
        let mut buffer = [0; 4_096];
        loop {
            if let Some((size, head, sent)) = &mut self.answer {
                let of_head = head.get(*sent..).unwrap_or_default();
                let of_body = &body[sent.saturating_sub(head.len())..*size];
                match self.stream.write_vectored(&[IoSlice::new(of_head), IoSlice::new(of_body)]) {
                    Ok(more) if more == of_head.len() + of_body.len() => self.answer = None,
                    Ok(more) => *sent += more,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(()),
                    Err(_) => return None,
                }
                continue;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(()),
                Err(_) => return None,
            }
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let line = String::from_utf8_lossy(&self.read[..end]).into_owned();
                let path = line.split(' ').nth(1)?;
                let size = path.rsplit('/').next()?.parse().ok().filter(|size| *size <= body.len())?;
                *number += 1;
                self.answer = Some((size, head(size, *number, date), 0));
                self.read.drain(..end + 4);
            }
        }
    }
}
