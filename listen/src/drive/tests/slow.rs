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
    for (asks, framing) in [
        ("GET /fast/3000000 HTTP/1.1", ""),
        ("GET /slow/3000000 HTTP/1.1", ""),
        // hyper is through with these while it still holds most of what answers them.
        ("POST /ignore/3000000 HTTP/1.1", "content-length: 50000000\r\n"),
        ("GET /ignore/3000000 HTTP/1.1", "connection: close\r\n"),
        ("GET /ignore/3000000 HTTP/1.0", ""),
    ] {
        let echo = Arc::<Echo>::default();
        let (mut client, driven) = connect_sockets(&echo);
        client.write_all(format!("{asks}\r\nhost: a\r\n{framing}\r\n").as_bytes()).unwrap();
        // More than the least rate asks for.
        let mut bytes = vec![0; 12_000];
        for look in 0..10 {
            tick().await;
            client.read_exact(&mut bytes).unwrap();
            assert!(!driven.is_finished(), "{asks}: cut at look {look}");
        }
        for _ in 0..10 {
            tick().await;
        }
        assert!(driven.is_finished(), "{asks}");
        // It could take any other end for that of the body.
        if asks.ends_with("1.0") {
            let read = client.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
            assert_eq!(read, Err(std::io::ErrorKind::ConnectionReset));
        }
    }
}

#[tokio::test]
async fn an_answer_before_the_end_comes_whole_though_its_client_says_more() {
    for way in ["general", "fast"] {
        let echo = Arc::<Echo>::default();
        let (mut client, driven) = connect_sockets(&echo);
        let request = format!("GET /{way}/150000 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let reads = tokio::task::spawn_blocking(move || {
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(50));
                client.write_all(b"GET /general/1 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            }
            let mut said = Vec::new();
            client.read_to_end(&mut said).unwrap();
            said
        });
        let said = reads.await.unwrap();
        let head = said.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        assert_eq!(said.len() - head - 4, 150_000, "{way}");
        assert_eq!(echo.general.load(Ordering::Relaxed) + echo.at_once.load(Ordering::Relaxed), 1);
        driven.await.unwrap();
    }
}

/// A plain request, of which the client learns with the answer that it was the last.
#[tokio::test]
async fn the_last_answer_after_a_stop_comes_whole_though_its_client_says_more() {
    let (echo, stop) = (Arc::<Echo>::default(), Stop::new());
    let (client, driven) = connect_until(&echo, 64 << 10, stop.clone());
    let (mut reads, mut writes) = tokio::io::split(client);
    stop.stop();
    let asks = "GET /slow/50000 HTTP/1.1\r\nhost: a\r\n\r\n";
    writes.write_all(asks.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    reads.read_to_end(&mut said).await.unwrap();
    assert!(said.len() > 50_000);
    // It is still read: a pipe whose other end is gone takes nothing.
    writes.write_all(asks.as_bytes()).await.unwrap();
    assert!(!driven.is_finished());
    drop((reads, writes));
    driven.await.unwrap();
}
