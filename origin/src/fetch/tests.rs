use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use config::{DomainName, Origin, OriginServer, Scheme};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::told::{OK, TestOrigin, read_until, refusing, say, tls_key, tls_origin, trusting, upload, whole};
use super::*;

mod http2;
mod places;
mod servers;
mod told;

const TIMES: Times = Times {
    connect: Duration::from_secs(1),
    first_byte: Duration::from_secs(1),
    between_bytes: Duration::from_secs(1),
    idle: Duration::from_secs(60),
    total: None,
};

#[tokio::test]
async fn a_slow_upload_is_no_slow_origin() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "piece 12").await;
        say(&mut stream, OK).await;
    })
    .await;
    let (client, body) = upload();
    let sending = async {
        for number in 1..=12 {
            sleep(Duration::from_millis(100)).await;
            client.send(Ok(Bytes::from(format!("piece {number}, ").repeat(10)))).await.unwrap();
        }
        drop(client);
    };
    // Twelve tenths of a second are more than the time to the first byte.
    let fetcher = fetcher(&[origin.address]);
    let head = head("POST");
    let (fetched, ()) = tokio::join!(fetcher.fetch(&head, Some(body)), sending);
    assert_eq!(status(fetched).await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn a_body_goes_on_to_the_next_server_when_the_first_refuses() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "all of it").await;
        say(&mut stream, OK).await;
    })
    .await;
    let fetcher = fetcher(&[refusing().await, origin.address]);
    let fetched = fetcher.fetch(&head("POST"), Some(whole("all of it"))).await;
    assert_eq!(status(fetched).await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        while read_until(&mut stream, "\r\n\r\n").await {
            say(&mut stream, OK).await;
        }
    })
    .await;
    let fetcher = fetcher(&[origin.address]);
    for _ in 0..5 {
        assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
    }
    assert_eq!(origin.connections(), 1);
}

