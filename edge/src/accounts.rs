//! What sites take by day, for bills: counted in memory, written down each minute and at the end.
//!
//! ```text
//! Totals of each site, which only grow ─ a look each minute and after midnight ─> Ledger ─> report/2026-11-30.json
//! ```
//!
//! A file is of one day. What is new is added to what it has, under a lock that a process which takes over takes, too.

pub(crate) mod ledger;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::{SiteId, limits};
use jiff::civil::Date;

use crate::accounts::ledger::{Ledger, Sites, Sums, add_all, day_of};

/// What a site has taken since the process began.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) requests: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) bytes_in: Arc<AtomicU64>,
    /// How much of these the metrics have.
    noted_in: AtomicU64,
}

/// An edge's books.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// Where its files are.
    folder: PathBuf,
    totals: Mutex<HashMap<SiteId, Arc<Totals>>>,
    /// Held while files are written, too: what is owed is in one place or the other.
    ledger: Mutex<Ledger>,
}

/// The sites of a day, as a report tells them.
pub(crate) type Days = BTreeMap<Date, Sites>;

impl Totals {
    fn sums(&self) -> Sums {
        let [requests, hits, bytes_out, bytes_in] =
            [&self.requests, &self.hits, &self.bytes_out, &*self.bytes_in].map(|total| total.load(Ordering::Relaxed));
        Sums { requests, hits, bytes_out, bytes_in }
    }

    /// Bytes that have come from the origin since this was asked last.
    pub(crate) fn unnoted(&self) -> u64 {
        let now = self.bytes_in.load(Ordering::Relaxed);
        // Two may ask at the same time: what the one has is not the other's.
        now.saturating_sub(self.noted_in.fetch_max(now, Ordering::Relaxed))
    }
}

impl Accounts {
    /// Books kept in a folder, which is made when there is something to write.
    pub(crate) fn new(folder: &Path) -> Self {
        let today = day_of(fleet::wall_clock_ms());
        Self { folder: folder.to_owned(), totals: Mutex::default(), ledger: Mutex::new(Ledger::new(today)) }
    }

    /// Where a site's figures are; the same for every config that has it.
    pub(crate) fn totals_of(&self, site: &SiteId) -> Arc<Totals> {
        Arc::clone(lock(&self.totals).entry(site.clone()).or_default())
    }

    /// Looks what has come, and writes it down; waits for the disk.
    ///
    /// # Errors
    /// The first day that could not be written.
    pub(crate) fn settle(&self, today: Date) -> io::Result<()> {
        self.look(today);
        self.save()
    }

    /// Looks what has come.
    pub(crate) fn look(&self, today: Date) {
        self.look_into(&mut lock(&self.ledger), today);
    }

    fn look_into(&self, ledger: &mut Ledger, today: Date) {
        let mut totals = lock(&self.totals);
        // Nobody counts any more in what only the books have.
        let gone: Vec<SiteId> =
            totals.iter().filter(|(_, totals)| Arc::strong_count(totals) == 1).map(|(site, _)| site.clone()).collect();
        ledger.look(today, totals.iter().map(|(site, totals)| (site.to_string(), totals.sums())));
        for site in gone {
            totals.remove(&site);
            ledger.forget(site.as_str());
        }
    }

    /// Writes down what is owed; waits for the disk. What cannot be written stays owed.
    ///
    /// # Errors
    /// The first day that could not be written.
    pub(crate) fn save(&self) -> io::Result<()> {
        let mut ledger = lock(&self.ledger);
        if ledger.owed().is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let _held = self.hold()?;
        let owed: Days = ledger.owed().clone();
        let mut failed = Ok(());
        for (day, more) in &owed {
            match self.add_to(*day, more) {
                Ok(()) => ledger.settle(*day),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed
    }

    /// Adds to what is written down of a day.
    fn add_to(&self, day: Date, more: &Sites) -> io::Result<()> {
        let path = self.path(day);
        let before = read(&path)?;
        let is_new = before.is_none();
        let mut sums = before.unwrap_or_default();
        add_all(&mut sums, more);
        write(&path, &sums)?;
        if is_new {
            self.forget_oldest();
        }
        Ok(())
    }

    /// The figures of these days, those that are not written down too; waits for the disk.
    pub(crate) fn report(&self, today: Date, (from, to): (Date, Date), site: Option<&str>) -> Days {
        let mut ledger = lock(&self.ledger);
        self.look_into(&mut ledger, today);
        let _held = self.hold();
        let is_asked = |day: &Date| (from..=to).contains(day);
        let mut days = Days::new();
        for day in self.days().into_iter().filter(is_asked) {
            match read(&self.path(day)) {
                Ok(sites) => _ = days.insert(day, of_site(sites.unwrap_or_default(), site)),
                Err(error) => tracing::error!(%day, %error, "a day's figures cannot be read, and are not told"),
            }
        }
        for (day, more) in ledger.owed().iter().filter(|(day, _)| is_asked(day)) {
            add_all(days.entry(*day).or_default(), &of_site(more.clone(), site));
        }
        days
    }

    /// The days that there are files of.
    fn days(&self) -> Vec<Date> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok()).collect()
    }

