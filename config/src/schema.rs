//! The JSON Schema of the config files, and `docs/config.md`, both from the types' own docs.

use std::fmt::Write;

use schemars::{JsonSchema, Schema, schema_for};
use serde_json::Value;

use crate::network::{self, Network};
use crate::route::{Route, Routes};
use crate::site::{self, Site};

/// The schema of `hither.toml`.
#[must_use]
pub fn network() -> Schema {
    strict(schema_for!(Network))
}

/// The schema of `sites/*.toml`.
#[must_use]
pub fn site() -> Schema {
    strict(schema_for!(Site))
}

/// The schema of `routes.toml`.
#[must_use]
pub fn routes() -> Schema {
    strict(schema_for!(Routes))
}

/// Keys that must be written; every other has a default.
const REQUIRED: [&str; 10] =
    ["zone", "nameserver", "pop", "edge", "id", "addresses", "location", "origin", "servers", "cert"];

/// Makes a schema say what the reader does: keys with a default may be left out, unknown ones not
/// written.
fn strict(mut schema: Schema) -> Schema {
    let root = schema.ensure_object();
    let is_root_edge = root.get("title").and_then(Value::as_str) == Some("Network");
    for (name, value) in root.iter_mut() {
        if name == "$defs" {
            value.as_object_mut().into_iter().flatten().for_each(|(_, table)| tighten(table.as_object_mut()));
        }
    }
    tighten(Some(root));
    if is_root_edge {
        // `[edge]` of the network has defaults; `[[pop.edge]]` must be there.
        let required = root.get_mut("required").and_then(Value::as_array_mut);
        required.into_iter().for_each(|keys| keys.retain(|key| key != "edge"));
    }
    schema
}

fn tighten(table: Option<&mut serde_json::Map<String, Value>>) {
    let Some(table) = table.filter(|table| table.contains_key("properties")) else {
        return;
    };
    if let Some(keys) = table.get_mut("required").and_then(Value::as_array_mut) {
        keys.retain(|key| key.as_str().is_some_and(|key| REQUIRED.contains(&key)));
    }
    // A rule's alternatives carry properties of their own.
    if !table.contains_key("oneOf") {
        table.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

/// The reference of every table and key, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# The config directory\n\nGenerated from the code by `cargo xtask docs`.\n\n\
         Units are written: `\"20s\"`, `\"4GiB\"`, `\"10Gbps\"`. Unknown keys are refused.\n",
    );
    table::<Network>(&mut out, "hither.toml");
    table::<network::Admin>(&mut out, "hither.toml: [admin]");
    table::<network::Geo>(&mut out, "hither.toml: [geo]");
    table::<network::Dns>(&mut out, "hither.toml: [dns]");
    table::<network::Edge>(&mut out, "hither.toml: [edge]");
    table::<network::Health>(&mut out, "hither.toml: [health]");
    table::<network::Log>(&mut out, "hither.toml: [log]");
    table::<network::NameServer>(&mut out, "hither.toml: [[nameserver]]");
    table::<network::Pop>(&mut out, "hither.toml: [[pop]]");
    table::<network::EdgeNode>(&mut out, "hither.toml: [[pop.edge]]");
    table::<Site>(&mut out, "sites/*.toml");
    table::<site::Tls>(&mut out, "sites/*.toml: tls");
    table::<site::Origin>(&mut out, "sites/*.toml: [origin]");
    table::<site::Cache>(&mut out, "sites/*.toml: [cache]");
    table::<site::Rule>(&mut out, "sites/*.toml: [[rule]]");
    table::<site::Force>(&mut out, "sites/*.toml: force");
    table::<site::HeaderEdits>(&mut out, "sites/*.toml: headers");
    table::<Route>(&mut out, "routes.toml: [[route]]");
    out
}

fn table<T: JsonSchema>(out: &mut String, title: &str) {
    let schema = schema_for!(T);
    let about = text(schema.get("description"));
    let _ = write!(out, "\n## {title}\n\n{about}\n\n| key | meaning |\n|---|---|\n");
    for (key, meaning) in keys(&schema) {
        let _ = writeln!(out, "| `{key}` | {meaning} |");
    }
}

/// Keys and meanings of one table, alternatives of an enum included.
fn keys(schema: &Schema) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    let mut properties = |object: Option<&Value>| {
        for (key, value) in object.and_then(Value::as_object).into_iter().flatten() {
            keys.push((key.clone(), text(value.get("description"))));
        }
    };
    properties(schema.get("properties"));
    for alternative in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        properties(alternative.get("properties"));
    }
    keys
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use crate::table::{Context, Table, read_document};
    use std::path::Path;

    /// Reads a file with one key and returns what is said about it.
    fn said(key: &str, read: impl FnOnce(Table<'_>) -> Option<()>) -> String {
        let source = Source::new(Path::new("x.toml"), format!("{key} = 1979-05-27\n"));
        let context = Context::default();
        read_document(&context, &source, read);
        context.finish().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_key_of_the_schema_is_read() {
        let no_secret = |_: crate::table::Value<'_>| None;
        for (key, _) in keys(&network()) {
            let said = said(&key, |table| network::read(table, &no_secret).map(|_| ()));
            assert!(!said.contains("unknown key"), "{said}");
        }
        let id = crate::SiteId::parse("x").unwrap();
        for (key, _) in keys(&site()) {
            let id = id.clone();
            let said = said(&key, |table| site::read(table, id).map(|_| ()));
            assert!(!said.contains("unknown key"), "{said}");
        }
        let said = said("zoen", |table| network::read(table, &no_secret).map(|_| ()));
        assert!(said.contains("did you mean `zone`?"), "{said}");
    }
}