/// An origin that closes each connection when the second request on it has come.
async fn hasty() -> TestOrigin {
    TestOrigin::new(|mut stream, number| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        say(&mut stream, OK).await;
        if number == 0 {
            read_until(&mut stream, "\r\n\r\n").await;
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_dies_costs_an_idempotent_request_nothing() {
    for method in ["GET", "PUT"] {
        let origin = hasty().await;
        let fetcher = fetcher(&[origin.address]);
        assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
        assert_eq!(status(fetcher.fetch(&head(method), None).await).await, Ok(StatusCode::OK), "{method}");
        assert_eq!(origin.connections(), 2, "{method}");
    }
}

#[tokio::test]
async fn a_request_that_has_drawn_a_byte_is_sent_to_nobody_again() {
    for drawn in ["HTTP/1.1 2", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", "HTTP/1.1 200 OK\r\nx-half"] {
        let origin = TestOrigin::new(move |mut stream, _| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            say(&mut stream, OK).await;
            read_until(&mut stream, "\r\n\r\n").await;
            say(&mut stream, drawn).await;
        })
        .await;
        let other = hasty().await;
        let fetcher = fetcher(&[origin.address, other.address]);
        assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
        let fetched = fetcher.fetch(&head("GET"), None).await;
        assert_eq!(status(fetched).await, Err(FetchError::ConnectionTerminated), "{drawn}");
        assert_eq!((origin.connections(), other.connections()), (1, 0), "{drawn}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_no_longer_than_its_server_says() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        while read_until(&mut stream, "\r\n\r\n").await {
            say(&mut stream, "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1, max=9\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let fetcher = fetcher(&[origin.address]);
    for (wait, connections) in [(0, 1), (100, 1), (600, 2)] {
        sleep(Duration::from_millis(wait)).await;
        assert_eq!(status(fetcher.fetch(&head("POST"), None).await).await, Ok(StatusCode::OK));
        assert_eq!(origin.connections(), connections, "after {wait} ms");
    }
}

#[test]
fn keep_alive_is_read_as_servers_write_it() {
    let most = Duration::from_secs(60);
    let table = [
        ("timeout=5", 4_000),
        ("timeout=5, max=100", 4_000),
        ("max=100, Timeout = \"30\"", 29_000),
        ("timeout=1", 500),
        ("timeout=0", 0),
        ("timeout=900", 60_000),
        ("timeout=-1", 60_000),
        ("timeout", 60_000),
        ("", 60_000),
    ];
    for (line, expected) in table {
        let headers = http::HeaderMap::from_iter([("keep-alive".parse().unwrap(), line.parse().unwrap())]);
        assert_eq!(idle_time(&headers, most), Duration::from_millis(expected), "{line}");
    }
}

#[tokio::test]
async fn a_post_that_an_origin_may_have_seen_is_not_sent_again() {
    let origin = hasty().await;
    let fetcher = fetcher(&[origin.address]);
    assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
    let fetched = fetcher.fetch(&head("POST"), None).await;
    assert_eq!(status(fetched).await, Err(FetchError::ConnectionTerminated));
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_body_that_was_begun_is_not_sent_again() {
    let origin = hasty().await;
    let fetcher = fetcher(&[origin.address]);
    assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
    let fetched = fetcher.fetch(&head("PUT"), Some(whole("all of it"))).await;
    assert_eq!(status(fetched).await, Err(FetchError::ConnectionTerminated));
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_body_that_nobody_has_begun_is_sent_on_a_new_connection() {
    let origin = TestOrigin::new(|mut stream, number| async move {
        let last = if number == 0 { "\r\n\r\n" } else { "late" };
        read_until(&mut stream, last).await;
        say(&mut stream, OK).await;
        if number == 0 {
            read_until(&mut stream, "\r\n\r\n").await;
        }
    })
    .await;
    let fetcher = fetcher(&[origin.address]);
    assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
    let (client, body) = upload();
    let sending = async {
        sleep(Duration::from_millis(200)).await;
        client.send(Ok(Bytes::from_static(b"late"))).await.unwrap();
        drop(client);
    };
    let head = head("PUT");
    let (fetched, ()) = tokio::join!(fetcher.fetch(&head, Some(body)), sending);
    assert_eq!(status(fetched).await, Ok(StatusCode::OK));
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_request() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        say(&mut stream, OK).await;
    })
    .await;
    let fetcher = fetcher(&[origin.address]);
    for number in 1..=4 {
        let fetched = fetcher.fetch(&head("POST"), Some(whole("all of it"))).await;
        assert_eq!(status(fetched).await, Ok(StatusCode::OK), "{number}");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(origin.connections(), 4);
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_is_at_fault() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "never").await;
    })
    .await;
    let (client, body) = upload();
    client.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
    client.send(Err("the client has gone".into())).await.unwrap();
    let fetched = fetcher(&[origin.address]).fetch(&head("POST"), Some(body)).await;
    let error = status(fetched).await.unwrap_err();
    assert_eq!((error.name(), error.status()), ("http_request_error", StatusCode::BAD_REQUEST));
}

#[tokio::test]
async fn an_origin_that_takes_no_more_of_a_body_is_given_up() {
    let origin = TestOrigin::new(|stream, _| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    // More than fits into the buffers on the way.
    let body = Full::new(Bytes::from(vec![0; 64 << 20])).map_err(|never| match never {}).boxed_unsync();
    let (client, rest) = upload();
    client.send(Ok(Bytes::from(vec![0; 64 << 20]))).await.unwrap();
    client.send(Ok(Bytes::from_static(b"last"))).await.unwrap();
    let fetcher = fetcher(&[origin.address]);
    // A piece that is taken whole into the buffer is gone, and its answer is due.
    assert_eq!(status(fetcher.fetch(&head("POST"), Some(body)).await).await, Err(FetchError::HttpResponseTimeout));
    let fetched = fetcher.fetch(&head("POST"), Some(rest)).await;
    assert_eq!(status(fetched).await, Err(FetchError::ConnectionWriteTimeout));
}

#[tokio::test]
async fn a_client_that_sends_no_more_of_its_body_is_given_up() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "never").await;
    })
    .await;
    let (client, body) = upload();
    client.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
    let fetched = fetcher(&[origin.address]).fetch(&head("POST"), Some(body)).await;
    assert_eq!(status(fetched).await, Err(FetchError::HttpRequestTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_body_sent_at_once_does_not_lengthen_the_first_byte_s_time() {
    let mut fetcher = fetcher(&[]);
    fetcher.times.between_bytes = fetcher.times.first_byte * 3;
    let began = Instant::now();
    let upload = Upload::new(Some(whole("all of it")));
    let answer = async {
        sleep(Duration::from_millis(100)).await;
        upload.clone().frame().await.unwrap().unwrap();
        std::future::pending::<()>().await;
    };
    let failure = fetcher.in_time(answer, &upload, (began, None)).await.unwrap_err();
    assert_eq!(failure.error, FetchError::HttpResponseTimeout);
    assert_eq!(began.elapsed().as_millis(), 1_100);
}

#[tokio::test]
async fn an_origin_without_an_answer_is_given_up() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "never").await;
    })
    .await;
    let second = TestOrigin::new(|mut stream, _| async move { say(&mut stream, OK).await }).await;
    let fetched = fetcher(&[origin.address, second.address]).fetch(&head("GET"), None).await;
    assert_eq!(status(fetched).await, Err(FetchError::HttpResponseTimeout));
    assert_eq!(second.connections(), 0, "the time is spent");
}

