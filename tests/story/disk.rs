//! The disk tier: warm after a restart, and never in anybody's way, whatever happens to it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{HITHER, Network, Origin, Process, Signal, get, metrics, reply, runs, runtime, signal, wait_for};

/// A body that is a function of its URL.
fn body(path: &str) -> Vec<u8> {
    let seed = path.bytes().fold(7_usize, |sum, byte| sum * 31 % 65_521 + usize::from(byte));
    (0..1_000 + seed % 40_000).map(|at| u8::try_from((at * 7 + seed + at / 251) % 251).unwrap()).collect()
}

/// An origin of such bodies, fresh for an hour, with tags as their paths.
async fn origin() -> Origin {
    Origin::start(|_, request| {
        let path = request.uri().path().to_owned();
        let tag = path.trim_start_matches('/').replace('/', " ");
        reply(200, &[("cache-control", "max-age=3600"), ("surrogate-key", &tag), ("etag", "\"one\"")], body(&path))
    })
    .await
}

/// A network whose edge has a disk.
fn network(number: u8, origin: SocketAddr, disk: &Path) -> Network {
    let network = Network::new(number, origin, "");
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let disk = format!("memory = \"16MiB\"\ndisk = {{ path = \"{}\", size = \"64MiB\" }}", disk.display());
    fs::write(&file, text.replace("memory = \"64MiB\"", &disk)).unwrap();
    network
}

/// Fetches each path so many times; every body must be right. Returns how many were hits.
async fn fetch(edge: SocketAddr, paths: impl Iterator<Item = usize> + Clone, times: usize) -> usize {
    let mut hits = 0;
    for _ in 0..times {
        for number in paths.clone() {
            let path = format!("/all/{number}");
            let got = get(edge, &path, &[]).await.unwrap();
            assert_eq!(got.status, 200, "{path}");
            assert!(got.body == body(&path), "{path}: wrong bytes");
            hits += usize::from(got.is("hit"));
        }
    }
    hits
}

/// Ends a node as an operator does, and waits.
fn stop(process: Process) {
    let pid = process.0.id();
    signal(pid, Signal::SIGTERM);
    wait_for(Duration::from_secs(20), "the node ends", || if runs(pid) { Err("it runs".to_owned()) } else { Ok(()) });
}

async fn series(network: &Network, name: &str) -> f64 {
    let all = metrics(SocketAddr::new(network.edge.ip(), 9400)).await;
    all.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum()
}

/// Fetches each path, twice and then on, until so many objects are on disk: the edge keeps no more waiting for a
/// slow disk than it has room for.
async fn fetch_to_disk(network: &Network, paths: std::ops::Range<usize>, objects: usize) {
    let start = Instant::now();
    fetch(network.edge, paths.clone(), 1).await;
    loop {
        fetch(network.edge, paths.clone(), 1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let all = metrics(SocketAddr::new(network.edge.ip(), 9400)).await;
        let disk: Vec<_> = all.into_iter().filter(|(name, _)| name.starts_with("hither_disk")).collect();
        if disk.iter().any(|(name, value)| name == "hither_disk_objects" && *value >= objects as f64) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{disk:?}");
    }
    // And their heads committed.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
}

/// Every file of slices.
fn files(disk: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(disk.join("one-1/slices")).into_iter().flatten().flatten();
    folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap()).map(|file| file.unwrap().path()).collect()
}

#[test]
fn after_a_restart_what_was_asked_for_twice_is_a_hit_and_what_was_purged_stays_purged() {
    runtime().block_on(async {
        let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
        let network = network(120, origin.address, disk.path());
        let edge = network.start("one-1");
        fetch(network.edge, 1_000..1_050, 1).await;
        fetch_to_disk(&network, 0..200, 200).await;
        assert!(files(disk.path()).len() < 220, "asked for once is not written");
        let purged =
            Command::new(HITHER).arg("-C").arg(network.dir.path()).args(["purge", "--tag", "7", "--tag", "8"]).status();
        assert!(purged.unwrap().success());
        stop(edge);
        let before = origin.requests();
        let edge = network.start("one-1");
        let hits = fetch(network.edge, 0..200, 1).await;
        assert_eq!((hits, origin.requests() - before), (198, 2), "all but the two purged");
        let got = get(network.edge, "/all/3", &[("range", "bytes=5-9")]).await.unwrap();
        assert_eq!((got.status.as_u16(), &got.body[..]), (206, &body("/all/3")[5..10]));

        stop(edge);
        fs::remove_file(network.path(".state/one-1/purges.seal")).unwrap();
        let before = origin.requests();
        let _edge = network.start("one-1");
        let hits = fetch(network.edge, 0..200, 1).await;
        assert_eq!((hits, origin.requests() - before), (0, 200), "nobody knows what was purged: it begins empty");
    });
}

