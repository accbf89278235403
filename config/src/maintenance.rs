//! `[maintenance]`: a page in the place of a site that is being worked on.

use std::time::Duration;

use http::HeaderValue;
use schemars::JsonSchema;

use crate::limits;
use crate::prefix::Prefix;
use crate::rule::read_page;
use crate::shape;
use crate::table::{Table, Value};

/// A page in the place of a site that is being worked on: status 503, for everybody but those of `except`. What is stored
/// stays, and is served when `on` is `false` again.
#[derive(Clone, Debug, JsonSchema)]
pub struct Maintenance {
    /// Whether it is so now. Default: `false`. A reload takes it.
    pub on: bool,
    /// Clients in these networks see the site: `["192.0.2.0/24"]`. Default: none. A reload takes it.
    pub except: Vec<Prefix>,
    /// What Retry-After says. Default: `5m`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::RETRY_AFTER))]
    pub retry_after: Duration,
    /// The page; `"""` begins and ends one of several lines. At most 64 KiB. Default: a line. A reload takes it.
    pub body: String,
    /// Its Content-Type. Default: `text/plain; charset=utf-8`. A reload takes it.
    #[schemars(rename = "type", with = "String")]
    pub content_type: HeaderValue,
}

pub(crate) fn read(mut table: Table<'_>) -> Option<Maintenance> {
    let on = table.or("on", false, Value::boolean);
    let except = table.list("except", |v| v.parse(Prefix::parse));
    let retry_after = table.or("retry_after", limits::RETRY_AFTER.default, |v| v.duration(&limits::RETRY_AFTER));
    let (mut body, content_type) = read_page(&mut table);
    table.finish();
    if body.is_empty() {
        "503 this site is being worked on\n".clone_into(&mut body);
    }
    Some(Maintenance { on, except, retry_after, body, content_type })
}
