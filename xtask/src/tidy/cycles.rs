//! The modules of a crate form no knot.
//!
//! Each top-level module, with all below it, is one node; what one names of another is an arrow. The
//! crate's own file is a node too: its `pub use` are its table of contents and no arrows, and what
//! they name is taken to be where it is written, not where it is listed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use syn::Item;

use super::finding::Finding;
use super::house::Crate;
use super::paths::{By, Named, paths};
use super::source::Source;

/// Checks one crate.
pub(super) fn check(member: &Crate) -> Vec<Finding> {
    let arrows = arrows(member);
    let mut findings = Vec::new();
    for knot in knots(&arrows) {
        let Some(way) = way_round(&arrows, &knot) else {
            continue;
        };
        let Some(place) = way.first().and_then(|arrow| arrows.get(arrow)) else {
            continue;
        };
        let steps: String = way.iter().map(|arrow| step(arrow, arrows.get(arrow))).collect();
        let name = way.first().map(|(from, _)| from.as_str()).unwrap_or_default();
        let others = if knot.len() > way.len() {
            format!(" (all in the knot: {})", knot.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
        } else {
            String::new()
        };
        let what = format!("module cycle: {name}{steps}{others}");
        findings.push(Finding::new(&place.file, place.line, what, "move what both need to a module below both"));
    }
    findings
}

type Arrow = (String, String);

/// Where an arrow was first seen.
#[derive(Debug)]
struct Place {
    file: String,
    line: usize,
}

fn step(arrow: &Arrow, place: Option<&Place>) -> String {
    let at = place.map(|place| format!(" ({}:{})", place.file, place.line)).unwrap_or_default();
    format!(" -> {}{at}", arrow.1)
}

/// Every arrow between the crate's modules.
fn arrows(member: &Crate) -> BTreeMap<Arrow, Place> {
    let prefix = if member.folder.is_empty() { "src/".into() } else { format!("{}/src/", member.folder) };
    let inside: BTreeMap<&str, &Source> =
        member.sources.iter().filter_map(|source| Some((source.path.strip_prefix(prefix.as_str())?, source))).collect();
    // A program beside a library is another crate.
    let root = if inside.contains_key("lib.rs") { "lib.rs" } else { "main.rs" };
    let is_other = |path: &str| path.starts_with("bin/") || (path == "main.rs" && root != path);
    let inside: Vec<(&str, &Source)> = inside.into_iter().filter(|(path, _)| !is_other(path)).collect();

    let names = Names::read(root, &inside);
    let mut arrows = BTreeMap::new();
    for (path, source) in &inside {
        let file_module = module(path);
        for named in paths(&source.code) {
            let from: Vec<&str> = file_module.iter().copied().chain(named.module.iter().map(String::as_str)).collect();
            if let Some(to) = names.target(&from, &named) {
                let from = from.first().copied().unwrap_or(root);
                let place = Place { file: source.path.clone(), line: named.line };
                if from != to {
                    arrows.entry((from.into(), to)).or_insert(place);
                }
            }
        }
    }
    arrows
}

/// The module that a file is, from the crate's root.
fn module(path: &str) -> Vec<&str> {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if matches!(path, "lib" | "main") { Vec::new() } else { path.split('/').collect() }
}

/// What the names at the crate's root mean.
struct Names {
    root: String,
    modules: BTreeSet<String>,
    /// Names that the root imports: of which module, if of one of this crate.
    imports: BTreeMap<String, Option<String>>,
}

impl Names {
    fn read(root: &str, inside: &[(&str, &Source)]) -> Self {
        let mut modules: BTreeSet<String> =
            inside.iter().filter_map(|(path, _)| module(path).first().map(|name| (*name).into())).collect();
        let mut imports = BTreeMap::new();
        if let Some((_, source)) = inside.iter().find(|(path, _)| *path == root) {
            modules.extend(source.code.items.iter().filter_map(|item| match item {
                Item::Mod(module) => Some(module.ident.to_string()),
                _ => None,
            }));
            for named in paths(&source.code).iter().filter(|named| named.module.is_empty()) {
                if let By::Import(name) | By::Reexport(name) = &named.by {
                    let first = named.segments.iter().find(|segment| *segment != "crate" && *segment != "self");
                    imports.insert(name.clone(), first.filter(|first| modules.contains(*first)).cloned());
                }
            }
        }
        Self { root: root.into(), modules, imports }
    }

    /// The node that a path leads to, if it stays within the crate.
    fn target(&self, from: &[&str], named: &Named) -> Option<String> {
        let mut at = from.to_vec();
        let mut rest = named.segments.as_slice();
        if matches!(named.by, By::Reexport(_)) && from.is_empty() {
            return None;
        }
        let mut is_relative = false;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => {
                    at.pop();
                }
                "self" => {}
                _ => break,
            }
            is_relative = true;
            rest = after;
        }
        if !is_relative {
            // Only at the root do names begin with modules of the root; one name alone is a variable.
            let first = rest.first().filter(|first| self.modules.contains(*first))?;
            return (from.is_empty() && rest.len() > 1).then(|| first.clone());
        }
        let first = match at.first() {
            Some(first) => (*first).to_owned(),
            None => rest.first()?.clone(),
        };
        if self.modules.contains(&first) {
            return Some(first);
        }
        match self.imports.get(&first) {
            Some(module) => module.clone(),
            None => Some(self.root.clone()),
        }
    }
}