    /// Removes the oldest files where there are too many. By number, not by age: a clock that is wrong once costs one day.
    fn forget_oldest(&self) {
        let mut days = self.days();
        days.sort();
        let surplus = days.len().saturating_sub(limits::REPORT_DAYS);
        for day in days.into_iter().take(surplus) {
            let _ = fs::remove_file(self.path(day));
        }
    }

    fn path(&self, day: Date) -> PathBuf {
        self.folder.join(format!("{day}.json"))
    }

    /// Keeps another process of the node from writing, until it is dropped.
    fn hold(&self) -> io::Result<File> {
        let file = File::create(self.folder.join("lock"))?;
        file.lock()?;
        Ok(file)
    }
}

/// Figures of one site alone, where one is named: a year of all of them is much.
fn of_site(mut sites: Sites, site: Option<&str>) -> Sites {
    if let Some(site) = site {
        sites.retain(|id, _| id == site);
    }
    sites
}

/// A day's figures; none where there are none. What is broken is put aside and told: it is money. What cannot
/// be read for a while, by want of descriptors or a disk that fails, stays where it is.
///
/// # Errors
/// It cannot be read now.
fn read(path: &Path) -> io::Result<Option<Sites>> {
    let broken = |why: &dyn Display| {
        let aside = path.with_extension("broken");
        tracing::error!(path = %path.display(), error = %why, aside = %aside.display(), "a day's figures cannot be read: they begin anew");
        fs::rename(path, aside)
    };
    match config::read_bounded(path, limits::REPORT_DAY_BYTES) {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(sites) => Ok(Some(sites)),
            Err(error) => broken(&error).map(|()| None),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // Of the system's no error is without a number: it is too large, or no file.
        Err(error) if error.raw_os_error().is_none() => broken(&error).map(|()| None),
        Err(error) => Err(error),
    }
}

