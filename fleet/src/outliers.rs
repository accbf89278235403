//! Edges whose probes pass but whose real answers fail: by their own word, against the others of their PoP.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use config::NodeId;

use crate::report::Report;

/// What edges reported of late, and which of them fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outliers {
    records: HashMap<NodeId, Record>,
    failing: BTreeSet<NodeId>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    /// When, requests and failures since the edge's start; the oldest first.
    reports: VecDeque<(Duration, u64, u64)>,
    /// Until when it is left out.
    out: Option<Duration>,
}

/// Over how long answers are counted: with a probe a second, an edge that fails is out within ten.
const WINDOW: Duration = Duration::from_secs(8);
/// Of fewer answers nothing is told.
const LEAST_REQUESTS: u64 = 20;
/// An edge fails with this share of failures among its answers ...
const FAILING: f64 = 0.2;
/// ... if that is so many times the share of the others in its PoP: an origin that fails, fails for all.
const TIMES: f64 = 5.0;
/// How long it is left out. It answers nobody then, so that only trying tells whether it is well again.
const OUT: Duration = Duration::from_secs(60);

impl Outliers {
    /// Takes a report in.
    pub(crate) fn hear(&mut self, edge: &NodeId, report: &Report, now: Duration) {
        let reports = &mut self.records.entry(edge.clone()).or_default().reports;
        if reports.back().is_some_and(|(_, requests, failed)| *requests > report.requests || *failed > report.failed) {
            // It was started again.
            reports.clear();
        }
        reports.push_back((now, report.requests, report.failed));
        while reports.get(1).is_some_and(|(at, ..)| now.saturating_sub(*at) >= WINDOW) {
            reports.pop_front();
        }
    }

    /// Judges the edges of a PoP; whether anything has changed. At most a tenth of them, or one, is left out.
    pub(crate) fn judge(&mut self, pop: &[NodeId], now: Duration) -> bool {
        for edge in pop {
            let Some(record) = self.records.get_mut(edge) else { continue };
            if record.out.is_some_and(|until| until <= now) {
                // It begins anew.
                *record = Record::default();
            }
        }
        let is_out = |edge: &&NodeId| self.records.get(*edge).is_some_and(|record| record.out.is_some());
        let mut left = (pop.len() / 10).max(1).saturating_sub(pop.iter().filter(is_out).count());
        let counted: Vec<(&NodeId, u64, u64)> = pop
            .iter()
            .filter(|edge| !is_out(edge))
            .filter_map(|edge| self.records.get(edge).map(|record| (edge, record.answers())))
            .map(|(edge, (requests, failed))| (edge, requests, failed))
            .collect();
        let all = counted.iter().fold((0_u64, 0_u64), |sum, (_, requests, failed)| {
            (sum.0.saturating_add(*requests), sum.1.saturating_add(*failed))
        });
        let mut worst: Vec<(f64, NodeId)> = Vec::new();
        for (edge, requests, failed) in counted {
            let rest = (all.0.saturating_sub(requests), all.1.saturating_sub(failed));
            let (own, others) = (share(requests, failed), share(rest.0, rest.1));
            let enough = requests >= LEAST_REQUESTS && rest.0 >= LEAST_REQUESTS;
            if enough && own >= FAILING && own >= TIMES * others {
                worst.push((own, edge.clone()));
            }
        }
        worst.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, edge) in worst {
            if left > 0
                && let Some(record) = self.records.get_mut(&edge)
            {
                record.out = Some(now + OUT);
                left -= 1;
            }
        }
        let is_out = |edge: &&NodeId| self.records.get(*edge).is_some_and(|record| record.out.is_some());
        let failing: Vec<&NodeId> = pop.iter().filter(is_out).collect();
        let is_same = pop.iter().all(|edge| self.failing.contains(edge) == failing.contains(&edge));
        pop.iter().filter(|edge| !failing.contains(edge)).for_each(|edge| _ = self.failing.remove(edge));
        self.failing.extend(failing.into_iter().cloned());
        !is_same
    }

    /// Whether an edge is left out.
    pub(crate) fn is_failing(&self, edge: &NodeId) -> bool {
        self.failing.contains(edge)
    }
}

