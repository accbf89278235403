//! How much memory an edge takes where the operator names none.

use std::fs;
use std::path::{Path, PathBuf};

use config::limits;

/// A quarter of RAM or of what this process's cgroups allow, at most 4 GiB.
#[must_use]
pub fn default_memory() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let bounds = limit_files(&groups).into_iter().filter_map(|path| limit(&path));
    let least = bounds.chain(ram()).min().unwrap_or(limits::EDGE_MEMORY.default);
    (least / 4).clamp(limits::EDGE_MEMORY.least, limits::EDGE_MEMORY.default)
}

/// RAM of the machine, bytes.
fn ram() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// A cgroup's limit, if it has one ("max" is none).
fn limit(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Where the limits of a process's cgroup and of all above it are told (cgroups(7)): a line
/// `0::/path` in version 2, `number:controllers:/path` in version 1. In a container the path may be
/// that outside; the top is then its own.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let below = Path::new(path.trim_start_matches('/'));
        files.extend(below.ancestors().map(|group| Path::new(mount).join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_above_a_process_has_a_say() {
        let files = |groups| limit_files(groups).into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            files("0::/system.slice/hither@fra-1.service\n"),
            [
                "/sys/fs/cgroup/system.slice/hither@fra-1.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
        assert_eq!(
            files("12:cpu,cpuacct:/a\n4:memory:/docker/1f\n1:name=systemd:/a:b\nnonsense\n"),
            [
                "/sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }
}
