//! How much memory an edge takes where the operator names none.

use std::fs;

use config::limits;

/// A quarter of RAM or of the cgroup's limit, at most 4 GiB.
#[must_use]
pub fn default_memory() -> u64 {
    let limits = [ram(), cgroup("/sys/fs/cgroup/memory.max"), cgroup("/sys/fs/cgroup/memory/memory.limit_in_bytes")];
    let least = limits.into_iter().flatten().min().unwrap_or(limits::EDGE_MEMORY.default);
    (least / 4).clamp(limits::EDGE_MEMORY.least, limits::EDGE_MEMORY.default)
}

/// RAM of the machine, bytes.
fn ram() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The limit of this process's cgroup, if it has one ("max" is none).
fn cgroup(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
