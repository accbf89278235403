use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::*;
use crate::body::BoxError;
use crate::full;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A body of these frames, whose length nobody knows; `!` breaks off.
fn frames(texts: &[&'static str]) -> Body {
    let frame = |text: &'static str| match text {
        "!" => Err(BoxError::from("broken")),
        text => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
    };
    let frames: Vec<Result<Frame<Bytes>, BoxError>> = texts.iter().copied().map(frame).collect();
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

fn response(status: u16, fields: &[(&'static str, &'static str)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields.iter().chain(&[("date", DATE)]) {
        response.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    response
}

fn exchange(response: Response<Body>, stop: &Stop) -> Exchange {
    let queue = Arc::<Queue>::default();
    queue.begin();
    Exchange::new(Box::pin(std::future::ready(response)), queue, stop.clone())
}

/// All that is sent, in its pieces, and what becomes of the connection then.
fn sent(mut exchange: Exchange) -> (Vec<Bytes>, After) {
    let mut sent = Vec::new();
    loop {
        match exchange.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Step::Send(pieces)) => sent.extend(pieces),
            Poll::Ready(Step::Over(after)) => return (sent, after),
            Poll::Pending => panic!("it waits for nothing"),
        }
    }
}

fn text(pieces: &[Bytes]) -> String {
    String::from_utf8(pieces.concat()).unwrap()
}

#[test]
fn a_response_is_framed_so_that_its_end_is_known() {
    let head = |first: &str, fields: &str| format!("HTTP/1.1 {first}\r\ndate: {DATE}\r\n{fields}\r\n");
    // A length that was told stands where it stood.
    let told = |length: u64| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ndate: {DATE}\r\n\r\n");
    let chunked = "transfer-encoding: chunked\r\n";
    let table = [
        (response(200, &[], full("abc")), head("200 OK", "content-length: 3\r\n") + "abc", After::Next),
        (response(200, &[], full("")), head("200 OK", "content-length: 0\r\n"), After::Next),
        (
            response(404, &[], frames(&["abc", "", "defghijklmnopqr"])),
            head("404 Not Found", chunked) + "3\r\nabc\r\nf\r\ndefghijklmnopqr\r\n0\r\n\r\n",
            After::Next,
        ),
        (response(200, &[], frames(&[])), head("200 OK", chunked) + "0\r\n\r\n", After::Next),
        (response(299, &[], full("abc")), head("299 ", "content-length: 3\r\n") + "abc", After::Next),
        // No body, whatever there is (RFC 9112 §6.3).
        (response(204, &[], full("abc")), head("204 No Content", ""), After::Next),
        (response(304, &[("content-length", "7")], full("")), head("304 Not Modified", ""), After::Next),
        // A length that was told.
        (response(200, &[("content-length", "3")], frames(&["ab", "c"])), told(3) + "abc", After::Next),
        (response(200, &[("content-length", "3")], frames(&["ab", "cd", "e"])), told(3) + "abc", After::Next),
        (response(200, &[("content-length", "4")], frames(&["ab", "c"])), told(4) + "abc", After::Cut),
        (response(200, &[("content-length", "4")], full("")), told(0), After::Next),
        (
            response(200, &[("content-length", "x"), ("transfer-encoding", "gzip")], frames(&["ab"])),
            head("200 OK", chunked) + "2\r\nab\r\n0\r\n\r\n",
            After::Next,
        ),
        // What breaks has no end.
        (response(200, &[], frames(&["abc", "!"])), head("200 OK", chunked) + "3\r\nabc\r\n", After::Cut),
        (response(200, &[("content-length", "9")], frames(&["abc", "!", "defghi"])), told(9) + "abc", After::Cut),
        (response(103, &[], full("")), String::new(), After::Cut),
    ];
    for (response, expected, after) in table {
        let status = response.status();
        let (pieces, got) = sent(exchange(response, &Stop::new()));
        assert_eq!((text(&pieces), got), (expected, after), "{status}");
    }
}

#[test]
fn a_client_is_told_that_its_connection_ends() {
    let stop = Stop::new();
    stop.stop();
    for (response, stop) in
        [(response(200, &[], full("a")), stop), (response(400, &[("connection", "close")], full("a")), Stop::new())]
    {
        let (pieces, after) = sent(exchange(response, &stop));
        assert!(text(&pieces).contains("\r\nconnection: close\r\n"), "{}", text(&pieces));
        assert_eq!(after, After::End);
    }
}

#[test]
fn a_response_without_a_date_gets_one() {
    let mut response = response(200, &[], full("a"));
    response.headers_mut().remove(header::DATE);
    let (pieces, _) = sent(exchange(response, &Stop::new()));
    let text = text(&pieces);
    let date = text.split("\r\ndate: ").nth(1).and_then(|rest| rest.split('\r').next()).unwrap();
    let ago = SystemTime::now().duration_since(httpdate::parse_http_date(date).unwrap()).unwrap();
    assert!(ago.as_secs() < 60, "{date}");
}

#[test]
fn small_pieces_are_sent_as_one_and_large_ones_where_they_lie() {
    let (pieces, _) = sent(exchange(response(200, &[], full("small")), &Stop::new()));
    assert_eq!(pieces.len(), 1);
    let large = Bytes::from(vec![b'x'; COPIED_BYTES + 1]);
    let (pieces, _) = sent(exchange(response(200, &[], full(large.clone())), &Stop::new()));
    assert_eq!((pieces.len(), pieces[1].as_ptr()), (2, large.as_ptr()));
    // No more is gathered than a client is to have waiting for it.
    let many = (0..1_000).map(move |_| Ok::<_, BoxError>(Frame::data(large.clone())));
    let mut exchange = exchange(response(200, &[], StreamBody::new(stream::iter(many)).boxed_unsync()), &Stop::new());
    let mut bytes = 0;
    let mut cx = Context::from_waker(std::task::Waker::noop());
    while let Poll::Ready(Step::Send(pieces)) = exchange.poll(&mut cx) {
        let at_once: usize = pieces.iter().map(Bytes::len).sum();
        assert!(pieces.len() <= MOST_PIECES + 2 && at_once <= MOST_BYTES + 2 * COPIED_BYTES, "{at_once}");
        bytes += at_once;
    }
    assert!(bytes > 1_000 * COPIED_BYTES, "{bytes}");
}

#[tokio::test]
async fn interim_responses_stand_before_the_response() {
    let queue = Arc::<Queue>::default();
    let interim = queue.begin();
    let told = interim.clone();
    let (asks, answers) = tokio::sync::oneshot::channel();
    let answer = async move {
        told.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
        let response = answers.await.unwrap();
        told.send(StatusCode::PROCESSING, &HeaderMap::new());
        response
    };
    let mut exchange = Exchange::new(Box::pin(answer), queue, Stop::new());
    let mut next = async || match std::future::poll_fn(|cx| exchange.poll(cx)).await {
        Step::Send(pieces) => text(&pieces),
        Step::Over(after) => format!("{after:?}"),
    };
    assert_eq!(next().await, "HTTP/1.1 103 Early Hints\r\n\r\n");
    let later = async {
        tokio::task::yield_now().await;
        // One that is told while the handler waits wakes who sends.
        interim.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
        tokio::task::yield_now().await;
        asks.send(response(200, &[], full("a"))).unwrap();
    };
    let reads = async {
        let second = next().await;
        (second, next().await, next().await)
    };
    let (said, ()) = tokio::join!(reads, later);
    assert_eq!(said.0, "HTTP/1.1 103 Early Hints\r\n\r\n");
    assert!(said.1.starts_with("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n"), "{}", said.1);
    assert_eq!(said.2, "Next");
}
