//! Asks over HTTP/3: some connections with several open requests on each, as h2load does over HTTP/2.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{Request, StatusCode};
use quinn::crypto::rustls::QuicClientConfig;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet, spawn_local};

use crate::h2load::Asked;
use crate::tls::{NAME, client};

/// Requests of one stream's place on a connection, before another connection is made: servers end those with too many.
const ASKED: u64 = 1_000;

/// Asks for a stored object of this size for some time. Each answer must be a 200 of its length.
pub(crate) fn ask(server: SocketAddr, (connections, streams): (usize, usize), size: usize, time: Duration) -> Asked {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async move {
        let crypto = QuicClientConfig::try_from(client("h3")).unwrap();
        let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
        let start = Instant::now();
        let until = start + time;
        let mut lanes = JoinSet::new();
        for _ in 0..connections {
            lanes.spawn_local(keep_asking(config.clone(), server, (streams, size), until));
        }
        let mut answered = 0;
        while let Some(lane) = lanes.join_next().await {
            answered += lane.unwrap();
        }
        Asked { answered, rate: answered as f64 / start.elapsed().as_secs_f64() }
    })
}

/// One connection after the other, from a socket of its own; how many were answered.
async fn keep_asking(
    config: quinn::ClientConfig,
    server: SocketAddr,
    (streams, size): (usize, usize),
    until: Instant,
) -> u64 {
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    endpoint.set_default_client_config(config);
    let mut answered = 0;
    while Instant::now() < until {
        let connection = endpoint.connect(server, NAME).unwrap().await.unwrap();
        let (mut driver, send) = h3::client::new(h3_quinn::Connection::new(connection)).await.unwrap();
        let driven = spawn_local(async move { poll_fn(|cx| driver.poll_close(cx)).await });
        let mut places = JoinSet::new();
        for _ in 0..streams {
            places.spawn_local(ask_in_turn(send.clone(), size, until));
        }
        while let Some(place) = places.join_next().await {
            answered += place.unwrap();
        }
        // The last of these tells the server the end.
        drop(send);
        let _ = driven.await;
    }
    answered
}

/// One request after the other.
async fn ask_in_turn(mut send: SendRequest<OpenStreams, Bytes>, size: usize, until: Instant) -> u64 {
    let mut answered = 0;
    while answered < ASKED && Instant::now() < until {
        let request = Request::get(format!("https://{NAME}/o/{size}")).body(()).unwrap();
        let mut stream = send.send_request(request).await.unwrap();
        stream.finish().await.unwrap();
        let response = stream.recv_response().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut got = 0;
        while let Some(piece) = stream.recv_data().await.unwrap() {
            got += piece.remaining();
        }
        assert_eq!(got, size);
        answered += 1;
    }
    answered
}
