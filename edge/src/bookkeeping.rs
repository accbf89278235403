//! Keeping an edge's books while it runs, and reading them.

use std::sync::Arc;

use fleet::wall_clock_ms;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::accounts::ledger::{day_of, until_next};
use crate::shared::Shared;

/// Writes down each minute, and after each midnight of UTC, what sites have taken, for ever.
pub async fn keep_accounts(shared: Arc<Shared>) {
    keep(wall_clock_ms, move |now_ms| shared.settle_at(now_ms)).await;
}

/// Has it written down whenever it is time to, by this clock, for ever.
async fn keep<S: Fn(u64) + Clone + Send + 'static>(clock: impl Fn() -> u64, settle: S) {
    loop {
        tokio::time::sleep(until_next(clock())).await;
        let (now_ms, settle) = (clock(), settle.clone());
        // The look, too: whoever reads the books holds them for as long as the disk takes.
        let _ = tokio::task::spawn_blocking(move || settle(now_ms)).await;
    }
}

impl Shared {
    /// Writes down what sites have taken until now. Waits for the disk.
    pub fn settle_accounts(&self) {
        self.settle_at(wall_clock_ms());
    }

    fn settle_at(&self, now_ms: u64) {
        if let Err(error) = self.accounts.settle(day_of(now_ms)) {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use config::SiteId;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::accounts::Accounts;

    /// The requests of each day that a process finds which begins now: those that are written down.
    fn found(folder: &Path) -> BTreeMap<Date, u64> {
        let [from, to]: [Date; 2] = ["2026-11-01", "2026-12-31"].map(|day| day.parse().unwrap());
        let days = Accounts::new(folder).report(to, (from, to), None);
        days.into_iter().map(|(day, sites)| (day, sites.values().map(|sums| sums.requests).sum::<u64>())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_edge_that_dies_loses_a_minute_of_its_figures_at_most() {
        let (dir, begin) = (tempfile::tempdir().unwrap(), Instant::now());
        // Within it a day ends: after 90 requests, a quarter of a second before the next.
        let began_ms = 1_796_083_200_000 - 90_250;
        let clock = move || began_ms + u64::try_from(begin.elapsed().as_millis()).unwrap();
        let (first, second) = (day_of(began_ms), day_of(began_ms + 90_250));
        let accounts = Arc::new(Accounts::new(dir.path()));
        accounts.look(first);
        let books = Arc::clone(&accounts);
        let keeping = tokio::spawn(keep(clock, move |now_ms| books.settle(day_of(now_ms)).unwrap()));
        let shop = accounts.totals_of(&SiteId::parse("shop").unwrap());
        sleep(Duration::from_millis(500)).await;
        let mut most_lost = 0;
        for counted in 1..=300_u64 {
            shop.requests.fetch_add(1, Ordering::Relaxed);
            // If it died now, so much would be there.
            let there: u64 = found(dir.path()).values().sum();
            assert!((counted.saturating_sub(60)..=counted).contains(&there), "{there} of {counted}, one a second");
            most_lost = most_lost.max(counted - there);
            sleep(Duration::from_secs(1)).await;
        }
        keeping.abort();
        assert!(most_lost > 0, "somebody else has written, and the test tells nothing");
        let there = found(dir.path());
        assert_eq!((there[&first], there.len()), (90, 2), "{there:?}");
        assert!(there[&second] >= 300 - 90 - 60, "{there:?}");
    }
}
