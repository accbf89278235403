//! Every series in one table, with its meaning.

use std::collections::HashMap;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Makes the struct, its constructor and the reference from one table.
macro_rules! metrics {
    ($( $field:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal; )*) => {
        /// Every series of a node.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $( #[doc = $help] pub $field: $kind, )*
        }

        impl Metrics {
            /// All series at zero, with the process's own beside them.
            ///
            /// # Errors
            /// Two series of one name.
            pub fn new() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                let process = prometheus::process_collector::ProcessCollector::for_self();
                registry.register(Box::new(process))?;
                $(
                    let $field = make::$kind($name, $help, &[$($label),*])?;
                    registry.register(Box::new($field.clone()))?;
                )*
                Ok(Self { registry, $($field),* })
            }

            /// Ends every series with this label: what it named is gone from the config.
            pub fn forget(&self, label: &str, value: &str) {
                $( self.$field.forget(label, value); )*
            }
        }

        const TABLE: &[(&str, &str, &[&str], &str)] =
            &[$( ($name, stringify!($kind), &[$($label),*], $help), )*];
    };
}

metrics! {
    dns_replies: IntCounterVec "hither_dns_replies_total" ["transport", "rcode"] "Replies, by transport and response code; with those that `[dns] rate_limit` drops.";
    dns_silent: IntCounter "hither_dns_silent_total" [] "Messages that got no reply because they were no queries.";
    dns_limited: IntCounterVec "hither_dns_limited_total" ["what"] "Replies by UDP beyond `[dns] rate_limit`: cut or dropped.";
    dns_signatures_late: IntCounter "hither_dns_signatures_late_total" [] "Signatures sent past half of their life since they could not be renewed. That it rises is an alarm: answers fail once they expire.";
    dns_routed: IntCounterVec "hither_dns_routed_total" ["pop", "source"] "Routed answers, by PoP and by what ranked it: rule, latency or geography.";
    requests: IntCounterVec "hither_requests_total" ["site", "result"] "Requests answered, by site and result: hit, stale, miss, pass, own (an answer of the edge itself), error. Sites past 1,000 count as other, requests that no site takes as -.";
    request_bytes: IntCounterVec "hither_response_bytes_total" ["site"] "Bytes of response bodies sent, by site.";
    origin_bytes: IntCounterVec "hither_origin_bytes_total" ["site"] "Bytes of response bodies that came from origins, by site.";
    request_seconds: Histogram "hither_request_duration_seconds" [] "Time from a request until the last byte of its response was handed to the connection.";
    connections: IntGauge "hither_connections" [] "Open client connections.";
    fetches: IntCounterVec "hither_fetches_total" ["site", "outcome"] "Fetches from origins, by site and outcome: ok, or the RFC 9209 name of the failure.";
    panics: IntCounterVec "hither_panics_total" ["site"] "Requests that a fault of the edge has ended, by site: each is answered with 500. Three in ten seconds, and the site falls back to what it was before.";
    store_bytes: IntGauge "hither_store_bytes" [] "Bytes of stored objects in RAM.";
    store_objects: IntGauge "hither_store_objects" [] "Stored objects in RAM.";
    purge_position: IntGaugeVec "hither_purge_position" ["edge"] "Position in an edge's log of purges, by the edge's id. Edges that were told the same rise by the same; one that rises less than others has missed some.";
    disk_bytes: IntGauge "hither_disk_bytes" [] "Bytes that stored objects take on disk.";
    disk_objects: IntGauge "hither_disk_objects" [] "Keys with objects on disk.";
    disk_failing: IntGauge "hither_disk_failing" [] "Whether the disk tier fails and is left alone: 1 or 0.";
    disk_errors: IntCounterVec "hither_disk_errors_total" ["what"] "Failures of the disk tier: open, write, commit, read, or lost (an object that could not be read back whole).";
    disk_dropped: IntCounter "hither_disk_dropped_total" [] "Slices and heads not written, because the disk was slower than what came.";
    edge_up: IntGaugeVec "hither_edge_up" ["edge"] "Whether a name server takes the edge for up: 1 or 0.";
    edge_changes: IntCounterVec "hither_edge_changes_total" ["edge", "to"] "Verdicts that changed, by edge and new verdict.";
    probes: IntCounterVec "hither_probes_total" ["outcome"] "Probes of edges, by outcome: ok, refused, timeout, status, error.";
    pop_load: IntGaugeVec "hither_pop_load_bps" ["pop"] "Bits of bodies per second that the edges of a PoP send, as a name server hears it.";
    pop_price: IntGaugeVec "hither_pop_price_ms" ["pop"] "Milliseconds by which a PoP counts as further while it is near its limit.";
    pop_edges_up: IntGaugeVec "hither_pop_edges_up" ["pop"] "Edges of a PoP that a name server takes for up.";
    map_units: IntGauge "hither_map_units" [] "Distinct map units.";
    map_bytes: IntGauge "hither_map_bytes" [] "Bytes of the map's lookup tables.";
    certificate_expires: IntGaugeVec "hither_certificate_expires_seconds" ["name"] "Unix time until which the certificate that clients get for a name is good, by the name or wildcard.";
    config_version: IntGauge "hither_config_version" [] "Version of the config in use: when its newest file changed, Unix milliseconds, or a later second, where one was removed or an older one came.";
    config_digest: IntGauge "hither_config_digest" [] "Beginning of the digest of the files of the config in use: the same wherever the files are.";
    config_refused: IntGauge "hither_config_refused" [] "Whether the newest config is refused, so that an older one serves: 1 or 0.";
    reloads: IntCounterVec "hither_reloads_total" ["outcome"] "Reloads of the config, by outcome: ok or refused.";
    log_dropped: IntCounterVec "hither_log_dropped_total" ["log"] "Log lines lost, because their queue was full or their file could not be written.";
}

