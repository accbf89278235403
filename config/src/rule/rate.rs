//! How often one client may ask.

use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;

use super::fields::header_name;
use crate::limits;
use crate::shape;
use crate::table::Table;
use crate::wrong::Wrong;

/// How often one client may ask an edge. What is more is answered with 429 and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Rate {
    /// So many requests in the time of `per`, also all at once. A reload takes it.
    #[schemars(transform = shape::integer(&limits::RATE_REQUESTS))]
    pub requests: u32,
    /// The time. Default: `1s`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::RATE_PER))]
    pub per: Duration,
    /// Who counts as one: `"client"`, an address (of IPv6 a /64), or `"header:NAME"`, a field's value; who sends none counts by
    /// address. Default: `"client"`. A reload takes it.
    #[schemars(with = "String", transform = shape::text("`\"client\"` or `\"header:NAME\"`", "^(client|header:.+)$"))]
    pub by: RateBy,
}

/// Who counts as one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RateBy {
    /// An address.
    #[default]
    Client,
    /// A field's value.
    Header(HeaderName),
}

pub(super) fn read(mut table: Table<'_>) -> Option<Rate> {
    let requests = table.required("requests", |v| v.integer(&limits::RATE_REQUESTS));
    let per = table.or("per", limits::RATE_PER.default, |v| v.duration(&limits::RATE_PER));
    let by = table.or("by", RateBy::Client, |v| v.parse(by));
    table.finish();
    Some(Rate { requests: requests?, per, by })
}

fn by(text: &str) -> Result<RateBy, Wrong> {
    match text.split_once(':') {
        None if text == "client" => Ok(RateBy::Client),
        Some(("header", name)) => header_name(name).map(RateBy::Header),
        _ => {
            Err(Wrong::new(format!("`{text}` does not say who counts as one"))
                .help("\"client\" or \"header:X-Api-Key\""))
        }
    }
}
