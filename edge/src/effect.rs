//! What a site's rules come to for one request: decided here, done elsewhere.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use caching::{
    CACHE_TAG, Directives, Policy, Reach, SURROGATE_KEY, SetCookiePolicy, canonical, decode_unreserved, is_ambiguous,
    narrow_encoding, normalise_encoding,
};
use config::{
    Access, Answer, Cors, CountryCode, HeaderEdits, KeyPart, Maintenance, Prefix, Query, Rate, RateBy, Referer, Rule,
    SetCookie, SigningKey, Variable,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use xxhash_rust::xxh3::xxh3_64;

use crate::cors::{Permission, Preflight};
use crate::fields::COOKIE_KEY;
use crate::query::normalise;
use crate::signature::{unsigned, verify};
use crate::sites::{Site, parts_of};
use crate::variables::{Variables, expand};

/// What rules look at, and values speak of.
pub(crate) struct Facts<'a> {
    pub(crate) method: &'a Method,
    /// As the client sent them.
    pub(crate) headers: &'a HeaderMap,
    /// The time of day, Unix seconds.
    pub(crate) now_seconds: i64,
    /// The client's, where it is known and any site asks for it.
    pub(crate) country: Option<CountryCode>,
    pub(crate) variables: Variables<'a>,
}

/// What a site's rules come to for one request.
#[derive(Debug, Default)]
pub(crate) struct Effect<'s> {
    pub(crate) policy: Policy,
    /// Whether an origin could take the path for another: a rule for `/assets/**` would store what lies at
    /// `/assets/../account`, and one for `/account/**` not keep it from that. Nothing is stored under it.
    pub(crate) is_ambiguous: bool,
    /// Whether it could be another for another GET of the same URL: rules look at who asks, or what for.
    pub(crate) is_particular: bool,
    /// Whether every request goes to the origin.
    pub(crate) bypass: bool,
    /// Why the request is refused, for who looks.
    pub(crate) refused: Option<&'static str>,
    /// Whether a signature is part of its URL, and no part of its key.
    is_signed: bool,
    /// How often it may be asked, and by whom it is.
    pub(crate) rate: Option<(&'s Rate, u64)>,
    pub(crate) maintenance: Option<&'s Maintenance>,
    query: Option<&'s Query>,
    key: &'s [KeyPart],
    pub(crate) reply: Option<OwnReply<'s>>,
    pub(crate) largest_body: Option<u64>,
    cors: Option<(Permission<'s>, Preflight)>,
    browser_ttl: Option<Duration>,
    edits: Vec<&'s HeaderEdits>,
    request_edits: Vec<&'s HeaderEdits>,
    /// The client's.
    country: Option<CountryCode>,
    /// Fields that are for edges.
    hidden: &'static [HeaderName],
    hsts: Option<&'s HeaderValue>,
}

/// What is answered in the origin's place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OwnReply<'s> {
    /// Another place to look.
    Redirect(StatusCode, &'s str),
    /// What the config has.
    Answer(&'s Answer),
}

impl Site {
    /// Applies the rules that match a request, top to bottom.
    pub(crate) fn effect(&self, facts: &Facts<'_>) -> Effect<'_> {
        #[cfg(test)]
        self.panic_if_it_is_to(facts);
        let path = facts.variables.target.split('?').next().unwrap_or_default();
        let path = decode_unreserved(path);
        let is_ambiguous = is_ambiguous(&path);
        let mut effect = Effect { is_ambiguous, country: facts.country, ..self.without_rules() };
        let (mut deny, mut allow): (Option<&Access>, Option<&Access>) = (None, None);
        let (mut signed, mut cors): (Option<&[SigningKey]>, Option<&Cors>) = (None, None);
        let read_otherwise = self.is_guarded.then(|| canonical(&path)).filter(|other| *other != path);
        let is_in_maintenance = self.maintenance.as_ref().is_some_and(|page| page.on);
        effect.is_particular = is_in_maintenance || read_otherwise.is_some();
        for (number, rule) in self.rules.iter().enumerate() {
            effect.is_particular |= looks_further(rule) && is_on(rule, &path, facts.method);
            if !matches(rule, &path, facts) {
                let is_evaded = |other: &String| rule.is_guard() && matches(rule, other, facts);
                if read_otherwise.as_ref().is_some_and(is_evaded) {
                    effect.refused = Some("the path could be read as one that the site guards");
                }
                continue;
            }
            effect.take(rule);
            deny = Some(&rule.deny).filter(|deny| !deny.is_empty()).or(deny);
            allow = Some(&rule.allow).filter(|allow| !allow.is_empty()).or(allow);
            signed = rule.signed.as_deref().or(signed);
            cors = rule.cors.as_ref().or(cors);
            effect.rate = rule.rate.as_ref().map(|rate| (rate, who((rate, number), facts))).or(effect.rate);
        }
        effect.browser_ttl = effect.browser_ttl.filter(|_| !is_ambiguous);
        let client = facts.variables.client;
        let is_out = deny.is_some_and(|deny| is_any(deny, facts)) || !allow.is_none_or(|allow| is_all(allow, facts));
        effect.refused = effect.refused.or(is_out.then_some("the site does not serve this request"));
        let permission = |cors| (Permission::of(cors, facts.headers), Preflight::of(facts.method, facts.headers));
        effect.cors = cors.map(permission);
        if let Some(keys) = signed {
            effect.is_signed = true;
            let Variables { target, client, .. } = facts.variables;
            let verified = verify(target, keys, client, facts.now_seconds);
            effect.refused = effect.refused.or(verified.err());
        }
        let is_out = |page: &&Maintenance| page.on && !page.except.iter().any(|prefix| prefix.contains(client));
        effect.maintenance = self.maintenance.as_ref().filter(is_out);
        effect
    }

    fn without_rules(&self) -> Effect<'_> {
        let cache = &self.cache;
        let set_cookie = match cache.set_cookie {
            SetCookie::Pass => SetCookiePolicy::Pass,
            SetCookie::Strip => SetCookiePolicy::Strip,
            SetCookie::Store => SetCookiePolicy::Store,
        };
        let ttl = Some(cache.ttl).filter(|ttl| !ttl.is_zero());
        let policy = Policy { ttl, grace: cache.grace, set_cookie, ..Policy::default() };
        let hidden: &'static [HeaderName] = if cache.tags == config::Tags::Strip { &TAGS } else { &[] };
        Effect { policy, hidden, query: cache.query.as_ref(), hsts: self.hsts.as_ref(), ..Effect::default() }
    }
}

/// By whom a request counts for a rate: of each rule apart.
fn who((rate, number): (&Rate, usize), facts: &Facts<'_>) -> u64 {
    let field = match &rate.by {
        RateBy::Client => None,
        RateBy::Header(name) => facts.headers.get(name),
    };
    let of = |kind: u8, bytes: &[u8]| xxh3_64(&[&number.to_le_bytes()[..], &[kind], bytes].concat());
    match (field, facts.variables.client) {
        (Some(value), _) => of(0, value.as_bytes()),
        (None, IpAddr::V4(v4)) => of(4, &v4.octets()),
        // A network's hosts have a /64 of addresses to ask from (RFC 6177).
        (None, IpAddr::V6(v6)) => of(6, &v6.octets().first_chunk::<8>().copied().unwrap_or_default()),
    }
}

/// Whether a rule is for a path and method.
fn is_on(rule: &Rule, path: &str, method: &Method) -> bool {
    rule.path.as_ref().is_none_or(|glob| glob.matches(path)) && (rule.method.is_empty() || rule.method.contains(method))
}

/// Whether what a rule comes to depends on more than path and method.
fn looks_further(rule: &Rule) -> bool {
    let names_client = |edits: &HeaderEdits| edits.set.iter().any(|(_, template)| template.names(Variable::ClientIp));
    let has_conditions = !rule.header.is_empty() || !rule.client.is_empty() || !rule.country.is_empty();
    let keeps_out = !rule.deny.is_empty() || !rule.allow.is_empty() || rule.signed.is_some() || rule.rate.is_some();
    let selects = rule.key.as_ref().is_some_and(|parts| !parts.is_empty()) || rule.cors.is_some();
    has_conditions || keeps_out || selects || names_client(&rule.headers) || names_client(&rule.request_headers)
}

pub(crate) fn matches(rule: &Rule, path: &str, facts: &Facts<'_>) -> bool {
    let client = facts.variables.client;
    is_on(rule, path, facts.method)
        && (rule.country.is_empty() || is_in(&rule.country, facts))
        && (rule.client.is_empty() || rule.client.iter().any(|prefix| prefix.contains(client)))
        && rule.header.iter().all(|(name, pattern)| {
            let mut lines = facts.headers.get_all(name).iter().peekable();
            match lines.peek() {
                Some(_) => lines.any(|line| pattern.matches(line.as_bytes())),
                None => pattern.is_empty(),
            }
        })
}

impl<'s> Effect<'s> {
    /// Takes over what a rule says: key by key.
    fn take(&mut self, rule: &'s Rule) {
        let policy = &mut self.policy;
        policy.ttl = rule.ttl.or(policy.ttl);
        policy.force_ttl = rule.force.map(|force| force.ttl).or(policy.force_ttl);
        policy.grace = rule.grace.unwrap_or(policy.grace);
        policy.stale_if_error = rule.stale_if_error.or(policy.stale_if_error);
        if !rule.ttl_by_status.is_empty() {
            let of = |one: &config::TtlByStatus| (one.statuses.clone(), one.ttl);
            let first = policy.ttl_by_status.len();
            policy.ttl_by_status.extend(rule.ttl_by_status.iter().map(of));
            // Of one rule's a status counts before its class.
            let new = policy.ttl_by_status.get_mut(first..).unwrap_or_default();
            new.sort_by_key(|(statuses, _)| std::cmp::Reverse(statuses.len()));
        }
        if let Some(key) = &rule.key {
            self.key = key;
            policy.nominated = key.iter().map(field).collect();
        }
        policy.compress = rule.compress.unwrap_or(policy.compress);
        self.bypass = rule.bypass.unwrap_or(self.bypass);
        self.query = rule.query.as_ref().or(self.query);
        self.largest_body = rule.largest_body.or(self.largest_body);
        self.browser_ttl = rule.browser_ttl.or(self.browser_ttl);
        if let Some(location) = &rule.redirect {
            self.reply = Some(OwnReply::Redirect(rule.status, location));
        }
        if let Some(answer) = &rule.answer {
            self.reply = Some(OwnReply::Answer(answer));
        }
        self.edits.extend(Some(&rule.headers).filter(|edits| !edits.is_empty()));
        self.request_edits.extend(Some(&rule.request_headers).filter(|edits| !edits.is_empty()));
    }
}

/// The field by which a part of the key selects. A cookie has one of its own, which never goes out.
fn field(part: &KeyPart) -> HeaderName {
    match part {
        KeyPart::Header(name) => name.clone(),
        KeyPart::Device => DEVICE,
        KeyPart::Country => COUNTRY,
        KeyPart::Cookie(name) => {
            // Names of fields know no case, those of cookies do.
            let name = data_encoding::HEXLOWER.encode(name.as_bytes());
            HeaderName::try_from(format!("{COOKIE_KEY}{name}")).unwrap_or(header::COOKIE)
        }
    }
}

/// The field by which an edge tells an origin a part of the key that it works out itself.
pub(crate) fn told_field(part: &KeyPart) -> Option<HeaderName> {
    match part {
        KeyPart::Country => Some(COUNTRY),
        KeyPart::Device => Some(DEVICE),
        KeyPart::Header(_) | KeyPart::Cookie(_) => None,
    }
}

/// What the origin is told of the client's country: two capitals, or `XX` where it is not known.
const COUNTRY: HeaderName = HeaderName::from_static("x-country");
/// What the origin is told of the client's device.
const DEVICE: HeaderName = HeaderName::from_static("x-device");

/// Codings worth a variant of their own; other wishes for compression are one.
const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// Fields that say what a response can be purged by.
static TAGS: [HeaderName; 2] = [CACHE_TAG, SURROGATE_KEY];

/// Whether a request is in any list.
fn is_any(access: &Access, facts: &Facts<'_>) -> bool {
    is_from(&access.client, facts) || is_in(&access.country, facts) || refers(&access.referer, facts)
}

/// Whether a request is in each list that there is.
fn is_all(access: &Access, facts: &Facts<'_>) -> bool {
    (access.client.is_empty() || is_from(&access.client, facts))
        && (access.country.is_empty() || is_in(&access.country, facts))
        && (access.referer.is_empty() || refers(&access.referer, facts))
}

fn is_from(networks: &[Prefix], facts: &Facts<'_>) -> bool {
    networks.iter().any(|prefix| prefix.contains(facts.variables.client))
}

fn is_in(countries: &[CountryCode], facts: &Facts<'_>) -> bool {
    facts.country.is_some_and(|country| countries.contains(&country))
}

fn refers(hosts: &[Referer], facts: &Facts<'_>) -> bool {
    if hosts.is_empty() {
        return false;
    }
    let mut lines = facts.headers.get_all(header::REFERER).iter();
    // What is no URL, or several, is of no host, and says something all the same.
    let referer = match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(line), None) => Some(Uri::try_from(line.as_bytes()).ok()),
        (Some(_), Some(_)) => Some(None),
    };
    let host = referer.as_ref().map(|uri| {
        let host = uri.as_ref().and_then(Uri::authority).map(Authority::host).unwrap_or_default();
        host.trim_end_matches('.')
    });
    hosts.iter().any(|referer| referer.is(host))
}

