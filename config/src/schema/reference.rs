//! `docs/config.md`: every table and key, in the operator's words.

use std::fmt::Write;

use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::complete;
use super::said::{Change, Said};
use crate::acme;
use crate::limits;
use crate::log;
use crate::maintenance::Maintenance;
use crate::network::{self, Network};
use crate::origin;
use crate::route::Route;
use crate::rule;
use crate::shape;
use crate::site::{self, Site};
use crate::tls;
use crate::transfer::Transfer;

/// A file of the config directory, with an example that loads.
pub(super) struct File {
    pub(super) name: &'static str,
    /// Where it lies in the example's directory.
    pub(super) path: &'static str,
    pub(super) example: &'static str,
    fence: &'static str,
    pub(super) tables: Vec<Table>,
}

/// A table of a file.
pub(super) struct Table {
    /// What stands above its keys; nothing for the file's own.
    pub(super) head: &'static str,
    pub(super) schema: Schema,
}

/// The reference of every table and key, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(BEGINNING);
    for file in files() {
        let _ = write!(out, "\n## {}\n", file.name);
        if file.path != file.name {
            let _ = write!(out, "\nAs `{}`:\n", file.path);
        }
        let _ = write!(out, "\n```{}\n{}\n```\n", file.fence, file.example.trim_end());
        if file.tables.is_empty() {
            out.push_str(&zones());
        }
        file.tables.iter().for_each(|table| write_table(&mut out, table));
    }
    out.push_str(SECRETS);
    out
}

/// Every file with its tables.
pub(super) fn files() -> [File; 4] {
    let toml = |name, path, example, tables| File { name, path, example, fence: "toml", tables };
    [
        toml("hither.toml", "hither.toml", include_str!("../../../docs/example/hither.toml"), network_tables()),
        toml("sites/*.toml", "sites/shop.toml", include_str!("../../../docs/example/sites/shop.toml"), site_tables()),
        toml(
            "routes.toml",
            "routes.toml",
            include_str!("../../../docs/example/routes.toml"),
            vec![table::<Route>("[[route]]")],
        ),
        File {
            name: "zones/*",
            path: "zones/shop.example",
            example: include_str!("../../../docs/example/zones/shop.example"),
            fence: "dns",
            tables: Vec::new(),
        },
    ]
}

fn network_tables() -> Vec<Table> {
    vec![
        table::<Network>(""),
        table::<network::Admin>("[admin]"),
        table::<network::Geo>("[geo]"),
        table::<network::Latency>("[latency]"),
        table::<network::Dns>("[dns]"),
        table::<tls::DnsTls>("[dns]\n[dns.tls]"),
        table::<network::Edge>("[edge]"),
        table::<network::Disk>("[edge]\n[edge.disk]"),
        table::<network::Health>("[health]"),
        table::<acme::Acme>("[acme]"),
        table::<acme::ExternalAccount>("[acme]\n[acme.account]"),
        table::<log::Log>("[log]"),
        table::<network::NameServer>("[[nameserver]]"),
        table::<Transfer>("[[transfer]]"),
        table::<network::Pop>("[[pop]]"),
        table::<network::EdgeNode>("[[pop]]\n[[pop.edge]]"),
    ]
}

fn site_tables() -> Vec<Table> {
    vec![
        table::<Site>(""),
        table::<tls::Tls>("[tls]"),
        table::<tls::Hsts>("[tls]\n[tls.hsts]"),
        table::<origin::Origin>("[origin]"),
        table::<origin::ClientCertificate>("[origin]\n[origin.client]"),
        table::<origin::Aws>("[origin]\n[origin.aws]"),
        table::<origin::OriginProbe>("[origin]\n[origin.probe]"),
        table::<site::Cache>("[cache]"),
        table::<rule::Query>("[cache.query]"),
        table::<rule::Rule>("[[rule]]"),
        table::<rule::Query>("[[rule]]\n[rule.query]"),
        table::<rule::Force>("[[rule]]\n[rule.force]"),
        table::<rule::HeaderEdits>("[[rule]]\n[rule.headers]"),
        table::<rule::HeaderEdits>("[[rule]]\n[rule.request_headers]"),
        table::<rule::Access>("[[rule]]\n[rule.deny]"),
        table::<rule::Access>("[[rule]]\n[rule.allow]"),
        table::<rule::SigningKey>("[[rule]]\n[[rule.signed]]"),
        table::<rule::Rate>("[[rule]]\n[rule.rate]"),
        table::<rule::Cors>("[[rule]]\n[rule.cors]"),
        table::<rule::Answer>("[[rule]]\n[rule.answer]"),
        table::<Maintenance>("[maintenance]"),
    ]
}

fn table<T: JsonSchema>(head: &'static str) -> Table {
    Table { head, schema: complete::<T>() }
}

impl Table {
    /// Its keys with their schemas, those that are required first.
    pub(super) fn keys(&self) -> Vec<(&str, &Value)> {
        let keys = self.schema.get("properties").and_then(Value::as_object);
        let mut keys: Vec<(&str, &Value)> =
            keys.into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect();
        keys.sort_by_key(|(key, _)| !self.is_required(key));
        keys
    }

    /// Whether a key must be written.
    pub(super) fn is_required(&self, key: &str) -> bool {
        has(self.schema.get("required"), key)
    }

    /// Whether it is one of those of which exactly one must be written.
    pub(super) fn is_alternative(&self, key: &str) -> bool {
        let alternatives = self.schema.get("oneOf").and_then(Value::as_array);
        alternatives.into_iter().flatten().any(|alternative| has(alternative.get("required"), key))
    }

