//! The units of systemd that the documentation shows.

use std::fs;
use std::process::Command;

use crate::support::{HITHER, outcome};

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_its_drop_in() {
    let ini = |page: &str| {
        let block = page.split("```ini\n").nth(1).unwrap().split("```").next().unwrap();
        block.replace("/usr/local/bin/hither", HITHER)
    };
    let dir = tempfile::tempdir().unwrap();
    let (unit, drop_in) = (dir.path().join("hither@fra-1.service"), dir.path().join("hither@fra-1.service.d"));
    fs::create_dir(&drop_in).unwrap();
    fs::write(&unit, ini(include_str!("../../README.md"))).unwrap();
    fs::write(drop_in.join("take-over.conf"), ini(include_str!("../../docs/operations.md"))).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").arg(&unit).env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()));
    let (said, code) = outcome(&mut verify);
    // It may have something to say of this machine's other units.
    let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("hither")).collect();
    assert!(code == 0 && of_ours.is_empty(), "{said}");
}
