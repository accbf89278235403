//! Keys by which URLs are signed.

use schemars::JsonSchema;

use crate::limits;
use crate::secret::Secret;
use crate::shape;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// A key by which URLs are signed. With two a URL may be signed by either, so that one can be replaced: add the new one first,
/// and take the old one away when the last URL that it signed has expired.
#[derive(Clone, Debug, JsonSchema)]
pub struct SigningKey {
    /// Its name in URLs: letters, digits, `-` and `_`. A reload takes it.
    #[schemars(transform = shape::text("name", "^[A-Za-z0-9_-]{1,32}$"))]
    pub id: String,
    /// The file under `secrets/` whose text is the key: at least 16 characters. A reload takes it.
    #[schemars(with = "String", transform = shape::text("file name", shape::SECRET_FILE))]
    pub file: Secret,
}

/// Reads a rule's keys: one or two.
pub(super) fn read(value: Value<'_>, secret: &dyn Fn(Value<'_>) -> Option<Secret>) -> Option<Vec<SigningKey>> {
    let (context, place) = (value.context(), value.place());
    let is_empty = value.is_empty_list();
    let keys = value.list(|v| v.table(|table| read_key(table, secret)))?;
    let is_twice = keys.iter().enumerate().any(|(at, key)| keys.iter().skip(at + 1).any(|other| other.id == key.id));
    let (message, help) = match keys.len() {
        0 if is_empty => ("no URL could ever be signed", "leave `signed` out, or name a key"),
        0..=limits::SIGNING_KEYS if is_twice => ("two keys have the same `id`", "give each a name of its own"),
        0..=limits::SIGNING_KEYS => return Some(keys),
        _ => ("there are more than two keys", "one that signs, and one that is replaced"),
    };
    context.add(crate::problem::Problem::fault(place, message).help(help));
    None
}

fn read_key(mut table: Table<'_>, secret: &dyn Fn(Value<'_>) -> Option<Secret>) -> Option<SigningKey> {
    let id = table.required("id", |v| v.parse(id));
    let file = table.required("file", secret);
    table.finish();
    Some(SigningKey { id: id?, file: file? })
}

fn id(text: &str) -> Result<String, Wrong> {
    let is_lawful = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_right = (1..=32).contains(&text.len()) && text.bytes().all(is_lawful);
    let wrong = || Wrong::new(format!("`{text}` is not a key's name")).help("1 to 32 letters, digits, `-` and `_`");
    is_right.then(|| text.to_owned()).ok_or_else(wrong)
}
