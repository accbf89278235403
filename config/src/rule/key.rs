//! What of a request its object is found by.

use http::HeaderName;
use schemars::JsonSchema;

use super::fields::header_name;
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// Which parameters of a query count. The origin gets what counts and nothing else, so that key and request agree; where
/// nothing is stored, it gets the query as it came.
#[derive(Clone, Debug, Default, JsonSchema)]
pub struct Query {
    /// These alone, `*` standing for anything: `["page", "size"]`. Default: all. A reload takes it.
    pub keep: Option<Vec<Pattern>>,
    /// All but these: `["utm_*", "fbclid"]`. Default: none. A reload takes it.
    pub ignore: Vec<Pattern>,
    /// Whether their order makes no difference; those of one name stay in theirs. Default: `false`. A reload takes it.
    pub sort: bool,
}

/// What else of a request makes a variant of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// A field, as the origin gets it.
    Header(HeaderName),
    /// A cookie's value.
    Cookie(String),
    /// The country that `[geo]` has for the client.
    Country,
    /// What kind of device the client is, by its User-Agent.
    Device,
}

impl KeyPart {
    /// Reads a part.
    ///
    /// # Errors
    /// It is none of those there are.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = || {
            Wrong::new(format!("`{text}` is not a part of a key"))
                .help("\"header:X-Plan\", \"cookie:lang\", \"country\" or \"device\"")
        };
        match text.split_once(':') {
            Some(("header", name)) => header_name(name).map(Self::Header),
            Some(("cookie", name)) if is_token(name) => Ok(Self::Cookie(name.to_owned())),
            None if text == "country" => Ok(Self::Country),
            None if text == "device" => Ok(Self::Device),
            _ => Err(wrong()),
        }
    }
}

/// RFC 6265 §4.1.1: a cookie's name is a token, as a field's is.
fn is_token(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

pub(crate) fn read_query(mut table: Table<'_>) -> Option<Query> {
    let keep = table.optional("keep", |v| v.list(|v| v.parse(Pattern::parse)));
    let ignore = table.list("ignore", |v| v.parse(Pattern::parse));
    let sort = table.or("sort", false, Value::boolean);
    if keep.is_some() && !ignore.is_empty() {
        let problem = Problem::fault(table.place_of("ignore"), "what is not in `keep` is ignored already");
        table.context().add(problem.help("leave out `keep` or `ignore`"));
    }
    table.finish();
    Some(Query { keep, ignore, sort })
}
