//! The package: a unit that is judged, and a machine of its own on which hither is installed, serves, and is removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{HITHER, outcome, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The unit, with the program where it is here.
fn unit() -> String {
    let unit = fs::read_to_string(format!("{ROOT}/deploy/debian/hither.service")).unwrap();
    unit.replace("/usr/bin/hither", HITHER)
}

/// What systemd-analyze says of a unit, and whether it is content.
fn analyzed(arguments: &[&str], unit: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hither.service");
    fs::write(&path, unit).unwrap();
    let (said, code) = outcome(Command::new("systemd-analyze").args(arguments).arg(path));
    (code == 0, said)
}

#[test]
fn the_unit_is_sound_and_little_exposed() {
    // Units of this machine's that it needs may have faults of their own.
    let is_ours = |line: &&str| line.contains("hither.service");
    let verify = ["verify", "--man=no"];
    let (_, said) = analyzed(&verify, &unit());
    assert_eq!(said.lines().find(is_ours), None, "{said}");
    let (_, said) = analyzed(&verify, &unit().replace("RestartSec=1", "RestartSec=soon"));
    assert!(said.lines().any(|line| is_ours(&line)), "{said}");

    let security = ["security", "--offline=true", "--threshold=25"];
    let (is_below, said) = analyzed(&security, &unit());
    assert!(is_below, "{said}");
    println!("{}", said.lines().last().unwrap());
    let open: String =
        unit().lines().filter(|line| !line.contains("Protect")).map(|line| format!("{line}\n")).collect();
    assert!(!analyzed(&security, &open).0);
}

/// Tells the story of machine/package.sh with what `files` brings; `None` where no machine can be made.
fn tell(files: &Path) -> Option<String> {
    let probe = run("unshare", &["--mount", "--pid", "--net", "--cgroup", "--fork", "true"]);
    if !probe.is_empty() || !Path::new("/lib/systemd/systemd").exists() {
        eprintln!("SKIPPED: no machine can be made here: {probe}");
        return None;
    }
    fs::copy(format!("{ROOT}/tests/story/machine/package.sh"), files.join("story")).unwrap();
    let top = tempfile::tempdir().unwrap();
    let said = top.path().join("said");
    fs::write(&said, "").unwrap();
    let mounts = top.path().join("mounts");
    fs::create_dir(&mounts).unwrap();
    let boot = format!("{ROOT}/tests/story/machine/boot.sh");
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", boot.as_str()]).args([mounts.as_path(), files, said.as_path()]);
    let status = command.status().unwrap();
    Some(format!("{}{status}", fs::read_to_string(said).unwrap()))
}

#[test]
fn from_its_installed_paths_a_node_serves_as_a_user_with_one_capability() {
    let files = tempfile::tempdir().unwrap();
    for (from, to) in [
        (PathBuf::from(HITHER), "usr/bin/hither"),
        (Path::new(ROOT).join("deploy/debian/hither.service"), "usr/lib/systemd/system/hither.service"),
        (Path::new(ROOT).join("deploy/debian/hither.sysusers"), "usr/lib/sysusers.d/hither.conf"),
        (Path::new(ROOT).join("deploy/debian/default"), "etc/default/hither"),
        (Path::new(ROOT).join("deploy/debian/hither.toml.example"), "etc/hither/hither.toml.example"),
    ] {
        let to = files.path().join("root").join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    if let Some(said) = tell(files.path()) {
        assert!(said.contains("the story is told"), "{said}");
    }
}

#[test]
fn the_package_is_installed_upgraded_and_purged_without_a_trace() {
    if std::env::var_os("HITHER_FULL").is_none() {
        return;
    }
    let packages = || {
        let entries = fs::read_dir(format!("{ROOT}/target/debian")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "deb"))
    };
    packages().for_each(|path| fs::remove_file(path).unwrap());
    let made =
        Command::new(env!("CARGO")).args(["xtask", "package", "--profile", "dev"]).current_dir(ROOT).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let files = tempfile::tempdir().unwrap();
    fs::copy(packages().next().unwrap(), files.path().join("hither.deb")).unwrap();
    if let Some(said) = tell(files.path()) {
        assert!(said.contains("the story is told") && said.contains("there is a man page"), "{said}");
    }
}
