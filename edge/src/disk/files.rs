//! Slices on disk: a file each, below the two first digits of its body's id.
//!
//! What is read is what was written, or nothing: a file begins with what it is and a checksum over that and its
//! bytes. It takes its name when it is whole, so that nobody finds half a one; after a crash of the machine what
//! was not on the medium yet fails its checksum.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::arena::Buffer;

/// Where slices of bodies are kept when RAM has no room. Every call waits for the disk.
///
/// A trait so that tests can break what lies behind it.
pub(crate) trait DiskStore: Send + Sync + 'static {
    /// Keeps a slice.
    fn write(&self, body: u64, number: u32, bytes: &[u8]) -> io::Result<()>;
    /// A slice as it was written, read into memory of its length; `None` if it is not there or damaged.
    fn read(&self, body: u64, number: u32, into: Buffer) -> io::Result<Option<Bytes>>;
    /// Which slices of a body are there, of as many as it has. What it takes does not grow with their count: that is
    /// what an origin claims.
    fn numbers(&self, body: u64, count: u32) -> Vec<u32>;
    /// Forgets the slices of a body, as many as it has; takes no more than [`Self::numbers`].
    fn remove(&self, body: u64, count: u32);
    /// Makes the place ready, again where it has gone.
    fn prepare(&self) -> io::Result<()>;
    /// Forgets the slices of bodies that are not known, if they were there before this call began.
    fn sweep(&self, is_known: &dyn Fn(u64) -> bool);
}

/// A directory of files.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

/// Kind and version of a file, the body's id, the slice's number, its length, the checksum.
const HEADER: usize = 8 + 8 + 4 + 4 + 8;
const KIND: &[u8; 8] = b"hither1\n";
const FOLDERS: u64 = 256;
/// So many slices are asked for by their names; of a body that has more, its folder is read, which on a disk of 500 GiB
/// has some 8,000.
const BY_NAME: u32 = 1_024;

