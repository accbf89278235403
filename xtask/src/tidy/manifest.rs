//! What the checks need of a Cargo.toml, with lines.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A crate's Cargo.toml.
pub(super) struct Manifest {
    /// From the root.
    pub(super) path: String,
    /// What the crate is built from; what only its tests need is left out.
    pub(super) needs: Vec<Need>,
    /// Whether the workspace's lints hold in it.
    pub(super) has_lints: bool,
}

/// One dependency.
pub(super) struct Need {
    /// The package's name.
    pub(super) package: String,
    /// Its folder from the root, if it is a crate of this workspace.
    pub(super) folder: Option<String>,
    /// Where it is written.
    pub(super) line: usize,
}

/// The `[workspace.dependencies]`: key to package and folder.
#[derive(Default)]
pub(super) struct Shared(BTreeMap<String, (String, Option<String>)>);

impl Shared {
    /// Reads the root's Cargo.toml; also returns the members' folders.
    pub(super) fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let document = parse("Cargo.toml", text)?;
        let workspace = table(document.get_ref(), "workspace").ok_or("Cargo.toml: no [workspace]")?;
        let members = workspace.get("members").and_then(|members| members.get_ref().as_array());
        let members = members.into_iter().flat_map(|members| members.iter());
        let members = members.filter_map(|member| member.get_ref().as_str()).map(String::from).collect();
        let mut shared = BTreeMap::new();
        for (key, value) in table(workspace, "dependencies").into_iter().flat_map(|needs| needs.iter()) {
            let key = key.get_ref().to_string();
            let package = text_of(value.get_ref(), "package").unwrap_or_else(|| key.clone());
            shared.insert(key, (package, text_of(value.get_ref(), "path")));
        }
        Ok((Self(shared), members))
    }
}

impl Manifest {
    /// Reads the Cargo.toml of the crate in `folder`.
    pub(super) fn parse(path: &str, text: &str, folder: &str, shared: &Shared) -> Result<Self, String> {
        let document = parse(path, text)?;
        let document = document.get_ref();
        let platforms = table(document, "target").into_iter().flat_map(|target| target.values());
        let platforms = platforms.filter_map(|platform| platform.get_ref().as_table());
        let mut needs = Vec::new();
        for place in platforms.chain([document]) {
            for kind in ["dependencies", "build-dependencies"] {
                let listed = table(place, kind).into_iter().flat_map(|needs| needs.iter());
                needs.extend(listed.map(|(key, value)| {
                    let (package, folder) = named(key.get_ref(), value.get_ref(), folder, shared);
                    Need { package, folder, line: line_at(text, key.span().start) }
                }));
            }
        }
        let lints = table(document, "lints").and_then(|lints| lints.get("workspace"));
        let has_lints = lints.and_then(|value| value.get_ref().as_bool()) == Some(true);
        Ok(Self { path: path.into(), needs, has_lints })
    }
}

/// The package and folder that a dependency's entry means.
fn named(key: &str, value: &DeValue<'_>, folder: &str, shared: &Shared) -> (String, Option<String>) {
    let is_shared = value.as_table().is_some_and(|entry| entry.contains_key("workspace"));
    if is_shared && let Some((package, folder)) = shared.0.get(key) {
        return (package.clone(), folder.clone());
    }
    let package = text_of(value, "package").unwrap_or_else(|| key.into());
    (package, text_of(value, "path").map(|path| resolve(folder, &path)))
}

/// A path written in `folder`, from the root.
fn resolve(folder: &str, path: &str) -> String {
    let mut steps: Vec<&str> = folder.split('/').filter(|step| !step.is_empty()).collect();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    steps.join("/")
}

fn parse<'a>(path: &str, text: &'a str) -> Result<Spanned<DeTable<'a>>, String> {
    DeTable::parse(text).map_err(|error| format!("{path}: {error}"))
}

fn table<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    table.get(key)?.get_ref().as_table()
}

fn text_of(value: &DeValue<'_>, key: &str) -> Option<String> {
    value.as_table()?.get(key)?.get_ref().as_str().map(String::from)
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_named_by_package_folder_and_line() {
        let root = "[workspace]\nmembers = [\"config\"]\n\
                    [workspace.dependencies]\nconfig = { package = \"hither-config\", path = \"config\" }\nbytes = \"1\"\n";
        let (shared, members) = Shared::parse(root).unwrap();
        assert_eq!(members, ["config"]);
        let text = "[dependencies]\nconfig.workspace = true\nbytes.workspace = true\n\
                    lower = { package = \"hither-lower\", path = \"../lower\" }\n\
                    [dev-dependencies]\ntempfile = \"3\"\n\
                    [target.'cfg(unix)'.dependencies]\nnix = \"1\"\n[lints]\nworkspace = true\n";
        let manifest = Manifest::parse("dns/mapping/Cargo.toml", text, "dns/mapping", &shared).unwrap();
        let needs: Vec<_> =
            manifest.needs.iter().map(|need| (need.package.as_str(), need.folder.as_deref(), need.line)).collect();
        let expected = [
            ("nix", None, 8),
            ("bytes", None, 3),
            ("hither-config", Some("config"), 2),
            ("hither-lower", Some("dns/lower"), 4),
        ];
        assert_eq!(needs, expected);
        assert!(manifest.has_lints);
    }
}
