use super::*;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Buf;
use http::StatusCode;
use http::request::Parts;
use http_body_util::StreamBody;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

use crate::body::full;
use crate::mount::{Handler, Mount, Reply};
use crate::{QuicConfig, Seat, Sharing, bind_udp};

/// Says what it was asked, after a hint, and how the body came; below `/whole/` at once, as many bytes as its end says.
#[derive(Default)]
struct Echo(AtomicUsize, Arc<Mutex<Vec<u64>>>);

/// Notes what has gone.
struct Notes(Arc<Mutex<Vec<u64>>>);

impl Sent for Notes {
    fn sent(&mut self, bytes: u64) {
        self.0.lock().unwrap().push(bytes);
    }
}

impl Handler for Echo {
    fn whole_at_once(&self, head: &Parts, _: &Connection) -> Option<Whole> {
        assert_ne!(head.uri.path(), "/bug");
        let length = head.uri.path().strip_prefix("/whole/")?.parse().ok()?;
        let fields = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(length))]);
        Some(Whole { fields, body: vec![b'x'; length].into(), sent: Box::new(Notes(Arc::clone(&self.1))) })
    }

    fn serve(&self, request: Request<Incoming>, connection: Connection) -> Reply {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let is_empty = request.body().is_end_stream();
            let (head, body) = request.into_parts();
            if head.uri.path() == "/hint"
                && let Some(interim) = &connection.interim
            {
                interim.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
            }
            if head.uri.path() == "/slow" {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            if head.uri.path() == "/cut" {
                let pieces = [Ok(http_body::Frame::data(Bytes::from_static(b"half"))), Err("cut".into())];
                return Response::new(StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync());
            }
            let collected = match body.collect().await {
                Ok(collected) => collected,
                Err(error) => return Response::new(full(format!("broken: {error}"))),
            };
            let trailer = collected.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
            let early = head.headers.contains_key("early-data");
            let body = collected.to_bytes();
            let host = head.uri.authority().map(ToString::to_string).unwrap_or_default();
            let said = format!(
                "{} {} {host} empty={is_empty} early={early} body={} trailer={trailer:?} sni={:?}",
                head.method,
                head.uri.path(),
                body.len(),
                connection.sni
            );
            let mut response = Response::new(full(said));
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response.headers_mut().insert("x-number", HeaderValue::from(number));
            response
        })
    }
}

struct Edge {
    address: SocketAddr,
    stop: Stop,
    client: Arc<rustls::ClientConfig>,
    /// Bytes of answers at once, as they have gone.
    gone: Arc<Mutex<Vec<u64>>>,
}

impl Edge {
    /// Serves on so many sockets of one address.
    fn start(cores: usize) -> Self {
        let made = rcgen::generate_simple_self_signed(["www.shop.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut server = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        (server.alpn_protocols, server.max_early_data_size) = (vec![b"h3".to_vec()], u32::MAX);
        let config = QuicConfig::new(Arc::new(server)).unwrap();
        let first = bind_udp("127.0.0.1:0".parse().unwrap(), Sharing::Cores).unwrap();
        let address = first.local_addr().unwrap();
        let others: Vec<UdpSocket> = (1..cores).map(|_| bind_udp(address, Sharing::Cores).unwrap()).collect();
        let stop = Stop::new();
        let echo = Echo::default();
        let gone = Arc::clone(&echo.1);
        let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler: Arc::new(echo) }]));
        let connections = prometheus::IntGauge::new("c", "c").unwrap();
        for (core, socket) in std::iter::once(first).chain(others).enumerate() {
            let quic = Quic::new(socket, &config, Seat { core, cores }, connections.clone()).unwrap();
            tokio::spawn(serve_http3(quic, Arc::clone(&mounts), stop.clone()));
        }
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        (client.alpn_protocols, client.enable_early_data) = (vec![b"h3".to_vec()], true);
        Self { address, stop, client: Arc::new(client), gone }
    }

    fn client(&self) -> quinn::Endpoint {
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let crypto = QuicClientConfig::try_from(Arc::clone(&self.client)).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        endpoint
    }

    async fn connect(&self, endpoint: &quinn::Endpoint) -> Client {
        Client::over(endpoint.connect(self.address, "www.shop.example").unwrap().await.unwrap()).await
    }
}

