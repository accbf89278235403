use super::*;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_only_without_open_requests() {
    let activity = Activity::new();
    let start = Instant::now();
    let request = activity.begin(Way::Plain);
    let ends = async {
        sleep(Duration::from_secs(100)).await;
        drop(request);
    };
    tokio::join!(ends, activity.idle(LIMIT));
    let idle_after = start.elapsed();
    assert!((130..160).contains(&idle_after.as_secs()), "{idle_after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_idle_while_a_slow_client_reads() {
    let activity = Activity::new();
    let start = Instant::now();
    let (ours, mut theirs) = tokio::io::duplex(1_000);
    let mut ours = Watched::new(ours, Arc::clone(&activity));
    let sends = async { ours.write_all(&[0; 10_000]).await.unwrap() };
    let reads = async {
        // 1,000 bytes every 25 seconds: the last are read after 250.
        let mut buffer = [0; 1_000];
        for _ in 0..10 {
            sleep(Duration::from_secs(25)).await;
            theirs.read_exact(&mut buffer).await.unwrap();
        }
    };
    tokio::join!(sends, reads, activity.idle(LIMIT));
    let idle_after = start.elapsed();
    assert!((255..290).contains(&idle_after.as_secs()), "{idle_after:?}");
}

#[tokio::test(start_paused = true)]
async fn answers_to_pings_keep_no_connection() {
    let activity = Activity::new();
    let start = Instant::now();
    let (ours, mut theirs) = tokio::io::duplex(1_000);
    let mut ours = Watched::new(ours, Arc::clone(&activity));
    let pongs = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            ours.write_all(&[0; 17]).await.unwrap();
            theirs.read_exact(&mut [0; 17]).await.unwrap();
        }
    };
    tokio::select! {
        () = pongs => {}
        () = activity.idle(LIMIT) => {}
    }
    assert!((30..60).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_response_that_its_client_does_not_take_is_stalled() {
    let activity = Activity::new();
    let start = Instant::now();
    let mut body = Held::new(crate::full(vec![0; 1_000]), activity.begin(Way::Plain));
    body.frame().await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(600), activity.stalled(LIMIT)).await.unwrap();
    let stalled_after = start.elapsed();
    assert!((30..=60).contains(&stalled_after.as_secs()), "{stalled_after:?}");
    drop(body);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_or_waits_for_us_is_not_stalled() {
    let activity = Activity::new();
    let mut origin = Held::new(Never.boxed_unsync(), activity.begin(Way::Plain));
    let waits = async { origin.frame().await };
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let mut ours = Watched::new(ours, Arc::clone(&activity));
    let handed = Held::new(crate::full("x"), activity.begin(Way::Plain));
    let moves = async {
        // Another response goes on: the client reads, only not this one yet.
        for _ in 0..600 {
            ours.write_all(&[0; 1_000]).await.unwrap();
            theirs.read_exact(&mut [0; 1_000]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = activity.stalled(LIMIT) => panic!("it is not stalled"),
        _ = waits => panic!("there is no frame"),
        () = moves => {}
    }
    drop(handed);
}

/// A body that never has a piece.
struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Pending
    }
}
