use config::limits;
use hyper::body::Incoming as HyperBody;
use hyper::client::conn::http2::{Builder as ClientBuilder, SendRequest};
use hyper::ext::Protocol as ClientProtocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

use super::*;
use crate::http2::tests::{BOTH, Over, connect as connect_over};
use crate::mount::Handler;

/// Says back what it hears below `/chat`, and answers as HTTP alone elsewhere.
struct Chat;

impl Handler for Chat {
    fn serve(&self, request: Request<Incoming>, _: Connection) -> crate::Reply {
        assert_eq!(request.method(), Method::GET);
        let response = match (request.uri().path(), request.headers().get(SEC_WEBSOCKET_KEY)) {
            ("/chat", Some(key)) => {
                assert_eq!(request.headers()[UPGRADE], WEBSOCKET);
                let (near, far) = duplex(1_000);
                tokio::spawn(say_back(far));
                let mut response = Response::builder()
                    .status(StatusCode::SWITCHING_PROTOCOLS)
                    .header(UPGRADE, WEBSOCKET)
                    .header(SEC_WEBSOCKET_ACCEPT, proof(key))
                    .header("sec-websocket-protocol", "talk")
                    .body(crate::empty())
                    .unwrap();
                response.extensions_mut().insert(Tunnel::new(near));
                response
            }
            ("/closed", _) => own(StatusCode::FORBIDDEN, "not here"),
            _ => own(StatusCode::OK, "a page"),
        };
        Box::pin(std::future::ready(response))
    }
}

async fn say_back(stream: DuplexStream) {
    let (mut reads, mut writes) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut reads, &mut writes).await;
    let _ = writes.shutdown().await;
}

/// A client whose connection is served.
async fn client(over: Over, stop: &Stop) -> SendRequest<Body> {
    let theirs = connect_over(over, 64 << 10, Arc::new(Chat), stop).await.client;
    let handshake = ClientBuilder::new(TokioExecutor::new()).handshake(TokioIo::new(theirs));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    // What the server can is known with its first answer.
    let page = Request::get("https://a/").body(crate::empty()).unwrap();
    assert_eq!(sender.send_request(page).await.unwrap().status(), StatusCode::OK);
    sender
}

async fn ask_for(sender: &mut SendRequest<Body>, path: &str, protocol: &'static str) -> Response<HyperBody> {
    let request = Request::connect(format!("https://a{path}")).extension(ClientProtocol::from_static(protocol));
    sender.send_request(request.body(crate::empty()).unwrap()).await.unwrap()
}

#[test]
fn a_key_is_proved_as_in_the_example_of_the_rfc() {
    let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(proof(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let (one, two) = (new_key().unwrap(), new_key().unwrap());
    assert!(one != two && one.len() == 24);
}

#[tokio::test]
async fn only_what_has_switched_is_told_to_have() {
    let table = [
        (101_u16, &["right"][..], true, 200),
        (101, &["right"], false, 502),
        (101, &["wrong"], true, 502),
        (101, &["right", "right"], true, 502),
        (101, &[], true, 502),
        (200, &["right"], true, 502),
        (204, &[], false, 502),
        (103, &[], false, 502),
        (301, &[], false, 301),
        (403, &[], false, 403),
        (426, &[], false, 426),
    ];
    for (status, proofs, has_tunnel, expected) in table {
        let mut response = Response::builder().status(status).header(UPGRADE, WEBSOCKET);
        for proof in proofs {
            response = response.header(SEC_WEBSOCKET_ACCEPT, *proof);
        }
        let mut response = response.body(crate::empty()).unwrap();
        if has_tunnel {
            response.extensions_mut().insert(Tunnel::new(duplex(1).0));
        }
        let (response, is_switched) = match judge(response, "right") {
            Judged::Switched(response, _) => (response, true),
            Judged::Answered(response) => (response, false),
        };
        let row = (status, proofs, has_tunnel);
        assert_eq!((response.status().as_u16(), is_switched), (expected, expected == 200), "{row:?}");
        assert!(!is_switched || response.headers().is_empty(), "{row:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_becomes_a_conversation_beside_requests_and_outlives_their_pauses() {
    for over in BOTH {
        let stop = Stop::new();
        let mut sender = client(over, &stop).await;
        let mut response = ask_for(&mut sender, "/chat", "websocket").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["sec-websocket-protocol"], "talk");
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
        for _ in 0..3 {
            stream.write_all(b"hello").await.unwrap();
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello");
            assert_eq!(ask_for(&mut sender, "/closed", "websocket").await.status(), StatusCode::FORBIDDEN);
            // A connection without requests would be over.
            sleep(limits::HTTP_HEADER_TIME * 3).await;
        }
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0, "both ends have said that they are through");
    }
}

#[tokio::test]
async fn what_is_not_websocket_and_what_is_too_much_is_refused() {
    for over in BOTH {
        let stop = Stop::new();
        let mut sender = client(over, &stop).await;
        assert_eq!(ask_for(&mut sender, "/chat", "connect-udp").await.status(), StatusCode::NOT_IMPLEMENTED);
        assert_eq!(ask_for(&mut sender, "/", "websocket").await.status(), StatusCode::BAD_GATEWAY);
        let mut open = Vec::new();
        for _ in 0..limits::HTTP2_TUNNELS {
            let mut response = ask_for(&mut sender, "/chat", "websocket").await;
            assert_eq!(response.status(), StatusCode::OK);
            open.push(hyper::upgrade::on(&mut response).await.unwrap());
        }
        assert_eq!(ask_for(&mut sender, "/chat", "websocket").await.status(), StatusCode::SERVICE_UNAVAILABLE);
        let page = Request::get("https://a/").body(crate::empty()).unwrap();
        assert_eq!(sender.send_request(page).await.unwrap().status(), StatusCode::OK, "there is room for requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_conversation_after_a_while() {
    for over in BOTH {
        let stop = Stop::new();
        let mut sender = client(over, &stop).await;
        let mut response = ask_for(&mut sender, "/chat", "websocket").await;
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
        let began = Instant::now();
        stop.stop();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        let took = began.elapsed();
        assert!((limits::HTTP_DRAIN / 2..limits::HTTP_DRAIN).contains(&took), "{took:?}");
    }
}
