//! What is gained by what was learned.

use crate::latency::learn::{Learned, Observed};

/// How much was measured, and what it is worth, by round trips measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worth {
    /// Prefixes measured.
    pub prefixes: usize,
    /// Those that are in a group.
    pub grouped: usize,
    /// Those whose group goes elsewhere than distance says.
    pub moved: usize,
    /// Round trips measured.
    pub samples: f64,
    /// Those of moved groups.
    pub moved_samples: f64,
    /// Expected round trip of the grouped by distance, milliseconds.
    pub geography_ms: f64,
    /// Expected round trip of the grouped as they go, milliseconds.
    pub learned_ms: f64,
}

/// Sums up what was learned of what was measured.
#[must_use]
pub fn worth(learned: &Learned, observed: &[Observed<'_>]) -> Worth {
    let mut worth = Worth::default();
    let mut grouped_samples = 0.0;
    for one in observed {
        let samples: f64 = one.measured.values().map(|seen| f64::from(seen.count())).sum();
        worth.prefixes += 1;
        worth.samples += samples;
        let Some((_, group)) = learned.group_of(one.place, one.asn) else { continue };
        let (Some(then), Some(now)) = (group.estimate(group.expected), group.estimate(group.current)) else { continue };
        worth.grouped += 1;
        grouped_samples += samples;
        worth.geography_ms += samples * then.milliseconds();
        worth.learned_ms += samples * now.milliseconds();
        if group.current != group.expected {
            worth.moved += 1;
            worth.moved_samples += samples;
        }
    }
    worth.geography_ms /= f64::max(grouped_samples, 1.0);
    worth.learned_ms /= f64::max(grouped_samples, 1.0);
    worth
}
