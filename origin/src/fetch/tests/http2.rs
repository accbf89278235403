//! Servers that speak HTTP/2.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Response, Version};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::*;

/// Serves a connection by HTTP/2, and ends gracefully after so many requests: each is answered with its target, its
/// `te` and a trailer, once the gate lets it.
async fn serve(stream: TcpStream, gate: Arc<Semaphore>, all: Arc<AtomicUsize>, most: usize) {
    let asked = AtomicUsize::new(0);
    let answer = service_fn(|request: Request<hyper::body::Incoming>| {
        asked.fetch_add(1, Ordering::Relaxed);
        all.fetch_add(1, Ordering::Relaxed);
        let gate = Arc::clone(&gate);
        async move {
            let _place = gate.acquire().await.unwrap();
            let te = request.headers().get("te").map_or("-", |te| te.to_str().unwrap()).to_owned();
            let said = format!("{} {te}", request.uri());
            let trailers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("\"end\""))]);
            let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from(said))), Ok(Frame::trailers(trailers))];
            Ok::<_, Infallible>(Response::new(StreamBody::new(futures_util::stream::iter(frames))))
        }
    });
    let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer);
    let mut served = std::pin::pin!(served);
    let _ = std::future::poll_fn(|cx| {
        let polled = served.as_mut().poll(cx);
        if polled.is_pending() && asked.load(Ordering::Relaxed) >= most {
            served.as_mut().graceful_shutdown();
            return served.as_mut().poll(cx);
        }
        polled
    })
    .await;
}

/// A server by prior knowledge.
struct Http2Origin {
    server: TestOrigin,
    gate: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
}

impl Http2Origin {
    /// One that lets so many requests through its gate at once, and each of whose connections is good for so many.
    async fn new(gate: usize, most: usize) -> Self {
        let (gate, asked) = (Arc::new(Semaphore::new(gate)), Arc::<AtomicUsize>::default());
        let (shut, count) = (Arc::clone(&gate), Arc::clone(&asked));
        let server = TestOrigin::new(move |stream, _| serve(stream, Arc::clone(&shut), Arc::clone(&count), most)).await;
        Self { server, gate, asked }
    }

    /// Opens the gate once so many requests have come.
    async fn open_for(&self, many: usize) {
        while self.asked.load(Ordering::Relaxed) < many {
            sleep(Duration::from_millis(1)).await;
        }
        self.gate.add_permits(many);
    }
}

fn by_http2(servers: &[SocketAddr]) -> Fetcher {
    of(&Origin { http2: true, ..origin(servers, Scheme::Http) })
}

#[tokio::test]
async fn many_fetches_share_a_connection_and_trailers_come_through() {
    let origin = Http2Origin::new(0, usize::MAX).await;
    let fetcher = by_http2(&[origin.server.address]);
    let mut with_trailers = head("POST");
    with_trailers.headers.to_mut().insert("te", HeaderValue::from_static("trailers"));
    let fetches = (0..50).map(|_| fetcher.fetch(&with_trailers, Some(whole("a body"))));
    let (fetched, ()) = tokio::join!(futures_util::future::join_all(fetches), origin.open_for(50));
    for fetched in fetched {
        let fetched = fetched.unwrap();
        assert_eq!(fetched.version(), Version::HTTP_2);
        let body = fetched.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()[header::ETAG], "\"end\"");
        assert_eq!(body.to_bytes(), "http://www.shop.example/ trailers");
    }
    assert_eq!(origin.server.connections(), 1);
}

#[tokio::test]
async fn more_than_a_connection_takes_are_on_two() {
    let origin = Http2Origin::new(0, usize::MAX).await;
    let fetcher = by_http2(&[origin.server.address]);
    let head = head("GET");
    let fetches = (0..150).map(|_| fetcher.fetch(&head, None));
    let (fetched, ()) = tokio::join!(futures_util::future::join_all(fetches), origin.open_for(150));
    for fetched in fetched {
        assert_eq!(status(fetched).await, Ok(StatusCode::OK));
    }
    assert_eq!(origin.server.connections(), 2);
}

#[tokio::test]
async fn a_server_that_goes_away_costs_no_request() {
    let origin = Http2Origin::new(100, 3).await;
    let fetcher = by_http2(&[origin.server.address]);
    for method in ["GET", "POST", "GET", "POST", "GET", "POST", "GET", "POST", "GET"] {
        let body = (method == "POST").then(|| whole("a body"));
        assert_eq!(status(fetcher.fetch(&head(method), body).await).await, Ok(StatusCode::OK), "{method}");
    }
    assert!((3..=5).contains(&origin.server.connections()), "{}", origin.server.connections());
}

