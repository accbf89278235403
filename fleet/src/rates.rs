//! How fast edges send, from what they report of themselves.

use std::collections::BTreeMap;

use config::NodeId;

use crate::report::Report;

/// The last two reports of every edge, as a rate.
#[derive(Clone, Debug, Default)]
pub struct Rates(BTreeMap<NodeId, Sent>);

#[derive(Clone, Copy, Debug)]
struct Sent {
    uptime_ms: u64,
    bytes: u64,
    /// Bits per second; none until there are two reports of one start.
    rate: Option<f64>,
}

impl Rates {
    /// Takes in an edge's latest report; bits per second between it and the one before. `None` for a first one;
    /// the rate before, where it is the same again.
    pub fn hear(&mut self, edge: &NodeId, report: &Report) -> Option<f64> {
        let (uptime_ms, bytes) = (report.uptime_ms, report.bytes);
        let before = self.0.get(edge).copied();
        let rate = match before {
            Some(before) if before.uptime_ms == uptime_ms => before.rate,
            Some(before) if before.uptime_ms < uptime_ms && before.bytes <= bytes => {
                #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
                let rate = 8_000.0 * (bytes - before.bytes) as f64 / (uptime_ms - before.uptime_ms) as f64;
                Some(rate)
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
            assert_eq!(rates.hear(&edge, &report), expected, "{uptime_ms}");
        }
    }
}
