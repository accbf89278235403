use super::*;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

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

/// A stream whose kernel holds these bytes: of them a client takes so many a second.
struct Holding {
    bytes: u64,
    rate: u64,
    since: Instant,
}

impl Delivers for Holding {
    fn delivery(&self) -> Option<Delivery> {
        let taken = (1 + self.since.elapsed().as_secs() * self.rate).min(self.bytes);
        Some(Delivery { taken, held: self.bytes - taken })
    }
}

impl AsyncRead for Holding {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

/// How long it takes, beside the reading of such a stream, until this has been found.
async fn found_after(activity: &Arc<Activity>, found: impl Future<Output = ()>, bytes: u64, rate: u64) -> u64 {
    let start = Instant::now();
    let mut stream = Watched::new(Holding { bytes, rate, since: start }, Arc::clone(activity));
    let reads = std::future::poll_fn(|cx| {
        let mut into = [0; 8];
        Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut into))
    });
    tokio::select! {
        _ = reads => panic!("there is nothing"),
        () = found => {}
    }
    start.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_idle_while_its_client_takes_what_the_kernel_holds() {
    for (bytes, rate, expected) in [
        // All is taken: as any other.
        (100, 100, 30..=31),
        // 300 s are.
        (300_000, 1_000, 300..=360),
        // Nothing is, or too little.
        (300_000, 0, 60..=61),
        (300_000, 100, 60..=61),
    ] {
        let activity = Activity::new();
        let idle_after = found_after(&activity, activity.idle(LIMIT), bytes, rate).await;
        assert!(expected.contains(&idle_after), "{bytes} {rate}: {idle_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_not_stalled_while_its_client_takes_what_the_kernel_holds() {
    for (rate, expected) in [(1_000, 300..=360), (100, 30..=60), (0, 30..=60)] {
        let activity = Activity::new();
        let mut body = Held::new(crate::full("x"), activity.begin(Way::Plain));
        body.frame().await.unwrap().unwrap();
        let stalled_after = found_after(&activity, activity.stalled(LIMIT), 300_000, rate).await;
        assert!(expected.contains(&stalled_after), "{rate}: {stalled_after}");
        drop(body);
    }
}
