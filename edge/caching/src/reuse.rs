//! Whether a stored response may be used now (RFC 9111 §4, §4.2.4; RFC 5861).

use std::time::Duration;

use http::StatusCode;

use crate::age::age;
use crate::terms::{Terms, Validation};
use crate::time::{Moment, millis};

/// Whether a stored response may be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Within its lifetime: serve it.
    Fresh,
    /// Past it, but serve it and revalidate once in the background (RFC 5861 §3).
    Grace,
    /// Past it: revalidate and wait.
    Stale {
        /// When no answer comes: no connection, a timeout, a close before any response.
        on_unreachable: Fallback,
        /// When the answer is one that `may_hide` names.
        on_error: Fallback,
    },
    /// Not to be used without validation, however old: revalidate and wait (RFC 9111 §5.2.2.4).
    Validate,
}

/// What a stale response is good for when its origin fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Serve it.
    Serve,
    /// Do not: answer with the error, or with 504 where there is none (RFC 9111 §5.2.2.2).
    Fail,
}

/// Decides whether a stored response may be used now.
#[must_use]
pub fn reuse(terms: &Terms, now: Moment) -> Reuse {
    if terms.validation == Validation::Always {
        return Reuse::Validate;
    }
    let age = age(terms, now);
    // RFC 9111 §4.2: "response_is_fresh = (freshness_lifetime > current_age)".
    if terms.lifetime > age {
        return Reuse::Fresh;
    }
    let staleness = age.saturating_sub(terms.lifetime);
    if staleness < terms.grace {
        return Reuse::Grace;
    }
    let fallback = |window: Duration| if staleness < window { Fallback::Serve } else { Fallback::Fail };
    Reuse::Stale { on_unreachable: fallback(terms.on_unreachable), on_error: fallback(terms.on_error) }
}

/// The remaining lifetime in whole seconds, rounded down; negative past it (RFC 9211 §2.4).
#[must_use]
pub fn ttl(terms: &Terms, now: Moment) -> i64 {
    millis(terms.lifetime).saturating_sub(millis(age(terms, now))).div_euclid(1000)
}

/// Whether an answer is an error that a stale response may hide: RFC 5861 §4, "any situation that
/// would result in a 500, 502, 503, or 504 HTTP response status code being returned".
#[must_use]
pub fn may_hide(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Moment = Moment::from_seconds(1_700_000_000);

    fn terms(lifetime: u64, grace: u64, on_unreachable: u64, on_error: u64) -> Terms {
        Terms {
            lifetime: Duration::from_secs(lifetime),
            initial_age: Duration::from_secs(5),
            received_at: START,
            validation: Validation::WhenStale,
            grace: Duration::from_secs(grace),
            on_unreachable: Duration::from_secs(on_unreachable),
            on_error: Duration::from_secs(on_error),
        }
    }

    fn later(seconds: u64) -> Moment {
        START.after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_response_ages_from_fresh_through_grace_to_useless() {
        use Fallback::{Fail, Serve};
        let stale = |on_unreachable, on_error| Reuse::Stale { on_unreachable, on_error };
        let table = [
            (0, Reuse::Fresh, 5),
            (4, Reuse::Fresh, 1),
            (5, Reuse::Grace, 0),
            (14, Reuse::Grace, -9),
            (15, stale(Serve, Serve), -10),
            (24, stale(Serve, Serve), -19),
            (25, stale(Serve, Fail), -20),
            (35, stale(Fail, Fail), -30),
        ];
        let terms = terms(10, 10, 30, 20);
        for (after, expected, left) in table {
            assert_eq!((reuse(&terms, later(after)), ttl(&terms, later(after))), (expected, left), "after {after} s");
        }
    }

    #[test]
    fn without_windows_a_stale_response_serves_nobody() {
        let expected = Reuse::Stale { on_unreachable: Fallback::Fail, on_error: Fallback::Fail };
        assert_eq!(reuse(&terms(10, 0, 0, 0), later(5)), expected);
        assert_eq!(reuse(&terms(0, 0, 0, 0), START), expected);
    }

    #[test]
    fn no_cache_is_validated_even_when_fresh() {
        let terms = Terms { validation: Validation::Always, ..terms(100, 10, 10, 10) };
        assert_eq!(reuse(&terms, START), Reuse::Validate);
    }

    #[test]
    fn expiring_begins_the_windows_now() {
        let mut terms = terms(100, 10, 0, 0);
        terms.expire(later(20));
        assert_eq!(reuse(&terms, later(20)), Reuse::Grace);
        assert!(matches!(reuse(&terms, later(30)), Reuse::Stale { .. }));
    }

    /// From best to worst.
    fn rank(reuse: Reuse) -> u8 {
        let worth = |fallback| u8::from(fallback == Fallback::Fail);
        match reuse {
            Reuse::Fresh => 0,
            Reuse::Grace => 1,
            Reuse::Stale { on_unreachable, on_error } => 2 + worth(on_unreachable) + worth(on_error),
            Reuse::Validate => 5,
        }
    }

    proptest! {
        #[test]
        fn time_only_makes_a_response_worse(
            windows in (0_u64..100, 0_u64..100, 0_u64..100, 0_u64..100),
            first in -1_000_i64..200_000,
            wait in 0_i64..200_000,
        ) {
            let terms = terms(windows.0, windows.1, windows.2, windows.3);
            let now = Moment::from_millis(START.millis() + first);
            let then = Moment::from_millis(now.millis() + wait);
            prop_assert!(rank(reuse(&terms, now)) <= rank(reuse(&terms, then)));
            prop_assert!(ttl(&terms, now) >= ttl(&terms, then));
            prop_assert_eq!(reuse(&terms, now) == Reuse::Fresh, terms.lifetime > age(&terms, now));
        }
    }
}