    /// A key's schema with what its definition adds.
    fn resolve<'s>(&'s self, schema: &'s Value) -> Vec<&'s Value> {
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
        let definition = name.and_then(|name| self.schema.get("$defs")?.get(name));
        std::iter::once(schema).chain(definition).collect()
    }

    pub(super) fn find<'s>(&'s self, schema: &'s Value, keyword: &str) -> Option<&'s Value> {
        self.resolve(schema).into_iter().find_map(|schema| schema.get(keyword))
    }
}

fn has(keys: Option<&Value>, key: &str) -> bool {
    keys.and_then(Value::as_array).is_some_and(|keys| keys.iter().any(|name| name == key))
}

fn write_table(out: &mut String, table: &Table) {
    if let Some(title) = table.head.lines().last() {
        let _ = write!(out, "\n### `{title}`\n");
    }
    let about = Said::of(table.schema.as_value()).meaning;
    let _ = write!(
        out,
        "\n{about}\n\n| key | type | default | bounds | meaning | a change is |\n|---|---|---|---|---|---|\n"
    );
    for (key, schema) in table.keys() {
        let said = Said::of(schema);
        let default = match said.default {
            Some(default) => default,
            None if table.is_alternative(key) => "**one of the three**".to_owned(),
            None => "**required**".to_owned(),
        };
        let change = said.change.map(Change::word).unwrap_or_default();
        let meaning = format!("{}{}", said.meaning, variants(table, schema));
        let cells =
            [format!("`{key}`"), kind(table, schema), default, bounds(table, schema), meaning, change.to_owned()];
        let _ = writeln!(out, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
}

/// The type in the operator's words.
fn kind(table: &Table, schema: &Value) -> String {
    let find = |keyword| table.find(schema, keyword);
    if let Some(kind) = find(shape::KIND).and_then(Value::as_str) {
        return kind.to_owned();
    }
    if let Some(values) = choices(table, schema) {
        let values: Vec<String> = values.into_iter().map(|(value, _)| format!("`{value}`")).collect();
        return one_of(&values);
    }
    if let Some(kinds) = find("anyOf").and_then(Value::as_array) {
        return one_of(&kinds.iter().map(|schema| kind(table, schema)).collect::<Vec<_>>());
    }
    match find("type").and_then(Value::as_str) {
        Some("array") => {
            format!("list of {}", several(&find("items").map(|item| kind(table, item)).unwrap_or_default()))
        }
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("object") => "table".to_owned(),
        Some("string") => "text".to_owned(),
        other => other.unwrap_or_default().to_owned(),
    }
}

/// The values of which one is written, as written, with what each means.
fn choices(table: &Table, schema: &Value) -> Option<Vec<(String, String)>> {
    let find = |keyword| table.find(schema, keyword).and_then(Value::as_array);
    if let Some(values) = find("enum") {
        return Some(values.iter().map(|value| (value.to_string(), String::new())).collect());
    }
    let alternatives = find("oneOf")?;
    let choice = |schema: &Value| Some((schema.get("const")?.to_string(), Said::of(schema).meaning));
    alternatives.iter().map(choice).collect()
}

/// What each of a key's values means.
fn variants(table: &Table, schema: &Value) -> String {
    let choices = choices(table, schema).unwrap_or_default();
    choices.into_iter().filter(|(_, about)| !about.is_empty()).fold(String::new(), |mut out, (value, about)| {
        let _ = write!(out, " `{value}`: {about}");
        out
    })
}

fn one_of(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        words => words.concat(),
    }
}

fn several(kind: &str) -> String {
    if kind.ends_with(char::is_alphabetic) { format!("{kind}s") } else { kind.to_owned() }
}

/// Least and most, of a list's items too.
fn bounds(table: &Table, schema: &Value) -> String {
    let find = |keyword| table.find(schema, keyword);
    let mut out = Vec::new();
    if let Some(degrees) = find("prefixItems").and_then(Value::as_array) {
        out.extend(degrees.iter().map(|schema| bounds(table, schema)));
        return out.join(", ");
    }
    if let (Some(least), Some(most)) = (find(shape::LEAST), find(shape::MOST)) {
        out.push(format!("`{}` to `{}`", plain(least), plain(most)));
    }
    if let (Some(least), Some(most)) = (find("minimum"), find("maximum")) {
        out.push(format!("{least} to {most}"));
    }
    if let Some(most) = find("maxLength") {
        out.push(format!("at most {most} bytes"));
    }
    match (find("minItems"), find("maxItems")) {
        (Some(least), Some(most)) => out.push(format!("{least} to {most}")),
        (Some(least), None) => out.push(format!("at least {least}")),
        (None, _) => {}
    }
    for item in find("items").into_iter().chain(find("anyOf").and_then(Value::as_array).into_iter().flatten()) {
        // A list's own tables have bounds of their own.
        out.extend(Some(bounds(table, item)).filter(|bounds| !bounds.is_empty()));
    }
    out.join("; ")
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What is said of zones, with their bounds.
fn zones() -> String {
    let bounds = [
        ("{records}", limits::ZONE_RECORDS),
        ("{includes}", limits::ZONE_INCLUDES),
        ("{depth}", limits::ZONE_INCLUDE_DEPTH),
    ];
    bounds.iter().fold(ZONES.to_owned(), |text, (name, bound)| text.replace(name, &bound.to_string()))
}

const BEGINNING: &str = include_str!("beginning.md");
const ZONES: &str = include_str!("zones.md");
const SECRETS: &str = include_str!("secrets.md");
