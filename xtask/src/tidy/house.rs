//! The whole workspace, read once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::finding::Finding;
use super::manifest::{Manifest, Shared};
use super::source::Source;

/// Every crate of the workspace.
pub(super) struct House {
    /// The program first, then the members as they are listed.
    pub(super) crates: Vec<Crate>,
}

/// A crate with its sources.
pub(super) struct Crate {
    /// Its folder, from the root; empty for the program.
    pub(super) folder: String,
    /// What its Cargo.toml says.
    pub(super) manifest: Manifest,
    /// Every Rust file of it.
    pub(super) sources: Vec<Source>,
}

impl House {
    /// Reads everything. A file that is not Rust is a finding, and left out.
    pub(super) fn read(root: &Path) -> Result<(Self, Vec<Finding>), String> {
        let text = read(root, "Cargo.toml")?;
        let (shared, members) = Shared::parse(&text)?;
        let mut crates = Vec::new();
        let mut findings = Vec::new();
        for folder in std::iter::once(String::new()).chain(members) {
            let path = join(&folder, "Cargo.toml");
            let manifest = Manifest::parse(&path, &read(root, &path)?, &folder, &shared)?;
            let mut paths = Vec::new();
            for part in PARTS {
                list(root, &join(&folder, part), &mut paths).map_err(|error| format!("{part}: {error}"))?;
            }
            let mut sources = Vec::new();
            for path in paths {
                match Source::parse(&path, read(root, &path)?) {
                    Ok(source) => sources.push(source),
                    Err(finding) => findings.push(finding),
                }
            }
            set_tests_apart(&mut sources);
            crates.push(Crate { folder, manifest, sources });
        }
        Ok((Self { crates }, findings))
    }
}

/// Where a crate keeps Rust.
const PARTS: &[&str] = &["src", "tests", "benches", "examples", "fuzz", "build.rs"];

/// A file that its parent declares as `#[cfg(test)] mod name;` is a test, as are those below it.
fn set_tests_apart(sources: &mut [Source]) {
    let declared: BTreeSet<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in sources {
        let is_below = |module: &String| {
            source.path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if declared.iter().any(is_below) {
            source.become_test();
        }
    }
}

/// Lists the Rust files under a path, which may be missing, in a stable order.
fn list(root: &Path, path: &str, found: &mut Vec<String>) -> std::io::Result<()> {
    let full = root.join(path);
    if full.is_file() {
        if path.ends_with(".rs") {
            found.push(path.into());
        }
        return Ok(());
    }
    if !full.is_dir() {
        return Ok(());
    }
    let names: BTreeSet<String> = fs::read_dir(full)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    for name in names.iter().filter(|name| !name.starts_with('.') && *name != "target") {
        list(root, &join(path, name), found)?;
    }
    Ok(())
}

fn read(root: &Path, path: &str) -> Result<String, String> {
    fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_declared_for_tests_is_a_test_with_all_below_it() {
        let parse = |path: &str, text: &str| Source::parse(path, text.into()).unwrap();
        let mut sources = [
            parse("edge/src/lib.rs", "#[cfg(test)] mod script; mod scripted;"),
            parse("edge/src/script.rs", "fn f() {}"),
            parse("edge/src/script/client.rs", "fn f() {}"),
            parse("edge/src/scripted.rs", "fn f() {}"),
        ];
        set_tests_apart(&mut sources);
        let code: Vec<bool> = sources.iter().map(|source| !source.code.items.is_empty()).collect();
        assert_eq!(code, [true, false, false, true]);
    }
}
