//! Whether a response may be stored and shared, and on what terms (RFC 9111 §3).

use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LOCATION, EXPECT, HeaderMap, HeaderName, IF_MATCH, IF_UNMODIFIED_SINCE,
    RANGE, SET_COOKIE,
};
use http::{Method, StatusCode, header};

use crate::age::initial_age;
use crate::coding::is_text;
use crate::content_range::ContentRange;
use crate::control::{Directives, Reach};
use crate::date::ensure_date;
use crate::forward::remove_hop_by_hop;
use crate::freshness::{Lifetime, is_heuristically_cacheable, lifetime, takes_site_ttl};
use crate::key::CacheKey;
use crate::policy::{Policy, SetCookiePolicy};
use crate::reference::pointed;
use crate::reuse::{Reuse, reuse};
use crate::tags::{Tag, tags};
use crate::targeted::directives;
use crate::terms::{Terms, Validation};
use crate::time::Moment;
use crate::understood::{is_understood, may_be_drawn};
use crate::validator::Validators;
use crate::vary::Vary;

/// A request, as the client sent it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The key of its target.
    pub key: &'a CacheKey,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Whether it had content.
    pub payload: Payload,
}

/// Whether a request had content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// None.
    Empty,
    /// Some.
    Present,
}

/// A response, as the next hop sent it; or a stored one merged with a 304, whose times count.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, those of the connection included.
    pub headers: &'a HeaderMap,
    /// When the request was sent: `request_time` (RFC 9111 §4.2.3).
    pub asked_at: Moment,
    /// When the response's head came: `response_time` (RFC 9111 §4.2.3).
    pub received_at: Moment,
}

/// What is to become of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is stored.
    pub verdict: Verdict,
    /// Whether requests that waited for it may have it too.
    pub sharing: Sharing,
}

/// Whether a response is stored. What was stored before is replaced by it, but stays as it is when
/// the response is not stored, unless that answers a validation (RFC 9111 §4.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As a whole, once its body has come whole.
    Store(Box<Keep>),
    /// As a part that answers only ranges inside it (RFC 9111 §3.3).
    StorePart(Box<Keep>, ContentRange),
    /// Not, since the request says `no-store` (RFC 9111 §5.2.1.5); but requests that waited may have
    /// it, with these fields.
    Share(Box<Keep>),
    /// Not at all.
    Not(Why),
}

/// What to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The fields, without those of the connection, those the response forbids to store and, where
    /// the site says so, cookies. Waiting requests are answered with these too.
    pub headers: HeaderMap,
    /// The terms of reuse.
    pub terms: Terms,
    /// The request fields its `Selector` compares.
    pub nominated: Vec<HeaderName>,
    /// What it can be purged by, besides its URL and site.
    pub tags: Vec<Tag>,
    /// Fields that a qualified `private` or `no-cache` names: for who asked, not for those who waited, and not
    /// stored (RFC 9111 §5.2.2.4, §5.2.2.7).
    pub for_asker: HeaderMap,
}

/// Whether requests that waited for a response may have it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They may, if its `Selector` matches them.
    Shared,
    /// They may not and go to the next hop, all at once.
    Alone {
        /// So long, requests for the key do not wait for each other. What comes back is judged as
        /// ever, and one that is stored ends it.
        remember: Duration,
    },
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The method's responses are not stored (RFC 9111 §3).
    Method,
    /// The status is an interim one, or a 304 that answers no validation of ours.
    Status,
    /// A part nobody asked for, or one whose Content-Range does not add up (RFC 9111 §3.3).
    Part,
    /// Vary names everything, or no field (RFC 9111 §4.1).
    Vary,
    /// It has more tags than can be kept: purging by them would miss it.
    Tags,
    /// `must-understand`, and the status is unknown here (RFC 9111 §5.2.2.3).
    NotUnderstood,
    /// `no-store` in the response (RFC 9111 §5.2.2.5).
    NoStore,
    /// `private` (RFC 9111 §5.2.2.7).
    Private,
    /// The request carried Authorization, and the response does not allow sharing (RFC 9111 §3.5).
    Authorization,
    /// It sets a cookie (RFC 9111 §7.3).
    SetCookie,
    /// An error that the request's oddness may have drawn.
    OddRequest,
    /// Nothing allows it: neither a lifetime nor `public` nor a heuristically cacheable status (RFC
    /// 9111 §3).
    Unmarked,
    /// Neither fresh, nor served stale, nor to be validated: it would never be used.
    Useless,
    /// `no-store` in the request (RFC 9111 §5.2.1.5), and the response is of no use to others.
    RequestNoStore,
}

/// How long a key is remembered as uncacheable, so that requests for it do not queue for a response
/// they cannot share: long enough to spare a busy key's waits, short enough to notice a change.
pub const ALONE_FOR: Duration = Duration::from_secs(10);

