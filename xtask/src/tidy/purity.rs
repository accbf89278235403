//! `mapping` and `caching` decide and do nothing: no clock, file, socket or randomness.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, sorted};
use super::house::{Crate, House};
use super::paths::{By, Named, paths};
use super::source::Source;

/// The pure crates' folders.
const PURE: &[&str] = &["dns/mapping", "edge/caching"];

/// What they may not be built from, also not by way of a lower floor.
const BANNED_PACKAGES: &[&str] = &["tokio", "hyper", "hyper-util", "socket2", "nix", "rand", "notify"];

/// What their code may not name, tests excepted, with what to do instead.
const BANNED_PATHS: &[(&str, &str)] = &[
    ("std::time::SystemTime::now", TIME),
    ("std::time::Instant::now", TIME),
    ("std::fs", DATA),
    ("std::env", DATA),
    ("std::process", DATA),
    ("std::net::TcpListener", DATA),
    ("std::net::TcpStream", DATA),
    ("std::net::ToSocketAddrs", DATA),
    ("std::net::UdpSocket", DATA),
    ("std::os", DATA),
    ("std::thread", "leave threads to the caller"),
    ("std::hash::RandomState", "use a hash that is the same on every node"),
    ("std::collections::hash_map::RandomState", "use a hash that is the same on every node"),
];

const TIME: &str = "time is an argument: take `now`";
const DATA: &str = "data is handed in: take it as an argument";

/// Checks what the pure crates need and name.
pub(super) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in house.crates.iter().filter(|member| PURE.contains(&member.folder.as_str())) {
        let mut seen = BTreeSet::new();
        findings.extend(needs(house, member, member, &mut seen));
        findings.extend(member.sources.iter().flat_map(check_source));
    }
    sorted(findings)
}

/// The banned packages of a crate and of the crates of this workspace it is built from.
fn needs<'a>(house: &'a House, pure: &Crate, member: &'a Crate, seen: &mut BTreeSet<&'a str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !seen.insert(&member.folder) {
        return findings;
    }
    for need in &member.manifest.needs {
        if BANNED_PACKAGES.contains(&need.package.as_str()) {
            let what = format!("{} is pure, and this brings it {}", pure.folder, need.package);
            findings.push(Finding::new(&member.manifest.path, need.line, what, "move the doing to a higher floor"));
        }
        let lower = house.crates.iter().find(|member| Some(&member.folder) == need.folder.as_ref());
        findings.extend(lower.map(|lower| needs(house, pure, lower, seen)).unwrap_or_default());
    }
    findings
}

fn check_source(source: &Source) -> Vec<Finding> {
    let paths = paths(&source.code);
    let imports: BTreeMap<&str, &[String]> = paths.iter().filter_map(import).collect();
    let mut findings = Vec::new();
    for named in &paths {
        let full = expand(named, &imports);
        if let Some((banned, mend)) = BANNED_PATHS.iter().find(|(banned, _)| is_within(&full, banned)) {
            let what = format!("pure code names `{banned}`");
            findings.push(Finding::new(&source.path, named.line, what, *mend));
        }
    }
    findings
}

fn import(named: &Named) -> Option<(&str, &[String])> {
    match &named.by {
        By::Import(name) | By::Reexport(name) => Some((name, &named.segments)),
        By::Use => None,
    }
}

/// The path with its first name replaced by what that was imported as.
fn expand(named: &Named, imports: &BTreeMap<&str, &[String]>) -> String {
    let Some((first, rest)) = named.segments.split_first() else {
        return String::new();
    };
    match imports.get(first.as_str()) {
        Some(import) if named.by == By::Use => [import, rest].concat().join("::"),
        _ => named.segments.join("::"),
    }
}

fn is_within(path: &str, banned: &str) -> bool {
    path.strip_prefix(banned).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{Manifest, Shared};
    use super::*;

    #[test]
    fn pure_code_names_no_clock_file_or_socket() {
        let rows = [
            ("use std::time::Instant; fn f(now: Instant) {}", None),
            ("use std::net::{IpAddr, Ipv4Addr};", None),
            ("mod fs {} fn f() { fs::read() }", None),
            ("#[cfg(test)] mod tests { use std::fs; }", None),
            (
                "use std::time::Instant;\nfn f() { Instant::now(); }",
                Some("2: pure code names `std::time::Instant::now`"),
            ),
            (
                "use std::time;\nfn f() { time::SystemTime::now(); }",
                Some("2: pure code names `std::time::SystemTime::now`"),
            ),
            ("fn f() { x.map_or_else(std::time::Instant::now, g) }", Some("1: pure code names")),
            ("use std::fs;", Some("1: pure code names `std::fs`")),
            ("use std::{fs::File, net::UdpSocket as U};", Some("1: pure code names `std::fs`")),
            ("fn f() { println!(\"{}\", std::env::var(\"X\")); }", Some("1: pure code names `std::env`")),
        ];
        for (text, expected) in rows {
            let source = Source::parse("a.rs", text.into()).unwrap();
            let said = check_source(&source).first().map(ToString::to_string);
            match expected {
                None => assert_eq!(said, None, "{text}"),
                Some(part) => {
                    assert!(
                        said.as_ref().is_some_and(|said| said.starts_with(&format!("a.rs:{part}"))),
                        "{text}: {said:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_pure_crate_needs_no_runtime_at_any_depth() {
        let member = |folder: &str, needs: &str| {
            let path = format!("{folder}/Cargo.toml");
            let text = format!("[dependencies]\n{needs}\n[dev-dependencies]\nrand = \"1\"\n");
            let manifest = Manifest::parse(&path, &text, folder, &Shared::default()).unwrap();
            Crate { folder: folder.into(), manifest, sources: vec![] }
        };
        let upon = |config: &str, mapping: &str| {
            let crates =
                vec![member("config", config), member("dns/mapping", mapping), member("listen", "tokio = \"1\"")];
            check(&House { crates }).first().map(ToString::to_string).unwrap_or_default()
        };
        let config = "config = { path = \"../../config\" }";
        assert_eq!(upon("serde = \"1\"", config), "");
        assert!(upon("", "t = { package = \"tokio\", version = \"1\" }").starts_with("dns/mapping/Cargo.toml:2: "));
        assert!(upon("notify = \"8\"", config).starts_with("config/Cargo.toml:2: dns/mapping is pure"));
    }
}
