//! What a written value looks like: its word in the reference, its pattern and bounds in the schema.
//!
//! Each function is a field's or type's `#[schemars(transform = …)]`. Numbers come from [`limits`],
//! units from where they are read, so that neither has a second list.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::Schema;
use serde_json::{Value, json};

use crate::limits::{self, Bounds};
use crate::units;

/// The operator's word for a value.
pub(crate) const KIND: &str = "x-kind";
/// The least that is accepted, where a schema can only hold a pattern.
pub(crate) const LEAST: &str = "x-least";
/// The most that is accepted, as [`LEAST`].
pub(crate) const MOST: &str = "x-most";

/// `ip:port`, an IPv6 address in brackets.
const SOCKET: &str = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]):[0-9]{1,5}$";
/// A field name (RFC 9110 §5.1).
const FIELD_NAME: &str = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

/// A length of time with its unit.
pub(crate) fn duration(bounds: &Bounds<Duration>) -> impl FnMut(&mut Schema) + use<> {
    let texts = [bounds.least, bounds.default, bounds.most].map(units::show_duration);
    with_unit("duration `\"20s\"`", units::duration_pattern(), texts)
}

/// As [`duration`], where nothing written is none.
pub(crate) fn duration_or_none(bounds: &Bounds<Duration>) -> impl FnMut(&mut Schema) + use<> {
    let [least, most] = [bounds.least, bounds.most].map(units::show_duration);
    move |schema| {
        let kind = "duration `\"20s\"`";
        put(schema, json!({ KIND: kind, "pattern": units::duration_pattern(), LEAST: least, MOST: most }));
    }
}

/// A number of bytes with its unit.
pub(crate) fn size(bounds: &Bounds<u64>) -> impl FnMut(&mut Schema) + use<> {
    let texts = [bounds.least, bounds.default, bounds.most].map(units::show_size);
    with_unit("size `\"4GiB\"`", units::size_pattern(), texts)
}

/// A bit rate with its unit.
pub(crate) fn rate(bounds: &Bounds<u64>) -> impl FnMut(&mut Schema) + use<> {
    let texts = [bounds.least, bounds.default, bounds.most].map(units::show_rate);
    with_unit("bit rate `\"10Gbps\"`", units::rate_pattern(), texts)
}

fn with_unit(
    kind: &'static str,
    pattern: String,
    [least, default, most]: [String; 3],
) -> impl FnMut(&mut Schema) + use<> {
    move |schema| {
        give_default(schema, "string", json!(default));
        put(schema, json!({ KIND: kind, "pattern": pattern, LEAST: least, MOST: most }));
    }
}

/// A whole number.
pub(crate) fn integer<T: Copy + Into<u64>>(bounds: &Bounds<T>) -> impl FnMut(&mut Schema) + use<T> {
    let [least, default, most]: [u64; 3] = [bounds.least, bounds.default, bounds.most].map(Into::into);
    move |schema| {
        give_default(schema, "integer", json!(default));
        put(schema, json!({ KIND: "whole number", "minimum": least, "maximum": most }));
    }
}

/// A whole number, or nothing.
pub(crate) fn integer_or_none<T: Copy + Into<u64>>(bounds: &Bounds<T>) -> impl FnMut(&mut Schema) + use<T> {
    let [least, most]: [u64; 2] = [bounds.least, bounds.most].map(Into::into);
    move |schema| put(schema, json!({ "minimum": least, "maximum": most }))
}

/// One of a few whole numbers.
pub(crate) fn one_of(numbers: &'static [u16], default: u16) -> impl FnMut(&mut Schema) + use<> {
    move |schema| {
        schema.remove("minimum");
        schema.remove("maximum");
        put(schema, json!({ "enum": numbers, "default": default }));
    }
}

/// A text of its own kind.
pub(crate) fn text(kind: &'static str, pattern: &'static str) -> impl FnMut(&mut Schema) + use<> {
    move |schema| put(schema, json!({ KIND: kind, "pattern": pattern }))
}

/// A text of its own kind, of so many bytes at most.
pub(crate) fn text_within(
    kind: &'static str,
    pattern: &'static str,
    most_bytes: usize,
) -> impl FnMut(&mut Schema) + use<> {
    move |schema| put(schema, json!({ KIND: kind, "pattern": pattern, "maxLength": most_bytes }))
}

/// A list with at least one item, and perhaps no more than so many.
pub(crate) fn some(most: Option<usize>) -> impl FnMut(&mut Schema) + use<> {
    move |schema| {
        put(schema, json!({ "minItems": 1 }));
        if let Some(most) = most {
            put(schema, json!({ "maxItems": most }));
        }
    }
}

/// A file or directory of the machine.
pub(crate) fn path(schema: &mut Schema) {
    put(schema, json!({ KIND: "path" }));
}

/// Several of them.
pub(crate) fn paths(schema: &mut Schema) {
    put(schema, json!({ "items": { "type": "string", KIND: "path" } }));
}

