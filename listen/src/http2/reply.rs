//! One request by HTTP/2 that somebody answers, from its head to the end of the response.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{Request, Response};
use http_body::{Body as _, Frame};

use super::piece::Piece;
use crate::activity::{Activity, Held, Way};
use crate::answer::answer;
use crate::body::{Body, BoxError};
use crate::connection::Connection;
use crate::cores::Stop;
use crate::extended::{connect, is_extended};
use crate::incoming::Incoming;
use crate::interim::Interim;
use crate::mount::Mounts;
use crate::outgoing::{compose, interim};

/// Answers a request. Where it ends early, by a panic too, its stream is reset.
pub(crate) async fn serve(
    request: Request<Incoming>,
    mut respond: SendResponse<Piece>,
    mounts: Arc<Mounts>,
    connection: Connection,
    (seen, stop): (Arc<Activity>, Stop),
) {
    let open = seen.begin(Way::Other);
    let method = request.method().clone();
    let (told, mut hints) = Interim::told();
    let connection = Connection { interim: Some(told), ..connection };
    let mut answered: Pin<Box<dyn Future<Output = Response<Body>> + Send>> = if is_extended(&request) {
        Box::pin(connect(&mounts, request, connection, (&seen, &stop)))
    } else {
        Box::pin(answer(&mounts, request, connection))
    };
    let response = poll_fn(|cx| {
        let polled = answered.as_mut().poll(cx);
        // Those that came with the response stand before it.
        while let Poll::Ready(Some((status, headers))) = hints.poll_recv(cx) {
            // An error says that the stream has ended, which is seen next.
            let _ = respond.send_informational(interim(status, headers));
        }
        match polled {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            // Who has gone waits for nothing.
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    });
    let Some(response) = response.await else { return };
    drop(answered);
    let (head, body) = compose(&method, response);
    let Ok(mut stream) = respond.send_response(head, body.is_none()) else { return };
    if let Some(body) = body
        && send(&mut stream, Held::new(body, open)).await.is_none()
    {
        stream.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// Sends a body; nothing where it breaks, or its client wants no more of it.
///
/// Room is taken for a piece that is there: what is taken for one that may never come is of the connection's window, and a
/// client that gives more only once all of it is used would wait, as would the other streams. An end needs none.
async fn send(stream: &mut SendStream<Piece>, body: Held) -> Option<()> {
    let mut body = pin!(body);
    loop {
        let next = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Err(BoxError::from("the client has gone"))),
            Poll::Pending => body.as_mut().poll_frame(cx).map(Option::transpose),
        });
        let Some(frame) = next.await.ok()? else {
            return stream.send_data(Bytes::new().into(), true).ok();
        };
        match frame.into_data().map_err(Frame::into_trailers) {
            Ok(data) => {
                let is_last = body.is_end_stream();
                if !data.is_empty() {
                    poll_fn(|cx| poll_room(stream, cx)).await?;
                }
                stream.send_data(data.into(), is_last).ok()?;
                if is_last {
                    return Some(());
                }
            }
            Err(Ok(trailers)) => return stream.send_trailers(trailers).ok(),
            Err(Err(_)) => {}
        }
    }
}

/// Whether the client takes something: no further piece is asked for before.
fn poll_room(stream: &mut SendStream<Piece>, cx: &mut Context<'_>) -> Poll<Option<()>> {
    stream.reserve_capacity(1);
    loop {
        if stream.capacity() > 0 {
            return Poll::Ready(Some(()));
        }
        if ready!(stream.poll_capacity(cx)).is_none_or(|room| room.is_err()) {
            return Poll::Ready(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::*;

    /// What a client takes on a connection that it never gives more room on (RFC 9113 §6.9.2).
    const WINDOW: usize = 65_535;

    /// As many bytes as that, then trailers; at `/never` nothing.
    fn body(path: &str) -> Body {
        if path == "/never" {
            return StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>()).boxed_unsync();
        }
        let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("\"one\""))]);
        let frames: [Result<Frame<Bytes>, BoxError>; 2] =
            [Ok(Frame::data(vec![b'x'; WINDOW].into())), Ok(Frame::trailers(trailers))];
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_never_come_takes_no_room_and_an_end_needs_none() {
        let (ours, theirs) = duplex(1 << 20);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20);
        let served = h2::server::Builder::new().handshake::<_, Piece>(ours);
        let (server, client) = tokio::join!(served, builder.handshake::<_, Bytes>(theirs));
        let (mut server, (mut client, connection)) = (server.unwrap(), client.unwrap());
        tokio::spawn(connection);
        tokio::spawn(async move {
            let activity = Activity::new();
            while let Some(Ok((request, mut respond))) = server.accept().await {
                let held = Held::new(body(request.uri().path()), activity.begin(Way::Other));
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                tokio::spawn(async move { send(&mut stream, held).await });
            }
        });
        let mut answers = Vec::new();
        for path in ["/never", "/whole"] {
            client = client.ready().await.unwrap();
            let request = Request::get(format!("https://a{path}")).body(()).unwrap();
            answers.push(client.send_request(request, true).unwrap().0.await.unwrap());
        }
        let mut whole = answers.pop().unwrap().into_body();
        let read = async {
            let mut length = 0;
            while let Some(data) = whole.data().await {
                length += data.unwrap().len();
            }
            (length, whole.trailers().await.unwrap().map_or(0, |trailers| trailers.len()))
        };
        let read = timeout(Duration::from_secs(60), read).await.expect("it comes to its end");
        assert_eq!(read, (WINDOW, 1));
    }
}
