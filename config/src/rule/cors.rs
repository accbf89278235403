//! Which pages of other hosts may read responses (CORS, the Fetch standard §3.2).

use std::time::Duration;

use http::{HeaderName, Method};
use schemars::JsonSchema;

use super::fields::header_name;
use crate::limits;
use crate::problem::Problem;
use crate::shape;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// Which pages of other hosts may read responses. The edge answers preflights, and writes its own fields over the origin's.
#[derive(Clone, Debug, JsonSchema)]
pub struct Cors {
    /// Whose pages: `["https://app.example"]`, or `["*"]` for all. A reload takes them.
    #[schemars(transform = shape::some(None))]
    pub origins: Vec<String>,
    /// What they may send, beside GET, HEAD and simple POSTs. Default: `GET`, `HEAD` and `POST`. A reload takes it.
    #[schemars(with = "Vec<String>", transform = shape::methods)]
    pub methods: Vec<Method>,
    /// Fields that they may send, such as `["Authorization"]`. Default: none beside the simple ones. A reload takes it.
    #[schemars(with = "Vec<String>", transform = shape::field_names)]
    pub headers: Vec<HeaderName>,
    /// Fields that they may read, beside the simple ones. Default: none. A reload takes it.
    #[schemars(with = "Vec<String>", transform = shape::field_names)]
    pub expose: Vec<HeaderName>,
    /// Whether cookies come along; not with `["*"]`, which would give every page the session of its visitor. Default: `false`.
    /// A reload takes it.
    pub credentials: bool,
    /// How long browsers keep the answer to a preflight; they have bounds of their own. Default: `1h`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::CORS_AGE))]
    pub max_age: Duration,
}

pub(super) fn read(mut table: Table<'_>) -> Option<Cors> {
    let origins = table.required("origins", |v| v.list(|v| v.parse(origin)));
    let methods = table.optional("methods", |v| v.list(|v| v.parse(super::method)));
    let methods = methods.unwrap_or_else(|| vec![Method::GET, Method::HEAD, Method::POST]);
    let headers = table.list("headers", |v| v.parse(header_name));
    let expose = table.list("expose", |v| v.parse(header_name));
    let credentials = table.or("credentials", false, Value::boolean);
    let max_age = table.or("max_age", limits::CORS_AGE.default, |v| v.duration(&limits::CORS_AGE));
    let is_for_all = origins.as_ref().is_some_and(|origins| origins.iter().any(|origin| origin == "*"));
    if table.has("origins") && table.is_empty("origins") {
        let problem = Problem::fault(table.place_of("origins"), "no page of any host could read anything");
        table.context().add(problem.help("name an origin, or leave `cors` out"));
    }
    if credentials && is_for_all {
        let message = "every page could act as its visitor: browsers refuse `credentials` for `*`";
        let problem = Problem::fault(table.place_of("credentials"), message);
        table.context().add(problem.help("name the origins"));
    }
    table.finish();
    Some(Cors { origins: origins?, methods, headers, expose, credentials, max_age })
}

/// An origin as browsers write it: scheme, host and a port that is not the scheme's own.
fn origin(text: &str) -> Result<String, Wrong> {
    let wrong = || Wrong::new(format!("`{text}` is not an origin")).help("as in \"https://app.example\", or \"*\"");
    let is_right = |text: &str| {
        let Ok(uri) = text.parse::<http::Uri>() else { return false };
        let is_odd = text.contains(['?', '@', '*', '#']) || text.matches('/').count() != 2;
        let is_own =
            matches!((uri.scheme_str(), uri.port_u16()), (Some("http"), Some(80)) | (Some("https"), Some(443)));
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some() && !is_odd && !is_own
    };
    if text == "*" || is_right(text) { Ok(text.to_ascii_lowercase()) } else { Err(wrong()) }
}