/// Writes a day's figures, whole or not at all.
fn write(path: &Path, sums: &Sites) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(sums)?)?;
    file.sync_all()?;
    fs::rename(new, path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn site(id: &str) -> SiteId {
        SiteId::parse(id).unwrap()
    }

    fn take(totals: &Totals, requests: u64) {
        totals.requests.fetch_add(requests, Ordering::Relaxed);
        totals.bytes_out.fetch_add(requests * 100, Ordering::Relaxed);
    }

    fn requests(accounts: &Accounts, on: &str, id: &str) -> u64 {
        let days = accounts.report(day("2026-11-30"), (day("2026-01-01"), day("2026-12-31")), None);
        days.get(&day(on)).and_then(|sites| sites.get(id)).map_or(0, |sums| sums.requests)
    }

    /// Books whose first day is this.
    fn books(folder: &Path, today: &str) -> Accounts {
        let accounts = Accounts::new(folder);
        accounts.look(day(today));
        accounts
    }

    #[test]
    fn what_is_counted_outlives_a_restart_and_is_told_before_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let first = books(dir.path(), "2026-11-30");
        let shop = first.totals_of(&site("shop"));
        take(&shop, 3);
        assert_eq!(requests(&first, "2026-11-30", "shop"), 3);
        first.save().unwrap();
        take(&shop, 2);
        assert_eq!(requests(&first, "2026-11-30", "shop"), 5);
        // It ends uncleanly: what came after the last writing is lost, and nothing else.
        drop(first);
        let second = books(dir.path(), "2026-11-30");
        assert_eq!(requests(&second, "2026-11-30", "shop"), 3);
        take(&second.totals_of(&site("shop")), 4);
        second.look(day("2026-11-30"));
        second.save().unwrap();
        second.save().unwrap();
        assert_eq!(requests(&second, "2026-11-30", "shop"), 7);
    }

    #[test]
    fn two_processes_of_a_node_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (books(dir.path(), "2026-11-30"), books(dir.path(), "2026-11-30"));
        for _ in 0..10 {
            for one in [&old, &new] {
                take(&one.totals_of(&site("shop")), 1);
                one.look(day("2026-11-30"));
                one.save().unwrap();
            }
        }
        assert_eq!(requests(&old, "2026-11-30", "shop"), 20);
    }

    #[test]
    fn days_are_asked_for_by_day_and_site() {
        let dir = tempfile::tempdir().unwrap();
        for (on, count) in [("2025-10-27", 2), ("2026-11-29", 3), ("2026-11-30", 4)] {
            let accounts = books(dir.path(), on);
            let totals = [accounts.totals_of(&site("shop")), accounts.totals_of(&site("news"))];
            totals.iter().for_each(|totals| take(totals, count));
            accounts.look(day(on));
            accounts.save().unwrap();
        }
        let accounts = books(dir.path(), "2026-11-30");
        let report = |from: &str, to: &str, site| {
            let days = accounts.report(day("2026-11-30"), (day(from), day(to)), site);
            let shown = |(day, sites): (&Date, &Sites)| {
                let sites: Vec<String> = sites.iter().map(|(id, sums)| format!("{id}={}", sums.requests)).collect();
                format!("{day} {}", sites.join(" "))
            };
            days.iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(
            report("2025-01-01", "2026-12-31", None),
            ["2025-10-27 news=2 shop=2", "2026-11-29 news=3 shop=3", "2026-11-30 news=4 shop=4"]
        );
        assert_eq!(report("2026-11-29", "2026-11-29", Some("shop")), ["2026-11-29 shop=3"]);
        assert!(report("2026-11-30", "2026-11-29", None).is_empty());
    }

    #[test]
    fn the_oldest_day_makes_room_for_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = books(dir.path(), "2026-11-30");
        let mut old = day("2025-01-01");
        for _ in 0..limits::REPORT_DAYS {
            fs::write(accounts.path(old), "{}").unwrap();
            old = old.tomorrow().unwrap();
        }
        take(&accounts.totals_of(&site("shop")), 1);
        accounts.look(day("2026-11-30"));
        accounts.save().unwrap();
        let mut days = accounts.days();
        days.sort();
        assert_eq!((days.len(), days[0]), (limits::REPORT_DAYS, day("2025-01-02")));
        assert_eq!(requests(&accounts, "2026-11-30", "shop"), 1);
    }

    #[test]
    fn a_broken_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("2026-11-30.json"), "{\"shop\":{\"requ").unwrap();
        let accounts = books(dir.path(), "2026-11-30");
        take(&accounts.totals_of(&site("shop")), 1);
        accounts.look(day("2026-11-30"));
        accounts.save().unwrap();
        assert_eq!(requests(&accounts, "2026-11-30", "shop"), 1);
        assert!(dir.path().join("2026-11-30.broken").exists());
    }

    #[test]
    fn what_cannot_be_read_for_a_while_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (on, there) = (day("2026-11-30"), r#"{"shop":{"requests":7,"hits":0,"bytes_out":0,"bytes_in":0}}"#);
        let accounts = books(dir.path(), "2026-11-30");
        // A circle of links stands for a disk that fails, or for want of descriptors.
        std::os::unix::fs::symlink(accounts.path(on), accounts.path(on)).unwrap();
        take(&accounts.totals_of(&site("shop")), 1);
        accounts.look(on);
        assert!(accounts.save().is_err());
        assert_eq!(requests(&accounts, "2026-11-30", "shop"), 1, "what is owed is told");
        assert!(!dir.path().join("2026-11-30.broken").exists());
        fs::remove_file(accounts.path(on)).unwrap();
        fs::write(accounts.path(on), there).unwrap();
        accounts.save().unwrap();
        assert_eq!(requests(&accounts, "2026-11-30", "shop"), 8);
    }

    #[test]
    fn what_cannot_be_written_stays_owed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("report");
        fs::write(&folder, "a file where the folder should be").unwrap();
        let accounts = books(&folder, "2026-11-30");
        take(&accounts.totals_of(&site("shop")), 1);
        accounts.look(day("2026-11-30"));
        assert!(accounts.save().is_err());
        fs::remove_file(&folder).unwrap();
        accounts.save().unwrap();
        assert_eq!(requests(&accounts, "2026-11-30", "shop"), 1);
    }

    #[test]
    fn a_site_that_is_gone_is_counted_to_its_end_and_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = books(dir.path(), "2026-11-30");
        let shop = accounts.totals_of(&site("shop"));
        take(&shop, 5);
        accounts.look(day("2026-11-30"));
        take(&shop, 1);
        drop(shop);
        accounts.look(day("2026-11-30"));
        assert!(lock(&accounts.totals).is_empty());
        take(&accounts.totals_of(&site("shop")), 2);
        assert_eq!(requests(&accounts, "2026-11-30", "shop"), 8);
    }

    #[test]
    fn bytes_from_the_origin_are_noted_once() {
        let totals = Totals::default();
        totals.bytes_in.fetch_add(5, Ordering::Relaxed);
        assert_eq!((totals.unnoted(), totals.unnoted()), (5, 0));
    }

    #[test]
    fn bytes_from_the_origin_are_noted_once_whoever_asks_at_the_same_time() {
        const ROUNDS: u64 = 100_000;
        let totals = Totals::default();
        let ask = || {
            let noted = (0..ROUNDS).map(|_| {
                totals.bytes_in.fetch_add(1, Ordering::Relaxed);
                totals.unnoted()
            });
            noted.sum::<u64>()
        };
        let noted: u64 = std::thread::scope(|scope| {
            let asking = [(); 4].map(|()| scope.spawn(ask));
            asking.into_iter().map(|asking| asking.join().unwrap()).sum()
        });
        assert_eq!(noted + totals.unnoted(), 4 * ROUNDS);
    }
}
