//! The paths that code names: in imports, in expressions and types, and in macros' arguments.

use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Macro, Token, UseTree, Visibility};

/// A path as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The module it stands in, from the file's own: the names of the inline modules around it.
    pub(super) module: Vec<String>,
    /// Its names, without arguments; `*` at the end of a glob.
    pub(super) segments: Vec<String>,
    /// How it is named.
    pub(super) by: By,
    /// Where.
    pub(super) line: usize,
}

/// How a path is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// In code.
    Use,
    /// In a private import, under this name from then on.
    Import(String),
    /// In an import that others see, under this name.
    Reexport(String),
}

/// All paths of a file, in the order they are written.
pub(super) fn paths(file: &syn::File) -> Vec<Named> {
    let mut walk = Walk { module: Vec::new(), found: Vec::new() };
    walk.visit_file(file);
    walk.found
}

/// The expressions a macro is called with; none, where its arguments are not such.
pub(super) fn arguments(call: &Macro) -> Vec<Expr> {
    let parsed = call.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated);
    parsed.map(|list| list.into_iter().collect()).unwrap_or_default()
}

struct Walk {
    module: Vec<String>,
    found: Vec<Named>,
}

impl Walk {
    fn note(&mut self, segments: Vec<String>, by: By, line: usize) {
        self.found.push(Named { module: self.module.clone(), segments, by, line });
    }

    /// Notes each leaf of an import.
    fn import(&mut self, tree: &UseTree, mut before: Vec<String>, by: fn(String) -> By) {
        let mut leaf = |segments: Vec<String>, name: String| {
            self.note(segments, by(name), tree.span().start().line);
        };
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(&path.tree, before, by);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before.clone(), by);
                }
            }
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                leaf(before, last);
            }
            UseTree::Name(name) => {
                before.push(name.ident.to_string());
                leaf(before, name.ident.to_string());
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    before.push(rename.ident.to_string());
                }
                leaf(before, rename.rename.to_string());
            }
            UseTree::Glob(_) => {
                before.push("*".into());
                leaf(before, "*".into());
            }
        }
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Use(import) => {
                let by = if matches!(import.vis, Visibility::Inherited) { By::Import } else { By::Reexport };
                self.import(&import.tree, Vec::new(), by);
            }
            Item::Mod(module) => {
                self.module.push(module.ident.to_string());
                visit::visit_item(self, item);
                self.module.pop();
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(segments, By::Use, path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        for argument in arguments(call) {
            self.visit_expr(&argument.clone());
        }
    }

    // `pub(in crate::a)` and `#[derive(...)]` name paths without needing what they name.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_code_and_macro_arguments_name_paths() {
        let text = "pub use a::{B as C, d::{self, *}};\nmod m { use super::x; }\n\
                    fn f(y: crate::Y<z::Z>) { assert_eq!(w::g(1), 2); }\n";
        let found: Vec<String> = paths(&syn::parse_file(text).unwrap())
            .iter()
            .map(|named| format!("{} {:?} {:?} {}", named.segments.join("::"), named.by, named.module, named.line))
            .collect();
        let expected = [
            "a::B Reexport(\"C\") [] 1",
            "a::d Reexport(\"d\") [] 1",
            "a::d::* Reexport(\"*\") [] 1",
            "super::x Import(\"x\") [\"m\"] 2",
            "crate::Y Use [] 3",
            "z::Z Use [] 3",
            "w::g Use [] 3",
        ];
        assert_eq!(found, expected);
    }
}