/// The largest header block of a plain request: within what every server takes.
const PLAIN_HEADER_BYTES: usize = 8 * 1024;

/// Judges a response when its head has come. What it invalidates goes first, since a POST may both
/// invalidate its target and be stored under it.
#[must_use]
pub fn judge(asked: &Asked<'_>, received: &Received<'_>, policy: &Policy) -> Judgement {
    let (keep, part) = match weigh(asked, received, policy) {
        Ok(kept) => kept,
        Err(why) => return Judgement { verdict: Verdict::Not(why), sharing: alone(received.status, why) },
    };
    let sharing = match reuse(&keep.terms, received.received_at) {
        Reuse::Fresh | Reuse::Grace => Sharing::Shared,
        Reuse::Stale { .. } | Reuse::Validate => alone(received.status, Why::Useless),
    };
    // RFC 9111 §5.2.1.5: "a cache MUST NOT store any part of either this request or any response to
    // it". What the store holds already may answer it.
    let is_forbidden = Directives::of(asked.headers).no_store;
    let verdict = match part {
        None if !is_forbidden => Verdict::Store(Box::new(keep)),
        Some(range) if !is_forbidden => Verdict::StorePart(Box::new(keep), range),
        None if sharing == Sharing::Shared => Verdict::Share(Box::new(keep)),
        _ => Verdict::Not(Why::RequestNoStore),
    };
    Judgement { verdict, sharing }
}

/// Remembers a key whose responses themselves forbid sharing: neither one client's request nor a
/// passing error may keep the others from waiting for each other.
fn alone(status: StatusCode, why: Why) -> Sharing {
    let by_response = matches!(
        why,
        Why::Vary
            | Why::Tags
            | Why::NotUnderstood
            | Why::NoStore
            | Why::Private
            | Why::SetCookie
            | Why::Unmarked
            | Why::Useless
    );
    let is_error = status.is_client_error() || status.is_server_error();
    Sharing::Alone { remember: if by_response && !is_error { ALONE_FOR } else { Duration::ZERO } }
}

/// Whether the response may be stored, with the request's own `no-store` left aside.
fn weigh(asked: &Asked<'_>, received: &Received<'_>, policy: &Policy) -> Result<(Keep, Option<ContentRange>), Why> {
    let Received { status, headers, asked_at, received_at } = *received;
    may_store_method(asked, status, headers)?;
    let part = part(asked, status, headers)?;
    let Vary::Fields(mut nominated) = Vary::of(headers) else {
        return Err(Why::Vary);
    };
    let by_coding = policy.compress && is_text(headers);
    if !policy.nominated.is_empty() || by_coding {
        nominated.extend(policy.nominated.iter().cloned());
        nominated.extend(by_coding.then_some(ACCEPT_ENCODING));
        nominated.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        nominated.dedup();
    }
    let tags = tags(headers).ok_or(Why::Tags)?;
    let (directives, voice) = directives(headers);
    let forced = forced(asked, status, policy);
    if forced.is_none() {
        may_store_directives(asked, status, &directives)?;
    }
    if may_be_drawn(status) && !is_plain(asked) {
        return Err(Why::OddRequest);
    }
    // A part is as fresh as the whole would be.
    let basis = if part.is_some() { StatusCode::OK } else { status };
    let lifetime = forced.unwrap_or_else(|| lifetime(basis, headers, (&directives, voice), received_at, policy));
    if lifetime == Lifetime::None && !directives.public && !is_heuristically_cacheable(basis) {
        return Err(Why::Unmarked);
    }
    if *asked.method == Method::POST && !lifetime.is_explicit() {
        return Err(Why::Method);
    }
    let (headers, for_asker) = stored_fields(received, &directives, lifetime, policy.set_cookie)?;
    let age = initial_age(&headers, asked_at, received_at);
    let terms = Terms::new(basis, &directives, lifetime, (age, received_at), policy);
    if is_useless(&terms, &headers) {
        return Err(Why::Useless);
    }
    Ok((Keep { headers, terms, nominated, tags, for_asker }, part))
}

/// RFC 9110 §9.3.3: a POST's 200 is stored only with "explicit freshness information … and a
/// Content-Location header field that has the same value as the POST's target URI", and then answers
/// GET and HEAD. The freshness is looked at later.
fn may_store_method(asked: &Asked<'_>, status: StatusCode, response: &HeaderMap) -> Result<(), Why> {
    let is_storable = match *asked.method {
        Method::GET => true,
        Method::POST if status == StatusCode::OK => {
            pointed(response, &CONTENT_LOCATION, asked.key).as_ref() == Some(asked.key)
        }
        _ => false,
    };
    if is_storable { Ok(()) } else { Err(Why::Method) }
}

