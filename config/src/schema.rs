//! The JSON Schema of the config files, and `docs/config.md`, both from the types' own docs.
//!
//! ```text
//! type + its docs ─ schemars ─> complete ─┬─ publish ──> docs/schema/*.json
//!                                         └─ reference ─> docs/config.md
//! ```
//!
//! A key's doc says its meaning, then `Default: …`, then what a reload does. A key without a default is
//! required.

mod reference;
mod said;

use schemars::{JsonSchema, Schema, schema_for};
use serde_json::{Map, Value, json};

use crate::network::Network;
use crate::route::Routes;
use crate::shape;
use crate::site::Site;

pub use self::reference::reference;
use self::said::Said;

/// The schema of `hither.toml`.
#[must_use]
pub fn network() -> Schema {
    publish(complete::<Network>())
}

/// The schema of `sites/*.toml`.
#[must_use]
pub fn site() -> Schema {
    publish(complete::<Site>())
}

/// The schema of `routes.toml`.
#[must_use]
pub fn routes() -> Schema {
    publish(complete::<Routes>())
}

/// A type's schema, made to say what the reader does.
fn complete<T: JsonSchema>() -> Schema {
    let mut schema = schema_for!(T);
    each_object(schema.ensure_object(), &mut |object| {
        drop_null(object);
        drop_rust(object);
        close_table(object);
    });
    schema
}

/// A schema as others read it: with bounds in words, without the keywords that are only ours.
fn publish(mut schema: Schema) -> Schema {
    each_object(schema.ensure_object(), &mut |object| {
        let bounds = (object.remove(shape::LEAST), object.remove(shape::MOST));
        if let ((Some(least), Some(most)), Some(about)) = (bounds, object.get_mut("description")) {
            let words = [&*about, &least, &most].map(|value| value.as_str().unwrap_or_default().to_owned());
            let [about_text, least, most] = words;
            *about = json!(format!("{about_text} From `{least}` to `{most}`."));
        }
        object.remove(shape::KIND);
    });
    schema
}

/// Visits every object of a schema, the innermost first.
fn each_object(object: &mut Map<String, Value>, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    for value in object.values_mut() {
        each_object_of(value, visit);
    }
    visit(object);
}

fn each_object_of(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => each_object(object, visit),
        Value::Array(items) => items.iter_mut().for_each(|item| each_object_of(item, visit)),
        _ => {}
    }
}

/// TOML has no null: a key that may be left out is left out.
fn drop_null(object: &mut Map<String, Value>) {
    let null = json!("null");
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| *name != null);
        if let [name] = types.as_slice() {
            let name = name.clone();
            object.insert("type".to_owned(), name);
        }
    }
    if let Some(Value::Array(alternatives)) = object.get_mut("anyOf") {
        alternatives.retain(|alternative| alternative.get("type") != Some(&null));
        if let [Value::Object(only)] = alternatives.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (keyword, value) in only {
                object.entry(keyword).or_insert(value);
            }
        }
    }
}

/// Formats that are Rust's, not the standard's.
fn drop_rust(object: &mut Map<String, Value>) {
    const FORMATS: [&str; 6] = ["uint8", "uint16", "uint32", "uint64", "double", "ip"];
    if object.get("format").and_then(Value::as_str).is_some_and(|format| FORMATS.contains(&format)) {
        object.remove("format");
    }
}

/// Lets a table have its keys and no others, and asks for those without a default.
fn close_table(object: &mut Map<String, Value>) {
    if object.get("type").and_then(Value::as_str) != Some("object") || !object.contains_key("properties") {
        return;
    }
    let alternatives = lift_alternatives(object);
    let Some(Value::Object(keys)) = object.get_mut("properties") else {
        return;
    };
    let mut required = Vec::new();
    for (key, value) in keys {
        let is_free = alternatives.contains(key) || Said::of(value).default.is_some();
        if let Some(value) = value.as_object_mut().filter(|_| !is_free) {
            value.remove("default");
            required.push(key.clone());
        }
    }
    object.insert("required".to_owned(), json!(required));
    object.insert("additionalProperties".to_owned(), json!(false));
}

/// Puts the keys of which a table has exactly one among its keys, and returns them.
fn lift_alternatives(object: &mut Map<String, Value>) -> Vec<String> {
    let Some(Value::Array(alternatives)) = object.get_mut("oneOf") else {
        return Vec::new();
    };
    let mut lifted = Map::new();
    for alternative in alternatives {
        let about = alternative.get("description").cloned().unwrap_or_default();
        let Some(Value::Object(keys)) = alternative.get_mut("properties").map(Value::take) else {
            continue;
        };
        *alternative = json!({ "required": keys.keys().collect::<Vec<_>>() });
        for (key, mut value) in keys {
            if let Some(value) = value.as_object_mut() {
                value.entry("description").or_insert_with(|| about.clone());
            }
            lifted.insert(key, value);
        }
    }
    let names = lifted.keys().cloned().collect();
    if let Some(Value::Object(keys)) = object.get_mut("properties") {
        keys.extend(lifted);
    }
    names
}

#[cfg(test)]
mod tests;
