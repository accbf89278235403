//! What the site says about storing, for one request.

use std::time::Duration;

/// What the site says about storing, for one request: its `[cache]` table and the rules that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Freshness where the origin gives none, for successes, redirects, 404 and 410; never over
    /// `no-store` or `private`. Default: none.
    pub ttl: Option<Duration>,
    /// Freshness for the same statuses whatever the origin says, also `no-store`. A request with
    /// Authorization is judged without it.
    pub force_ttl: Option<Duration>,
    /// How long past freshness a response may be served while one fetch renews it, where the origin
    /// gives no `stale-while-revalidate`. Default: not at all.
    pub grace: Duration,
    /// What becomes of a response that sets a cookie.
    pub set_cookie: SetCookiePolicy,
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
