//! An epoll loop that answers every GET with bytes made before: as many as the path says, `/o/1024`.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    /// What is left of the answer on its way.
    answer: Option<(usize, usize)>,
}

/// Serves until it is ended.
pub(crate) fn serve(address: &str) -> ! {
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
    let answers: HashMap<usize, Vec<u8>> = crate::OBJECTS.iter().map(|(_, size)| (*size, answer(*size))).collect();
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
            let is_over = clients.get_mut(&event.data()).is_some_and(|client| client.go_on(&answers).is_none());
            if is_over {
                clients.remove(&event.data());
            }
        }
    }
}

fn answer(size: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=3600\r\nETag: \"{size}\"\r\nContent-Length: {size}\r\n\r\n"
    );
    [head.as_bytes(), &vec![b'x'; size]].concat()
}

impl Client {
    /// Reads and writes what it can; nothing where the client has gone.
    fn go_on(&mut self, answers: &HashMap<usize, Vec<u8>>) -> Option<()> {
        let mut buffer = [0; 4_096];
        loop {
            if let Some((size, sent)) = self.answer {
                let bytes = answers.get(&size)?;
                match self.stream.write(&bytes[sent..]) {
                    Ok(more) if sent + more == bytes.len() => self.answer = None,
                    Ok(more) => self.answer = Some((size, sent + more)),
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
                self.answer = Some((path.rsplit('/').next()?.parse().ok()?, 0));
                self.read.drain(..end + 4);
            }
        }
    }
}
