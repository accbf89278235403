//! Compressing a body once, for all who get it from the store.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use brotli::CompressorWriter;
use bytes::Bytes;
use caching::Coding;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::oneshot;
use zstd::zstd_safe::CParameter;

use crate::room::Room;

/// Levels at which 100 KiB of HTML take some milliseconds: a body is compressed once and sent often.
const ZSTD_LEVEL: i32 = 9;
const BROTLI_LEVEL: u32 = 6;
const GZIP_LEVEL: u32 = 7;

/// How far coders look back, and zstd's table of places: what the levels take by themselves costs twice the memory, and
/// saves texts of megabytes less than half a percent.
const ZSTD_WINDOW_BITS: u32 = 21;
const ZSTD_TABLE_BITS: u32 = 20;
/// For bodies up to this the level takes no more by itself.
const ZSTD_LEVELS_OWN: usize = 512 << 10;
const BROTLI_WINDOW_BITS: std::ops::RangeInclusive<u32> = 17..=20;

/// What a coder takes beside what it makes, at most: sixteen times the least window that holds the body, and no
/// more for a larger one than this.
const SCRATCH_SHARE: usize = 16;
const SCRATCH_BYTES: usize = 12 << 20;
/// What it takes for the least of bodies.
const LEAST_SCRATCH: usize = 1 << 20;

/// Bodies that wait for their turn: each has its memory, and its fill goes on until it has had it. With more, the next is
/// stored as it came.
const WAITING: usize = 64;

/// Turns at compressing, each a thread that stays: an allocator keeps something back for every thread that has coded.
#[derive(Debug)]
pub(crate) struct Compressing {
    room: Arc<Room>,
    /// As many as cores, and as half of the room is enough for.
    turns: usize,
    /// Made with the first body.
    queue: OnceLock<SyncSender<Job>>,
}

/// A body to compress.
struct Job {
    pieces: Vec<Bytes>,
    coding: Coding,
    done: oneshot::Sender<Option<Bytes>>,
}

impl Compressing {
    /// What coders take is taken of this room, which is that of all bodies on their way.
    pub(crate) fn new(room: &Arc<Room>) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let turns = (room.total_bytes() / 2 / (SCRATCH_BYTES + LEAST_SCRATCH)).clamp(1, cores);
        Self { room: Arc::clone(room), turns, queue: OnceLock::new() }
    }

    /// Compresses in turn; none where that does not pay, or too many wait.
    pub(crate) async fn code(&self, pieces: &[Bytes], coding: Coding) -> Option<Bytes> {
        let (done, coded) = oneshot::channel();
        let queue = self.queue.get_or_init(|| begin(&self.room, self.turns));
        queue.try_send(Job { pieces: pieces.to_vec(), coding, done }).ok()?;
        coded.await.ok()?
    }
}

/// Begins the threads. They end once the queue is dropped.
fn begin(room: &Arc<Room>, turns: usize) -> SyncSender<Job> {
    let (queue, jobs) = sync_channel(WAITING);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..turns {
        let (room, jobs) = (Arc::clone(room), Arc::clone(&jobs));
        let begun = thread::Builder::new().name("compress".to_owned()).spawn(move || {
            while let Some(job) = next(&jobs) {
                job.run(&room);
            }
        });
        if let Err(error) = begun {
            tracing::error!(%error, "there is a thread less to compress with");
        }
    }
    queue
}

/// The next job; whoever waits for it holds the lock, and the others wait for that.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl Job {
    fn run(self, room: &Room) {
        // Nobody stores it any more.
        if self.done.is_closed() {
            return;
        }
        let length = self.pieces.iter().map(Bytes::len).sum();
        let coded = within(room, scratch_bytes(length), || compress(&self.pieces, self.coding)).flatten();
        let _ = self.done.send(coded);
    }
}

/// Does something with so much of the room taken; none if it panics.
fn within<T>(room: &Room, bytes: usize, work: impl FnOnce() -> T) -> Option<T> {
    room.take(bytes);
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    room.give_back(bytes);
    done
}

/// What it takes to compress so many bytes, with what is made of them.
fn scratch_bytes(length: usize) -> usize {
    let window = length.checked_next_power_of_two().unwrap_or(length);
    LEAST_SCRATCH + window.saturating_mul(SCRATCH_SHARE).min(SCRATCH_BYTES) + length
}

/// The pieces of a body as one that is coded; none where that saves less than a twentieth.
fn compress(pieces: &[Bytes], coding: Coding) -> Option<Bytes> {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let coded = code(pieces, coding, length).inspect_err(|error| tracing::error!(%error, "cannot compress")).ok()?;
    (coded.len() <= length - length / 20).then(|| Bytes::from(coded))
}

