//! Files under `secrets/`, and texts that must not be shown.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::shape;
use crate::source::Place;
use crate::table::Value;
use crate::wrong::Wrong;

/// A secret's text; `Debug` and logs show only that there is one.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret as read from its file, without the white space around it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The bytes, for a keyed hash or a comparison in constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A file under `secrets/`, and where it is named.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(with = "String", transform = shape::text("file name", shape::SECRET_FILE))]
pub struct SecretFile {
    /// Its name.
    pub name: PathBuf,
    /// Where the config names it.
    pub place: Place,
}

/// A file under `secrets/` as it is named.
pub(crate) fn secret_file(value: Value<'_>) -> Option<SecretFile> {
    let place = value.place();
    Some(SecretFile { name: value.parse(file)?, place })
}

/// A file's name under `secrets/`, which it may not leave.
pub(crate) fn file(text: &str) -> Result<PathBuf, Wrong> {
    if let Some(name) = text.strip_prefix("secrets/") {
        let wrong = Wrong::new(format!("`{text}` is meant from secrets/ on"));
        return Err(wrong.help(format!("write its name alone: \"{name}\"")));
    }
    let lawful = !text.is_empty() && !text.starts_with(['/', '.']) && !text.contains("..") && !text.contains('\0');
    if !lawful {
        let wrong = Wrong::new(format!("`{text}` is not a file under secrets/"));
        return Err(wrong.help("write its name alone, as in \"shop.pem\""));
    }
    Ok(PathBuf::from(text))
}
