//! How much of a counter a second, between two looks.

use std::time::Duration;

/// What an edge has counted since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// When it was told, on the watcher's clock.
    pub(super) at: Duration,
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

/// What comes of two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    pub(super) requests: f64,
    pub(super) bytes: f64,
}

/// None where the edge has begun anew since, or no time has gone by.
pub(super) fn rates(before: Counted, now: Counted) -> Option<Rates> {
    let seconds = now.at.checked_sub(before.at)?.as_secs_f64();
    let (requests, bytes) = (now.requests.checked_sub(before.requests)?, now.bytes.checked_sub(before.bytes)?);
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let each = |count: u64| count as f64 / seconds;
    (seconds > 0.0).then(|| Rates { requests: each(requests), bytes: each(bytes) })
}

/// `0.4`, `38`, `12300`.
pub(super) fn show_requests(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// `870 B/s`, `12.3 MB/s`.
pub(super) fn show_bytes(rate: f64) -> String {
    let mut rate = rate;
    for unit in ["B/s", "kB/s", "MB/s", "GB/s"] {
        if rate < 999.5 {
            return if unit == "B/s" || rate >= 99.95 {
                format!("{rate:.0} {unit}")
            } else {
                format!("{rate:.1} {unit}")
            };
        }
        rate /= 1_000.0;
    }
    format!("{rate:.1} TB/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_has_come_by_the_time_it_took() {
        let counted = |ms: u64, requests, bytes| Counted { at: Duration::from_millis(ms), requests, bytes };
        let before = counted(1_000, 100, 5_000);
        for (now, expected) in [
            (counted(3_000, 140, 6_000), Some((20.0, 500.0))),
            (counted(1_500, 100, 5_000), Some((0.0, 0.0))),
            // A start anew counts from nothing.
            (counted(2_000, 3, 100), None),
            (counted(2_000, 200, 100), None),
            (counted(1_000, 200, 6_000), None),
            (counted(500, 200, 6_000), None),
        ] {
            let rates = rates(before, now).map(|rates| (rates.requests, rates.bytes));
            assert_eq!(rates, expected, "{now:?}");
        }
    }

    #[test]
    fn rates_are_short() {
        for (rate, requests, bytes) in [
            (0.0, "0", "0 B/s"),
            (0.42, "0.4", "0 B/s"),
            (12.3, "12", "12 B/s"),
            (999.4, "999", "999 B/s"),
            (999.6, "1000", "1.0 kB/s"),
            (12_345.0, "12345", "12.3 kB/s"),
            (123_456_789.0, "123456789", "123 MB/s"),
            (9.9e12, "9900000000000", "9.9 TB/s"),
        ] {
            assert_eq!((show_requests(rate).as_str(), show_bytes(rate).as_str()), (requests, bytes));
        }
    }
}
