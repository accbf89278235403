//! How long a response is fresh (RFC 9111 §4.2.1, §4.2.2).

use std::time::Duration;

use http::StatusCode;
use http::header::{EXPIRES, HeaderMap, LAST_MODIFIED};

use crate::control::Directives;
use crate::date::{date_of, read_date};
use crate::field;
use crate::policy::Policy;
use crate::targeted::Voice;
use crate::time::Moment;

/// A freshness lifetime and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The site overrides the origin.
    Forced(Duration),
    /// The origin says so.
    Explicit(Duration),
    /// The site's default.
    Default(Duration),
    /// Guessed from Last-Modified.
    Heuristic(Duration),
    /// There is none.
    None,
}

impl Lifetime {
    pub(crate) fn duration(self) -> Duration {
        match self {
            Self::Forced(time) | Self::Explicit(time) | Self::Default(time) | Self::Heuristic(time) => time,
            Self::None => Duration::ZERO,
        }
    }

    /// Whether somebody said it in so many words.
    pub(crate) fn is_explicit(self) -> bool {
        matches!(self, Self::Forced(_) | Self::Explicit(_))
    }
}

/// A share of the time since the last change: RFC 9111 §4.2.2, "A typical setting of this fraction
/// might be 10%".
const HEURISTIC_FRACTION: u32 = 10;

/// However old a response is, a guess is good for a day at most.
const MOST_HEURISTIC: Duration = Duration::from_hours(24);

/// The lifetime of a response by what the origin says, else by the site's default, else by guess.
///
/// RFC 9111 §4.2.1 sets the order, in which the first present counts, valid or not: `s-maxage`,
/// `max-age`, Expires minus Date, heuristics.
pub(crate) fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    (directives, voice): (&Directives, Voice),
    received_at: Moment,
    policy: &Policy,
) -> Lifetime {
    if let Some(time) = directives.s_maxage.or(directives.max_age) {
        return Lifetime::Explicit(time);
    }
    if voice == Voice::General && headers.contains_key(EXPIRES) {
        return Lifetime::Explicit(until_expiry(headers, received_at));
    }
    if let Some(time) = policy.ttl_of(status, takes_site_ttl(status)) {
        return Lifetime::Default(time);
    }
    let may_guess = is_heuristically_cacheable(status) || directives.public;
    if voice == Voice::General && may_guess {
        return guess(headers, received_at);
    }
    Lifetime::None
}

/// The statuses that RFC 9110 §15.1 names as heuristically cacheable; 206 is one too, but stands here
/// for the 200 it is a part of.
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses that the site's own ttl is for: as the heuristic ones, without those that one client's
/// odd request may draw and those that tell of a fault.
pub(crate) fn takes_site_ttl(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 410)
}

/// RFC 9111 §5.3: "A cache recipient MUST interpret invalid date formats, especially the value "0",
/// as representing a time in the past".
fn until_expiry(headers: &HeaderMap, received_at: Moment) -> Duration {
    let expires = field::single(headers, &EXPIRES).and_then(|date| read_date(date, received_at));
    expires.map_or(Duration::ZERO, |expires| expires.since(date_of(headers, received_at)))
}

fn guess(headers: &HeaderMap, received_at: Moment) -> Lifetime {
    let modified = field::single(headers, &LAST_MODIFIED).and_then(|date| read_date(date, received_at));
    modified.map_or(Lifetime::None, |modified| {
        let unchanged = date_of(headers, received_at).since(modified);
        Lifetime::Heuristic((unchanged / HEURISTIC_FRACTION).min(MOST_HEURISTIC))
    })
}

#[cfg(test)]
mod tests;
