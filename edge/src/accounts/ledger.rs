//! What is owed to the books: figures that only grow, made into those of days. Pure: `now` is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use config::limits;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// What a site took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Requests answered.
    pub requests: u64,
    /// Of these, those answered from the store, fresh or stale.
    pub hits: u64,
    /// Bytes of bodies that clients were sent.
    pub bytes_out: u64,
    /// Bytes of bodies that came from its origin.
    pub bytes_in: u64,
}

/// The figures of sites, on a day or more.
pub(crate) type Sites = BTreeMap<String, Sums>;

/// What has come and is not written down yet.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The day of the last look.
    day: Date,
    /// How far each site's figures had grown then.
    seen: HashMap<String, Sums>,
    owed: BTreeMap<Date, Sites>,
}

/// A look this long after midnight is of the new day.
const AFTER_MIDNIGHT: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The day in UTC.
pub(crate) fn day_of(now_ms: u64) -> Date {
    let now = i64::try_from(now_ms).ok().and_then(|now| Timestamp::from_millisecond(now).ok());
    Offset::UTC.to_datetime(now.unwrap_or(Timestamp::UNIX_EPOCH)).date()
}

/// How long to wait for the next look: until it is time to write, or the day is over.
pub(crate) fn until_next(now_ms: u64) -> Duration {
    let since_midnight = Duration::from_millis(now_ms % u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX));
    limits::REPORT_SAVED.min(DAY - since_midnight + AFTER_MIDNIGHT)
}

impl Sums {
    /// Adds what came elsewhere, or later.
    pub fn add(&mut self, more: Self) {
        for (sum, more) in [
            (&mut self.requests, more.requests),
            (&mut self.hits, more.hits),
            (&mut self.bytes_out, more.bytes_out),
            (&mut self.bytes_in, more.bytes_in),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            hits: self.hits.saturating_sub(before.hits),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
        }
    }
}

/// Adds the figures of sites to others.
pub(super) fn add_all(sums: &mut Sites, more: &Sites) {
    more.iter().for_each(|(site, more)| sums.entry(site.clone()).or_default().add(*more));
}

impl Ledger {
    /// One that has seen nothing.
    pub(super) fn new(today: Date) -> Self {
        Self { day: today, seen: HashMap::new(), owed: BTreeMap::new() }
    }

    /// Takes what figures have grown by since the last look for that look's day: so a look has to come right after midnight.
    pub(super) fn look(&mut self, today: Date, figures: impl Iterator<Item = (String, Sums)>) {
        for (site, now) in figures {
            let more = now.since(self.seen.insert(site.clone(), now).unwrap_or_default());
            if more != Sums::default() {
                self.owed.entry(self.day).or_default().entry(site).or_default().add(more);
            }
        }
        self.day = today;
    }

    /// A site whose figures are gone: should it come back, they begin anew.
    pub(super) fn forget(&mut self, site: &str) {
        self.seen.remove(site);
    }

    /// What is to be written down, by day.
    pub(super) fn owed(&self) -> &BTreeMap<Date, Sites> {
        &self.owed
    }

    /// What was owed of a day has been written down.
    pub(super) fn settle(&mut self, day: Date) {
        self.owed.remove(&day);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(requests: u64, hits: u64, bytes_out: u64, bytes_in: u64) -> Sums {
        Sums { requests, hits, bytes_out, bytes_in }
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn days_turn_at_midnight_of_utc() {
        for (now_ms, expected) in [
            (0, "1970-01-01"),
            (1_796_083_199_999, "2026-11-30"),
            (1_796_083_200_000, "2026-12-01"),
            (1_709_164_800_000, "2024-02-29"),
            (u64::MAX, "1970-01-01"),
        ] {
            assert_eq!(day_of(now_ms), day(expected), "{now_ms}");
        }
    }

    #[test]
    fn the_next_look_is_in_a_minute_or_right_after_midnight() {
        for (now_ms, millis) in [
            (0, 60_000),
            (86_400_000 - 60_002, 60_000),
            (86_400_000 - 10_000, 10_001),
            (86_400_000 - 1, 2),
            (86_400_000, 60_000),
        ] {
            assert_eq!(until_next(now_ms), Duration::from_millis(millis), "{now_ms}");
        }
    }

    #[test]
    fn what_came_since_a_look_is_of_that_looks_day() {
        let (one, two, three) = (day("2026-11-30"), day("2026-12-01"), day("2026-12-02"));
        let mut ledger = Ledger::new(one);
        let figures = |site: &str, sums| std::iter::once((site.to_owned(), sums));
        ledger.look(one, figures("shop", sums(10, 5, 1_000, 500)));
        ledger.look(one, figures("shop", sums(15, 6, 1_100, 500)));
        // Right after midnight.
        ledger.look(two, figures("shop", sums(16, 7, 1_200, 500)));
        ledger.look(two, figures("news", sums(1, 0, 9, 9)));
        ledger.look(two, figures("shop", sums(16, 7, 1_200, 500)));
        ledger.look(three, figures("shop", sums(20, 7, 1_300, 600)));
        let expected = BTreeMap::from([
            (one, Sites::from([("shop".to_owned(), sums(16, 7, 1_200, 500))])),
            (two, Sites::from([("news".to_owned(), sums(1, 0, 9, 9)), ("shop".to_owned(), sums(4, 0, 100, 100))])),
        ]);
        assert_eq!(ledger.owed(), &expected);
    }

    #[test]
    fn what_is_written_down_is_owed_no_more_and_a_site_that_comes_back_begins_anew() {
        let today = day("2026-11-30");
        let mut ledger = Ledger::new(today);
        let figures = |sums| std::iter::once(("shop".to_owned(), sums));
        ledger.look(today, figures(sums(10, 5, 1_000, 500)));
        ledger.settle(today);
        assert!(ledger.owed().is_empty());
        ledger.look(today, figures(sums(11, 5, 1_000, 500)));
        assert_eq!(ledger.owed()[&today]["shop"], sums(1, 0, 0, 0));
        ledger.settle(today);
        ledger.forget("shop");
        ledger.look(today, figures(sums(3, 0, 30, 30)));
        assert_eq!(ledger.owed()[&today]["shop"], sums(3, 0, 30, 30));
        // The clock was set back: what comes is of the day that it says now.
        ledger.look(day("2026-11-29"), std::iter::empty());
        ledger.look(today, figures(sums(4, 0, 30, 30)));
        assert_eq!(ledger.owed()[&day("2026-11-29")]["shop"], sums(1, 0, 0, 0));
    }

    #[test]
    fn figures_add_up_and_stay_at_the_most() {
        let mut all = Sites::from([("shop".to_owned(), sums(1, 1, u64::MAX, 1))]);
        let more = Sites::from([("news".to_owned(), sums(2, 0, 0, 0)), ("shop".to_owned(), sums(1, 0, 5, 5))]);
        add_all(&mut all, &more);
        assert_eq!((all["shop"], all["news"]), (sums(2, 1, u64::MAX, 6), sums(2, 0, 0, 0)));
    }
}
