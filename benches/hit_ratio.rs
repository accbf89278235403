//! Hit ratios of the RAM cache against exact LRU, over traces of real requests.
//!
//! `cargo xtask bench -p hither-benches --bench hit_ratio -- TRACE...`; a trace is a file of big-endian u32 keys,
//! one a request. Each is asked for once with every object of weight 1 and once with sizes made from the
//! keys, in caches of 0.5 to 20 per cent of what all its keys weigh.

use std::collections::HashSet;
use std::process::ExitCode;
use std::{fs, io};

use edge::{Change, Ram};
use lru::LruCache;

/// Capacities, in thousandths of the footprint.
const SHARES: [u64; 5] = [5, 10, 50, 100, 200];
/// Those by which the cache is judged.
const JUDGED: [u64; 2] = [10, 50];

fn main() -> ExitCode {
    // Cargo adds a flag of its own.
    let paths: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if paths.is_empty() {
        println!("hit_ratio: name trace files (big-endian u32 keys, one a request) to compare the RAM cache with LRU");
        return ExitCode::SUCCESS;
    }
    let traces: io::Result<Vec<(String, Vec<u32>)>> = paths.into_iter().map(read).collect();
    let traces = match traces {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("hit_ratio: {error}");
            return ExitCode::FAILURE;
        }
    };
    for weigh in [Weigh { name: "weight 1", of: |_| 1 }, Weigh { name: "sizes from 200 B to 5 MB", of: size }] {
        compare(&traces, &weigh);
    }
    ExitCode::SUCCESS
}

struct Weigh {
    name: &'static str,
    of: fn(u32) -> u32,
}

/// Prints a table: per cent of requests that hit, and of bytes.
fn compare(traces: &[(String, Vec<u32>)], weigh: &Weigh) {
    println!("{}\n{:16} share  capacity |    LRU  hither   gain | bytes:  LRU  hither   gain", weigh.name, "trace");
    let mut gains = Vec::new();
    for (name, keys) in traces {
        let different: HashSet<u32> = keys.iter().copied().collect();
        let footprint: u64 = different.into_iter().map(|key| u64::from((weigh.of)(key))).sum();
        for share in SHARES {
            let capacity = footprint * share / 1_000;
            let (by_lru, by_ram) = (run_lru(keys, weigh, capacity), run_ram(keys, weigh, capacity));
            let gain = by_ram.requests - by_lru.requests;
            println!(
                "{name:16} {:4.1} % {capacity:9} | {:6.2}  {:6.2} {gain:+6.2} |      {:6.2}  {:6.2} {:+6.2}",
                share as f64 / 10.0,
                by_lru.requests,
                by_ram.requests,
                by_lru.bytes,
                by_ram.bytes,
                by_ram.bytes - by_lru.bytes,
            );
            if JUDGED.contains(&share) {
                gains.push(gain);
            }
        }
    }
    let (mean, least) =
        (gains.iter().sum::<f64>() / gains.len() as f64, gains.iter().copied().fold(f64::INFINITY, f64::min));
    println!("gain at 1 % and 5 %: {mean:+.2} points on average, {least:+.2} at least\n");
}

/// Per cent that hit.
struct Ratio {
    requests: f64,
    bytes: f64,
}

fn ratio(keys: &[u32], weigh: &Weigh, mut ask: impl FnMut(u32, u32) -> bool) -> Ratio {
    let (mut hits, mut hit_bytes, mut bytes) = (0_u64, 0_u64, 0_u64);
    for key in keys {
        let weight = (weigh.of)(*key);
        let hit = u64::from(ask(*key, weight));
        hits += hit;
        hit_bytes += hit * u64::from(weight);
        bytes += u64::from(weight);
    }
    let per_cent = |part: u64, all: f64| 100.0 * part as f64 / all;
    Ratio { requests: per_cent(hits, keys.len() as f64), bytes: per_cent(hit_bytes, bytes as f64) }
}

fn run_ram(keys: &[u32], weigh: &Weigh, capacity: u64) -> Ratio {
    let ram = Ram::new(capacity, |_: &u32, weight: &u32| *weight);
    ratio(keys, weigh, |key, weight| {
        let is_hit = ram.get(&key).is_some();
        if !is_hit {
            ram.update(key, |_| Change::Put(weight));
        }
        is_hit
    })
}

fn run_lru(keys: &[u32], weigh: &Weigh, capacity: u64) -> Ratio {
    let mut lru = LruCache::unbounded();
    let mut used = 0;
    ratio(keys, weigh, |key, weight| {
        let is_hit = lru.get(&key).is_some();
        if !is_hit && u64::from(weight) <= capacity {
            lru.put(key, weight);
            used += u64::from(weight);
            while used > capacity {
                used -= lru.pop_lru().map_or(used, |(_, weight)| u64::from(weight));
            }
        }
        is_hit
    })
}

fn read(path: String) -> io::Result<(String, Vec<u32>)> {
    let bytes = fs::read(&path).map_err(|error| io::Error::other(format!("{path}: {error}")))?;
    let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
    Ok((name, bytes.as_chunks().0.iter().map(|key| u32::from_be_bytes(*key)).collect()))
}

/// A size for a key: lognormal, the median 10 kB, sigma 1.3, 200 B to 5 MB, as of files on web sites.
fn size(key: u32) -> u32 {
    let (a, b) = (mix(u64::from(key)), mix(!u64::from(key)));
    let unit = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let normal = (-2.0 * unit(a).ln()).sqrt() * (std::f64::consts::TAU * unit(b)).cos();
    ((10_000_f64.ln() + 1.3 * normal).exp() as u32).clamp(200, 5_000_000)
}

/// SplitMix64.
fn mix(seed: u64) -> u64 {
    let x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