/// Whether browsers may be told to keep a response: no error, for nobody alone, and forbidden to nobody.
fn may_keep(status: StatusCode, headers: &HeaderMap) -> bool {
    let directives = Directives::of(headers);
    let is_public = !directives.no_store && directives.private == Reach::Nothing;
    is_public && !status.is_client_error() && !status.is_server_error() && !headers.contains_key(header::SET_COOKIE)
}

impl Effect<'_> {
    /// Whether the request only asks what it may ask, of a site that says so.
    pub(crate) fn is_preflight(&self) -> bool {
        matches!(self.cors, Some((_, Preflight::Yes)))
    }

    /// What clients' caches are told to keep a response for, seconds, where that is not the origin's to say.
    pub(crate) fn browser_seconds(&self, status: StatusCode, headers: &HeaderMap) -> Option<u64> {
        self.browser_ttl.filter(|_| may_keep(status, headers)).map(|ttl| ttl.as_secs())
    }

    /// Whether a rule sets or removes any of these fields of a response.
    pub(crate) fn edits_any(&self, names: &[HeaderName]) -> bool {
        self.edits.iter().any(|edits| {
            let mut set = edits.set.iter().map(|(name, _)| name);
            edits.remove.iter().any(|name| names.contains(name)) || set.any(|name| names.contains(name))
        })
    }

    /// What of a path and query its key has.
    pub(crate) fn counted<'t>(&self, target: &'t str) -> Cow<'t, str> {
        let target = if self.is_signed { unsigned(target) } else { Cow::Borrowed(target) };
        match (self.query, target) {
            (None, target) => target,
            (Some(query), Cow::Borrowed(target)) => normalise(target, query),
            (Some(query), Cow::Owned(target)) => Cow::Owned(normalise(&target, query).into_owned()),
        }
    }

    /// Makes the changes to the request that the rules ask for, and adds what its key is made of.
    pub(crate) fn edit_request(&self, headers: &mut HeaderMap, variables: &Variables<'_>) {
        if self.policy.compress {
            narrow_encoding(headers);
        } else {
            normalise_encoding(headers, &CODINGS);
        }
        for part in self.key {
            match part {
                KeyPart::Header(_) => {}
                KeyPart::Country => {
                    let country = self.country.as_ref().map_or("XX", CountryCode::as_str);
                    headers.insert(COUNTRY, HeaderValue::from_str(country).unwrap_or(HeaderValue::from_static("XX")));
                }
                KeyPart::Device => drop(headers.insert(DEVICE, crate::device::class(headers))),
                KeyPart::Cookie(name) => {
                    if let Some(value) = cookie(headers, name) {
                        headers.insert(field(part), value);
                    }
                }
            }
        }
        self.request_edits.iter().for_each(|edits| apply(edits, headers, variables));
    }

    /// Makes the changes to a response that the rules ask for.
    pub(crate) fn edit(&self, status: StatusCode, headers: &mut HeaderMap, variables: &Variables<'_>) {
        if let Some(seconds) = self.browser_seconds(status, headers) {
            // A browser counts from when the response was made: what it is old by now comes on top.
            let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
            if let Ok(value) = HeaderValue::try_from(format!("max-age={}", seconds.saturating_add(age))) {
                headers.insert(header::CACHE_CONTROL, value);
                headers.remove(header::EXPIRES);
            }
        }
        for name in self.hidden {
            headers.remove(name);
        }
        // An origin's alternatives are its own (RFC 7838 §2.1): clients of an edge stay at it.
        headers.remove(header::ALT_SVC);
        if variables.scheme == "https" {
            headers.insert(header::ALT_SVC, http3_at(variables.host));
        }
        self.edits.iter().for_each(|edits| apply(edits, headers, variables));
        // RFC 6797 §7.2: it "MUST NOT" be in "HTTP responses conveyed over non-secure transport".
        match self.hsts {
            Some(hsts) if variables.scheme == "https" => {
                headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
            }
            Some(_) => drop(headers.remove(header::STRICT_TRANSPORT_SECURITY)),
            None => {}
        }
        if let Some((permission, preflight)) = &self.cors {
            permission.write(headers, *preflight);
        }
    }
}

/// That HTTP/3 is served, too, at the port by which the client reached this host (RFC 7838 §3), for a day.
fn http3_at(host: &str) -> HeaderValue {
    let other = parts_of(host).1.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port != HTTPS);
    let value = other.and_then(|port| HeaderValue::try_from(format!("h3=\":{port}\"; ma=86400")).ok());
    value.unwrap_or(HeaderValue::from_static("h3=\":443\"; ma=86400"))
}

/// The port of URLs that name none (RFC 9110 §4.2.2).
const HTTPS: u16 = 443;

fn apply(edits: &HeaderEdits, headers: &mut HeaderMap, variables: &Variables<'_>) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, template) in &edits.set {
        if let Some(value) = expand(template, variables) {
            headers.insert(name.clone(), value);
        }
    }
}

/// A cookie's value (RFC 6265 §4.2.1). Of several every one: origins differ in which they take.
fn cookie(headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    let lines = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let values = pairs.filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (known, value) = pair.split_at_checked(at)?;
        (known.trim_ascii() == name.as_bytes()).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    let values: Vec<&[u8]> = values.collect();
    if values.is_empty() { None } else { HeaderValue::from_bytes(&values.join(&b';')).ok() }
}

#[cfg(test)]
mod tests;
