//! Fields that a rule sets and removes.

use http::HeaderName;
use schemars::JsonSchema;

use crate::shape;
use crate::table::Table;
use crate::template::Template;
use crate::wrong::Wrong;

/// Fields set and removed.
#[derive(Clone, Debug, Default, JsonSchema)]
pub struct HeaderEdits {
    /// `{ X-Name = "value" }`: replaces every line of that name. `${client_ip}`, `${host}`, `${scheme}`, `${target}`,
    /// `${site}` and `${edge}` in a value stand for what they name. None that frames the message, such as
    /// `Content-Length`. Default: none. A reload takes it.
    #[schemars(with = "std::collections::BTreeMap<String, String>", transform = shape::fields)]
    pub set: Vec<(HeaderName, Template)>,
    /// `["Server"]`: removes every line of that name. None that frames the message. Default: none. A
    /// reload takes it.
    #[schemars(with = "Vec<String>", transform = shape::field_names)]
    pub remove: Vec<HeaderName>,
}

impl HeaderEdits {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// Fields that frame or route a message, or belong to one connection (RFC 9110 §7.6.1): a rule may not touch them.
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "content-range",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of requests that the edge writes, or reads once more: loops (RFC 8586), conditions and ranges (RFC 9110 §13, §14).
pub(super) const OF_REQUESTS: [&str; 9] = [
    "cdn-loop",
    "via",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "expect",
];

/// Reads a table of edits, of which none may be of the edge's own fields.
pub(super) fn read(mut table: Table<'_>, own: &[&str]) -> Option<HeaderEdits> {
    let header_name = |text: &str| not_own(text, own);
    let set = table.optional("set", |v| {
        v.entries(|name, value| {
            let name = header_name(name).map_or_else(|wrong| value.wrong(wrong), Some)?;
            Some((name, value.parse(Template::parse)?))
        })
    });
    let remove = table.list("remove", |v| v.parse(header_name));
    table.finish();
    Some(HeaderEdits { set: set.unwrap_or_default(), remove })
}

/// The name of a field that is none of the edge's own.
fn not_own(text: &str, own: &[&str]) -> Result<HeaderName, Wrong> {
    let name = header_name(text)?;
    if own.contains(&name.as_str()) {
        let wrong = Wrong::new(format!("`{text}` is the edge's own and cannot be changed"));
        return Err(wrong.help("leave it out"));
    }
    Ok(name)
}

/// The name of a field that the edge may be told to add to requests.
///
/// # Errors
/// It is none, frames the message, or is the edge's own.
pub(crate) fn added_to_requests(text: &str) -> Result<HeaderName, Wrong> {
    not_own(text, &OF_REQUESTS)
}

/// The name of a field that rules may look at and change.
///
/// # Errors
/// It is none, or frames the message.
pub(super) fn header_name(text: &str) -> Result<HeaderName, Wrong> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Wrong::new(format!("`{text}` is not a header name")).help("letters, digits and hyphens"))?;
    if FRAMING.contains(&name.as_str()) {
        let wrong = Wrong::new(format!("`{text}` frames the message: rules neither look at it nor change it"));
        return Err(wrong.help("leave it out"));
    }
    Ok(name)
}
