//! Which proxies an edge trusts to say for whom they connect, by the config in use.

use std::net::IpAddr;
use std::sync::Arc;

use listen::{Naming, Proxies};

use super::Node;

/// The proxies of a node's config: of the newest, for each connection that comes.
pub(crate) struct Trusted(pub(crate) Arc<Node>);

impl Proxies for Trusted {
    fn at(&self, address: IpAddr) -> Option<Naming> {
        let config = self.0.config.load();
        let edge = &config.as_ref()?.network.edge;
        let is_trusted = edge.trusted_proxies.iter().any(|prefix| prefix.contains(address));
        let naming = if edge.proxy_protocol { Naming::InHeader } else { Naming::InRequests };
        is_trusted.then_some(naming)
    }
}