/// The sets of more than one module from each of which every other can be reached.
fn knots(arrows: &BTreeMap<Arrow, Place>) -> Vec<BTreeSet<String>> {
    let nodes: BTreeSet<&String> = arrows.keys().map(|(from, _)| from).collect();
    let reach: BTreeMap<&String, BTreeSet<String>> =
        nodes.iter().map(|node| (*node, reachable(arrows, node))).collect();
    let mut knots = BTreeSet::new();
    for (node, reached) in &reach {
        let knot: BTreeSet<String> =
            reached.iter().filter(|other| reach.get(other).is_some_and(|back| back.contains(*node))).cloned().collect();
        if knot.len() > 1 {
            knots.insert(knot);
        }
    }
    knots.into_iter().collect()
}

fn reachable(arrows: &BTreeMap<Arrow, Place>, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for (_, to) in arrows.keys().filter(|(from, _)| from == node) {
            if reached.insert(to.clone()) {
                open.push(to);
            }
        }
    }
    reached
}

/// The shortest way from the knot's first module back to itself.
fn way_round(arrows: &BTreeMap<Arrow, Place>, knot: &BTreeSet<String>) -> Option<Vec<Arrow>> {
    let start = knot.first()?;
    let mut open = VecDeque::from([Vec::<Arrow>::new()]);
    let mut seen = BTreeSet::new();
    while let Some(way) = open.pop_front() {
        let at = way.last().map_or(start, |(_, to)| to).clone();
        for arrow in arrows.keys().filter(|(from, to)| *from == at && knot.contains(to)) {
            let mut longer = way.clone();
            longer.push(arrow.clone());
            if arrow.1 == *start {
                return Some(longer);
            }
            if seen.insert(arrow.1.clone()) {
                open.push_back(longer);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{Manifest, Shared};
    use super::*;

    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let manifest = Manifest::parse("dns/Cargo.toml", "", "dns", &Shared::default()).unwrap();
        let sources = files.iter().map(|(path, text)| {
            let path = format!("dns/{path}");
            Source::parse(&path, (*text).into()).unwrap()
        });
        let member = Crate { folder: "dns".into(), manifest, sources: sources.collect() };
        check(&member).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn modules_in_order_are_no_cycle() {
        let clean: [&[(&str, &str)]; 6] = [
            &[("src/lib.rs", "mod a; mod b; pub use a::A;"), ("src/a.rs", "use crate::b::B;"), ("src/b.rs", "")],
            // Within one top-level module anything goes.
            &[("src/a.rs", "mod x; use self::x::X;"), ("src/a/x.rs", "use super::A; use crate::a::B;")],
            // Tests may look up.
            &[("src/a.rs", "use crate::b::B;"), ("src/b.rs", "#[cfg(test)] mod tests { use crate::a::A; }")],
            // What the root only lists is where it is written; what it takes from elsewhere is nowhere here.
            &[
                ("src/lib.rs", "mod a; mod b; pub use b::B; use config::C;"),
                ("src/a.rs", "use crate::{B, C};"),
                ("src/b.rs", ""),
            ],
            // A variable is no module; a crate's name below the root is no module.
            &[("src/main.rs", "mod a; fn f(a: u8) { g(a) } struct S;"), ("src/a.rs", "use crate::S;")],
            &[("src/a.rs", "use crate::b::B;"), ("src/b.rs", "use a::A;")],
        ];
        for files in clean {
            assert_eq!(said(files), [""; 0], "{files:?}");
        }
    }

    #[test]
    fn a_knot_is_named_with_the_way_round() {
        let two = said(&[("src/a.rs", "\nuse crate::b::B;"), ("src/b.rs", "fn f() { crate::a::g() }")]);
        let expected = "dns/src/a.rs:2: module cycle: a -> b (dns/src/a.rs:2) -> a (dns/src/b.rs:1); ";
        assert!(two.len() == 1 && two[0].starts_with(expected), "{two:?}");

        let knots: [(&[(&str, &str)], &str); 5] = [
            // By a listing at the root.
            (
                &[("src/lib.rs", "pub use a::A;"), ("src/a.rs", "use crate::b::B;"), ("src/b.rs", "use crate::A;")],
                "a -> b",
            ),
            // By `super`, from a child, and in a macro.
            (&[("src/a/x.rs", "use super::super::b::B;"), ("src/b.rs", "fn f() { assert!(super::a::g()) }")], "a -> b"),
            // Through the program's own file.
            (&[("src/main.rs", "mod a; struct S; fn f() { a::g() }"), ("src/a.rs", "use crate::S;")], "a -> main.rs"),
            (&[("src/main.rs", "mod a; use a::g; struct S;"), ("src/a.rs", "use super::S;")], "a -> main.rs"),
            // Of three.
            (
                &[("src/a.rs", "use crate::b;"), ("src/b.rs", "use crate::c;"), ("src/c.rs", "use crate::a;")],
                "a -> b (dns/src/a.rs:1) -> c (dns/src/b.rs:1) -> a",
            ),
        ];
        for (files, part) in knots {
            let said = said(files);
            assert!(said.len() == 1 && said[0].contains(part), "{files:?}: {said:?}");
        }
    }
}
