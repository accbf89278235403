//! Keeping an eye on origins' servers, beside what fetches from them show.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::shared::Shared;
use crate::sites::Site;

/// How soon a new config's probes begin.
const LOOK: Duration = Duration::from_secs(1);

/// Asks the servers of every site that wants it how they are, for ever.
pub async fn watch_origins(shared: Arc<Shared>) {
    // A set that is dropped ends its tasks.
    let mut watched: Vec<(Arc<Site>, JoinSet<()>)> = Vec::new();
    loop {
        if let Some(sites) = shared.sites.load_full() {
            watched.retain(|(site, _)| sites.holds(site));
            for site in sites.probed() {
                if !watched.iter().any(|(other, _)| Arc::ptr_eq(other, site)) {
                    watched.push((Arc::clone(site), watch(site)));
                }
            }
        }
        sleep(LOOK).await;
    }
}

fn watch(site: &Arc<Site>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let site = Arc::clone(site);
    tasks.spawn(async move {
        if let Err(unfit) = origin::watch(&site.origin, &site.servers()).await {
            tracing::error!(site = %site.id, key = unfit.key, error = unfit.why, "its origin cannot be asked how it is");
        }
    });
    tasks
}
