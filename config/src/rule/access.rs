//! Whom a rule serves and whom it refuses.

use schemars::JsonSchema;

use crate::host::{HostName, HostPattern};
use crate::id::CountryCode;
use crate::prefix::Prefix;
use crate::shape;
use crate::table::Table;
use crate::wrong::Wrong;

/// Requests by where they come from. With several lists one that matches is enough to be refused, and each must match to be
/// served.
#[derive(Clone, Debug, Default, JsonSchema)]
pub struct Access {
    /// Clients in these networks: `["192.0.2.0/24"]`. Default: none. A reload takes it.
    pub client: Vec<Prefix>,
    /// Clients in these countries, as `[geo]` has them: `["DE", "FR"]`. An address of which nothing is known is in none.
    /// Default: none. A reload takes it.
    pub country: Vec<CountryCode>,
    /// Requests that follow a link or show a picture on these hosts: `["www.shop.example", "*.shop.example"]`; `"none"` is a
    /// request that does not say. A client can say what it likes. Default: none. A reload takes it.
    #[schemars(with = "Vec<String>", transform = shape::referers)]
    pub referer: Vec<Referer>,
}

/// Where a request says it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referer {
    /// A host, or all below one.
    Host(HostPattern),
    /// It does not say.
    None,
}

impl Access {
    /// Whether it names anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.client.is_empty() && self.country.is_empty() && self.referer.is_empty()
    }
}

impl Referer {
    fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "none" { Ok(Self::None) } else { HostPattern::parse(text).map(Self::Host) }
    }

    /// Whether it is this host; `None` is a request that does not say.
    #[must_use]
    pub fn is(&self, host: Option<&str>) -> bool {
        match (self, host) {
            (Self::None, host) => host.is_none(),
            (Self::Host(pattern), Some(host)) => match &pattern.name {
                HostName::Exact(name) => name.as_str().eq_ignore_ascii_case(host),
                HostName::Below(above) => is_below(host, above.as_str()),
                HostName::Address(address) => host.trim_matches(['[', ']']).parse() == Ok(*address),
            },
            (Self::Host(_), None) => false,
        }
    }
}

fn is_below(host: &str, above: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.strip_suffix(above).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
}

pub(super) fn read(mut table: Table<'_>) -> Option<Access> {
    let client = table.list("client", |v| v.parse(Prefix::parse));
    let country = table.list("country", |v| v.parse(CountryCode::read));
    let referer = table.list("referer", |v| v.parse(Referer::parse));
    table.finish();
    Some(Access { client, country, referer })
}
