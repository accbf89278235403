//! What an edge takes stays within what it was given, whatever is thrown at it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::support::{Network, Origin, reply, resident};

const CLIENTS: usize = 16;
const MIB: u64 = 1 << 20;

/// A body of a size that its number makes: from 100 bytes to 3 MB, in no order.
fn length_of(number: usize) -> usize {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    100 << (mixed % 16) >> (mixed / 16 % 2)
}

/// Asks for as many objects as come to so many bytes, on one connection, each once.
async fn flood(edge: SocketAddr, client: usize, bytes: usize) {
    let stream = TcpStream::connect(edge).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut come, mut number) = (0, client);
    while come < bytes {
        let request = http::Request::get(format!("/{number}")).header("host", "www.shop.example");
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), length_of(number));
        come += body.len();
        number += CLIENTS;
    }
}

#[test]
fn an_edge_stays_within_its_memory_and_a_tenth_and_connections() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let whole = Bytes::from(vec![7; 4_000_000]);
        let origin = Origin::start(move |_, request| {
            let number: usize = request.uri().path()[1..].parse().unwrap();
            let tag = format!("\"{number}\"");
            reply(200, &[("cache-control", "max-age=600"), ("etag", &tag)], whole.slice(..length_of(number)))
        })
        .await;
        let network = Network::new(150, origin.address, "");
        let edge = network.start("one-1");
        let before = resident(edge.0.id());
        let floods = (0..CLIENTS).map(|client| tokio::spawn(flood(network.edge, client, 24_000_000)));
        let floods: Vec<_> = floods.collect();
        let mut most = 0;
        while !floods.iter().all(tokio::task::JoinHandle::is_finished) {
            most = most.max(resident(edge.0.id()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for flood in floods {
            flood.await.unwrap();
        }
        let grown = most - before;
        println!("{} fetches, grown by {} MiB of 64", origin.requests(), grown / MIB);
        // A connection to a client and one to the origin each: a megabyte for the two.
        let connections = u64::try_from(CLIENTS).unwrap() * MIB;
        assert!(grown <= 64 * MIB * 11 / 10 + connections, "{} MiB", grown / MIB);
    });
}
