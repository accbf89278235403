//! What a site's rules come to for one request: decided here, done elsewhere.

use std::net::IpAddr;
use std::time::Duration;

use caching::{CACHE_TAG, Directives, Policy, Reach, SURROGATE_KEY, SetCookiePolicy, decode_unreserved, is_ambiguous};
use config::{
    Access, Answer, Cors, HeaderEdits, KeyPart, Maintenance, Query, Rate, RateBy, Rule, SetCookie, SigningKey,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use xxhash_rust::xxh3::xxh3_64;

use crate::cors::{Permission, Preflight};
use crate::signature::verify;
use crate::sites::Site;
use crate::variables::{Variables, expand};

/// What rules look at, and values speak of.
pub(crate) struct Facts<'a> {
    pub(crate) method: &'a Method,
    /// As the client sent them.
    pub(crate) headers: &'a HeaderMap,
    /// The time of day, Unix seconds.
    pub(crate) now_seconds: i64,
    pub(crate) variables: Variables<'a>,
}

/// What a site's rules come to for one request.
#[derive(Debug, Default)]
pub(crate) struct Effect<'s> {
    pub(crate) policy: Policy,
    /// Whether an origin could take the path for another: a rule for `/assets/**` would store what lies at
    /// `/assets/../account`, and one for `/account/**` not keep it from that. Nothing is stored under it.
    pub(crate) is_ambiguous: bool,
    /// Whether every request goes to the origin.
    pub(crate) bypass: bool,
    /// Why the request is refused, for who looks.
    pub(crate) refused: Option<&'static str>,
    /// Whether a signature is part of its URL, and no part of its key.
    pub(crate) is_signed: bool,
    /// How often it may be asked, and by whom it is.
    pub(crate) rate: Option<(&'s Rate, u64)>,
    pub(crate) maintenance: Option<&'s Maintenance>,
    pub(crate) query: Option<&'s Query>,
    pub(crate) key: &'s [KeyPart],
    pub(crate) reply: Option<OwnReply<'s>>,
    pub(crate) largest_body: Option<u64>,
    cors: Option<(Permission<'s>, Preflight)>,
    browser_ttl: Option<Duration>,
    edits: Vec<&'s HeaderEdits>,
    request_edits: Vec<&'s HeaderEdits>,
    /// Fields that are for edges.
    hidden: &'static [HeaderName],
}

/// What is answered in the origin's place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OwnReply<'s> {
    /// Another place to look.
    Redirect(StatusCode, &'s str),
    /// What the config has.
    Answer(&'s Answer),
    /// What the request may ask, if it asks that (CORS).
    Preflight,
}

impl Site {
    /// Applies the rules that match a request, top to bottom.
    pub(crate) fn effect(&self, facts: &Facts<'_>) -> Effect<'_> {
        let path = facts.variables.target.split('?').next().unwrap_or_default();
        let path = decode_unreserved(path);
        let is_ambiguous = is_ambiguous(&path);
        let mut effect = Effect { is_ambiguous, ..self.without_rules() };
        let (mut deny, mut allow): (Option<&Access>, Option<&Access>) = (None, None);
        let (mut signed, mut cors): (Option<&[SigningKey]>, Option<&Cors>) = (None, None);
        for rule in self.rules.iter().filter(|rule| matches(rule, &path, facts)) {
            effect.take(rule);
            deny = Some(&rule.deny).filter(|deny| !deny.is_empty()).or(deny);
            allow = Some(&rule.allow).filter(|allow| !allow.is_empty()).or(allow);
            signed = rule.signed.as_deref().or(signed);
            cors = rule.cors.as_ref().or(cors);
            effect.rate = rule.rate.as_ref().map(|rate| (rate, who(rate, facts))).or(effect.rate);
        }
        effect.browser_ttl = effect.browser_ttl.filter(|_| !is_ambiguous);
        let from = From::of(facts);
        let is_out = deny.is_some_and(|deny| from.is_any(deny)) || !allow.is_none_or(|allow| from.is_all(allow));
        effect.refused = is_out.then_some("the site does not serve this request");
        if let Some(cors) = cors {
            let preflight = Preflight::of(facts.method, facts.headers);
            if preflight == Preflight::Yes {
                effect.reply = Some(OwnReply::Preflight);
            }
            effect.cors = Some((Permission::of(cors, facts.headers), preflight));
        }
        if let Some(keys) = signed {
            effect.is_signed = true;
            let Variables { target, client, .. } = facts.variables;
            let verified = verify(target, keys, client, facts.now_seconds);
            effect.refused = effect.refused.or(verified.err());
        }
        let is_out = |page: &&Maintenance| page.on && !page.except.iter().any(|prefix| prefix.contains(from.client));
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
        Effect { policy, hidden, query: cache.query.as_ref(), ..Effect::default() }
    }
}

/// By whom a request counts for a rate.
fn who(rate: &Rate, facts: &Facts<'_>) -> u64 {
    let field = match &rate.by {
        RateBy::Client => None,
        RateBy::Header(name) => facts.headers.get(name),
    };
    match (field, facts.variables.client) {
        (Some(value), _) => xxh3_64(value.as_bytes()),
        (None, IpAddr::V4(v4)) => xxh3_64(&v4.octets()),
        // A network's hosts have a /64 of addresses to ask from (RFC 6177).
        (None, IpAddr::V6(v6)) => xxh3_64(&v6.octets().first_chunk::<8>().copied().unwrap_or_default()),
    }
}

fn matches(rule: &Rule, path: &str, facts: &Facts<'_>) -> bool {
    let client = facts.variables.client;
    rule.path.as_ref().is_none_or(|glob| glob.matches(path))
        && (rule.method.is_empty() || rule.method.contains(facts.method))
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
        KeyPart::Cookie(name) => {
            let name = HeaderName::try_from(format!("{COOKIE_KEY}{name}").to_ascii_lowercase());
            name.unwrap_or(header::COOKIE)
        }
    }
}

/// What the origin is told of the client's device.
const DEVICE: HeaderName = HeaderName::from_static("x-device");
/// Begins the names of fields that hold a cookie of the key.
pub(crate) const COOKIE_KEY: &str = "hither-cookie-";

/// Fields that say what a response can be purged by.
static TAGS: [HeaderName; 2] = [CACHE_TAG, SURROGATE_KEY];

/// Where a request comes from.
struct From {
    client: IpAddr,
    referer: Option<String>,
}

impl From {
    fn of(facts: &Facts<'_>) -> Self {
        let referer = facts.headers.get(header::REFERER).map(|referer| {
            let uri = Uri::try_from(referer.as_bytes()).ok();
            uri.as_ref().and_then(Uri::authority).map(Authority::host).unwrap_or_default().to_owned()
        });
        Self { client: facts.variables.client, referer }
    }

    fn is_any(&self, access: &Access) -> bool {
        access.client.iter().any(|prefix| prefix.contains(self.client))
            || access.referer.iter().any(|referer| referer.is(self.referer.as_deref()))
    }

    fn is_all(&self, access: &Access) -> bool {
        (access.client.is_empty() || access.client.iter().any(|prefix| prefix.contains(self.client)))
            && (access.referer.is_empty() || access.referer.iter().any(|referer| referer.is(self.referer.as_deref())))
    }
}

/// Whether the response forbids nobody to keep it.
fn is_public(headers: &HeaderMap) -> bool {
    let directives = Directives::of(headers);
    !directives.no_store && directives.private == Reach::Nothing
}

impl Effect<'_> {
    /// Makes the changes to the request that the rules ask for, and adds what its key is made of.
    pub(crate) fn edit_request(&self, headers: &mut HeaderMap, variables: &Variables<'_>) {
        for part in self.key {
            match part {
                KeyPart::Header(_) => {}
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
        let may_keep = !status.is_client_error() && !status.is_server_error() && is_public(headers);
        // A browser counts from when the response was made: what it is old by now comes on top.
        let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
        if let Some(ttl) = self.browser_ttl.filter(|_| may_keep)
            && let Ok(value) = HeaderValue::try_from(format!("max-age={}", ttl.as_secs().saturating_add(age)))
        {
            headers.insert(header::CACHE_CONTROL, value);
            headers.remove(header::EXPIRES);
        }
        for name in self.hidden {
            headers.remove(name);
        }
        if let Some((permission, preflight)) = &self.cors {
            permission.write(headers, *preflight);
        }
        self.edits.iter().for_each(|edits| apply(edits, headers, variables));
    }
}

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

/// A cookie's value (RFC 6265 §4.2.1).
fn cookie(headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    let lines = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.next().and_then(|value| HeaderValue::from_bytes(value).ok())
}
