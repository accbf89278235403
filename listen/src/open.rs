//! How many connections are open.

use prometheus::IntGauge;

/// Counts a connection while it lives.
pub(crate) struct Open(IntGauge);

impl Open {
    pub(crate) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