impl Files {
    /// Files below a directory.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn folder(&self, number: u64) -> PathBuf {
        self.root.join(format!("{number:02x}"))
    }

    fn path(&self, body: u64, number: u32) -> PathBuf {
        // The low digits: ids are random in all of them.
        self.folder(body % FOLDERS).join(format!("{body:016x}-{number:x}"))
    }

    /// The slices of a body that its folder lists, in order.
    fn listed(&self, body: u64) -> Vec<u32> {
        let entries = fs::read_dir(self.folder(body % FOLDERS)).into_iter().flatten().flatten();
        let mut numbers: Vec<u32> = entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let (of, number) = name.to_str()?.split_once('-')?;
                let is_its = u64::from_str_radix(of, 16).is_ok_and(|of| of == body);
                u32::from_str_radix(number, 16).ok().filter(|_| is_its)
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

fn header(body: u64, number: u32, bytes: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let parts: [&[u8]; 5] = [
        KIND,
        &body.to_le_bytes(),
        &number.to_le_bytes(),
        &length.to_le_bytes(),
        &checksum(body, number, bytes).to_le_bytes(),
    ];
    let mut rest = header.as_mut_slice();
    for part in parts {
        let (now, later) = rest.split_at_mut(part.len());
        now.copy_from_slice(part);
        rest = later;
    }
    header
}

/// Of the bytes and of whose they are: a file in another's place is none of ours.
fn checksum(body: u64, number: u32, bytes: &[u8]) -> u64 {
    xxh3_64(bytes) ^ xxh3_64(&[body.to_le_bytes(), u64::from(number).to_le_bytes()].concat())
}

impl DiskStore for Files {
    fn write(&self, body: u64, number: u32, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(body, number);
        let new = path.with_extension("new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(&header(body, number, bytes))?;
            file.write_all(bytes)
        });
        let written = written.and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn read(&self, body: u64, number: u32, mut into: Buffer) -> io::Result<Option<Bytes>> {
        let mut file = match File::open(self.path(body, number)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = into.capacity();
        if file.metadata()?.len() != u64::try_from(HEADER + length).unwrap_or(u64::MAX) {
            return Ok(None);
        }
        let mut head = [0; HEADER];
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        into.read_from(&mut file.take(u64::try_from(length).unwrap_or(0)))?;
        let is_ours = head == header(body, number, into.as_ref());
        Ok(is_ours.then(|| into.freeze()))
    }

    fn numbers(&self, body: u64, count: u32) -> Vec<u32> {
        if count <= BY_NAME {
            return (0..count).filter(|number| self.path(body, *number).exists()).collect();
        }
        self.listed(body).into_iter().filter(|number| *number < count).collect()
    }

    fn remove(&self, body: u64, count: u32) {
        let numbers: Vec<u32> = if count <= BY_NAME { (0..count).collect() } else { self.numbers(body, count) };
        for number in numbers {
            let _ = fs::remove_file(self.path(body, number));
        }
    }

    fn prepare(&self) -> io::Result<()> {
        (0..FOLDERS).try_for_each(|number| fs::create_dir_all(self.folder(number)))
    }

    fn sweep(&self, is_known: &dyn Fn(u64) -> bool) {
        // Files get their time from a clock that lags a little.
        let began = std::time::SystemTime::now() - Duration::from_secs(1);
        for entry in (0..FOLDERS).filter_map(|number| fs::read_dir(self.folder(number)).ok()).flatten().flatten() {
            let name = entry.file_name();
            let body = name.to_str().and_then(|name| u64::from_str_radix(name.split('-').next()?, 16).ok());
            if body.is_some_and(is_known) {
                continue;
            }
            // What came since is known by now, or will be.
            let is_old = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|time| time < began);
            if is_old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a slice of body 7, of ten bytes.
    fn read(files: &Files, number: u32) -> io::Result<Option<Bytes>> {
        files.read(7, number, Buffer::with_capacity(10))
    }

    fn has(files: &Files, body: u64, number: u32) -> bool {
        files.numbers(body, number + 1).contains(&number)
    }

    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        files.prepare().unwrap();
        (dir, files)
    }

    #[test]
    fn what_is_read_is_what_was_written_or_nothing() {
        let (_dir, files) = files();
        files.write(7, 3, b"some bytes").unwrap();
        assert_eq!(read(&files, 3).unwrap().as_deref(), Some(&b"some bytes"[..]));
        assert_eq!(read(&files, 4).unwrap(), None);
        let path = files.path(7, 3);
        let whole = fs::read(&path).unwrap();
        // Every bit of it counts, and every length but its own.
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert_eq!(read(&files, 3).unwrap(), None, "a bit of byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(read(&files, 3).unwrap(), None, "cut at {at}");
        }
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert_eq!(read(&files, 3).unwrap(), None, "longer");
        fs::write(files.path(7, 5), &whole).unwrap();
        assert_eq!(read(&files, 5).unwrap(), None, "another slice's");
        fs::write(&path, &whole).unwrap();
        assert!(read(&files, 3).unwrap().is_some());
        files.remove(7, 4);
        assert!(!has(&files, 7, 3));
    }

    #[test]
    fn slices_far_apart_are_found_and_removed_by_what_is_there() {
        let (_dir, files) = files();
        let far = u32::MAX - 1;
        for number in [far, 0, 0x1000] {
            files.write(7, number, b"slice").unwrap();
        }
        files.write(7 + FOLDERS, 5, b"another's, in the same folder").unwrap();
        fs::write(files.folder(7).join("something-else"), "").unwrap();
        assert_eq!(files.numbers(7, u32::MAX), [0, 0x1000, far]);
        assert_eq!(files.numbers(7, far), [0, 0x1000]);
        assert_eq!(files.numbers(7, BY_NAME), [0]);
        files.remove(7, far);
        assert_eq!(files.numbers(7, u32::MAX), [far], "no more than it has");
        files.remove(7, u32::MAX);
        assert!(files.numbers(7, u32::MAX).is_empty());
        assert_eq!(files.numbers(7 + FOLDERS, 10), [5]);
    }

    #[test]
    fn a_sweep_removes_what_nobody_knows() {
        let (dir, files) = files();
        files.write(7, 0, b"known").unwrap();
        files.write(8, 0, b"unknown").unwrap();
        fs::write(files.folder(0).join("something else"), "").unwrap();
        files.write(9, 0, b"of now").unwrap();
        for old in [files.path(7, 0), files.path(8, 0), files.folder(0).join("something else")] {
            let before = std::time::SystemTime::now() - Duration::from_secs(9);
            File::options().write(true).open(old).unwrap().set_modified(before).unwrap();
        }
        files.sweep(&|body| body == 7);
        assert!(
            has(&files, 7, 0)
                && !has(&files, 8, 0)
                && has(&files, 9, 0)
                && !files.folder(0).join("something else").exists()
        );
        drop(dir);
        assert!(files.write(7, 1, b"nowhere").is_err());
        assert_eq!(read(&files, 0).unwrap(), None);
        files.prepare().unwrap();
        files.write(7, 1, b"again").unwrap();
        fs::remove_dir_all(&files.root).unwrap();
    }
}
