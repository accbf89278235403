//! A site whose rules make the edge panic falls back to what it was before, and touches no other.
//!
//! ```text
//! panic in a request ─> 500 ─> three of one site in ten seconds ─> its last good version in its place
//! ```
//!
//! It stays there until the operator changes the site.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::shared::Shared;
use crate::sites::{Site, Sites};

/// So many panics in this time, and a site falls back: one may be a strange request, three are its config.
const PANICS: usize = 3;
const WITHIN: Duration = Duration::from_secs(10);

/// When requests of a site panicked.
#[derive(Debug, Default)]
pub(crate) struct Panics(Mutex<VecDeque<Instant>>);

impl Panics {
    /// One more; whether they are too many by now.
    fn add(&self, now: Instant) -> bool {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while times.len() >= PANICS || times.front().is_some_and(|first| now.duration_since(*first) >= WITHIN) {
            times.pop_front();
        }
        times.push_back(now);
        times.len() >= PANICS
    }
}

impl Shared {
    /// Notes that a request of a site has panicked; puts what it was before in its place where that goes on.
    pub(crate) fn note_panic(&self, site: &Arc<Site>) {
        self.metrics.panics.with_label_values(&[site.id.as_str()]).inc();
        if !site.panics.add(Instant::now()) {
            return;
        }
        let Some(before) = site.before() else {
            tracing::error!(site = %site.id, "its rules make the edge panic, and there is nothing to fall back to");
            return;
        };
        tracing::error!(site = %site.id, "its rules make the edge panic: it is what it was before, until it is changed");
        // Whatever a reload has put in its place stays.
        self.sites.rcu(|sites| sites.as_ref().map(|sites| fallen_back(sites, site, &before)));
    }
}

/// The same sites with one as it was before.
fn fallen_back(sites: &Arc<Sites>, site: &Arc<Site>, before: &Arc<Site>) -> Arc<Sites> {
    if !sites.holds(site) {
        return Arc::clone(sites);
    }
    before.stands_for(site);
    Arc::new(sites.with(site, before))
}

#[cfg(test)]
impl Site {
    /// The hook of tests: a site with a rule for `/panics` panics there.
    pub(crate) fn panic_if_it_is_to(&self, facts: &crate::effect::Facts<'_>) {
        let names = |rule: &config::Rule| rule.path.as_ref().is_some_and(|path| path.matches("/panics"));
        assert!(!(facts.variables.target == "/panics" && self.rules.iter().any(names)), "as the test wants");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{Client, Stage};

    #[test]
    fn three_in_ten_seconds_are_too_many() {
        let (panics, start) = (Panics::default(), Instant::now());
        let add = |seconds: u64| panics.add(start + Duration::from_secs(seconds));
        assert_eq!([0, 5, 11, 14, 20].map(add), [false, false, false, true, true]);
        assert_eq!([60, 61, 62].map(add), [false, false, true]);
    }

    #[test]
    fn a_site_that_panics_falls_back_and_no_other_notices() {
        let good = "[[rule]]\nheaders = { set = { X-Version = \"good\" } }\n";
        let bad = "[[rule]]\nheaders = { set = { X-Version = \"bad\" } }\n[[rule]]\npath = \"/panics\"\nttl = \"1m\"\n";
        let stage = Stage::new(good);
        let asks = |host: &'static str, path: &'static str| {
            move |client: &mut Client| client.ask(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"))
        };
        let (panics, same, other) =
            (asks("shop.example", "/panics"), asks("shop.example", "/plain"), asks("other.example", "/plain"));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let load = {
            let (address, stop) = (stage.both, Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut client, mut asked) = (Client::to(address), 0);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(other(&mut client).starts_with("HTTP/1.1 200"));
                    asked += 1;
                }
                asked
            })
        };
        let mut client = Client::to(stage.both);
        stage.reload(bad);
        assert!(same(&mut client).contains("x-version: bad"));
        for _ in 0..PANICS {
            // On one connection: not even that is lost.
            assert!(panics(&mut client).starts_with("HTTP/1.1 500"));
        }
        assert!(panics(&mut client).contains("x-version: good"), "it is what it was before");
        assert!(same(&mut client).contains("x-version: good"));
        let fallen = || stage.shared.status()["fallen_back"].to_string();
        assert_eq!(fallen(), "[\"shop\"]");
        stage.reload(bad);
        assert!(same(&mut client).contains("x-version: good"), "what has failed is not tried again");
        stage.reload(&bad.replace("\"bad\"", "\"mended\""));
        assert!(same(&mut client).contains("x-version: mended"), "what is changed is");
        assert_eq!(fallen(), "[]");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(load.join().expect("it lost nothing") > 10);
    }
}
