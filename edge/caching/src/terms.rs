//! The terms on which a stored response may be reused: everything reuse needs, worked out once.

use std::time::Duration;

use http::StatusCode;

use crate::control::{Directives, Reach};
use crate::freshness::Lifetime;
use crate::policy::Policy;
use crate::time::Moment;

/// The terms on which a stored response may be reused. Plain values: a store may write them to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it is fresh (RFC 9111 §4.2.1), counted as its age is: from when it was made, not from when it came in.
    pub lifetime: Duration,
    /// How old it was when it came in (RFC 9111 §4.2.3).
    pub initial_age: Duration,
    /// When it came in: `response_time` (RFC 9111 §4.2.3).
    pub received_at: Moment,
    /// When it must be validated.
    pub validation: Validation,
    /// How long past freshness it is served while one fetch renews it (RFC 5861 §3).
    pub grace: Duration,
    /// How long past freshness it is served when no answer comes from the next hop.
    pub on_unreachable: Duration,
    /// How long past freshness it is served in place of a 5xx answer (RFC 5861 §4).
    pub on_error: Duration,
}

/// When a stored response must be validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Once it is stale.
    WhenStale,
    /// At every use: `no-cache` (RFC 9111 §5.2.2.4).
    Always,
}

/// How long past freshness a response is served when its origin cannot be reached and has not said
/// how long: a day, which outlasts most outages. RFC 9111 §4.2.4 allows it where the cache is
/// "disconnected".
const DEFAULT_ON_UNREACHABLE: Duration = Duration::from_hours(24);

impl Terms {
    pub(crate) fn new(
        status: StatusCode,
        directives: &Directives,
        lifetime: Lifetime,
        (initial_age, received_at): (Duration, Moment),
        policy: &Policy,
    ) -> Self {
        let default = Windows::default_of(status, policy);
        let (validation, windows) = match lifetime {
            // "0s" is how a site says that something is for nobody else: nor is it when stale.
            Lifetime::Forced(Duration::ZERO) | Lifetime::Default(Duration::ZERO) => {
                (Validation::WhenStale, Windows::NONE)
            }
            // The site's word replaces the origin's, and forbids nothing.
            Lifetime::Forced(_) => (Validation::WhenStale, default),
            _ if directives.no_cache == Reach::Whole => (Validation::Always, Windows::NONE),
            Lifetime::None => (Validation::WhenStale, Windows::NONE),
            // What never was fresh has no time past freshness, unless the origin says so: `max-age=0` and an
            // `Expires` of long ago are how pages for one client are often marked.
            _ if lifetime.duration().is_zero() => {
                (Validation::WhenStale, Windows::of(directives, Windows { grace: Duration::ZERO, ..default }))
            }
            _ => (Validation::WhenStale, Windows::of(directives, default)),
        };
        let Windows { grace, on_unreachable, on_error } = windows;
        let lifetime = match lifetime {
            // Whatever the origin says, also of how old it is: the site's time begins as it comes in.
            Lifetime::Forced(time) => time.saturating_add(initial_age),
            _ => lifetime.duration(),
        };
        Self { lifetime, initial_age, received_at, validation, grace, on_unreachable, on_error }
    }

    /// Makes it stale from now on, as a soft purge or a disagreeing HEAD does (RFC 9111 §4.3.5).
    pub fn expire(&mut self, now: Moment) {
        let age = self.initial_age.saturating_add(now.since(self.received_at));
        self.lifetime = self.lifetime.min(age);
    }
}

/// How long past freshness a response is served, by occasion.
struct Windows {
    grace: Duration,
    on_unreachable: Duration,
    on_error: Duration,
}

impl Windows {
    const NONE: Self = Self { grace: Duration::ZERO, on_unreachable: Duration::ZERO, on_error: Duration::ZERO };

    /// Where the origin does not say. An error that is past its time tells nothing of the resource: it stands in for
    /// no origin that fails.
    fn default_of(status: StatusCode, policy: &Policy) -> Self {
        if is_fault(status) {
            return Self { grace: policy.grace, ..Self::NONE };
        }
        Self {
            grace: policy.grace,
            on_unreachable: policy.stale_if_error.unwrap_or(DEFAULT_ON_UNREACHABLE),
            on_error: policy.stale_if_error.unwrap_or_default(),
        }
    }

    /// RFC 9111 §4.2.4: "A cache MUST NOT generate a stale response if it is prohibited by an
    /// explicit in-protocol directive (e.g., by a no-cache response directive, a must-revalidate
    /// response directive, or an applicable s-maxage or proxy-revalidate response directive".
    ///
    /// Departs from §5.2.2.10 in that an explicit permission (RFC 5861) beside `s-maxage` counts:
    /// origins that write both mean it, and it says more than `s-maxage` implies.
    fn of(directives: &Directives, default: Self) -> Self {
        if directives.must_revalidate || directives.proxy_revalidate {
            return Self::NONE;
        }
        let default = if directives.s_maxage.is_some() { Self::NONE } else { default };
        Self {
            grace: directives.stale_while_revalidate.unwrap_or(default.grace),
            on_unreachable: directives.stale_if_error.unwrap_or(default.on_unreachable),
            on_error: directives.stale_if_error.unwrap_or(default.on_error),
        }
    }
}

