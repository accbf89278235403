//! Keeping an eye on origins' servers, beside what fetches from them show.

use std::sync::Arc;
use std::time::Duration;

use origin::Servers;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::shared::Shared;
use crate::sites::Site;

/// How soon a new config's probes begin.
const LOOK: Duration = Duration::from_secs(1);

/// A site that is asked for, and the tasks that ask: a set that is dropped ends them.
struct Watched {
    site: Arc<Site>,
    servers: Arc<Servers>,
    _tasks: JoinSet<()>,
}

impl Watched {
    /// Whether it goes on for a site of the config that holds now.
    fn is_for(&self, site: &Site) -> bool {
        self.site.id == site.id && self.site.origin == site.origin && Arc::ptr_eq(&self.servers, &site.servers())
    }
}

/// Asks the servers of every site that wants it how they are, for ever.
pub async fn watch_origins(shared: Arc<Shared>) {
    let mut watched: Vec<Watched> = Vec::new();
    loop {
        if let Some(sites) = shared.sites.load_full() {
            watched.retain(|one| sites.probed().any(|site| one.is_for(site)));
            for site in sites.probed() {
                if !watched.iter().any(|one| one.is_for(site)) {
                    watched.push(Watched { site: Arc::clone(site), servers: site.servers(), _tasks: watch(site) });
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
