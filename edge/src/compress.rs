//! Compressing a body once, for all who get it from the store.

use std::io::{self, Write};

use brotli::CompressorWriter;
use bytes::Bytes;
use caching::Coding;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Semaphore;

/// Levels at which 100 KiB of HTML take some milliseconds: a body is compressed once and sent often.
const ZSTD_LEVEL: i32 = 9;
const BROTLI_LEVEL: u32 = 6;
const BROTLI_WINDOW_BITS: u32 = 22;
const GZIP_LEVEL: u32 = 7;

/// Bodies that wait for their turn: each has its memory, and its fill goes on until it has had it. With more, the next is
/// stored as it came.
const WAITING: usize = 64;

/// Turns at compressing: a coder takes a core, and up to some 16 MiB, so there are as many as cores.
#[derive(Debug)]
pub(crate) struct Compressing {
    waiting: Semaphore,
    running: Semaphore,
}

impl Compressing {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self { waiting: Semaphore::new(WAITING), running: Semaphore::new(cores) }
    }

    /// Compresses on a thread that may be busy, in turn; none where that does not pay, or too many wait.
    pub(crate) async fn code(&self, pieces: &[Bytes], coding: Coding) -> Option<Bytes> {
        let _waiting = self.waiting.try_acquire().ok()?;
        let _running = self.running.acquire().await.ok()?;
        let pieces = pieces.to_vec();
        tokio::task::spawn_blocking(move || compress(&pieces, coding)).await.ok()?
    }
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
            pieces.iter().try_for_each(|piece| coder.write_all(piece))?;
            coder.finish()
        }
        Coding::Br => {
            let mut coder = CompressorWriter::new(into, BUFFER, BROTLI_LEVEL, BROTLI_WINDOW_BITS);
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
}