/// An address with its port.
pub(crate) fn socket(schema: &mut Schema) {
    put(schema, json!({ KIND: "`\"ip:port\"`", "pattern": SOCKET }));
}

/// Several of them.
pub(crate) fn sockets(schema: &mut Schema) {
    put(schema, json!({ "items": { "type": "string", KIND: "`\"ip:port\"`", "pattern": SOCKET } }));
}

/// A port, or several addresses with theirs.
pub(crate) fn listen(schema: &mut Schema) {
    let port = json!({
        "type": "integer", KIND: "port", "minimum": limits::PORT.least, "maximum": limits::PORT.most,
    });
    let list = json!({ "type": "array", "items": { "type": "string", KIND: "`\"ip:port\"`", "pattern": SOCKET } });
    put(schema, json!({ "anyOf": [port, list] }));
}

/// Addresses, at least one.
pub(crate) fn addresses(schema: &mut Schema) {
    let address = json!({ "type": "string", KIND: "`\"ip\"`", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] });
    put(schema, json!({ "items": address, "minItems": 1 }));
}

/// Degrees north and east.
pub(crate) fn location(schema: &mut Schema) {
    let degrees = |most: u8| json!({ "type": "number", "minimum": -i16::from(most), "maximum": most });
    schema.remove("items");
    put(
        schema,
        json!({
            KIND: "`[latitude, longitude]`", "prefixItems": [degrees(90), degrees(180)],
            "minItems": 2, "maxItems": 2,
        }),
    );
}

/// A table that names a file under `secrets/`.
pub(crate) fn secret_file_table(schema: &mut Schema) {
    let file = json!({ "type": "string", "description": "A file under `secrets/`.", "pattern": SECRET_FILE });
    put(schema, json!({ KIND: "`{ file = \"admin.token\" }`", "properties": { "file": file } }));
}

/// A table, or `"auto"` in its place.
pub(crate) fn table_or_auto(schema: &mut Schema) {
    if let Some(forms) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        forms.push(json!({ "const": "auto" }));
    }
    put(schema, json!({ KIND: "table or `\"auto\"`" }));
}

/// A file's name under `secrets/`, which it may not leave.
pub(crate) const SECRET_FILE: &str = r"^[^/.\x00]";

/// Whole numbers.
pub(crate) fn integers<T: Copy + Into<u64>>(bounds: &Bounds<T>) -> impl FnMut(&mut Schema) + use<T> {
    let [least, most]: [u64; 2] = [bounds.least, bounds.most].map(Into::into);
    move |schema| {
        let items = json!({ "type": "integer", "minimum": least, "maximum": most });
        put(schema, json!({ KIND: "list of whole numbers", "items": items }));
    }
}

/// Fields by name, with files under `secrets/`.
pub(crate) fn secret_fields(schema: &mut Schema) {
    let files = json!({ "type": "string", "pattern": SECRET_FILE });
    put(
        schema,
        json!({ KIND: "table of file names", "propertyNames": { "pattern": FIELD_NAME }, "additionalProperties": files }),
    );
}

/// Fields by name.
pub(crate) fn fields(schema: &mut Schema) {
    put(schema, json!({ KIND: "table of texts", "propertyNames": { "pattern": FIELD_NAME } }));
}

/// Names of fields.
pub(crate) fn field_names(schema: &mut Schema) {
    put(schema, json!({ "items": { "type": "string", KIND: "field name", "pattern": FIELD_NAME } }));
}

/// Methods (RFC 9110 §9.1).
pub(crate) fn methods(schema: &mut Schema) {
    put(schema, json!({ "items": { "type": "string", KIND: "method", "pattern": FIELD_NAME } }));
}

/// Durations by status.
pub(crate) fn durations_by_status(schema: &mut Schema) {
    let statuses = json!({ "pattern": "^([2-5]xx|[2-5][0-9]{2})$" });
    put(schema, json!({ KIND: "table of durations", "propertyNames": statuses }));
}

/// Parts of a key.
pub(crate) fn key_parts(schema: &mut Schema) {
    let pattern = r"^(device|country|(header|cookie):[A-Za-z0-9!#$%&'*+.^_`|~-]+)$";
    put(schema, json!({ "items": { "type": "string", KIND: "part of a key", "pattern": pattern } }));
}

/// Hosts, or none.
pub(crate) fn referers(schema: &mut Schema) {
    put(schema, json!({ "items": { "type": "string", KIND: "host or `\"none\"`" } }));
}

/// Only what cannot be left out of the config's type has a default in its bounds.
fn give_default(schema: &mut Schema, plain: &str, default: Value) {
    if schema.get("type").and_then(Value::as_str) == Some(plain) {
        schema.insert("default".to_owned(), default);
    }
}

fn put(schema: &mut Schema, keywords: Value) {
    let keywords: BTreeMap<String, Value> = serde_json::from_value(keywords).unwrap_or_default();
    for (keyword, value) in keywords {
        schema.insert(keyword, value);
    }
}
