//! What load to expect of each PoP, now and a moment ago.

use std::collections::VecDeque;
use std::time::Duration;

use super::by_pop::ByPop;

/// How long resolvers hold an answer beyond its TTL, and how late a report may come.
const TAIL: Duration = Duration::from_secs(10);

/// The modelled load of every PoP over the last TTL and its tail, for reports that come late.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    span: Duration,
    samples: VecDeque<(Duration, ByPop)>,
}

impl History {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { span: ttl + TAIL, samples: VecDeque::new() }
    }

    /// Before this, nothing is known.
    pub(super) fn oldest(&self, now: Duration) -> Duration {
        now.saturating_sub(self.span)
    }

    /// Notes the load modelled for now. A step back in time forgets what came after.
    pub(super) fn push(&mut self, now: Duration, model: ByPop) {
        while self.samples.back().is_some_and(|(at, _)| *at >= now) {
            self.samples.pop_back();
        }
        self.samples.push_back((now, model));
        let oldest = self.oldest(now);
        while self.samples.get(1).is_some_and(|(at, _)| *at <= oldest) {
            self.samples.pop_front();
        }
    }

    /// The load modelled for a moment, between the two samples around it; the last one's after it; `None`
    /// before the oldest.
    pub(super) fn at(&self, at: Duration) -> Option<ByPop> {
        let next = self.samples.partition_point(|(sample, _)| *sample <= at);
        let (start, before) = self.samples.get(next.checked_sub(1)?)?;
        let Some((end, after)) = self.samples.get(next) else {
            return Some(before.clone());
        };
        let share = (at - *start).as_secs_f64() / (*end - *start).as_secs_f64();
        let pairs = before.values().iter().zip(after.values());
        Some(pairs.map(|(before, after)| before + share * (after - before)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn load(history: &History, seconds: u64) -> Option<f64> {
        history.at(at(seconds)).map(|model| model.values()[0])
    }

    #[test]
    fn a_moment_lies_between_its_samples() {
        let mut history = History::new(at(20));
        for (second, load) in [(10, 5.0), (20, 15.0), (40, 15.0), (50, 0.0)] {
            history.push(at(second), [load].into_iter().collect());
        }
        for (second, expected) in [(19, None), (20, Some(15.0)), (44, Some(9.0)), (50, Some(0.0)), (99, Some(0.0))] {
            assert_eq!(load(&history, second), expected, "{second}");
        }
    }

    #[test]
    fn a_clock_set_back_does_no_harm() {
        let mut history = History::new(at(20));
        for (second, load) in [(50, 1.0), (55, 2.0), (40, 3.0), (40, 4.0), (45, 5.0)] {
            history.push(at(second), [load].into_iter().collect());
        }
        assert_eq!([load(&history, 40), load(&history, 45), load(&history, 60)], [Some(4.0), Some(5.0), Some(5.0)]);
    }
}
