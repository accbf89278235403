//! `[[rule]]`: what a site says of some of its requests.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use schemars::JsonSchema;

use crate::id::CountryCode;
use crate::limits;
use crate::path::PathGlob;
use crate::pattern::Pattern;
use crate::prefix::Prefix;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::shape;
use crate::table::{Table, Value, Written};
use crate::wrong::Wrong;

mod access;
mod answer;
mod cors;
mod fields;
mod key;
mod rate;
mod signing;
mod statuses;

pub use access::{Access, Referer};
pub use answer::Answer;
pub(crate) use answer::read_page;
pub use cors::Cors;
pub use fields::HeaderEdits;
pub(crate) use fields::added_to_requests;
pub(crate) use key::read_query;
pub use key::{KeyPart, Query};
pub use rate::{Rate, RateBy};
pub use signing::SigningKey;
pub use statuses::TtlByStatus;

/// One rule of a site: what it is for, and what holds there. All that match a request apply, top to bottom; a later one
/// wins key by key.
#[derive(Clone, Debug, JsonSchema)]
pub struct Rule {
    /// On the path, in which nothing but letters, digits and `-._~` is decoded: `*` within a segment, `**`
    /// across. Under a path with a dot segment (`..`), which clients remove and origins read in different
    /// ways, nothing is stored, whatever rules say. Default: every path. A reload takes it.
    pub path: Option<PathGlob>,
    /// For these methods alone, such as `["POST", "PUT"]`. Default: every method. A reload takes it.
    #[schemars(with = "Vec<String>", transform = shape::methods)]
    pub method: Vec<Method>,
    /// For requests with these fields alone, as the client sent them, such as `{ User-Agent = "*bot*" }`: `*` stands for
    /// anything, case makes no difference, `""` is a field that is not there. Default: every request. A reload takes it.
    #[schemars(with = "std::collections::BTreeMap<String, String>", transform = shape::fields)]
    pub header: Vec<(HeaderName, Pattern)>,
    /// For clients in these networks alone, such as `["192.0.2.0/24"]`. Default: every client. A reload takes it.
    pub client: Vec<Prefix>,
    /// For clients in these countries alone, as `[geo]` has them, such as `["DE"]`. Default: every client. A reload takes it.
    pub country: Vec<CountryCode>,
    /// Freshness where the origin gives none, of the statuses that `[cache] ttl` is for; never over
    /// `no-store` or `private`. Default: `[cache] ttl`. A reload takes it for what is fetched from then on.
    #[schemars(with = "Option<String>", transform = shape::duration(&limits::SITE_TTL))]
    pub ttl: Option<Duration>,
    /// The same by status, such as `{ 404 = "10s", 5xx = "1s" }`: also of errors, which otherwise are not kept unless the
    /// origin says so. Too long, and a fault that is mended goes on here. Default: none. A reload takes it for what is
    /// fetched from then on.
    #[schemars(with = "std::collections::BTreeMap<String, String>", transform = shape::durations_by_status)]
    pub ttl_by_status: Vec<TtlByStatus>,
    /// How long a stale response is served while one fetch renews it, where the origin gives no
    /// `stale-while-revalidate`. Default: `[cache] grace`. A reload takes it for what is fetched from then on.
    #[schemars(with = "Option<String>", transform = shape::duration(&limits::SITE_TTL))]
    pub grace: Option<Duration>,
    /// How long a stale response is served when the origin cannot be reached or answers 500, 502, 503 or 504, where the
    /// origin gives no `stale-if-error` of its own. Default: a day when it cannot be reached, not at all for a 5xx. A reload
    /// takes it for what is fetched from then on.
    #[schemars(with = "Option<String>", transform = shape::duration(&limits::SITE_TTL))]
    pub stale_if_error: Option<Duration>,
    /// `true`: every request goes to the origin and nothing is stored. Default: `false`. A reload takes it.
    pub bypass: Option<bool>,
    /// Overrides what the origin says, also `no-store` and `private`; `check` warns. Default: none.
    pub force: Option<Force>,
    /// Which parameters of the query count, in `[rule.query]`. Default: that of `[cache]`.
    pub query: Option<Query>,
    /// What else of a request makes a variant of its own: `"header:NAME"`, `"cookie:NAME"`, `"country"`, told the origin as `X-Country`, and `"device"`, which is `mobile`,
    /// `tablet` or `desktop` by User-Agent and told the origin as `X-Device`. Each value is stored apart: with many, little is
    /// hit. Default: none but what the origin's Vary names. A reload takes it for what is fetched from then on: purge the rest.
    #[schemars(with = "Option<Vec<String>>", transform = shape::key_parts)]
    pub key: Option<Vec<KeyPart>>,
    /// `true`: texts of 1,000 bytes to 10 MB that the origin sends uncompressed are compressed as they are stored, once for each
    /// of zstd, br and gzip that clients like best; never over `no-transform`. Who asks first gets them as they come. Default:
    /// `false`. A reload takes it for what is fetched from then on: purge the rest.
    pub compress: Option<bool>,
    /// `Cache-Control: max-age` sent to clients instead of the origin's; never over `no-store` or
    /// `private`. Too long, and what browsers keep cannot be changed any more. Default: what the
    /// origin says. A reload takes it.
    #[schemars(with = "Option<String>", transform = shape::duration(&limits::SITE_TTL))]
    pub browser_ttl: Option<Duration>,
    /// Fields set and removed on the response. Default: none.
    pub headers: HeaderEdits,
    /// Fields set and removed on the request to the origin. What is stored does not know them unless the origin's Vary names
    /// them. Default: none.
    pub request_headers: HeaderEdits,
    /// Who is refused, with 403. Default: nobody.
    pub deny: Access,
    /// Who is served; all others are refused, with 403. Default: everybody.
    pub allow: Access,
    /// URLs must be signed by one of these keys, one or two: `hither sign` signs, and so does any program (docs/sites.md). Others
    /// are refused, with 403. Default: none is needed.
    pub signed: Option<Vec<SigningKey>>,
    /// How often one client may ask, in `[rule.rate]`. Default: without a limit.
    pub rate: Option<Rate>,
    /// Which pages of other hosts may read responses, in `[rule.cors]`. Default: what the origin says.
    pub cors: Option<Cors>,
    /// The largest body that a request may have; more is answered with 413. Default: any size. A reload takes it.
    #[schemars(with = "Option<String>", transform = shape::size(&limits::SITE_BODY))]
    pub largest_body: Option<u64>,
    /// Answers with a redirect to this URL or path instead of asking the origin. Default: none. A
    /// reload takes it.
    #[schemars(transform = shape::text("URL or path", "^(/|https?://)"))]
    pub redirect: Option<String>,
    /// The redirect's status; only beside `redirect`. Default: 302. A reload takes it.
    #[schemars(with = "u16", transform = shape::one_of(&REDIRECTS, limits::REDIRECT.default))]
    pub status: StatusCode,
    /// Answers with this instead of asking the origin. Default: none.
    pub answer: Option<Answer>,
    /// Every key as it is written.
    #[schemars(skip)]
    pub written: Vec<Written>,
}