fn code(pieces: &[Bytes], coding: Coding, length: usize) -> io::Result<Vec<u8>> {
    let into = Vec::with_capacity(length / 3);
    match coding {
        Coding::Zstd => {
            let mut coder = zstd::stream::write::Encoder::new(into, ZSTD_LEVEL)?;
            // Tables are as large as the body needs.
            coder.set_pledged_src_size(u64::try_from(length).ok())?;
            if length > ZSTD_LEVELS_OWN {
                coder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_BITS))?;
                coder.set_parameter(CParameter::HashLog(ZSTD_TABLE_BITS))?;
            }
            pieces.iter().try_for_each(|piece| coder.write_all(piece))?;
            coder.finish()
        }
        Coding::Br => {
            // A window that is wider than the body takes memory for nothing.
            let bits = length.next_power_of_two().ilog2();
            let bits = bits.clamp(*BROTLI_WINDOW_BITS.start(), *BROTLI_WINDOW_BITS.end());
            let mut coder = CompressorWriter::new(into, BUFFER, BROTLI_LEVEL, bits);
            pieces.iter().try_for_each(|piece| coder.write_all(piece))?;
            Ok(coder.into_inner())
        }
        Coding::Gzip => {
            let mut coder = GzEncoder::new(into, Compression::new(GZIP_LEVEL));
            pieces.iter().try_for_each(|piece| coder.write_all(piece))?;
            coder.finish()
        }
    }
}

const BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(coded: &[u8], coding: Coding) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Zstd => _ = zstd::stream::read::Decoder::new(coded).unwrap().read_to_end(&mut out).unwrap(),
            Coding::Br => _ = brotli::Decompressor::new(coded, BUFFER).read_to_end(&mut out).unwrap(),
            Coding::Gzip => _ = flate2::read::GzDecoder::new(coded).read_to_end(&mut out).unwrap(),
        }
        out
    }

    #[test]
    fn what_is_coded_is_read_back_and_what_is_dense_stays_as_it_is() {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(5_000);
        let pieces: Vec<Bytes> = text.as_bytes().chunks(70_001).map(Bytes::copy_from_slice).collect();
        let mut random = fastrand::Rng::with_seed(1);
        let dense = Bytes::from_iter((0..50_000).map(|_| random.u8(..)));
        for coding in [Coding::Zstd, Coding::Br, Coding::Gzip] {
            let coded = compress(&pieces, coding).unwrap();
            assert!(coded.len() < text.len() / 50, "{coding:?}: {}", coded.len());
            assert_eq!(decoded(&coded, coding), text.as_bytes());
            assert_eq!(compress(std::slice::from_ref(&dense), coding), None);
        }
    }

    /// Half a byte of chance in each byte: it compresses to half.
    fn text(length: usize) -> Bytes {
        let mut random = fastrand::Rng::with_seed(2);
        Bytes::from_iter((0..length).map(|_| random.u8(b'a'..=b'p')))
    }

    #[test]
    fn a_coder_looks_back_no_further_than_its_body_and_its_bound() {
        // RFC 7932 §9.1: WBITS, the lowest bits of the stream, by the size of the body.
        for (length, mask, expected) in
            [(60_000, 0x7f, 0b1), (200_000, 0x0f, 0b0011), (700_000, 0x0f, 0b0111), (1_500_000, 0x0f, 0b0111)]
        {
            let coded = compress(&[text(length)], Coding::Br).unwrap();
            assert_eq!(coded[0] & mask, expected, "{length}");
        }
        // RFC 8878 §3.1.1.1.2: a frame that is longer than its window says how wide that is.
        let coded = compress(&[text(5_000_000)], Coding::Zstd).unwrap();
        let is_single_segment = coded[4] & 0x20 != 0;
        assert!(!is_single_segment);
        assert_eq!(10 + u32::from(coded[5] >> 3), ZSTD_WINDOW_BITS);
    }

    #[test]
    fn as_many_compress_at_once_as_half_of_the_room_is_enough_for() {
        let turns = |total| Compressing::new(&Arc::new(Room::new(4 << 20, total))).turns;
        let cores = thread::available_parallelism().unwrap().get();
        let table = [(9 << 20, 1), (51 << 20, 1), (52 << 20, cores.min(2)), (usize::MAX, cores)];
        for (total, expected) in table {
            assert_eq!(turns(total), expected, "{total}");
        }
    }

    #[test]
    fn what_a_coder_takes_is_taken_of_the_room_and_given_back_also_by_one_that_panics() {
        let room = Arc::new(Room::new(1 << 20, 2 << 20));
        assert_eq!(within(&room, 7, || room.used()), Some(7));
        assert_eq!(within::<()>(&room, 7, || panic!("a fault of the coder's")), None);
        assert_eq!(room.used(), 0);
        assert_eq!([1_000, 10_000_000].map(scratch_bytes), [1_024 * 16 + (1 << 20) + 1_000, (13 << 20) + 10_000_000]);
    }

    #[test]
    fn bodies_are_compressed_in_turn_and_stay_as_they_are_without_a_thread() {
        let room = Arc::new(Room::new(1 << 20, 2 << 20));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let compressing = Compressing::new(&room);
        let body = [text(50_000)];
        for coding in [Coding::Zstd, Coding::Br, Coding::Gzip] {
            let coded = runtime.block_on(compressing.code(&body, coding)).unwrap();
            assert_eq!(decoded(&coded, coding), body[0]);
        }
        assert_eq!(room.used(), 0);
        let idle = Compressing { turns: 0, ..Compressing::new(&room) };
        assert_eq!(runtime.block_on(idle.code(&body, Coding::Gzip)), None);
    }
}
