//! A node that the config names to gather asks every other one, and its admin address tells of the whole fleet.

use std::sync::Arc;
use std::time::Duration;

use admin::Gathering;
use config::{Config, Secret};
use fleet::wall_clock_ms;

use super::Node;
use crate::gathering::{everywhere, ground, round};

/// How often is looked whether the config names this node now.
const LOOK: Duration = Duration::from_secs(1);

/// Gathers while the config says so, for as long as the node runs.
pub(super) async fn follow(node: Arc<Node>) {
    let mut followed: Option<Arc<Config>> = None;
    loop {
        let config = node.config.load_full();
        let Some((config, key)) = config.as_ref().and_then(|config| Some((config, wanted(config, &node)?))) else {
            if let Some(gathering) = node.gathering.swap(None) {
                gathering.end_streams();
            }
            followed = None;
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let is_same = followed.as_ref().is_some_and(|followed| Arc::ptr_eq(followed, config));
        let gathering = match node.gathering.load_full() {
            Some(gathering) if is_same => gathering,
            known => {
                let ground = ground(node.id.as_str(), &node.dir, &config.network, &config.sites);
                followed = Some(Arc::clone(config));
                match known {
                    Some(gathering) => {
                        gathering.follow(ground);
                        gathering
                    }
                    None => {
                        let gathering = Arc::new(Gathering::new(ground, wall_clock_ms()));
                        node.gathering.store(Some(Arc::clone(&gathering)));
                        gathering
                    }
                }
            }
        };
        let pause = round(&gathering, everywhere(&config.network, key)).await;
        tokio::time::sleep(pause).await;
    }
}

/// With which key this node gathers, if it is to.
fn wanted<'c>(config: &'c Config, node: &Node) -> Option<&'c Secret> {
    config.fleet_key.as_ref().filter(|_| config.network.admin.gather.contains(&node.id))
}