impl Rule {
    /// Whether it looks at the country of clients.
    #[must_use]
    pub fn names_country(&self) -> bool {
        let lists = [&self.country, &self.deny.country, &self.allow.country];
        let key = self.key.iter().flatten();
        lists.iter().any(|list| !list.is_empty()) || key.into_iter().any(|part| *part == KeyPart::Country)
    }

    /// Whether it keeps anybody out, so that nobody may get around it.
    #[must_use]
    pub fn is_guard(&self) -> bool {
        !self.deny.is_empty() || !self.allow.is_empty() || self.signed.is_some() || self.rate.is_some()
    }
}

/// Overrides of the origin's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub struct Force {
    /// Freshness, whatever the origin says. Longer than an answer holds shows the old one. A reload
    /// takes it for what is fetched from then on.
    #[schemars(with = "String", transform = shape::duration(&limits::SITE_TTL))]
    pub ttl: Duration,
}

/// The statuses a redirect may have (RFC 9110 §15.4).
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

pub(crate) fn read(mut table: Table<'_>, secret: &dyn Fn(Value<'_>) -> Option<Secret>) -> Option<Rule> {
    let path = table.optional("path", |v| v.parse(PathGlob::parse));
    let method = table.list("method", |v| v.parse(method));
    let header = table.optional("header", |v| v.entries(condition)).unwrap_or_default();
    let client = table.list("client", |v| v.parse(Prefix::parse));
    let country = table.list("country", |v| v.parse(CountryCode::read));
    let ttl = table.optional("ttl", |v| v.duration(&limits::SITE_TTL));
    let ttl_by_status = table.optional("ttl_by_status", |v| v.entries(statuses::read)).unwrap_or_default();
    let grace = table.optional("grace", |v| v.duration(&limits::SITE_TTL));
    let stale_if_error = table.optional("stale_if_error", |v| v.duration(&limits::SITE_TTL));
    let bypass = table.optional("bypass", Value::boolean);
    let force = table.optional("force", |v| v.table(read_force));
    let query = table.optional("query", |v| v.table(read_query));
    let key = table.optional("key", |v| v.list(|v| v.parse(KeyPart::parse)));
    let compress = table.optional("compress", Value::boolean);
    let browser_ttl = table.optional("browser_ttl", |v| v.duration(&limits::SITE_TTL));
    let headers = table.table("headers", |t| fields::read(t, &[])).unwrap_or_default();
    let request_headers = table.table("request_headers", |t| fields::read(t, &fields::OF_REQUESTS)).unwrap_or_default();
    let deny = table.table("deny", access::read).unwrap_or_default();
    let allow = table.table("allow", access::read).unwrap_or_default();
    let signed = table.optional("signed", |v| signing::read(v, secret));
    let rate = table.optional("rate", |v| v.table(rate::read));
    let cors = table.optional("cors", |v| v.table(cors::read));
    let largest_body = table.optional("largest_body", |v| v.size(&limits::SITE_BODY));
    let redirect = table.optional("redirect", |v| v.parse(location));
    let status = table.optional("status", |v| v.integer(&limits::REDIRECT));
    let answer = table.optional("answer", |v| v.table(answer::read));
    check(&table, status, (&method, &client, &country), (&allow, &deny));
    let written = table.written();
    table.finish();
    let status = StatusCode::from_u16(status.unwrap_or(limits::REDIRECT.default)).unwrap_or(StatusCode::FOUND);
    Some(Rule {
        path,
        method,
        header,
        client,
        country,
        ttl,
        ttl_by_status,
        grace,
        stale_if_error,
        bypass,
        force,
        query,
        key,
        compress,
        browser_ttl,
        headers,
        request_headers,
        deny,
        allow,
        signed,
        rate,
        cors,
        largest_body,
        redirect,
        status,
        answer,
        written,
    })
}

