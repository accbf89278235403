//! What the site says about storing, for one request.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, StatusCode};

/// What the site says about storing, for one request: its `[cache]` table and the rules that match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Freshness where the origin gives none, for successes, redirects, 404 and 410; never over
    /// `no-store` or `private`. Default: none.
    pub ttl: Option<Duration>,
    /// The same by status, of which the last that has it counts: also of errors.
    pub ttl_by_status: Vec<(RangeInclusive<u16>, Duration)>,
    /// Freshness for the same statuses whatever the origin says, also `no-store`, and from when the response comes in,
    /// however old it is then. A request with Authorization is judged without it.
    pub force_ttl: Option<Duration>,
    /// How long past freshness a response may be served while one fetch renews it, where the origin
    /// gives no `stale-while-revalidate`. Default: not at all.
    pub grace: Duration,
    /// How long past freshness a response is served when its origin cannot be reached or answers with a 5xx, where the
    /// origin gives no `stale-if-error`. Default: a day where it cannot be reached.
    pub stale_if_error: Option<Duration>,
    /// Request fields that select among what is stored, as if the response's Vary named them.
    pub nominated: Vec<HeaderName>,
    /// What becomes of a response that sets a cookie.
    pub set_cookie: SetCookiePolicy,
    /// Whether what the origin sends uncompressed is compressed as it is stored.
    pub compress: bool,
}

impl Policy {
    /// Freshness of a status where the origin gives none; `usual` is whether [`Policy::ttl`] is for it.
    ///
    /// A challenge is for who asked without credentials (RFC 9110 §11.6): kept, nobody could log in.
    pub(crate) fn ttl_of(&self, status: StatusCode, usual: bool) -> Option<Duration> {
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
            return None;
        }
        let by_status = self.ttl_by_status.iter().rev().find(|(statuses, _)| statuses.contains(&status.as_u16()));
        by_status.map(|(_, ttl)| *ttl).or(self.ttl.filter(|_| usual))
    }
}

/// What becomes of a response that sets a cookie (RFC 9111 §7.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookiePolicy {
    /// Not stored and not shared.
    #[default]
    Pass,
    /// Stored without the cookie.
    Strip,
    /// Stored with it, where its freshness is explicit.
    Store,
}