#[tokio::test]
async fn a_body_that_is_left_or_cut_takes_its_connection_along() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        sleep(Duration::from_millis(100)).await;
    })
    .await;
    let fetcher = fetcher(&[origin.address]);
    drop(fetcher.fetch(&head("GET"), None).await.unwrap());
    let cut = fetcher.fetch(&head("GET"), None).await;
    assert_eq!(status(cut).await, Err(FetchError::HttpResponseIncomplete));
    drop(fetcher.fetch(&head("GET"), None).await.unwrap());
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn every_end_of_a_body_frees_its_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nage: 1\r\n\r\n",
    ] {
        let origin = TestOrigin::new(move |mut stream, _| async move {
            while read_until(&mut stream, "\r\n\r\n").await {
                say(&mut stream, answer).await;
            }
        })
        .await;
        let fetcher = fetcher(&[origin.address]);
        // With a condition, since one of the answers is to it.
        let mut asked = head("GET");
        asked.headers.to_mut().insert("if-none-match", http::HeaderValue::from_static("\"v1\""));
        for _ in 0..2 {
            assert!(status(fetcher.fetch(&asked, None).await).await.is_ok(), "{answer}");
        }
        assert_eq!(origin.connections(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_long_body_frees_its_connection() {
    const LENGTH: usize = 8 << 20;
    let origin = TestOrigin::new(move |mut stream, _| async move {
        while read_until(&mut stream, "\r\n\r\n").await {
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n")).await;
            say(&mut stream, &"x".repeat(LENGTH)).await;
        }
    })
    .await;
    let fetcher = fetcher(&[origin.address]);
    for _ in 0..4 {
        let body = fetcher.fetch(&head("GET"), None).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), LENGTH);
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    let (seen, mut end) = mpsc::channel(1);
    let origin = TestOrigin::new(move |mut stream, _| {
        let seen = seen.clone();
        async move {
            read_until(&mut stream, "half").await;
            say(&mut stream, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await;
            seen.send(read_until(&mut stream, "never").await).await.unwrap();
        }
    })
    .await;
    let (client, body) = upload();
    client.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
    let fetcher = fetcher(&[origin.address]);
    let fetched = fetcher.fetch(&head("POST"), Some(body)).await;
    assert_eq!(status(fetched).await, Ok(StatusCode::PAYLOAD_TOO_LARGE));
    assert_eq!(timeout_at(Instant::now() + TIMES.first_byte, end.recv()).await, Ok(Some(false)), "closed");
    client.closed().await;
}

#[tokio::test]
async fn a_connection_that_the_origin_will_close_is_not_kept() {
    let origin = TestOrigin::new(|mut stream, _| async move {
        while read_until(&mut stream, "\r\n\r\n").await {
            say(&mut stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let fetcher = fetcher(&[origin.address]);
    for _ in 0..2 {
        assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_failure_to_connect_has_its_exact_name() {
    let silent = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "never").await;
    })
    .await;
    let clear = TestOrigin::new(|mut stream, _| async move { say(&mut stream, OK).await }).await;
    let hung_up = TestOrigin::new(|stream, _| async move { drop(stream) }).await;
    let strange = tls_origin(&tls_key()).await;
    let table = [
        (refusing().await, Scheme::Http, FetchError::ConnectionRefused),
        (hung_up.address, Scheme::Http, FetchError::ConnectionTerminated),
        (silent.address, Scheme::Https, FetchError::ConnectionTimeout),
        (clear.address, Scheme::Https, FetchError::TlsProtocolError),
        (hung_up.address, Scheme::Https, FetchError::ConnectionTerminated),
        (strange.address, Scheme::Https, FetchError::TlsCertificateError),
    ];
    for (address, scheme, expected) in table {
        let fetcher = of(&origin(&[address], scheme));
        let fetched = fetcher.fetch(&head("GET"), None).await;
        assert_eq!(status(fetched).await, Err(expected), "{scheme:?}");
    }
    let mut inside = origin(&[clear.address], Scheme::Http);
    inside.allow_private = false;
    let fetched =
        Fetcher::new(&inside, Servers::new("shop", &inside), Places::of_all()).unwrap().fetch(&head("GET"), None).await;
    assert_eq!(status(fetched).await, Err(FetchError::DestinationIpProhibited));
}

#[test]
fn only_what_changes_nothing_twice_is_sent_twice() {
    use FetchError::{ConnectionRefused, ConnectionTerminated, HttpResponseTimeout};
    let table = [
        (Seen::No, ConnectionRefused, "POST", State::Whole, Repeat::Yes),
        (Seen::No, ConnectionTerminated, "PATCH", State::Whole, Repeat::Yes),
        (Seen::Perhaps, ConnectionTerminated, "GET", State::Whole, Repeat::Yes),
        (Seen::Perhaps, ConnectionTerminated, "HEAD", State::Whole, Repeat::Yes),
        (Seen::Perhaps, ConnectionTerminated, "DELETE", State::Whole, Repeat::Yes),
        (Seen::Perhaps, ConnectionTerminated, "PUT", State::Whole, Repeat::Yes),
        (Seen::Perhaps, ConnectionTerminated, "PUT", State::Begun, Repeat::No),
        (Seen::Perhaps, ConnectionTerminated, "PUT", State::Broken, Repeat::No),
        (Seen::Perhaps, ConnectionTerminated, "POST", State::Whole, Repeat::No),
        (Seen::Perhaps, ConnectionTerminated, "PATCH", State::Whole, Repeat::No),
        (Seen::Perhaps, HttpResponseTimeout, "GET", State::Whole, Repeat::No),
        (Seen::Surely, ConnectionTerminated, "GET", State::Whole, Repeat::No),
        (Seen::Surely, ConnectionTerminated, "DELETE", State::Whole, Repeat::No),
    ];
    for (seen, error, method, upload, repeat) in table {
        let method = method.parse().unwrap();
        assert_eq!(Failure { error, seen }.may_repeat(&method, upload), repeat, "{seen:?} {error} {method} {upload:?}");
    }
}

fn fetcher(servers: &[SocketAddr]) -> Fetcher {
    of(&origin(servers, Scheme::Http))
}

fn of(origin: &Origin) -> Fetcher {
    Fetcher::with(origin, Servers::new("shop", origin), TIMES, &tls::of(origin).unwrap(), Places::of_all())
}

/// An origin of these servers and nothing else that is written.
pub(crate) fn origin(servers: &[SocketAddr], scheme: Scheme) -> Origin {
    let server = |at: &SocketAddr| OriginServer { scheme, host: at.ip().to_string(), port: at.port() };
    Origin {
        servers: servers.iter().map(server).collect(),
        weights: Vec::new(),
        host: None,
        allow_private: true,
        http2: false,
        max_fetches: None,
        connect_timeout: limits::ORIGIN_CONNECT.default,
        first_byte_timeout: limits::ORIGIN_FIRST_BYTE.default,
        between_bytes_timeout: limits::ORIGIN_BETWEEN_BYTES.default,
        total_timeout: None,
        ca: None,
        client: None,
        secret_headers: Vec::new(),
        aws: None,
        probe: None,
        warm: 0,
    }
}

fn head(method: &str) -> Head<'static> {
    let fields = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("www.shop.example"))]);
    let (method, uri) = (method.parse().unwrap(), Uri::from_static("/"));
    Head { method, uri, headers: Cow::Owned(fields), on_interim: None }
}

/// The status, when the body has been read too.
async fn status(fetched: Result<Fetched, FetchError>) -> Result<StatusCode, FetchError> {
    let (head, body) = fetched?.into_parts();
    body.collect().await.map(|_| head.status)
}
