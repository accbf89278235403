//! Crates are floors: an arrow between them points down, never sideways or up.

use super::finding::{Finding, sorted};
use super::house::House;

/// The house, as ARCHITECTURE.md draws it: each crate's folder, lowest floor first.
const FLOORS: &[&[&str]] = &[
    &["config", "telemetry"],
    &["listen", "dns/mapping", "edge/caching"],
    &["origin", "fleet", "certs"],
    &["dns", "edge", "admin"],
    &[""],
];

/// The chores and the benchmarks: they look at the house from outside, and nothing needs them.
const OUTSIDE: [&str; 2] = ["xtask", "benches"];

/// Also checks that the workspace's lints hold in every crate.
pub(super) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &house.crates {
        let manifest = &member.manifest;
        let mut find = |line, what: String, mend: &str| findings.push(Finding::new(&manifest.path, line, what, mend));
        if !manifest.has_lints {
            find(1, "the workspace's lints do not hold here".into(), "add `[lints]` with `workspace = true`");
        }
        if floor(&member.folder).is_none() && !OUTSIDE.contains(&member.folder.as_str()) {
            let what = format!("`{}` has no floor", member.folder);
            find(1, what, "give it one in ARCHITECTURE.md and xtask/src/tidy/floors.rs");
        }
        for need in &manifest.needs {
            if let Some(folder) = &need.folder
                && let Some((what, mend)) = judge(&member.folder, folder)
            {
                find(need.line, what, mend);
            }
        }
    }
    sorted(findings)
}

/// What is wrong with an arrow, and how to mend it.
fn judge(from: &str, to: &str) -> Option<(String, &'static str)> {
    if OUTSIDE.contains(&to) {
        return Some((format!("{} needs what is outside", name(from)), "move what it needs into a floor"));
    }
    let (from_floor, to_floor) = (floor(from)?, floor(to)?);
    if to_floor > from_floor {
        let what = format!("{} (floor {from_floor}) needs {} (floor {to_floor})", name(from), name(to));
        return Some((what, "arrows point down: hand it in from above, or move what both need lower"));
    }
    if to_floor == from_floor {
        let what = format!("{} and {} are both on floor {from_floor}", name(from), name(to));
        return Some((what, "crates on one floor don't know each other: let src/ connect them by a trait or a value"));
    }
    None
}

fn floor(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&folder))
}

fn name(folder: &str) -> &str {
    if folder.is_empty() { "the program" } else { folder }
}

#[cfg(test)]
mod tests {
    use super::super::house::Crate;
    use super::super::manifest::{Manifest, Shared};
    use super::*;

    fn said(folder: &str, manifest: &str) -> String {
        let manifest = Manifest::parse("Cargo.toml", manifest, folder, &Shared::default()).unwrap();
        let house = House { crates: vec![Crate { folder: folder.into(), manifest, sources: vec![] }] };
        check(&house).iter().map(|finding| format!("{finding}\n")).collect()
    }

    #[test]
    fn an_arrow_may_only_point_down() {
        let rows = [
            ("dns", "fleet", None),
            ("dns", "dns/mapping", None),
            ("dns/mapping", "config", None),
            ("", "admin", None),
            ("xtask", "config", None),
            ("dns", "edge", Some("both on floor 3")),
            ("admin", "dns", Some("both on floor 3")),
            ("listen", "dns/mapping", Some("both on floor 1")),
            ("telemetry", "config", Some("both on floor 0")),
            ("config", "listen", Some("config (floor 0) needs listen (floor 1)")),
            ("fleet", "dns", Some("fleet (floor 2) needs dns (floor 3)")),
            ("edge", "", Some("edge (floor 3) needs the program (floor 4)")),
            ("", "xtask", Some("the program needs what is outside")),
        ];
        for (from, to, expected) in rows {
            let what = judge(from, to).map(|(what, _)| what);
            match expected {
                None => assert_eq!(what, None, "{from} -> {to}"),
                Some(part) => {
                    assert!(what.as_ref().is_some_and(|what| what.contains(part)), "{from} -> {to}: {what:?}");
                }
            }
        }
    }

    #[test]
    fn the_manifest_is_read() {
        let lints = "[lints]\nworkspace = true\n";
        assert_eq!(said("dns", &format!("[dependencies]\nx = {{ path = \"../fleet\" }}\n{lints}")), "");
        assert_eq!(said("dns", &format!("[dev-dependencies]\nx = {{ path = \"../edge\" }}\n{lints}")), "");
        let up = said("dns", &format!("[dependencies]\nx = {{ path = \"../edge\" }}\n{lints}"));
        assert!(up.starts_with("Cargo.toml:2: dns and edge are both on floor 3; "), "{up}");
        assert!(said("dns", "[dependencies]\n").contains("lints do not hold"));
        assert!(said("attic", lints).contains("`attic` has no floor"));
    }
}
