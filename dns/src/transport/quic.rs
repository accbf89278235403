//! DNS over QUIC (RFC 9250): a stream for each query, framed as over TCP.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use config::limits;
use listen::{Arrived, Quic, Stop};
use quinn::{RecvStream, SendStream, VarInt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Answer;
use crate::arrival::{Arrival, Transport};

/// RFC 9250 §4.3.
const NO_ERROR: VarInt = VarInt::from_u32(0);
const INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);

/// Answers connections until stopped; what is being answered then is finished.
pub async fn serve_quic(quic: Quic, answer: Arc<dyn Answer>, stop: Stop) {
    let (stops, transfers) = (stop.clone(), Arc::new(Semaphore::new(limits::DNS_TRANSFERS)));
    quic.serve(&stop, move |arrived| drive(arrived, Arc::clone(&answer), Arc::clone(&transfers), stops.clone())).await;
}

async fn drive(arrived: Arrived, answer: Arc<dyn Answer>, transfers: Arc<Semaphore>, stop: Stop) {
    let connection = arrived.connection.clone();
    let mut queries = JoinSet::new();
    let mut stopped = std::pin::pin!(stop.stopped());
    loop {
        tokio::select! {
            stream = timeout(limits::DNS_TCP_IDLE, connection.accept_bi()) => match stream {
                Ok(Ok((sending, receiving))) => {
                    let (arrived, answer, transfers) = (arrived.clone(), Arc::clone(&answer), Arc::clone(&transfers));
                    queries.spawn(async move { serve(arrived, (sending, receiving), answer, &transfers).await });
                }
                // One whose queries are being answered is not idle.
                Err(_) if !queries.is_empty() => {}
                Ok(Err(_)) | Err(_) => break,
            },
            Some(_) = queries.join_next() => {}
            () = &mut stopped => break,
        }
    }
    let finished = async { while queries.join_next().await.is_some() {} };
    let _ = timeout(limits::DNS_TCP_WRITE, finished).await;
    connection.close(NO_ERROR, b"");
}

async fn serve(
    arrived: Arrived,
    (mut sending, mut receiving): (SendStream, RecvStream),
    answer: Arc<dyn Answer>,
    transfers: &Semaphore,
) {
    let connection = &arrived.connection;
    let Ok(read) = timeout(limits::DNS_TCP_IDLE, receiving.read_to_end(usize::from(u16::MAX) + 2)).await else {
        return;
    };
    let Some(message) = read.ok().as_deref().and_then(query).map(<[u8]>::to_vec) else {
        return connection.close(PROTOCOL_ERROR, b"");
    };
    let arrival = Arrival::by(Transport::Quic, connection.remote_address().ip().to_canonical());
    // A panic costs its query alone.
    let transfer = catch_unwind(AssertUnwindSafe(|| answer.transfer(&message, &arrival))).ok().flatten();
    if let Some(mut transfer) = transfer {
        // RFC 9250 §4.5: what may be a replay is no transfer.
        arrived.established.wait().await;
        let Ok(Ok(_place)) = timeout(limits::DNS_TCP_IDLE, transfers.acquire()).await else { return };
        while let Some(message) = transfer.next(SystemTime::now()) {
            let Ok(length) = u16::try_from(message.len()) else { return };
            let framed = [&length.to_be_bytes()[..], &message].concat();
            if !write(&mut sending, &framed).await {
                return;
            }
        }
    } else {
        let peer = connection.remote_address();
        let reply = catch_unwind(AssertUnwindSafe(|| answer.answer(&message, peer, &arrival)?.to_tcp()));
        let Some(reply) = reply.ok().flatten() else {
            let _ = sending.reset(INTERNAL_ERROR);
            return;
        };
        if !write(&mut sending, &reply).await {
            return;
        }
    }
    let _ = sending.finish();
    // Until it is acknowledged: a connection that is closed takes what it has not sent with it.
    let _ = timeout(limits::DNS_TCP_WRITE, sending.stopped()).await;
}

async fn write(sending: &mut SendStream, bytes: &[u8]) -> bool {
    matches!(timeout(limits::DNS_TCP_WRITE, sending.write_all(bytes)).await, Ok(Ok(())))
}

/// The one query of a stream. RFC 9250 §4.2.1: "the DNS Message ID MUST be set to 0"; §5.5.2: the keepalive option "MUST NOT"
/// be sent, which is let pass as it says nothing new.
fn query(read: &[u8]) -> Option<&[u8]> {
    let (length, message) = read.split_first_chunk::<2>()?;
    let is_whole = usize::from(u16::from_be_bytes(*length)) == message.len();
    (is_whole && message.get(..2) == Some(&[0, 0])).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_one_whole_query_with_no_id() {
        assert_eq!(query(&[0, 3, 0, 0, 7]), Some(&[0, 0, 7][..]));
        for bad in [&[][..], &[0], &[0, 2, 0], &[0, 2, 0, 1], &[0, 1, 0, 0], &[0, 3, 0, 0, 7, 8], &[0, 0]] {
            assert_eq!(query(bad), None, "{bad:?}");
        }
    }
}