struct Client {
    quic: quinn::Connection,
    send: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    driver: tokio::task::JoinHandle<h3::error::ConnectionError>,
}

/// Status, fields and body; the error's text where it was cut.
type Answered = Result<(StatusCode, HeaderMap, String), String>;

impl Client {
    async fn over(quic: quinn::Connection) -> Self {
        let (mut driver, send) = h3::client::new(h3_quinn::Connection::new(quic.clone())).await.unwrap();
        let driver = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        Self { quic, send, driver }
    }

    async fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &[&'static str]) -> Answered {
        self.begin(method, path, fields, body).await?.end().await
    }

    async fn begin(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[&'static str],
    ) -> Result<Asked, String> {
        let mut request = Request::builder().method(method).uri(format!("https://www.shop.example{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut stream = self.send.send_request(request.body(()).unwrap()).await.map_err(|error| error.to_string())?;
        for piece in body {
            stream.send_data(Bytes::from_static(piece.as_bytes())).await.map_err(|error| error.to_string())?;
        }
        if path == "/trailers" {
            let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))]);
            stream.send_trailers(trailers).await.map_err(|error| error.to_string())?;
        }
        stream.finish().await.map_err(|error| error.to_string())?;
        Ok(Asked(stream))
    }
}

struct Asked(h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>);

impl Asked {
    async fn end(mut self) -> Answered {
        let head = self.0.recv_response().await.map_err(|error| error.to_string())?;
        let mut said = Vec::new();
        while let Some(mut data) = self.0.recv_data().await.map_err(|error| error.to_string())? {
            said.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        Ok((head.status(), head.headers().clone(), String::from_utf8(said).unwrap()))
    }
}

#[tokio::test]
async fn what_is_answered_at_once_comes_whole_and_is_told() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut client = edge.connect(&endpoint).await;
    for length in [0_usize, 5, 200_000] {
        let (status, head, said) = client.ask("GET", &format!("/whole/{length}"), &[], &[]).await.unwrap();
        assert_eq!((status, said.len()), (StatusCode::OK, length));
        assert_eq!(head["content-length"], length.to_string());
    }
    // What has a body, or is no GET, is its handler's.
    for (method, body) in [("GET", &["a body"][..]), ("HEAD", &[]), ("POST", &[])] {
        let (_, head, _) = client.ask(method, "/whole/7", &[], body).await.unwrap();
        assert!(head.contains_key("x-number"), "{method}");
    }
    assert_eq!(*edge.gone.lock().unwrap(), [0, 5, 200_000]);
    // One that goes before it has all has taken a part.
    let mut begun = client.begin("GET", "/whole/9000000", &[], &[]).await.unwrap();
    begun.0.recv_response().await.unwrap();
    client.quic.close(0_u32.into(), b"");
    drop(begun);
    let told = async {
        while edge.gone.lock().unwrap().len() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), told).await.expect("it is told");
    assert!(edge.gone.lock().unwrap()[3] < 9_000_000);
}

#[tokio::test]
async fn a_small_answer_and_its_end_come_in_one_frame() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut client = edge.connect(&endpoint).await;
    let mut frames = Vec::new();
    for _ in 0..5 {
        let before = client.quic.stats().frame_rx.stream;
        client.ask("GET", "/whole/500", &[], &[]).await.unwrap();
        frames.push(client.quic.stats().frame_rx.stream - before);
    }
    // The first comes beside what begins a connection.
    assert_eq!(frames[1..], [1; 4], "{frames:?}");
}

