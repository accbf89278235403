//! Names that belong to somebody already: a site may not take another's, or a name server's.

use crate::host::HostName;
use crate::network::Network;
use crate::problem::Problem;
use crate::register::{Kind, Register};
use crate::site::Site;

/// A fault for every host inside the network's zone that is another site's own name or a node's.
pub(crate) fn check(register: &Register, network: &Network, sites: &[Site]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for site in sites {
        for host in &site.hosts {
            let HostName::Exact(name) = &host.name else {
                continue;
            };
            let below = name.as_str().strip_suffix(network.zone.as_str()).and_then(|rest| rest.strip_suffix('.'));
            let owner = below.and_then(|label| {
                let of_site = sites.iter().find(|other| other.id != site.id && other.id.as_str() == label);
                let of_node = network.name_servers.iter().find(|node| node.id.as_str() == label);
                of_site
                    .map(|other| format!("site `{}`", other.id))
                    .or(of_node.map(|node| format!("name server `{}`", node.id)))
            });
            if let (Some(owner), Some(place)) = (owner, register.place(Kind::Host, &host.to_string())) {
                let problem = Problem::fault(place.clone(), format!("`{name}` is the own name of {owner}"));
                problems.push(problem.help("take another host, or rename the site or node"));
            }
        }
    }
    problems
}
