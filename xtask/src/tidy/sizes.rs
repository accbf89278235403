//! A file ends, and a function fits on a screen.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Signature};

use super::finding::Finding;
use super::house::House;
use super::source::Source;

/// Lines of a file, tests included.
const FILE_LINES: usize = 500;

/// Lines of a function, from its name's to its end's; tests excepted.
const FUNCTION_LINES: usize = 70;

/// Checks a file and its functions.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        let what = format!("{lines} lines, {FILE_LINES} are the end");
        findings.push(Finding::new(&source.path, FILE_LINES + 1, what, "give its second idea a file, or its tests"));
    }
    for function in functions(source).into_iter().filter(|function| function.lines > FUNCTION_LINES) {
        let what = format!("`{}` has {} lines, {FUNCTION_LINES} fit on a screen", function.name, function.lines);
        findings.push(Finding::new(&source.path, function.line, what, "split off a piece that has a name"));
    }
    findings
}

/// The figures of the whole house, on one line.
pub(super) fn summary(house: &House) -> String {
    let sources: Vec<&Source> = house.crates.iter().flat_map(|member| &member.sources).collect();
    let mut lengths: Vec<usize> = sources.iter().map(|source| source.text.lines().count()).collect();
    let functions: Vec<usize> =
        sources.iter().flat_map(|source| functions(source)).map(|function| function.lines).collect();
    format!(
        "{} files, median {} lines, longest {}; {} functions outside tests, longest {}",
        lengths.len(),
        median(&mut lengths),
        lengths.last().unwrap_or(&0),
        functions.len(),
        functions.iter().max().unwrap_or(&0),
    )
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

fn functions(source: &Source) -> Vec<Function> {
    let mut walk = Walk(Vec::new());
    walk.visit_file(&source.code);
    walk.0
}

struct Walk(Vec<Function>);

impl Walk {
    fn note(&mut self, signature: &Signature, body: &Block) {
        let line = signature.span().start().line;
        let end = body.brace_token.span.close().end().line;
        self.0.push(Function { name: signature.ident.to_string(), line, lines: end + 1 - line });
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.note(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// The middle length, of an even number the lower one; sorts.
fn median(lengths: &mut [usize]) -> usize {
    lengths.sort_unstable();
    lengths.get(lengths.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: String) -> Vec<String> {
        check(&Source::parse("a.rs", text).unwrap()).iter().map(ToString::to_string).collect()
    }

    /// A function of so many lines.
    fn function(lines: usize) -> String {
        format!("/// Says.\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_fits_on_a_screen() {
        assert_eq!(said(function(70)), [""; 0]);
        assert!(said(function(71))[0].starts_with("a.rs:2: `f` has 71 lines"));
        assert!(said(format!("impl A {{\n{}}}", function(71)))[0].starts_with("a.rs:3: `f` has 71 lines"));
        assert_eq!(said(format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(71))), [""; 0]);
    }

    #[test]
    fn a_file_ends() {
        assert_eq!(said("// A line.\n".repeat(500)), [""; 0]);
        assert!(said("// A line.\n".repeat(501))[0].starts_with("a.rs:501: 501 lines"));
    }

    #[test]
    fn the_median_is_the_middle() {
        for (mut lengths, expected) in [(vec![], 0), (vec![7], 7), (vec![9, 1], 1), (vec![5, 1, 3], 3)] {
            assert_eq!(median(&mut lengths), expected);
        }
    }
}
