//! A crowd on one cold object.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Barrier;

use crate::support::{Network, runtime};

const LENGTH: usize = 100_000;

fn byte(at: usize) -> u8 {
    u8::try_from(at % 251).unwrap()
}

/// An origin that takes its time before it answers, and counts requests.
fn slow_origin(pause: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for _ in lines.map_while(Result::ok).filter(String::is_empty) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(pause);
                    let head =
                        format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {LENGTH}\r\n\r\n");
                    let body: Vec<u8> = (0..LENGTH).map(byte).collect();
                    stream.write_all(&[head.into_bytes(), body].concat()).unwrap();
                }
            });
        }
    });
    (address, requests)
}

/// Asks when all have come, and checks every byte; the head of the answer.
async fn ask(mut stream: TcpStream, all: Arc<Barrier>) -> String {
    all.wait().await;
    stream.write_all(b"GET /cold HTTP/1.1\r\nhost: www.shop.example\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut head, mut at, mut buffer) = (Vec::new(), None, vec![0; 16 << 10]);
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        let mut come = &buffer[..count];
        if at.is_none() {
            head.extend_from_slice(come);
            let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            come = &buffer[count - (head.len() - end - 4)..count];
            head.truncate(end);
            at = Some(0);
        }
        let from = at.unwrap();
        assert!(come.iter().enumerate().all(|(number, found)| *found == byte(from + number)), "wrong bytes at {from}");
        at = Some(from + come.len());
    }
    assert_eq!(at, Some(LENGTH), "{}", String::from_utf8_lossy(&head));
    String::from_utf8(head).unwrap()
}

#[test]
fn a_crowd_on_one_cold_object_is_one_fetch() {
    let crowd = if std::env::var_os("HITHER_FULL").is_some() { 10_000 } else { 1_000 };
    let (origin, requests) = slow_origin(Duration::from_millis(700));
    let network = Network::new(10, origin, "");
    let _edge = network.start("one-1");
    let runtime = runtime();
    runtime.block_on(async {
        let all = Arc::new(Barrier::new(crowd));
        let mut clients = Vec::new();
        for number in 0..crowd {
            // From ten addresses: one has not enough ports for all.
            let socket = TcpSocket::new_v4().unwrap();
            let from = Ipv4Addr::new(127, 0, 0, 10 + u8::try_from(number % 10).unwrap());
            socket.bind((from, 0).into()).unwrap();
            clients.push(tokio::spawn(ask(socket.connect(network.edge).await.unwrap(), Arc::clone(&all))));
        }
        let start = Instant::now();
        let (mut collapsed, mut hits) = (0, 0);
        for client in clients {
            let head = client.await.unwrap();
            collapsed += usize::from(head.contains(";collapsed"));
            hits += usize::from(head.contains(";hit"));
        }
        let fetches = requests.load(Ordering::SeqCst);
        println!("{crowd} clients, {fetches} fetches, {collapsed} collapsed, {hits} hits in {:?}", start.elapsed());
        assert_eq!((fetches, collapsed + hits), (1, crowd - 1));
    });
}
