//! How fast edges send, from what they report of themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use config::NodeId;

use crate::report::Report;

/// The last two reports of every edge, as a rate.
#[derive(Clone, Debug, Default)]
pub struct Rates(BTreeMap<NodeId, Sent>);

#[derive(Clone, Copy, Debug)]
struct Sent {
    uptime_ms: u64,
    bytes: u64,
    /// None until there are two reports of one start.
    rate: Option<Rate>,
}

/// A rate between two reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Bits per second.
    pub bits: f64,
    /// How far the reports were apart.
    pub over: Duration,
}

impl Rates {
    /// Takes in an edge's latest report; the rate between it and the one before. `None` for a first one;
    /// the rate before, where it is the same again.
    pub fn hear(&mut self, edge: &NodeId, report: &Report) -> Option<Rate> {
        let (uptime_ms, bytes) = (report.uptime_ms, report.bytes);
        let before = self.0.get(edge).copied();
        let rate = match before {
            Some(before) if before.uptime_ms == uptime_ms => before.rate,
            Some(before) if before.uptime_ms < uptime_ms && before.bytes <= bytes => {
                let over = uptime_ms - before.uptime_ms;
                #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
                let bits = 8_000.0 * (bytes - before.bytes) as f64 / over as f64;
                Some(Rate { bits, over: Duration::from_millis(over) })
            }
            // It was started again.
            _ => None,
        };
        self.0.insert(edge.clone(), Sent { uptime_ms, bytes, rate });
        rate
    }

    /// Forgets edges that a config no longer has.
    pub fn retain(&mut self, is_known: impl Fn(&NodeId) -> bool) {
        self.0.retain(|edge, _| is_known(edge));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reports_of_one_start_make_a_rate() {
        let edge = NodeId::parse("fra-1").unwrap();
        let mut rates = Rates::default();
        for (uptime_ms, bytes, expected) in [
            (1_000, 500, None),
            (3_000, 250_500, Some(1_000_000.0)),
            (3_000, 250_500, Some(1_000_000.0)),
            (5_000, 250_500, Some(0.0)),
            (400, 10, None),
            (1_400, 10, Some(0.0)),
            (2_400, 5, None),
        ] {
            let report = Report { uptime_ms, bytes, ..Report::default() };
            assert_eq!(rates.hear(&edge, &report).map(|rate| rate.bits), expected, "{uptime_ms}");
        }
    }
}
