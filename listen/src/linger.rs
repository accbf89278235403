//! The end of a connection whose client was told that it ends.

use config::limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::cores::Stop;
use crate::delivery::{Delivers, Looks, Progress};

/// What a client takes at least from one look to the next.
const LEAST_TAKEN: u64 = limits::HTTP_LEAST_RATE * limits::HTTP_LINGER.as_secs();
/// So many looks may find that it has taken less of what is held for it.
const MOST_WAITS: u64 = limits::HTTP_WRITE_TIME.as_secs() / limits::HTTP_LINGER.as_secs();
/// What is read and dropped at once.
const DROPPED_BYTES: usize = 4 << 10;

/// Ends a connection: first our side of it, then all once the client has ended its own, or after a while. Bytes that
/// came and were not read would make the end a reset, with which what the client has not taken yet is lost (RFC 9112 §9.6).
pub(crate) async fn linger<S>(stream: &mut S, stop: &Stop)
where
    S: AsyncRead + AsyncWrite + Delivers + Unpin,
{
    tokio::select! {
        () = drop_what_comes(stream) => {}
        () = stop.farewell() => {}
    }
}

async fn drop_what_comes<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Delivers + Unpin,
{
    if !matches!(timeout(limits::HTTP_LINGER, stream.shutdown()).await, Ok(Ok(()))) {
        return;
    }
    let (mut looks, mut waits) = (Looks::default(), 0);
    let mut dropped = [0; DROPPED_BYTES];
    looks.look(stream.delivery(), LEAST_TAKEN);
    loop {
        let ends = async { while stream.read(&mut dropped).await.is_ok_and(|count| count > 0) {} };
        if timeout(limits::HTTP_LINGER, ends).await.is_ok() {
            return;
        }
        waits = match looks.look(stream.delivery(), LEAST_TAKEN) {
            Progress::Takes => 0,
            Progress::Waits if waits < MOST_WAITS => waits + 1,
            Progress::Waits | Progress::Done => return,
        };
    }
}
