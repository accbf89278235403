//! Freshness by status.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits;
use crate::table::Value;
use crate::wrong::Wrong;

/// How long responses of some statuses are fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TtlByStatus {
    /// One status, or a class of a hundred.
    pub statuses: RangeInclusive<u16>,
    /// How long.
    pub ttl: Duration,
}

pub(super) fn read(statuses: &str, value: Value<'_>) -> Option<TtlByStatus> {
    let statuses = parse(statuses).map_or_else(|wrong| value.wrong(wrong), Some)?;
    Some(TtlByStatus { statuses, ttl: value.duration(&limits::SITE_TTL)? })
}

/// Reads `404` or `5xx`.
fn parse(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    let wrong = || Wrong::new(format!("`{text}` is no status that is kept")).help("as in 404, 302 or 5xx");
    if let Some(class) = text.strip_suffix("xx") {
        let class = class.parse::<u16>().ok().filter(|class| (2..=5).contains(class)).ok_or_else(wrong)?;
        return Ok(class * 100..=class * 100 + 99);
    }
    // RFC 9111 §3.3, §4.3.3: a part and a validation are no responses of their own; a challenge is for one who asked.
    let is_kept = |status: &u16| (200..600).contains(status) && ![206, 304, 401, 407].contains(status);
    text.parse().ok().filter(is_kept).map(|status| status..=status).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_class() {
        for (text, expected) in [("404", Some(404..=404)), ("5xx", Some(500..=599)), ("206", None), ("304", None)] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
        for text in ["1xx", "6xx", "xx", "40", "4000", "ok", "-404"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
