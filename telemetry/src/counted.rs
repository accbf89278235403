//! What a node's counters have come to, for whoever gathers a fleet's.

use std::collections::BTreeMap;

use prometheus::IntCounterVec;
use prometheus::core::Collector;
use serde::{Deserialize, Serialize};

use crate::metrics::Metrics;
use crate::shares::byte_offload;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfSite {
    /// Requests answered, the edge's own answers among them.
    pub requests: u64,
    /// Of these, those answered from the store: hits and stale ones.
    pub hits: u64,
    /// Bytes of bodies sent.
    pub bytes: u64,
    /// Bytes of bodies that came from its origin. None of a node that does not tell, being of an earlier release: that is not
    /// nothing.
    #[serde(default)]
    pub origin_bytes: Option<u64>,
    /// Fetches from its origin, however they ended.
    pub fetches: u64,
}

/// Nothing has been counted yet.
impl Default for OfSite {
    fn default() -> Self {
        Self { requests: 0, hits: 0, bytes: 0, origin_bytes: Some(0), fetches: 0 }
    }
}

impl OfSite {
    /// Adds what was counted elsewhere. What is not known of a part is not known of the whole.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in [
            (&mut self.requests, other.requests),
            (&mut self.hits, other.hits),
            (&mut self.bytes, other.bytes),
            (&mut self.fetches, other.fetches),
        ] {
            *own = own.saturating_add(more);
        }
        self.origin_bytes = self.origin_bytes.zip(other.origin_bytes).map(|(own, more)| own.saturating_add(more));
    }

    /// The [`byte_offload`] of it.
    #[must_use]
    pub fn byte_offload(&self) -> Option<f64> {
        byte_offload(self.bytes, self.origin_bytes?)
    }
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
            let site = counted.sites.entry(labels.of("site")).or_default();
            site.origin_bytes = site.origin_bytes.map(|bytes| bytes + count);
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
        let shop = OfSite { requests: 12, hits: 6, bytes: 700, origin_bytes: Some(200), fetches: 3 };
        assert_eq!(counted.sites["shop"], shop);
        assert_eq!(shop.byte_offload(), Some(1.0 - 200.0 / 700.0));
        let told = serde_json::to_string(&shop).unwrap();
        assert_eq!(serde_json::from_str::<OfSite>(&told).unwrap(), shop, "{told}");
    }

    #[test]
    fn what_a_node_of_an_earlier_release_does_not_tell_is_not_known() {
        let old: OfSite = serde_json::from_str(r#"{"requests":12,"hits":6,"bytes":700,"fetches":3}"#).unwrap();
        assert_eq!((old.origin_bytes, old.byte_offload()), (None, None));
        let mut all = OfSite { bytes: 300, origin_bytes: Some(30), ..OfSite::default() };
        assert_eq!(all.byte_offload(), Some(0.9));
        all.add(&old);
        assert_eq!((all.bytes, all.requests, all.byte_offload()), (1_000, 12, None));
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
