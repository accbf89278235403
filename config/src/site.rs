//! `sites/*.toml`: one customer's site.

use std::time::Duration;

use schemars::JsonSchema;

use crate::host::HostPattern;
use crate::id::SiteId;
use crate::limits;
use crate::maintenance::{self, Maintenance};
use crate::origin::{self, Origin};
use crate::problem::Problem;
use crate::register::Kind;
use crate::rule::{self, Query, Rule};
use crate::secret::Secret;
use crate::shape;
use crate::table::{Table, Value};
use crate::tls::{self, Tls};
use crate::wrong::Wrong;

/// `sites/<site>.toml`: one customer's hosts, origin and rules. The file's name is the site's id:
/// 1 to 63 lower-case letters, digits and inner hyphens.
#[derive(Clone, Debug, JsonSchema)]
pub struct Site {
    /// From the file's name.
    #[schemars(skip)]
    pub id: SiteId,
    /// Names, wildcards (`*.img.shop.example`, every name below) or addresses the site answers to;
    /// with `:port` only there. `<site>.<zone>` is always one of them. A host inside a zone that is
    /// served here and has no A, AAAA or CNAME there is routed itself. Default: `<site>.<zone>` alone.
    /// A reload takes them.
    pub hosts: Vec<HostPattern>,
    /// Certificate and key, `{ cert = "shop.pem", key = "shop.key" }`, or `"auto"` for certificates that get themselves, and
    /// what clients without TLS are told. Default: clear HTTP only. A reload opens `https` with the first site that has it.
    #[schemars(transform = shape::table_or_auto)]
    pub tls: Option<Tls>,
    /// Where the content comes from, in `[origin]`.
    pub origin: Origin,
    /// How responses are stored, in `[cache]`. Default: that of each key.
    pub cache: Cache,
    /// The file under `secrets/` whose text purges this site alone, by HTTP at the admin address, as
    /// `Authorization: Bearer TEXT`: for the customer's own tools. Default: none. A reload takes it.
    #[schemars(
        with = "Option<std::collections::BTreeMap<String, String>>",
        transform = shape::secret_file_table
    )]
    pub purge_token: Option<Secret>,
    /// A page in the site's place, in `[maintenance]`. Default: none.
    pub maintenance: Option<Maintenance>,
    /// Rules for some requests, each a `[[rule]]`. Default: none.
    #[schemars(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// How responses are stored. What is stored already keeps the terms it came in on.
#[derive(Clone, Debug, JsonSchema)]
pub struct Cache {
    /// Freshness where the origin gives none, of answers with status 200, 203, 204, 300, 301, 308, 404 or
    /// 410; never over `no-store` or `private`. Longer saves fetches and shows changes later. Default:
    /// `0s`, so that nothing is kept that the origin did not say may be kept. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::SITE_TTL))]
    pub ttl: Duration,
    /// How long a stale response is served while one fetch renews it, where the origin gives no
    /// `stale-while-revalidate`. Longer hides a slow origin and shows changes later. Default: `0s`. A
    /// reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::SITE_TTL))]
    pub grace: Duration,
    /// What to do with a response that sets a cookie. Default: `"pass"`, so that no cookie reaches two
    /// people. A reload takes it.
    pub set_cookie: SetCookie,
    /// Whether clients see the tags that an origin gives to purge by, `Cache-Tag` and `Surrogate-Key`:
    /// `"pass"` or `"strip"`. Default: `"pass"`, since another cache may follow. A reload takes it.
    pub tags: Tags,
    /// Which parameters of the query count, in `[cache.query]`. Default: all, byte for byte.
    pub query: Option<Query>,
}

/// Whether clients see the tags of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Tags {
    /// As the origin sent them.
    Pass,
    /// Not at all.
    Strip,
}

/// What to do with a response that sets a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum SetCookie {
    /// Not stored and not shared.
    Pass,
    /// Stored without the cookie.
    Strip,
    /// Stored with it, with explicit freshness only (RFC 9111 §7.3).
    Store,
}

/// Reads one site file.
pub(crate) fn read(mut table: Table<'_>, id: SiteId, secret: &dyn Fn(Value<'_>) -> Option<Secret>) -> Option<Site> {
    let hosts = table.list("hosts", host);
    let tls = table.optional("tls", tls::read);
    let help = "add a table [origin] with servers = [\"https://origin.shop.example\"]";
    let origin = table.needed("origin", help, |v| v.table(|table| origin::read(table, secret)));
    let cache = table.table("cache", read_cache);
    let purge_token = table.optional("purge_token", |v| v.secret_file(secret));
    let maintenance = table.optional("maintenance", |v| v.table(maintenance::read));
    let rules = table.list("rule", |v| v.table(|table| rule::read(table, secret)));
    if rules.len() > limits::RULES {
        let problem = Problem::fault(table.place_of("rule"), format!("there are more than {} rules", limits::RULES));
        table.context().add(problem.help("join some: a path pattern may have stars"));
    }
    table.finish();
    Some(Site { id, purge_token, hosts, tls, origin: origin?, cache: cache?, maintenance, rules })
}

fn host(value: Value<'_>) -> Option<HostPattern> {
    let (context, place) = (value.context(), value.place());
    let host = value.parse(HostPattern::parse)?;
    context.register(|register| register.define(Kind::Host, &host.to_string(), place));
    Some(host)
}

fn read_cache(mut table: Table<'_>) -> Option<Cache> {
    let ttl = table.or("ttl", Duration::ZERO, |v| v.duration(&limits::SITE_TTL));
    let grace = table.or("grace", Duration::ZERO, |v| v.duration(&limits::SITE_TTL));
    let set_cookie = table.or("set_cookie", SetCookie::Pass, |v| {
        v.parse(|text| match text {
            "pass" => Ok(SetCookie::Pass),
            "strip" => Ok(SetCookie::Strip),
            "store" => Ok(SetCookie::Store),
            _ => Err(Wrong::new(format!("`{text}` is not known here")).help("one of \"pass\", \"strip\", \"store\"")),
        })
    });
    let tags = table.or("tags", Tags::Pass, |v| {
        v.parse(|text| match text {
            "pass" => Ok(Tags::Pass),
            "strip" => Ok(Tags::Strip),
            _ => Err(Wrong::new(format!("`{text}` is not known here")).help("\"pass\" or \"strip\"")),
        })
    });
    let query = table.optional("query", |v| v.table(rule::read_query));
    table.finish();
    Some(Cache { ttl, grace, set_cookie, tags, query })
}
