//! What a node's counters have come to, for whoever gathers a fleet's.

use std::collections::BTreeMap;

use prometheus::IntCounterVec;
use prometheus::core::Collector;
use serde::{Deserialize, Serialize};

use crate::metrics::Metrics;

/// Counters since the node's start, as far as a fleet's history is made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// Replies sent, by whatever transport.
    pub queries: u64,
    /// Routed answers, by PoP.
    pub routed: BTreeMap<String, u64>,
    /// By site, as the metrics know sites.
    pub sites: BTreeMap<String, OfSite>,
    /// Requests by the time they took: each count is of those that took at most [`Counted::bounds_ms`] of its place and more
    /// than that of the place before; the last is of the others.
    pub took: Vec<u64>,
    /// The bounds of [`Counted::took`], milliseconds.
    pub bounds_ms: Vec<u32>,
}

/// What was counted of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfSite {
    /// Requests answered, the edge's own answers among them.
    pub requests: u64,
    /// Of these, those answered from the store: hits and stale ones.
    pub hits: u64,
    /// Bytes of bodies sent.
    pub bytes: u64,
    /// Bytes of bodies that came from its origin.
    pub origin_bytes: u64,
    /// Fetches from its origin, however they ended.
    pub fetches: u64,
}

impl Metrics {
    /// What it has come to.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let mut counted = Counted { queries: sum(&self.dns_replies), ..Counted::default() };
        each(&self.dns_routed, |labels, count| {
            *counted.routed.entry(labels.of("pop")).or_default() += count;
        });
        each(&self.requests, |labels, count| {
            let site = counted.sites.entry(labels.of("site")).or_default();
            site.requests += count;
            if matches!(labels.of("result").as_str(), "hit" | "stale") {
                site.hits += count;
            }
        });
        each(&self.request_bytes, |labels, count| counted.sites.entry(labels.of("site")).or_default().bytes += count);
        each(&self.origin_bytes, |labels, count| {
            counted.sites.entry(labels.of("site")).or_default().origin_bytes += count;
        });
        each(&self.fetches, |labels, count| counted.sites.entry(labels.of("site")).or_default().fetches += count);
        self.count_times(&mut counted);
        counted
    }

    /// The exposition's buckets contain each other: here each request is in one.
    fn count_times(&self, counted: &mut Counted) {
        for family in self.request_seconds.collect() {
            for series in family.get_metric() {
                let histogram = series.get_histogram();
                let mut below = 0;
                for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
                    counted.bounds_ms.push(milliseconds(bucket.upper_bound()));
                    counted.took.push(bucket.cumulative_count().saturating_sub(below));
                    below = bucket.cumulative_count();
                }
                counted.took.push(histogram.get_sample_count().saturating_sub(below));
            }
        }
    }
}

fn milliseconds(seconds: f64) -> u32 {
    (seconds * 1_000.0).round().clamp(0.0, f64::from(u32::MAX)) as u32
}

fn sum(counters: &IntCounterVec) -> u64 {
    let mut sum = 0;
    each(counters, |_, count| sum += count);
    sum
}

/// The labels of a series.
struct Labels<'s>(&'s [prometheus::proto::LabelPair]);

impl Labels<'_> {
    fn of(&self, name: &str) -> String {
        self.0.iter().find(|pair| pair.name() == name).map_or_else(String::new, |pair| pair.value().to_owned())
    }
}

fn each(counters: &IntCounterVec, mut told: impl FnMut(&Labels<'_>, u64)) {
    for family in counters.collect() {
        for series in family.get_metric() {
            told(&Labels(series.get_label()), whole(series.get_counter().get_value()));
        }
    }
}

/// A counter is whole and not below zero.
fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_joined_by_site_and_pop() {
        let metrics = Metrics::new().unwrap();
        metrics.dns_replies.with_label_values(&["udp", "NOERROR"]).inc_by(3);
        metrics.dns_replies.with_label_values(&["tcp", "NOERROR"]).inc();
        metrics.dns_routed.with_label_values(&["fra", "rule"]).inc();
        metrics.dns_routed.with_label_values(&["fra", "geography"]).inc_by(2);
        for (result, count) in [("hit", 5), ("stale", 1), ("miss", 2), ("own", 4)] {
            metrics.requests.with_label_values(&["shop", result]).inc_by(count);
        }
        metrics.request_bytes.with_label_values(&["shop"]).inc_by(700);
        metrics.origin_bytes.with_label_values(&["shop"]).inc_by(200);
        metrics.fetches.with_label_values(&["shop", "ok"]).inc_by(2);
        metrics.fetches.with_label_values(&["shop", "connection_refused"]).inc();
        let counted = metrics.counted();
        assert_eq!(counted.queries, 4);
        assert_eq!(counted.routed["fra"], 3);
        assert_eq!(counted.sites["shop"], OfSite { requests: 12, hits: 6, bytes: 700, origin_bytes: 200, fetches: 3 });
    }

    #[test]
    fn each_request_is_in_one_bucket() {
        let metrics = Metrics::new().unwrap();
        for seconds in [0.000_5, 0.003, 0.004, 0.2, 100.0] {
            metrics.request_seconds.observe(seconds);
        }
        let counted = metrics.counted();
        assert_eq!(counted.bounds_ms[..3], [1, 5, 10]);
        assert_eq!(counted.took.len(), counted.bounds_ms.len() + 1);
        assert_eq!(counted.took.iter().sum::<u64>(), 5);
        assert_eq!((counted.took[0], counted.took[1], counted.took.last()), (1, 2, Some(&1)));
    }
}