#[tokio::test]
async fn a_panic_is_one_requests() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut client = edge.connect(&endpoint).await;
    let broken = client.ask("GET", "/bug", &[], &[]).await.unwrap_err();
    assert!(broken.contains("H3_INTERNAL_ERROR"), "{broken}");
    let (status, ..) = client.ask("GET", "/whole/5", &[], &[]).await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn requests_come_whole_and_so_do_responses() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut client = edge.connect(&endpoint).await;
    for (method, path, fields, body, expected) in [
        ("GET", "/a", &[][..], &[][..], "GET /a www.shop.example empty=true early=false body=0 trailer=None"),
        ("GET", "/b", &[("te", "trailers")], &[], "GET /b www.shop.example empty=true early=false body=0 trailer=None"),
        ("GET", "/c", &[], &["a fat one"], "GET /c www.shop.example empty=false early=false body=9 trailer=None"),
        (
            "POST",
            "/d",
            &[("content-length", "7")],
            &["abc", "defg"],
            "POST /d www.shop.example empty=false early=false body=7",
        ),
        (
            "PUT",
            "/trailers",
            &[],
            &["x"],
            "PUT /trailers www.shop.example empty=false early=false body=1 trailer=Some(\"7\")",
        ),
    ] {
        let (status, head, said) = client.ask(method, path, fields, body).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(said.starts_with(expected) && said.ends_with("sni=Some(\"www.shop.example\")"), "{said}");
        assert!(head.contains_key("date") && !head.contains_key("connection"), "{head:?}");
        assert_eq!(head["content-length"], said.len().to_string());
    }
    let (_, head, said) = client.ask("HEAD", "/a", &[], &[]).await.unwrap();
    assert!(said.is_empty() && head.contains_key("x-number"), "{head:?}");
    let mut asked = client.begin("GET", "/hint", &[], &[]).await.unwrap();
    let hint = asked.0.recv_response().await.unwrap();
    assert_eq!(hint.status(), StatusCode::EARLY_HINTS, "{hint:?}");
    assert!(asked.end().await.unwrap().2.starts_with("GET /hint"));
    let cut = client.ask("GET", "/cut", &[], &[]).await.unwrap_err();
    assert!(cut.contains("H3_INTERNAL_ERROR"), "{cut}");
}

