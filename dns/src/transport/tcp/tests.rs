use super::*;
use crate::transport::Limited;
use crate::{Answered, Reply, View};

/// Answers whatever is no answer itself with nothing but a header.
struct Header;

impl Answer for Header {
    fn answer(&self, message: &[u8], _: SocketAddr, _: &Arrival) -> Option<Reply> {
        match crate::query::Query::read(message) {
            Ok(query) => Some(Reply::to(&query)),
            Err(_) => None,
        }
    }

    fn view(&self) -> Option<Arc<View>> {
        None
    }

    fn transfer(&self, _: &[u8], _: &Arrival) -> Option<Transfer> {
        None
    }

    fn rate_limit(&self) -> u32 {
        0
    }

    fn count(&self, _: &Arc<View>, _: Transport, _: &Answered) {}

    fn limited(&self, _: Limited) {}
}

/// `. NS`, with an id.
fn query(id: u8) -> Vec<u8> {
    vec![0, 17, 0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]
}

async fn listen() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_tcp(listener, None, Arc::new(Header), std::future::pending()));
    address
}

async fn reply(stream: &mut TcpStream) -> std::io::Result<u8> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message[1])
}

#[tokio::test]
async fn queries_in_one_segment_are_answered_in_order() {
    let mut stream = TcpStream::connect(listen().await).await.unwrap();
    let many: Vec<u8> = (1..=50).flat_map(query).collect();
    stream.write_all(&many).await.unwrap();
    for id in 1..=50 {
        assert_eq!(reply(&mut stream).await.unwrap(), id);
    }
}

#[tokio::test]
async fn who_has_just_come_when_all_end_has_its_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ends) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(serve_tcp(listener, None, Arc::new(Header), async { drop(ends.await) }));
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(&query(1)).await.unwrap();
    assert_eq!(reply(&mut idle).await.unwrap(), 1);
    let mut silent = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    end.send(()).unwrap();
    // This one waits in the kernel: nothing else has run since.
    let waiting = std::net::TcpStream::connect(address).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let mut waiting = TcpStream::from_std(waiting).unwrap();
    assert!(reply(&mut idle).await.is_err(), "it had its answer");
    for (stream, id) in [(&mut silent, 2), (&mut waiting, 3)] {
        stream.write_all(&query(id)).await.unwrap();
        assert_eq!(reply(stream).await.unwrap(), id);
        assert!(reply(stream).await.is_err(), "and no more");
    }
    served.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let address = listen().await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(&query(1)).await.unwrap();
    assert_eq!(reply(&mut first).await.unwrap(), 1);
    let mut others = Vec::new();
    for _ in 0..limits::DNS_TCP_CONNECTIONS {
        others.push(TcpStream::connect(address).await.unwrap());
    }
    let last = others.last_mut().unwrap();
    last.write_all(&query(2)).await.unwrap();
    assert_eq!(reply(last).await.unwrap(), 2);
    assert!(reply(&mut first).await.is_err(), "the first was the longest idle");
}

#[tokio::test]
async fn half_a_message_does_not_hold_its_connection() {
    let mut stream = TcpStream::connect(listen().await).await.unwrap();
    stream.write_all(&[0, 17, 0]).await.unwrap();
    let ended = timeout(limits::DNS_TCP_IDLE * 2, reply(&mut stream)).await;
    assert!(ended.expect("the server closes").is_err());
}
