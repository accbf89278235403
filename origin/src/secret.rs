//! Fields by which edges show servers who they are.

use config::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Puts secrets in the place of a client's fields of these names.
pub(crate) fn add_secrets(headers: &mut HeaderMap, secrets: &[(HeaderName, Secret)]) {
    for (name, secret) in secrets {
        // The config's reader has refused what is none.
        if let Ok(mut value) = HeaderValue::from_bytes(secret.as_bytes()) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
}