#[tokio::test]
async fn what_is_malformed_is_reset_and_the_next_is_served() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut client = edge.connect(&endpoint).await;
    let many: Vec<(String, &str)> = (0..200).map(|number| (format!("x-{number}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    for fields in [
        &[("connection", "keep-alive")][..],
        &[("transfer-encoding", "chunked")],
        &[("upgrade", "x")],
        &[("te", "gzip")],
        &[("content-length", "1"), ("content-length", "1")],
        &[("content-length", "+1")],
        &many,
    ] {
        let error = client.ask("GET", "/", fields, &[]).await.unwrap_err();
        assert!(error.contains("H3_MESSAGE_ERROR"), "{fields:?}: {error}");
    }
    for (length, body) in [("2", &["abc"][..]), ("4", &["abc"])] {
        let said = client.ask("POST", "/", &[("content-length", length)], body).await;
        assert!(said.as_ref().is_ok_and(|said| said.2.starts_with("broken: ")), "{said:?}");
    }
    assert!(client.ask("GET", "/after", &[], &[]).await.is_ok());
}

/// A POST's HEADERS frame, with this before the end of its head: by QPACK's static table (RFC 9204, appendix A).
fn post(field: &[u8]) -> Vec<u8> {
    let host = b"www.shop.example";
    let section = [&[0, 0, 0xd4, 0xd7, 0xc1, 0x50, 16][..], host, field].concat();
    [&[1, u8::try_from(section.len()).unwrap()][..], &section].concat()
}

/// What is answered to these bytes on a stream of its own, which is ended or not.
async fn raw(client: &Client, bytes: &[u8], is_ended: bool) -> Result<Vec<u8>, String> {
    let (mut sending, mut receiving) = client.quic.open_bi().await.map_err(|error| error.to_string())?;
    sending.write_all(bytes).await.map_err(|error| error.to_string())?;
    if is_ended {
        sending.finish().unwrap();
    }
    let read = timeout(Duration::from_secs(5), receiving.read_to_end(1 << 20)).await.expect("it is answered");
    read.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn bodies_that_lie_about_their_length_are_broken_and_harm_nobody() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut client = edge.connect(&endpoint).await;
    let half = [&[0, 100][..], &[b'x'; 50]].concat();
    let said = |answer: Result<Vec<u8>, String>| String::from_utf8_lossy(&answer.unwrap()).into_owned();
    // DATA of 100 bytes of which 50 come.
    let answer = said(raw(&client, &[post(&[]), half].concat(), true).await);
    assert!(answer.contains("broken: "), "{answer}");
    // More than the head says, and no end yet: `content-length: 1`.
    let length = [0x54, 1, b'1'];
    let ten = [&[0, 10][..], &[b'x'; 10]].concat();
    let answer = said(raw(&client, &[post(&length), ten].concat(), false).await);
    assert!(answer.contains("broken: "), "{answer}");
    assert!(client.ask("GET", "/after", &[], &[]).await.is_ok());
    // A frame of a gigabyte that nobody waits for: the connection is over.
    let endless = [&[0x21, 0xbf, 0xff, 0xff, 0xff][..], &[0; 1_000]].concat();
    let answer = raw(&client, &[post(&[]), endless].concat(), false).await;
    assert!(answer.is_err(), "{answer:?}");
    assert!(client.ask("GET", "/after", &[], &[]).await.is_err());
    let mut other = edge.connect(&endpoint).await;
    assert!(other.ask("GET", "/after", &[], &[]).await.is_ok());
}

#[tokio::test]
async fn what_comes_early_says_so_and_what_is_not_safe_waits() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut first = edge.connect(&endpoint).await;
    first.ask("GET", "/", &[], &[]).await.unwrap();
    for (method, expected) in [("GET", "early=true"), ("POST", "early=false")] {
        let early = endpoint.connect(edge.address, "www.shop.example").unwrap().into_0rtt();
        let Ok((quic, accepted)) = early else { panic!("there is no ticket") };
        let mut client = Client::over(quic).await;
        let (_, _, said) = client.ask(method, "/", &[], &[]).await.unwrap();
        assert!(accepted.await, "{method}");
        assert!(said.contains(expected), "{method}: {said}");
        // A second ticket for the next.
        client.ask("GET", "/", &[], &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_moves_keeps_its_connection_whichever_core_has_it() {
    let edge = Edge::start(4);
    for _ in 0..8 {
        let endpoint = edge.client();
        let mut client = edge.connect(&endpoint).await;
        for _ in 0..4 {
            endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
            let asked = timeout(Duration::from_secs(5), client.ask("GET", "/", &[], &[])).await;
            assert!(asked.is_ok_and(|asked| asked.is_ok()));
        }
    }
}

#[tokio::test]
async fn a_stop_lets_what_was_begun_finish_and_tells_clients() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut client = edge.connect(&endpoint).await;
    client.ask("GET", "/", &[], &[]).await.unwrap();
    let slow = client.begin("GET", "/slow", &[], &[]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    edge.stop.stop();
    let (status, _, said) = slow.end().await.unwrap();
    assert!(status == StatusCode::OK && said.starts_with("GET /slow"), "{said}");
    assert!(client.ask("GET", "/", &[], &[]).await.is_err(), "it was told to go away");
    let ended = timeout(Duration::from_secs(5), client.driver).await.unwrap().unwrap();
    assert!(ended.is_h3_no_error(), "{ended}");
    assert!(matches!(client.quic.closed().await, quinn::ConnectionError::ApplicationClosed(_)));
    let refused = timeout(Duration::from_secs(1), endpoint.connect(edge.address, "www.shop.example").unwrap()).await;
    assert!(refused.is_err() || refused.is_ok_and(|refused| refused.is_err()), "new ones are not taken");
}

#[tokio::test]
async fn clients_of_a_socket_that_is_handed_over_are_told_to_go_in_a_moment() {
    let edge = Edge::start(1);
    let endpoint = edge.client();
    let mut client = edge.connect(&endpoint).await;
    client.ask("GET", "/", &[], &[]).await.unwrap();
    edge.stop.hand_over();
    let ended = timeout(limits::QUIC_CLOSE_TIME * 3, client.driver).await.unwrap().unwrap();
    assert!(ended.is_h3_no_error(), "{ended}");
}