/// Ends series by a label; a kind without labels has none to end.
trait Forget {
    fn forget(&self, label: &str, value: &str);
}

impl Forget for IntCounter {
    fn forget(&self, _: &str, _: &str) {}
}

impl Forget for IntGauge {
    fn forget(&self, _: &str, _: &str) {}
}

impl Forget for Histogram {
    fn forget(&self, _: &str, _: &str) {}
}

impl<B: MetricVecBuilder> Forget for MetricVec<B> {
    fn forget(&self, label: &str, value: &str) {
        for family in self.collect() {
            for series in family.get_metric() {
                let labels: HashMap<&str, &str> =
                    series.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
                if labels.get(label) == Some(&value) {
                    // An error says that it is gone already.
                    let _ = self.remove(&labels);
                }
            }
        }
    }
}

/// One constructor for each kind, named as the kind.
#[expect(non_snake_case, reason = "the table names constructors by their type")]
mod make {
    use super::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

    type Made<T> = Result<T, prometheus::Error>;

    pub(super) fn IntCounter(name: &str, help: &str, _: &[&str]) -> Made<IntCounter> {
        IntCounter::new(name, help)
    }

    pub(super) fn IntGauge(name: &str, help: &str, _: &[&str]) -> Made<IntGauge> {
        IntGauge::new(name, help)
    }

    pub(super) fn IntCounterVec(name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        IntCounterVec::new(Opts::new(name, help), labels)
    }

    pub(super) fn IntGaugeVec(name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        IntGaugeVec::new(Opts::new(name, help), labels)
    }

    pub(super) fn Histogram(name: &str, help: &str, _: &[&str]) -> Made<Histogram> {
        // From a hit in RAM to a slow origin.
        let buckets = vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
    }
}

impl Metrics {
    /// All series in the Prometheus text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        let families = self.registry.gather();
        if TextEncoder::new().encode(&families, &mut out).is_err() {
            return String::new();
        }
        String::from_utf8(out).unwrap_or_default()
    }
}

/// The table as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Metrics\n\nGenerated from the code by `cargo xtask docs`. Read at `/metrics` on a node's admin address.\n\n\
         | series | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for (name, kind, labels, help) in TABLE {
        let kind = kind.trim_start_matches("Int").trim_end_matches("Vec").to_lowercase();
        out.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_of_the_table_is_registered() {
        let metrics = Metrics::new().unwrap();
        metrics.dns_replies.with_label_values(&["udp", "NOERROR"]).inc();
        metrics.store_objects.set(3);
        let text = metrics.text();
        assert!(text.contains("hither_dns_replies_total{rcode=\"NOERROR\",transport=\"udp\"} 1"), "{text}");
        assert!(text.contains("hither_store_objects 3"));
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
