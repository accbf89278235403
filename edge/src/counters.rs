//! Counters of one site: for metrics, by label, and for its report, by its id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{IntCounter, IntCounterVec};
use telemetry::Metrics;

use crate::accounts::Totals;
use crate::answered::Answered;

/// Counters of one site, looked up once.
#[derive(Clone, Debug)]
pub(crate) struct SiteCounters {
    bytes: IntCounter,
    results: [IntCounter; 6],
    fetches: IntCounterVec,
    origin_bytes: IntCounter,
    label: String,
    totals: Arc<Totals>,
}

impl SiteCounters {
    pub(crate) fn new(label: &str, metrics: &Metrics, totals: Arc<Totals>) -> Self {
        let result = |answered: Answered| metrics.requests.with_label_values(&[label, answered.name()]);
        Self {
            bytes: metrics.request_bytes.with_label_values(&[label]),
            results: Answered::ALL.map(result),
            fetches: metrics.fetches.clone(),
            origin_bytes: metrics.origin_bytes.with_label_values(&[label]),
            label: label.to_owned(),
            totals,
        }
    }

    /// Counts a fetch from the origin: `ok`, or the name of its failure.
    pub(crate) fn count_fetch(&self, outcome: &str) {
        self.fetches.with_label_values(&[self.label.as_str(), outcome]).inc();
    }

    /// Counts a request by how it is answered.
    pub(crate) fn count(&self, answered: Answered) {
        if let Some(counter) =
            Answered::ALL.iter().position(|other| *other == answered).and_then(|at| self.results.get(at))
        {
            counter.inc();
        }
        self.totals.requests.fetch_add(1, Ordering::Relaxed);
        if answered.is_from_store() {
            self.totals.hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts bytes of a body that were sent.
    pub(crate) fn count_sent(&self, bytes: u64) {
        self.bytes.inc_by(bytes);
        self.totals.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Where bytes from the origin are counted.
    pub(crate) fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.totals.bytes_in)
    }

    /// Adds what has come from the origin since the last time to the metrics.
    pub(crate) fn note_received(&self) {
        self.origin_bytes.inc_by(self.totals.unnoted());
    }
}