/// Whether a status tells of a fault rather than of the resource: that it is not there, or gone, is an answer.
fn is_fault(status: StatusCode) -> bool {
    let is_error = status.is_client_error() || status.is_server_error();
    is_error && !matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

    const EXPLICIT: Lifetime = Lifetime::Explicit(Duration::from_secs(100));
    const FORCED: Lifetime = Lifetime::Forced(Duration::from_secs(100));
    const DAY: u64 = 86_400;

    #[test]
    fn stale_use_ends_where_a_directive_forbids_it() {
        // Cache-Control, lifetime; grace, when unreachable, in place of an error; the site's grace is 7.
        let table = [
            ("", EXPLICIT, (7, DAY, 0)),
            ("stale-while-revalidate=60", EXPLICIT, (60, DAY, 0)),
            ("stale-while-revalidate=0", EXPLICIT, (0, DAY, 0)),
            ("stale-if-error=60", EXPLICIT, (7, 60, 60)),
            ("stale-if-error=0", EXPLICIT, (7, 0, 0)),
            ("stale-if-error=x", EXPLICIT, (7, 0, 0)),
            ("", Lifetime::Explicit(Duration::ZERO), (0, DAY, 0)),
            ("", Lifetime::Heuristic(Duration::ZERO), (0, DAY, 0)),
            ("stale-while-revalidate=60", Lifetime::Explicit(Duration::ZERO), (60, DAY, 0)),
            ("", Lifetime::Default(Duration::ZERO), (0, 0, 0)),
            ("private", Lifetime::Forced(Duration::ZERO), (0, 0, 0)),
            ("s-maxage=1", EXPLICIT, (0, 0, 0)),
            ("s-maxage=1, stale-while-revalidate=60", EXPLICIT, (60, 0, 0)),
            ("s-maxage=1, stale-if-error=60", EXPLICIT, (0, 60, 60)),
            ("must-revalidate, stale-while-revalidate=60, stale-if-error=60", EXPLICIT, (0, 0, 0)),
            ("proxy-revalidate, stale-while-revalidate=60, stale-if-error=60", EXPLICIT, (0, 0, 0)),
            ("no-cache, stale-while-revalidate=60, stale-if-error=60", EXPLICIT, (0, 0, 0)),
            ("no-cache=\"a\", stale-while-revalidate=60", EXPLICIT, (60, DAY, 0)),
            ("stale-while-revalidate=60, stale-if-error=60", Lifetime::None, (0, 0, 0)),
            ("no-cache, must-revalidate, s-maxage=1", FORCED, (7, DAY, 0)),
        ];
        let policy = Policy { grace: Duration::from_secs(7), ..Policy::default() };
        for (control, lifetime, expected) in table {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(control))]);
            let directives = Directives::of(&headers);
            let times = (Duration::ZERO, Moment::default());
            let terms = Terms::new(StatusCode::OK, &directives, lifetime, times, &policy);
            let found = (terms.grace.as_secs(), terms.on_unreachable.as_secs(), terms.on_error.as_secs());
            assert_eq!(found, expected, "{control} {lifetime:?}");
            let always = control.starts_with("no-cache,") && lifetime == EXPLICIT;
            assert_eq!(terms.validation == Validation::Always, always, "{control}");
        }
    }

    #[test]
    fn an_error_stands_in_for_no_origin_unless_its_own_says_so() {
        let policy =
            Policy { grace: Duration::from_secs(7), stale_if_error: Some(Duration::from_secs(9)), ..Policy::default() };
        let table = [
            (200, "", (7, 9, 9)),
            (301, "", (7, 9, 9)),
            (404, "", (7, 9, 9)),
            (410, "", (7, 9, 9)),
            (400, "", (7, 0, 0)),
            (403, "", (7, 0, 0)),
            (500, "", (7, 0, 0)),
            (503, "", (7, 0, 0)),
            (503, "stale-if-error=60", (7, 60, 60)),
        ];
        for (status, control, expected) in table {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(control))]);
            let times = (Duration::ZERO, Moment::default());
            for lifetime in [EXPLICIT, Lifetime::Default(Duration::from_secs(5))] {
                let status = StatusCode::from_u16(status).unwrap();
                let terms = Terms::new(status, &Directives::of(&headers), lifetime, times, &policy);
                let found = (terms.grace.as_secs(), terms.on_unreachable.as_secs(), terms.on_error.as_secs());
                assert_eq!(found, expected, "{status} {control}");
            }
        }
    }
}
