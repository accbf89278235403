//! What an edge takes stays within what it was given, whatever is thrown at it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::support::{Network, Origin, reply, resident, runtime};

const CLIENTS: usize = 16;
const MIB: u64 = 1 << 20;

/// A body of a size that its number makes: from 100 bytes to 3 MB, in no order.
fn length_of(number: usize) -> usize {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    100 << (mixed % 16) >> (mixed / 16 % 2)
}

/// Asks for as many objects as come to so many bytes, on one connection, of so many in all.
async fn flood(edge: SocketAddr, client: usize, bytes: usize, objects: usize) {
    let stream = TcpStream::connect(edge).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut come, mut number) = (0, client);
    while come < bytes {
        let request = http::Request::get(format!("/{number}")).header("host", "www.shop.example");
        // The end of a body may be here before its connection is ready for the next.
        sender.ready().await.unwrap();
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), length_of(number));
        come += body.len();
        number = (number + CLIENTS) % objects;
    }
}

/// What an edge of 64 MiB grows by, in MiB, and what it took from its origin.
fn grown(number: u8, (rounds, objects): (usize, usize), disk: &str) -> (u64, usize) {
    let runtime = runtime();
    runtime.block_on(async {
        let whole = Bytes::from(vec![7; 4_000_000]);
        let origin = Origin::start(move |_, request| {
            let number: usize = request.uri().path()[1..].parse().unwrap();
            let tag = format!("\"{number}\"");
            reply(200, &[("cache-control", "max-age=600"), ("etag", &tag)], whole.slice(..length_of(number)))
        })
        .await;
        let network = Network::new(number, origin.address, "");
        let file = network.path("hither.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("memory = \"64MiB\"", &format!("memory = \"64MiB\"\n{disk}"))).unwrap();
        let edge = network.start("one-1");
        let before = resident(edge.0.id());
        let mut most = 0;
        for _ in 0..rounds {
            let bytes = 24_000_000 / rounds;
            let floods = (0..CLIENTS).map(|client| tokio::spawn(flood(network.edge, client, bytes, objects)));
            let floods: Vec<_> = floods.collect();
            while !floods.iter().all(tokio::task::JoinHandle::is_finished) {
                most = most.max(resident(edge.0.id()));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            for flood in floods {
                flood.await.unwrap();
            }
        }
        ((most - before) / MIB, origin.requests())
    })
}

/// Its memory and a tenth; a connection to a client and one to the origin each: a megabyte for the two.
const MOST: u64 = 64 + 6 + CLIENTS as u64;

#[test]
fn an_edge_stays_within_its_memory_and_a_tenth_and_connections() {
    let (grown, fetches) = grown(150, (1, usize::MAX), "");
    println!("{fetches} fetches, grown by {grown} MiB of 64");
    assert!(grown <= MOST, "{grown} MiB");
}

#[test]
fn an_edge_with_a_disk_stays_within_its_memory_too() {
    let dir = tempfile::tempdir().unwrap();
    let disk = format!("disk = {{ path = \"{}\", size = \"256MiB\", requests = 1 }}", dir.path().display());
    let (grown, fetches) = grown(170, (12, 320), &disk);
    println!("{fetches} fetches, grown by {grown} MiB of 64");
    assert!(fetches < 800, "{fetches}: the disk is read");
    assert!(grown <= MOST, "{grown} MiB");
}