/// Keys that contradict each other, or do what is rarely meant.
fn check(
    table: &Table<'_>,
    status: Option<u16>,
    (method, client, country): (&[Method], &[Prefix], &[CountryCode]),
    (allow, deny): (&Access, &Access),
) {
    let say = |key: &str, message: &str, help: &str| {
        table.context().add(Problem::fault(table.place_of(key), message).help(help));
    };
    let code = status.unwrap_or(limits::REDIRECT.default);
    if !REDIRECTS.contains(&code) {
        say("status", &format!("{code} is not a redirect"), "301, 302, 303, 307 or 308");
    } else if status.is_some() && !table.has("redirect") {
        say("status", "`status` without `redirect` does nothing", "add `redirect` or remove `status`");
    }
    if table.has("redirect") && table.has("answer") {
        say("answer", "a rule cannot both redirect and answer", "make two rules of it; the later one wins");
    }
    let stores = ["ttl", "ttl_by_status", "grace", "stale_if_error", "force", "query", "key", "compress"];
    if table.is_true("bypass")
        && let Some(key) = stores.into_iter().find(|key| table.has(key))
    {
        let message = format!("`{key}` says how to store, and `bypass` that nothing is stored");
        say(key, &message, "leave out one of the two");
    }
    for (key, list) in [("method", method.is_empty()), ("client", client.is_empty()), ("country", country.is_empty())] {
        if table.has(key) && list && table.is_empty(key) {
            say(key, &format!("`{key}` names nothing, so that the rule is for nobody"), "leave it out, or name some");
        }
    }
    for (key, access) in [("allow", allow), ("deny", deny)] {
        if table.has(key) && access.is_empty() {
            say(
                key,
                &format!("`{key}` names nobody"),
                "name networks in `client`, countries in `country` or hosts in `referer`, or leave it out",
            );
        }
    }
    let some = ["header", "client", "country"].into_iter().find(|key| table.has(key));
    let shared = ["ttl", "ttl_by_status", "force", "request_headers"].into_iter().find(|key| table.has(key));
    if let (Some(some), Some(shared)) = (some, shared) {
        let message = format!("what is fetched under this `{shared}` is stored for all, also for whom `{some}` is not");
        let problem = Problem::warning(table.place_of(shared), message);
        table.context().add(problem.help("be sure that it is no other for them, or make it part of the `key`"));
    }
    if table.has("force") {
        let message = "`force` overrides the origin, also its `no-store` and `private`";
        let problem = Problem::warning(table.place_of("force"), message);
        table.context().add(problem.help("be sure that no answer under this path is meant for one person"));
    }
}

fn read_force(mut table: Table<'_>) -> Option<Force> {
    let ttl = table.required("ttl", |v| v.duration(&limits::SITE_TTL));
    table.finish();
    Some(Force { ttl: ttl? })
}

fn method(text: &str) -> Result<Method, Wrong> {
    let wrong = |help: String| Wrong::new(format!("`{text}` is not a method")).help(help);
    let upper = text.to_ascii_uppercase();
    // RFC 9110 §9.1: methods are case-sensitive, and the standard ones are upper case.
    if text != upper && Method::from_bytes(upper.as_bytes()).is_ok() {
        return Err(wrong(format!("did you mean `{upper}`?")));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| wrong("as in \"POST\"".to_owned()))
}

/// A field and what it must be.
fn condition(name: &str, value: Value<'_>) -> Option<(HeaderName, Pattern)> {
    let name = fields::header_name(name).map_or_else(|wrong| value.wrong(wrong), Some)?;
    Some((name, value.parse(Pattern::parse)?))
}

fn location(text: &str) -> Result<String, Wrong> {
    let good = text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://");
    match HeaderValue::from_str(text) {
        Ok(_) if good => Ok(text.to_owned()),
        _ => Err(Wrong::new(format!("`{text}` is not a place to redirect to")).help("write a URL or a path")),
    }
}
