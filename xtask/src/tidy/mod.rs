//! What the compiler cannot check: the house rules of CONTRIBUTING.md.
//!
//! ```text
//! Cargo.toml of every crate ─┐          ┌─ floors    an arrow points down
//! every .rs file ────────────┴─ House ──┤─ purity    mapping and caching decide, they do nothing
//!                                       ├─ cycles    modules of a crate form no knot
//!                                       ├─ sizes     files and functions end
//!                                       └─ habits    no unwrap, no ignored test, no TODO without an issue
//! ```

mod cycles;
mod finding;
mod floors;
mod habits;
mod house;
mod manifest;
mod paths;
mod purity;
mod sizes;
mod source;

use std::path::Path;

use finding::Finding;
use house::House;

use crate::docs;
use crate::run::Outcome;

/// Prints every finding on a line of its own.
pub(crate) fn tidy(root: &Path) -> Outcome {
    let (house, mut findings) = House::read(root)?;
    findings.extend(floors::check(&house));
    findings.extend(purity::check(&house));
    for member in &house.crates {
        findings.extend(cycles::check(member));
    }
    for source in house.crates.iter().flat_map(|member| &member.sources) {
        findings.extend(sizes::check(source));
        findings.extend(habits::check(source));
    }
    findings.extend(docs::stale(root).into_iter().map(|page| Finding::new(page, 1, "stale", "run `cargo xtask docs`")));
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {}", sizes::summary(&house));
    match findings.len() {
        0 => Ok(()),
        1 => Err("1 finding".into()),
        count => Err(format!("{count} findings")),
    }
}