#[test]
fn an_edge_killed_while_it_writes_serves_no_wrong_byte_after() {
    runtime().block_on(async {
        let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
        let network = network(121, origin.address, disk.path());
        let mut edge = network.start("one-1");
        let (mut round, mut hits) = (0, 0);
        // A medium that is slow today has more rounds to write something.
        while round < 4 || (hits == 0 && round < 12) {
            let address = network.edge;
            let writing = tokio::spawn(async move {
                for at in (round * 1_000..).step_by(20) {
                    fetch(address, at..at + 20, 2).await;
                }
            });
            // Before, between and while heads are committed, twice a second.
            tokio::time::sleep(Duration::from_millis(300 + 370 * u64::try_from(round).unwrap())).await;
            signal(edge.0.id(), Signal::SIGKILL);
            let _ = writing.await;
            drop(edge);
            edge = network.start("one-1");
            round += 1;
            // Every body is compared.
            for before in (0..round).filter(|_| round >= 4) {
                hits += fetch(network.edge, before * 1_000..before * 1_000 + 100, 1).await;
            }
        }
        assert!(hits > 0, "something was kept");
    });
}

#[test]
fn flipped_bits_cut_files_and_a_broken_index_are_misses() {
    runtime().block_on(async {
        let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
        let network = network(122, origin.address, disk.path());
        let edge = network.start("one-1");
        fetch_to_disk(&network, 0..90, 90).await;
        stop(edge);
        for (number, file) in files(disk.path()).into_iter().enumerate() {
            let mut bytes = fs::read(&file).unwrap();
            match number % 3 {
                0 => {
                    let at = number * 37 % bytes.len();
                    bytes[at] ^= 16;
                }
                1 => bytes.truncate(bytes.len() / 2),
                _ => continue,
            }
            fs::write(&file, bytes).unwrap();
        }
        let edge = network.start("one-1");
        let hits = fetch(network.edge, 0..90, 1).await;
        assert_eq!(hits, 30, "those that were left alone");
        stop(edge);
        // The index in whatever way: every page of it hit.
        let index = disk.path().join("one-1/heads.redb");
        let mut bytes = fs::read(&index).unwrap();
        for at in (0..bytes.len()).step_by(1_000) {
            bytes[at] ^= 16;
        }
        fs::write(&index, bytes).unwrap();
        let edge = network.start("one-1");
        fetch(network.edge, 0..90, 2).await;
        stop(edge);
        fs::write(&index, "no index at all").unwrap();
        let edge = network.start("one-1");
        fetch_to_disk(&network, 0..90, 90).await;
        stop(edge);
        let _edge = network.start("one-1");
        assert_eq!(fetch(network.edge, 0..90, 1).await, 90, "it works again");
    });
}

#[test]
fn a_directory_that_is_deleted_is_missed_by_nobody() {
    runtime().block_on(async {
        let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
        let network = network(123, origin.address, disk.path());
        let _edge = network.start("one-1");
        // More than RAM holds: some have to come from disk.
        fetch(network.edge, 0..1_000, 2).await;
        // In one step: the edge writes all the while.
        fs::rename(disk.path().join("one-1"), disk.path().join("gone")).unwrap();
        fs::remove_dir_all(disk.path().join("gone")).unwrap();
        fetch(network.edge, 0..1_000, 1).await;
        fetch(network.edge, 2_000..2_050, 2).await;
        assert!(series(&network, "hither_disk_errors_total").await > 0.0, "it is told");
        // The alarm ends, and the directory is made anew.
        tokio::time::sleep(Duration::from_secs(11)).await;
        fetch(network.edge, 3_000..3_050, 2).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        fetch(network.edge, 4_000..4_050, 3).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(files(disk.path()).len() >= 50, "{} files", files(disk.path()).len());
    });
}

#[test]
fn a_full_disk_is_ram_only_and_an_alarm() {
    runtime().block_on(async {
        let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
        // A file system of 8 MiB where 64 are allowed.
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(disk.path()).output().unwrap();
        if !mounted.status.success() {
            panic!("this story mounts a file system, which needs root: {}", String::from_utf8_lossy(&mounted.stderr));
        }
        let network = network(124, origin.address, disk.path());
        let edge = network.start("one-1");
        fetch(network.edge, 0..1_500, 2).await;
        let errors = series(&network, "hither_disk_errors_total").await;
        let failing = series(&network, "hither_disk_failing").await;
        let log = network.log("one-1");
        stop(edge);
        let edge = network.start("one-1");
        fetch(network.edge, 0..1_500, 1).await;
        stop(edge);
        let _ = Command::new("umount").arg(disk.path()).status();
        assert!(errors > 0.0 && failing == 1.0, "{errors} errors, failing: {failing}");
        assert!(log.contains("the disk tier fails"), "{log}");
    });
}

