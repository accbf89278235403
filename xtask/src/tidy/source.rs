//! A Rust file, with its tests set apart.

use syn::punctuated::Punctuated;
use syn::{Attribute, Item, Meta, Token};

use super::finding::Finding;

/// A Rust file.
pub(super) struct Source {
    /// From the project's root, with `/`.
    pub(super) path: String,
    /// As it is written.
    pub(super) text: String,
    /// All of it.
    pub(super) whole: syn::File,
    /// What is not a test; nothing, if the file is one.
    pub(super) code: syn::File,
}

impl Source {
    /// Parses a file. What is under `tests` or `benches`, or called `tests.rs`, is a test.
    pub(super) fn parse(path: &str, text: String) -> Result<Self, Finding> {
        let whole = syn::parse_file(&text).map_err(|error| {
            let line = error.span().start().line;
            Finding::new(path, line, format!("does not parse: {error}"), "make it Rust")
        })?;
        let mut code = whole.clone();
        code.items.retain_mut(strip_tests);
        let is_test = whole.attrs.iter().any(is_for_tests);
        let mut source = Self { path: path.into(), text, whole, code };
        if is_test || path.split('/').any(|step| matches!(step, "tests" | "tests.rs" | "benches")) {
            source.become_test();
        }
        Ok(source)
    }

    /// Takes all of the file as a test.
    pub(super) fn become_test(&mut self) {
        self.code.items.clear();
    }

    /// The files it declares as modules for tests only, without `.rs`.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder,
            _ => self.path.trim_end_matches(".rs"),
        };
        let modules = self.whole.items.iter().filter_map(|item| match item {
            Item::Mod(module) if module.content.is_none() && module.attrs.iter().any(is_for_tests) => Some(module),
            _ => None,
        });
        modules.map(|module| format!("{folder}/{}", module.ident)).collect()
    }
}

/// Strips the tests within an item; false, if it is itself one.
fn strip_tests(item: &mut Item) -> bool {
    match item {
        Item::Mod(module) => {
            if let Some((_, items)) = &mut module.content {
                items.retain_mut(strip_tests);
            }
            !module.attrs.iter().any(is_for_tests)
        }
        Item::Impl(block) => {
            block.items.retain(|item| match item {
                syn::ImplItem::Fn(function) => !function.attrs.iter().any(is_for_tests),
                _ => true,
            });
            !block.attrs.iter().any(is_for_tests)
        }
        Item::Fn(function) => !function.attrs.iter().any(is_for_tests),
        Item::Use(import) => !import.attrs.iter().any(is_for_tests),
        Item::Const(item) => !item.attrs.iter().any(is_for_tests),
        Item::Static(item) => !item.attrs.iter().any(is_for_tests),
        Item::Struct(item) => !item.attrs.iter().any(is_for_tests),
        Item::Enum(item) => !item.attrs.iter().any(is_for_tests),
        Item::Trait(item) => !item.attrs.iter().any(is_for_tests),
        Item::Macro(item) => !item.attrs.iter().any(is_for_tests),
        _ => true,
    }
}

/// Whether the attribute is `#[test]`, one like it, or `#[cfg(test)]`.
fn is_for_tests(attribute: &Attribute) -> bool {
    let is_test = attribute.path().segments.last().is_some_and(|last| last.ident == "test");
    is_test || attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(|meta| needs_test(&meta))
}

/// Whether the condition holds in tests only.
fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|conditions| conditions.iter().any(needs_test)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_set_apart() {
        let rows = [
            ("src/a.rs", "fn f() {}", 1),
            ("src/a.rs", "#[cfg(test)] mod tests { fn f() {} }", 0),
            ("src/a.rs", "#[cfg(all(test, unix))] fn f() {}", 0),
            ("src/a.rs", "#[cfg(any(test, unix))] fn f() {}", 1),
            ("src/a.rs", "#[cfg(not(test))] fn f() {}", 1),
            ("src/a.rs", "#[test] fn f() {} #[tokio::test] async fn g() {} fn h() {}", 1),
            ("src/a.rs", "#![cfg(test)] fn f() {}", 0),
            ("src/a/tests.rs", "fn f() {}", 0),
            ("src/tests/a.rs", "fn f() {}", 0),
            ("tests/a.rs", "fn f() {}", 0),
        ];
        for (path, text, expected) in rows {
            let source = Source::parse(path, text.into()).unwrap();
            assert_eq!(source.code.items.len(), expected, "{path}: {text}");
        }
    }

    #[test]
    fn a_file_that_is_not_rust_is_a_finding() {
        let finding = Source::parse("src/a.rs", "fn f() {}\nfn {".into()).map(|_| ()).unwrap_err();
        assert_eq!(finding.line, 2, "{finding}");
    }
}
