//! Closing a socket without refusing anybody who has connected to it.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

/// Takes every connection that waits to be accepted, and closes the socket: the kernel would reset those otherwise, though
/// their clients have seen them made. Who comes later is refused.
pub fn accept_waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    // A runtime knows only of those it has been told of.
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let mut waiting = Vec::new();
    while let Ok((stream, peer)) = listener.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        waiting.extend(stream.ok().map(|stream| (stream, peer)));
    }
    waiting
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_has_connected_is_served_and_who_comes_later_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let mut waiting = accept_waiting(listener);
        assert_eq!(waiting.len(), clients.len());
        assert!(std::net::TcpStream::connect(address).is_err());
        for ((stream, peer), client) in waiting.iter_mut().zip(&mut clients) {
            assert_eq!(*peer, client.local_addr().unwrap());
            stream.write_all(b"x").await.unwrap();
            client.set_nonblocking(true).unwrap();
            let client = client.try_clone().unwrap();
            let mut read = [0];
            TcpStream::from_std(client).unwrap().read_exact(&mut read).await.unwrap();
        }
    }
}