#[test]
fn what_has_no_room_in_ram_comes_from_disk() {
    runtime().block_on(async {
        let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
        let network = network(125, origin.address, disk.path());
        let _edge = network.start("one-1");
        // About 20 MiB of bodies; RAM stores 12.
        fetch_to_disk(&network, 0..1_000, 980).await;
        let before = origin.requests();
        let hits = fetch(network.edge, 0..1_000, 1).await;
        assert!(hits > 950, "{hits} hits, {} fetches", origin.requests() - before);
    });
}

#[test]
fn a_large_body_is_read_from_disk_by_its_slices_after_a_restart() {
    runtime().block_on(async {
        let large: Vec<u8> = (0..3_000_000_usize).map(|at| u8::try_from(at / 7 % 251).unwrap()).collect();
        let bytes = large.clone();
        let origin = Origin::start(move |_, _| {
            reply(200, &[("cache-control", "max-age=3600"), ("etag", "\"one\"")], bytes.clone())
        })
        .await;
        let disk = tempfile::tempdir().unwrap();
        let network = network(126, origin.address, disk.path());
        let edge = network.start("one-1");
        for _ in 0..3 {
            assert!(get(network.edge, "/large", &[]).await.unwrap().body == large);
        }
        let start = Instant::now();
        while files(disk.path()).len() < 12 {
            assert!(start.elapsed() < Duration::from_secs(10), "{} slices", files(disk.path()).len());
            get(network.edge, "/large", &[]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop(edge);
        // One slice is damaged: that alone is fetched anew.
        let slices = files(disk.path());
        let damaged = slices.iter().find(|path| path.display().to_string().ends_with("-5")).unwrap();
        fs::write(damaged, "damaged").unwrap();
        let before = origin.requests();
        let _edge = network.start("one-1");
        let part = get(network.edge, "/large", &[("range", "bytes=2999990-")]).await.unwrap();
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &large[2_999_990..]));
        let whole = get(network.edge, "/large", &[]).await.unwrap();
        assert!(whole.is("hit") && whole.body == large, "{:?}", whole.headers);
        assert_eq!(origin.requests() - before, 1);
    });
}

#[test]
fn a_hundred_thousand_objects_are_found_soon_after_a_start() {
    let is_full = std::env::var_os("HITHER_FULL").is_some();
    let objects = if is_full { 100_000 } else { 2_000 };
    runtime().block_on(async {
        let origin = Origin::start(|_, request| {
            let path = request.uri().path().to_owned();
            reply(200, &[("cache-control", "max-age=3600")], path.repeat(20))
        })
        .await;
        let disk = tempfile::tempdir().unwrap();
        let network = network(127, origin.address, disk.path());
        let file = network.path("hither.toml");
        let text = fs::read_to_string(&file).unwrap();
        let text =
            text.replace("16MiB", "512MiB").replace("64MiB", "4GiB").replace("4GiB\" }", "4GiB\", requests = 1 }");
        fs::write(&file, text).unwrap();
        let edge = network.start("one-1");
        let all = |edge| async move {
            let ranges = (0..8).map(|part| objects / 8 * part..objects / 8 * (part + 1));
            let tasks = ranges.map(|range| {
                tokio::spawn(async move {
                    let mut hits = 0;
                    for number in range {
                        let path = format!("/{number}");
                        let got = get(edge, &path, &[]).await.unwrap();
                        assert!(got.body == path.repeat(20), "{path}: wrong bytes");
                        hits += usize::from(got.is("hit"));
                    }
                    hits
                })
            });
            let mut hits = 0;
            for task in tasks.collect::<Vec<_>>() {
                hits += task.await.unwrap();
            }
            hits
        };
        let start = Instant::now();
        while series(&network, "hither_disk_objects").await < objects as f64 {
            assert!(start.elapsed() < Duration::from_secs(600), "{}", series(&network, "hither_disk_objects").await);
            all(network.edge).await;
        }
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        stop(edge);
        let start = Instant::now();
        let _edge = network.start("one-1");
        let first = get(network.edge, "/7", &[]).await.unwrap();
        let ready = start.elapsed();
        assert!(first.is("hit"), "{:?}", first.headers);
        let hits = all(network.edge).await;
        println!("{objects} objects on disk: the first hit {ready:?} after the start, {hits} hits");
        assert!(hits * 100 >= objects * 95, "{hits} hits");
        assert!(ready < Duration::from_secs(4), "{ready:?}");
    });
}
