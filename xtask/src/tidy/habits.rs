//! Small things that grow: `unwrap`, ignored tests, TODOs that nobody owns.

use syn::visit::{self, Visit};
use syn::{Attribute, ExprMethodCall, Macro};

use super::finding::{Finding, sorted};
use super::paths::{arguments, paths};
use super::source::Source;

/// Checks a file: `unwrap` outside tests, the rest everywhere.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut walk = Unwraps(Vec::new());
    walk.visit_file(&source.code);
    let as_path = paths(&source.code).into_iter().filter(|named| {
        matches!(named.segments.as_slice(), [.., kind, name] if name == "unwrap" && (kind == "Option" || kind == "Result"))
    });
    let unwraps = walk.0.into_iter().chain(as_path.map(|named| named.line));
    let mut findings: Vec<Finding> = unwraps
        .map(|line| {
            Finding::new(&source.path, line, "`unwrap`", "return the error, or `expect(\"why it cannot fail\")`")
        })
        .collect();
    let mut ignored = Ignored(Vec::new());
    ignored.visit_file(&source.whole);
    findings.extend(ignored.0.into_iter().map(|line| {
        Finding::new(&source.path, line, "an ignored test", "run it, with HITHER_FULL if it is long, or remove it")
    }));
    for (line, text) in (1..).zip(source.text.lines()) {
        if has_orphan(text) {
            let what = "a TODO without an issue";
            findings.push(Finding::new(
                &source.path,
                line,
                what,
                "write an issue and name it, `TODO(#12)`, or do it now",
            ));
        }
    }
    sorted(findings)
}

struct Unwraps(Vec<usize>);

impl<'ast> Visit<'ast> for Unwraps {
    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "unwrap" && call.args.is_empty() {
            self.0.push(call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        for argument in arguments(call) {
            self.visit_expr(&argument.clone());
        }
    }
}

struct Ignored(Vec<usize>);

impl<'ast> Visit<'ast> for Ignored {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("ignore") {
            self.0.push(attribute.pound_token.span.start().line);
        }
    }
}

/// Whether a comment on the line is a TODO, FIXME or XXX that no issue number follows.
fn has_orphan(line: &str) -> bool {
    let comments = line.split("//").skip(1).map(|comment| comment.trim_start_matches(['/', '!', ' ']));
    comments.into_iter().any(|comment| {
        ["TODO", "FIXME", "XXX"].iter().filter_map(|word| comment.strip_prefix(word)).any(|rest| {
            let number = rest.trim_start_matches([' ', '(', ':']).strip_prefix('#');
            let has_number = number.is_some_and(|number| number.starts_with(|digit: char| digit.is_ascii_digit()));
            !rest.starts_with(char::is_alphanumeric) && !has_number
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        let source = Source::parse(path, text.into()).unwrap();
        check(&source).iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn unwrap_is_for_tests() {
        assert_eq!(said("src/a.rs", "fn f() {\n    g()\n        .unwrap();\n}"), ["3: `unwrap`"]);
        assert_eq!(said("src/a.rs", "fn f() { println!(\"{}\", g().unwrap()); }"), ["1: `unwrap`"]);
        assert_eq!(said("src/a.rs", "fn f() { g().map(Option::unwrap) }"), ["1: `unwrap`"]);
        assert_eq!(said("src/a.rs", "fn f() { g().unwrap_or(1); h.unwrap(2) }"), [""; 0]);
        assert_eq!(said("src/a.rs", "#[cfg(test)] mod tests { fn f() { g().unwrap() } }"), [""; 0]);
        assert_eq!(said("tests/a.rs", "fn f() { g().unwrap() }"), [""; 0]);
    }

    #[test]
    fn no_test_is_ignored() {
        assert_eq!(said("tests/a.rs", "#[test]\n#[ignore]\nfn f() {}"), ["2: an ignored test"]);
        assert_eq!(
            said("src/a.rs", "#[cfg(test)] mod tests {\n#[test] #[ignore = \"slow\"] fn f() {} }"),
            ["2: an ignored test"]
        );
        assert_eq!(said("src/a.rs", "/// As `#[ignore]`.\nfn f() {}"), [""; 0]);
    }

    #[test]
    fn a_todo_names_its_issue() {
        let rows = [
            ("// {}: later", true),
            ("let x = 1; // {}", true),
            ("/// {} soon", true),
            ("// {} #x", true),
            ("// {}(#12): later", false),
            ("// {} #12", false),
            ("//! {} #12", false),
            ("f(\"http://a\"); // {}", true),
            ("// {}S are checked", false),
            ("// A {} names its issue.", false),
            ("let x = \"{}\";", false),
        ];
        for (line, expected) in rows {
            for word in ["TODO", "FIXME", "XXX"] {
                let line = line.replace("{}", word);
                assert_eq!(has_orphan(&line), expected, "{line}");
            }
        }
    }
}
