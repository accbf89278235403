use std::future::poll_fn;
use std::pin::pin;
use std::task::Waker;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use super::*;
use crate::batched::Batched;
use crate::tls_stream::tests::pair;

/// Writes of this size to a stream whose client reads nothing are refused in time.
fn is_bounded(stream: impl Batch, size: usize) {
    let stream = Deferred::new(stream);
    let (mut writes, bytes) = (stream.clone(), vec![0; size]);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut taken = 0;
    while let Poll::Ready(count) = Pin::new(&mut writes).poll_write(cx, &bytes) {
        taken += count.unwrap();
        assert!(taken <= 2 * MOST_UNSENT + (4 << 10), "{size}");
    }
    assert!(stream.has_refused() && !stream.has_refused());
    assert!(taken > MOST_UNSENT && stream.look(Batch::unsent_bytes) <= taken, "{size}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_bounds_what_is_kept() {
    for size in [200, 16 << 10, 1 << 20] {
        let (ours, _theirs, tapped) = pair(1 << 10).await;
        tapped.pause();
        is_bounded(ours, size);
        let (ours, _theirs) = duplex(1 << 10);
        is_bounded(Batched::new(ours), size);
    }
}

/// All that is written to a stream comes to its client, and its end, which is no error.
async fn all_goes_through(stream: impl Batch, mut client: impl AsyncRead + Unpin, room: usize) {
    let stream = Deferred::new(stream);
    let mut writes = stream.clone();
    let mut served = pin!(async move {
        for number in 0..64 {
            writes.write_all(&vec![number; 100_000]).await.unwrap();
            writes.write_all(&[number; 10]).await.unwrap();
            writes.flush().await.unwrap();
        }
        writes.shutdown().await.unwrap();
    });
    let serves = poll_fn(|cx| poll_serving(served.as_mut(), &stream, cx));
    let reads = async {
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        got
    };
    let both = async { tokio::join!(serves, reads) };
    let ((), got) = timeout(Duration::from_secs(20), both).await.expect("it goes on");
    let expected = (0..64).flat_map(|number| std::iter::repeat_n(number, 100_010));
    assert!(got.into_iter().eq(expected), "{room}");
}

/// Whether the socket takes little, some, or all at once: what was refused is asked for again.
#[tokio::test]
async fn all_that_is_written_leaves_and_the_end_is_told() {
    for room in [1 << 10, 64 << 10, 8 << 20] {
        // An end without a close_notify would be an error.
        let (ours, theirs, _) = pair(room).await;
        all_goes_through(ours, theirs, room).await;
        let (ours, theirs) = duplex(room);
        all_goes_through(Batched::new(ours), theirs, room).await;
    }
}