/// RFC 9111 §3: "the response status code is final". A 304 is no response of its own, and a 206 that
/// nobody asked for is none of the resource.
fn part(asked: &Asked<'_>, status: StatusCode, response: &HeaderMap) -> Result<Option<ContentRange>, Why> {
    match status {
        StatusCode::NOT_MODIFIED => Err(Why::Status),
        _ if status.is_informational() => Err(Why::Status),
        StatusCode::PARTIAL_CONTENT if asked.headers.contains_key(RANGE) => {
            ContentRange::of(response).map(Some).ok_or(Why::Part)
        }
        StatusCode::PARTIAL_CONTENT => Err(Why::Part),
        _ => Ok(None),
    }
}

/// The site's override. It reaches no request with credentials: whether its response may be shared is
/// the origin's word alone.
fn forced(asked: &Asked<'_>, status: StatusCode, policy: &Policy) -> Option<Lifetime> {
    let reaches = takes_site_ttl(status) && *asked.method == Method::GET && !asked.headers.contains_key(AUTHORIZATION);
    policy.force_ttl.filter(|_| reaches).map(Lifetime::Forced)
}

fn may_store_directives(asked: &Asked<'_>, status: StatusCode, directives: &Directives) -> Result<(), Why> {
    // RFC 9111 §5.2.2.3: "the cache SHOULD ignore the no-store directive if it understands and
    // implements the status code's caching requirements"; else, §3, it does not store at all.
    match (directives.must_understand, is_understood(status)) {
        (true, false) => return Err(Why::NotUnderstood),
        (false, _) if directives.no_store => return Err(Why::NoStore),
        _ => {}
    }
    // RFC 9111 §3: "if the cache is shared: the private response directive is either not present or
    // allows a shared cache to store a modified response".
    if directives.private == Reach::Whole {
        return Err(Why::Private);
    }
    // RFC 9111 §3.5: "A shared cache MUST NOT use a cached response to a request with an Authorization
    // header field … to satisfy any subsequent request unless the response contains a Cache-Control
    // field with a response directive … that allows it": `must-revalidate`, `public` or `s-maxage`.
    let allows = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if asked.headers.contains_key(AUTHORIZATION) && !allows {
        return Err(Why::Authorization);
    }
    Ok(())
}

/// Whether nothing in the request is likely to have drawn an error for itself alone.
fn is_plain(asked: &Asked<'_>) -> bool {
    let bytes: usize = asked.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE_BYTES).sum();
    *asked.method == Method::GET
        && asked.payload == Payload::Empty
        && !asked.headers.keys().any(|name| ODD.contains(name))
        && bytes <= PLAIN_HEADER_BYTES
}

/// Fields that draw errors of their own: 412, 416, 417.
const ODD: [HeaderName; 4] = [RANGE, IF_MATCH, IF_UNMODIFIED_SINCE, EXPECT];

/// Colon, space and line end of a header line.
const LINE_BYTES: usize = 4;

/// The fields to store, and those for who asked alone.
fn stored_fields(
    received: &Received<'_>,
    directives: &Directives,
    lifetime: Lifetime,
    set_cookie: SetCookiePolicy,
) -> Result<(HeaderMap, HeaderMap), Why> {
    let mut for_asker = HeaderMap::new();
    let mut headers = received.headers.clone();
    // RFC 9111 §3.1: "Caches MUST include all received response header fields … when storing a
    // response", with exceptions: those of the connection,
    remove_hop_by_hop(&mut headers);
    // and those that a qualified `private` or `no-cache` names (§5.2.2.7, §5.2.2.4).
    for reach in [&directives.private, &directives.no_cache] {
        if let Reach::Fields(names) = reach {
            for name in names {
                if let header::Entry::Occupied(lines) = headers.entry(name) {
                    let (name, lines) = lines.remove_entry_mult();
                    lines.for_each(|line| _ = for_asker.append(name.clone(), line));
                }
            }
        }
    }
    if headers.contains_key(SET_COOKIE) {
        match set_cookie {
            SetCookiePolicy::Strip => _ = headers.remove(SET_COOKIE),
            SetCookiePolicy::Store if lifetime.is_explicit() => {}
            SetCookiePolicy::Store | SetCookiePolicy::Pass => return Err(Why::SetCookie),
        }
    }
    ensure_date(&mut headers, received.received_at);
    Ok((headers, for_asker))
}

fn is_useless(terms: &Terms, headers: &HeaderMap) -> bool {
    let can_be_fresh = terms.validation == Validation::WhenStale && terms.lifetime > terms.initial_age;
    let can_be_stale = [terms.grace, terms.on_unreachable, terms.on_error].iter().any(|window| !window.is_zero());
    !can_be_fresh && !can_be_stale && Validators::of(headers).is_empty()
}

#[cfg(test)]
mod tests;