#[tokio::test]
async fn a_server_over_tls_that_knows_no_http2_is_asked_as_ever() {
    let key = tls_key();
    let server = tls_origin(&key).await;
    let told = Origin { http2: true, ..origin(&[server.address], Scheme::Https) };
    let fetcher = Fetcher::with(&told, Servers::new("shop", &told), TIMES, &trusting(&key), Places::of_all());
    for _ in 0..5 {
        let fetched = fetcher.fetch(&head("GET"), None).await;
        assert_eq!(fetched.as_ref().map(Response::version).ok(), Some(Version::HTTP_11));
        assert_eq!(status(fetched).await, Ok(StatusCode::OK));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_is_to_be_switched_is_asked_by_http1() {
    let server = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        say(&mut stream, OK).await;
    })
    .await;
    let mut head = head("GET");
    head.headers.to_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let fetcher = by_http2(&[server.address]);
    assert_eq!(status(fetcher.fetch(&head, None).await).await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn a_share_is_free_again_when_a_body_is_dropped() {
    let origin = Http2Origin::new(1_000, usize::MAX).await;
    let fetcher = by_http2(&[origin.server.address]);
    for _ in 0..300 {
        drop(fetcher.fetch(&head("GET"), None).await.unwrap());
    }
    assert_eq!(origin.server.connections(), 1);
}

/// A server of HTTP/2 that sends half of a body and then resets the stream, or resets it at once; and how often it was asked.
async fn resetting(reason: h2::Reason, sends: &'static [u8]) -> (TestOrigin, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let server = TestOrigin::new(move |stream, _| {
        let count = Arc::clone(&count);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                if sends.is_empty() {
                    respond.send_reset(reason);
                    continue;
                }
                let mut body = respond.send_response(Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(sends), false).unwrap();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(50)).await;
                    body.send_reset(reason);
                });
            }
        }
    });
    (server.await, asked)
}

#[tokio::test]
async fn a_body_that_is_reset_is_cut_whatever_the_reason() {
    for reason in [h2::Reason::NO_ERROR, h2::Reason::CANCEL, h2::Reason::INTERNAL_ERROR] {
        let (server, _) = resetting(reason, b"half of it").await;
        let fetched = by_http2(&[server.address]).fetch(&head("GET"), None).await.unwrap();
        let read = fetched.into_body().collect().await;
        assert_eq!(read.unwrap_err(), FetchError::HttpResponseIncomplete, "{reason:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_reset_is_not_sent_again_and_again() {
    for reason in [h2::Reason::REFUSED_STREAM, h2::Reason::INTERNAL_ERROR, h2::Reason::CANCEL] {
        let (server, asked) = resetting(reason, b"").await;
        let fetcher = by_http2(&[server.address]);
        for _ in 0..5 {
            assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Err(FetchError::ConnectionTerminated));
        }
        assert_eq!((asked.load(Ordering::Relaxed), server.connections()), (5, 1), "{reason:?}");
    }
}

#[tokio::test]
async fn a_crowd_on_a_server_that_knows_no_http2_waits_for_one_handshake_alone() {
    let key = tls_key();
    let server = tls_origin(&key).await;
    let told = Origin { http2: true, ..origin(&[server.address], Scheme::Https) };
    let fetcher = Fetcher::with(&told, Servers::new("shop", &told), TIMES, &trusting(&key), Places::of_all());
    let head = head("GET");
    let fetches = (0..200).map(|_| async { status(fetcher.fetch(&head, None).await).await });
    for fetched in futures_util::future::join_all(fetches).await {
        assert_eq!(fetched, Ok(StatusCode::OK));
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_takes_its_connection_out_of_use() {
    let origin = Http2Origin::new(1_000, usize::MAX).await;
    let fetcher = by_http2(&[origin.server.address]);
    let (client, body) = upload();
    client.send(Ok(Bytes::from_static(b"the first of it"))).await.unwrap();
    assert_eq!(status(fetcher.fetch(&head("POST"), Some(body)).await).await, Ok(StatusCode::OK));
    assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
    assert_eq!(origin.server.connections(), 2);
}