impl Record {
    /// Answers in the window, and those of them that failed.
    fn answers(&self) -> (u64, u64) {
        match (self.reports.front(), self.reports.back()) {
            (Some((_, requests, failed)), Some((_, requests_now, failed_now))) => {
                (requests_now - requests, failed_now - failed)
            }
            _ => (0, 0),
        }
    }
}

fn share(requests: u64, failed: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
    let share = failed as f64 / requests.max(1) as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(count: usize) -> Vec<NodeId> {
        (0..count).map(|number| NodeId::parse(&format!("e{number}")).unwrap()).collect()
    }

    /// A second at which each edge answers 10 requests, of which so many fail.
    fn second(outliers: &mut Outliers, pop: &[NodeId], failures: &[u64], now: u64) -> Vec<String> {
        for (edge, failing) in pop.iter().zip(failures) {
            let report = Report { requests: now * 10, failed: now * failing, ..Report::default() };
            outliers.hear(edge, &report, Duration::from_secs(now));
            outliers.judge(pop, Duration::from_secs(now));
        }
        pop.iter().filter(|edge| outliers.is_failing(edge)).map(ToString::to_string).collect()
    }

    #[test]
    fn absurd_numbers_of_one_edge_harm_no_other() {
        let pop = edges(2);
        let mut outliers = Outliers::default();
        for (now, requests) in [0, u64::MAX, 7, u64::MAX].into_iter().enumerate() {
            for (edge, requests) in pop.iter().zip([requests, 10]) {
                let report = Report { requests, failed: requests, ..Report::default() };
                outliers.hear(edge, &report, Duration::from_secs(now as u64));
                outliers.judge(&pop, Duration::from_secs(now as u64));
            }
        }
        assert!(!outliers.is_failing(&pop[1]));
    }

    #[test]
    fn an_edge_that_fails_alone_is_left_out_for_a_minute() {
        let pop = edges(3);
        let mut outliers = Outliers::default();
        let mut out = Vec::new();
        for now in 1..=90 {
            // It comes back after its minute, and is well then.
            let failures = if now < 40 { [0, 9, 0] } else { [0, 0, 0] };
            if now < 40 {
                out.push(second(&mut outliers, &pop, &failures, now).len());
            } else {
                for edge in &pop {
                    let report = Report { requests: now * 10, failed: 351, ..Report::default() };
                    outliers.hear(edge, &report, Duration::from_secs(now));
                    outliers.judge(&pop, Duration::from_secs(now));
                }
                out.push(pop.iter().filter(|edge| outliers.is_failing(edge)).count());
            }
        }
        let first = out.iter().position(|count| *count == 1).unwrap() + 1;
        assert!(first <= 10, "out after {first} s");
        assert!(out[first..first + 58].iter().all(|count| *count == 1), "{out:?}");
        assert!(out[first + 61..].iter().all(|count| *count == 0), "{out:?}");
    }

    #[test]
    fn who_fails_as_all_do_or_answers_little_stays() {
        for (count, failures, expected) in [
            (3, vec![9, 9, 9], vec![]),
            (3, vec![2, 9, 2], vec![]),
            (3, vec![0, 1, 0], vec![]),
            (1, vec![9], vec![]),
            // Two that share a site whose origin cannot be reached.
            (3, vec![0, 9, 8], vec![]),
            (20, [vec![9; 3], vec![0; 17]].concat(), vec!["e0", "e1"]),
        ] {
            let pop = edges(count);
            let mut outliers = Outliers::default();
            let mut out = Vec::new();
            (1..20).for_each(|now| out = second(&mut outliers, &pop, &failures, now));
            assert_eq!(out, expected, "{failures:?}");
        }
    }
}
