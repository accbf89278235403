//! A site whose rules make the edge panic falls back to what it was before, and touches no other.
//!
//! ```text
//! panic in a request ─> 500 ─> three of one site in ten seconds ─> its last good version in its place
//! ```
//!
//! It stays there until the operator changes the site.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;

use crate::shared::Shared;
use crate::sites::{Site, Sites};

impl Shared {
    /// Runs something for a site in a task of its own; a panic is the site's.
    pub(crate) fn spawn_for(self: &Arc<Self>, site: &Arc<Site>, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let (shared, site) = (Arc::clone(self), Arc::clone(site));
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                shared.note_panic(&site);
            }
        });
    }

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
        if !site.guards_as(&before) {
            // Who can make it panic must not get around what was added to keep people out.
            tracing::error!(site = %site.id, "its rules make the edge panic, and what it was before lets others in");
            return;
        }
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
    use crate::panics::PANICS;
    use crate::tests::{Client, Stage};

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
