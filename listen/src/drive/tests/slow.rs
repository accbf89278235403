use std::io::{Read, Write};
use std::net::TcpListener;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

use super::*;
use crate::round_trip::Measured;

/// How often a connection looks whether anything moves.
const TICK: Duration = Duration::from_secs(limits::HTTP_HEADER_TIME.as_secs() / 2);

/// A connection over sockets that is driven, ours with as large a buffer as it may have, and the client's end, with a small one.
fn connect_sockets(echo: &Arc<Echo>) -> (std::net::TcpStream, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(8 << 10).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    let (ours, peer) = listener.accept().unwrap();
    socket2::SockRef::from(&ours).set_send_buffer_size(200 << 10).unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = Measured::new(TcpStream::from_std(ours).unwrap(), peer.ip(), None);
    let client = std::net::TcpStream::from(client);
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    (client, driven_over(echo, ours, Stop::new()))
}

/// Lets the connection look once more.
async fn tick() {
    // What the kernel does meanwhile takes no time of the test's clock.
    std::thread::sleep(Duration::from_millis(20));
    tokio::time::advance(TICK + Duration::from_millis(1)).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// The kernel takes more only when a third of what it holds has gone, which is some 140 KB here.
#[tokio::test(start_paused = true)]
async fn who_takes_little_of_what_the_kernel_holds_goes_on_and_who_takes_nothing_does_not() {
    for way in ["fast", "slow"] {
        let echo = Arc::<Echo>::default();
        let (mut client, driven) = connect_sockets(&echo);
        client.write_all(format!("GET /{way}/3000000 HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).unwrap();
        // More than the least rate asks for.
        let mut bytes = vec![0; 12_000];
        for look in 0..10 {
            tick().await;
            client.read_exact(&mut bytes).unwrap();
            assert!(!driven.is_finished(), "{way}: cut at look {look}");
        }
        for _ in 0..10 {
            tick().await;
        }
        assert!(driven.is_finished(), "{way}");
    }
}
