//! Keeping an edge's books while it runs, and reading them.

use std::sync::Arc;

use fleet::wall_clock_ms;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::accounts::ledger::{day_of, until_next};
use crate::shared::Shared;

/// Writes down each minute, and after each midnight of UTC, what sites have taken, for ever.
pub async fn keep_accounts(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(until_next(wall_clock_ms())).await;
        let shared = Arc::clone(&shared);
        // The look, too: whoever reads the books holds them for as long as the disk takes.
        let _ = tokio::task::spawn_blocking(move || shared.settle_accounts()).await;
    }
}

impl Shared {
    /// Writes down what sites have taken until now. Waits for the disk.
    pub fn settle_accounts(&self) {
        self.accounts.look(day_of(wall_clock_ms()));
        self.save_accounts();
    }

    fn save_accounts(&self) {
        if let Err(error) = self.accounts.save() {
            tracing::error!(%error, "what sites have taken cannot be written down: it is tried again in a minute");
        }
    }

    /// What sites took here on these days. Waits for the disk.
    #[must_use]
    pub fn report_days(&self, from: Date, to: Date, site: Option<&str>) -> Value {
        let days = self.accounts.report(day_of(wall_clock_ms()), (from, to), site);
        json!({ "edge": self.id.as_str(), "days": days })
    }
}
