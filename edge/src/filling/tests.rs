use super::*;
use crate::room::LEAST_WINDOW;
use caching::{Keep, Moment, Selector, Since, Terms, Validation};
use http::{HeaderMap, StatusCode};

const PIECE: usize = 1_000;

/// A filling whose window holds ten pieces, and all together twenty.
fn filling(room: &Arc<Room>) -> Arc<Filling> {
    let terms = Terms {
        lifetime: Duration::from_secs(60),
        initial_age: Duration::ZERO,
        received_at: Moment::from_seconds(0),
        validation: Validation::WhenStale,
        grace: Duration::ZERO,
        on_unreachable: Duration::ZERO,
        on_error: Duration::ZERO,
    };
    let none = HeaderMap::new();
    let selector = Selector::new(Vec::new(), &none, &none, 0);
    let keep = Keep { headers: none, terms, nominated: Vec::new(), tags: Vec::new(), for_asker: HeaderMap::new() };
    Arc::new(Filling::new(
        Head::new((StatusCode::OK, http::Version::HTTP_11), keep, selector, Since::fetch(0)),
        None,
        Storing::Yes,
        Arc::clone(room),
    ))
}

fn room() -> Arc<Room> {
    Arc::new(Room::new(10 * (PIECE + PIECE_BYTES), 20 * (PIECE + PIECE_BYTES)))
}

fn piece(number: u8) -> Bytes {
    Bytes::from(vec![number; PIECE])
}

/// Runs with time that passes only when everyone waits.
fn run(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story);
}

async fn read(reader: &mut Reader) -> u8 {
    reader.read().await.unwrap().unwrap()[0]
}

#[test]
fn what_fits_is_kept_whole_and_late_readers_join() {
    run(async {
        let filling = filling(&room());
        for number in 0..10 {
            assert_eq!(filling.add(piece(number)).await, Wanted::Yes);
        }
        let mut late = filling.join().unwrap();
        assert_eq!(filling.end(Ok(())).unwrap().len(), 10);
        for number in 0..10 {
            assert_eq!(read(&mut late).await, number);
        }
        assert!(late.read().await.is_none());
    });
}

/// Adds a piece every 20 seconds.
async fn drip(filling: &Filling) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for number in 0..4 {
        wanted.push(filling.add(piece(number)).await);
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    wanted
}

#[test]
fn a_fill_that_nobody_reads_and_that_drips_is_not_wanted() {
    run(async {
        let unread = filling(&room());
        assert_eq!(drip(&unread).await, [Wanted::Yes, Wanted::Yes, Wanted::No, Wanted::Yes], "30 s are over");
        let read = filling(&room());
        let _reader = read.join().unwrap();
        assert_eq!(drip(&read).await, [Wanted::Yes; 4]);
    });
}

#[test]
fn a_large_body_waits_for_its_slowest_reader_and_cuts_it_in_the_end() {
    run(async {
        let filling = filling(&room());
        let (mut fast, mut slow) = (filling.join().unwrap(), filling.join().unwrap());
        for number in 0..10 {
            filling.add(piece(number)).await;
            assert_eq!(read(&mut fast).await, number);
        }
        let waited = tokio::time::timeout(Duration::from_secs(5), filling.add(piece(10))).await;
        assert!(waited.is_err(), "the slow reader has read nothing");
        assert_eq!(read(&mut slow).await, 0);
        assert_eq!(filling.add(piece(10)).await, Wanted::Yes, "now there is room");
        assert!(filling.join().is_none(), "the first piece is gone: nobody new can join");
        filling.add(piece(11)).await;
        assert!(matches!(slow.read().await, Some(Err(FetchError::HttpResponseIncomplete))), "cut after ten seconds");
        assert_eq!((read(&mut fast).await, read(&mut fast).await), (10, 11));
        let start = tokio::time::Instant::now();
        for number in 12..40 {
            filling.add(piece(number)).await;
            assert_eq!(read(&mut fast).await, number);
        }
        assert!(start.elapsed() < Duration::from_secs(1), "who was cut holds nobody up, though it still has its place");
        assert!(filling.end(Ok(())).is_none(), "what was not kept whole is not stored");
    });
}

#[test]
fn nobody_left_ends_a_large_body() {
    run(async {
        let filling = filling(&room());
        drop(filling.join());
        let mut number = 0;
        while filling.add(piece(number)).await == Wanted::Yes {
            number += 1;
        }
        assert_eq!(number, 10, "as long as it may be stored it is wanted");
    });
}

#[test]
fn a_failure_reaches_every_reader_and_stores_nothing() {
    run(async {
        let filling = filling(&room());
        let mut reader = filling.join().unwrap();
        filling.add(piece(1)).await;
        assert!(filling.end(Err(FetchError::HttpResponseTimeout)).is_none());
        assert_eq!(read(&mut reader).await, 1);
        assert!(matches!(reader.read().await, Some(Err(FetchError::HttpResponseTimeout))));
        assert!(filling.join().is_none(), "who comes now is not cut too, but fetches");
    });
}

#[test]
fn room_is_given_back_and_a_full_house_keeps_the_least() {
    run(async {
        let room = Arc::new(Room::new(4 * LEAST_WINDOW, LEAST_WINDOW));
        let first = filling(&room);
        first.add(Bytes::from(vec![0; 2 * LEAST_WINDOW])).await;
        let second = filling(&room);
        for _ in 0..3 {
            second.add(Bytes::from(vec![0; LEAST_WINDOW])).await;
        }
        assert!(second.join().is_none(), "it slides, though its own window is not full");
        drop((first, second));
        assert_eq!(room.used(), 0);
    });
}

#[test]
fn a_body_in_tiny_pieces_takes_no_more_than_its_window() {
    run(async {
        let room = room();
        let filling = filling(&room);
        let mut reader = filling.join().unwrap();
        for _ in 0..10 * PIECE {
            filling.add(Bytes::from_static(b"x")).await;
            reader.read().await.unwrap().unwrap();
        }
        let kept = filling.state().pieces.len();
        assert!(kept <= 10 * (PIECE + PIECE_BYTES) / PIECE_BYTES, "{kept} pieces are kept");
    });
}

#[test]
fn readers_go_on_in_what_is_stored_which_is_counted_until_they_are_done() {
    run(async {
        let room = room();
        let filling = filling(&room);
        let [mut behind, mut ahead, mut done] = [(); 3].map(|()| filling.join().unwrap());
        for number in 0..5 {
            filling.add(piece(number)).await;
        }
        for number in 0..3 {
            assert_eq!(read(&mut ahead).await, number);
        }
        for number in 0..5 {
            assert_eq!(read(&mut done).await, number);
        }
        let pieces = filling.end(Ok(())).unwrap();
        filling.go_on_in(Arc::new(Slices::gather(&pieces)));
        assert!(filling.state().pieces.is_empty(), "it is not held twice");
        let whole: Vec<u8> = pieces.concat();
        let late = filling.join().unwrap();
        drop(filling);
        assert!(done.read().await.is_none());
        for (mut reader, left) in [(ahead, &whole[3 * PIECE..]), (late, &whole[..])] {
            assert_eq!(reader.read().await.unwrap().unwrap(), left);
            assert!(reader.read().await.is_none());
        }
        drop(done);
        assert_eq!(room.used(), 5 * (PIECE + PIECE_BYTES), "one has not read it");
        assert_eq!(behind.read().await.unwrap().unwrap(), whole);
        drop(behind);
        assert_eq!(room.used(), 0);
    });
}
