//! Full TLS handshakes, as fast as they are made.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::h2load::Asked;
use crate::tls::{client, connect, fetch};

/// Clients at once: enough for the server always to have one to answer.
const CLIENTS: usize = 16;
/// Every so many a client asks for something over what it has agreed on, and checks the answer.
const CHECKED: u64 = 32;
const SIZE: usize = 1 << 10;

/// Shakes hands for some time.
pub(crate) fn shake(server: SocketAddr, time: Duration) -> Asked {
    let client = client("http/1.1");
    let start = Instant::now();
    let made: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut made: u64 = 0;
                    while start.elapsed() < time {
                        if made.is_multiple_of(CHECKED) {
                            fetch(server, &client, SIZE);
                        } else {
                            connect(server, &client);
                        }
                        made += 1;
                    }
                    made
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    Asked { answered: made, rate: made as f64 / start.elapsed().as_secs_f64() }
}
