//! Where the roles of one node listen, and where two of them would need one port.

use std::net::SocketAddr;

use crate::network::{NameServer, Network, Node};
use crate::problem::Problem;
use crate::register::{Kind, Register};
use crate::site::Site;

/// Where a node answers DNS over HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsHttps {
    /// Addresses that are for nothing else.
    pub own: Vec<SocketAddr>,
    /// Whether its edge's TLS listener answers it, too: by the names of name servers, beside sites.
    pub is_beside_sites: bool,
}

impl Network {
    /// Where a node answers DNS over HTTPS: at `[dns.tls] https` of the addresses on which its name server listens. What
    /// its edge has for TLS already is the edge's.
    #[must_use]
    pub fn dns_https_of(&self, node: &Node<'_>, sites: &[Site]) -> DnsHttps {
        let port = self.dns.tls.as_ref().and_then(|tls| tls.https);
        let https = self.open_https_of(node, sites);
        let is_edges = |at: &SocketAddr| https.iter().any(|edge| takes_all_of(*edge, *at));
        let (shared, own): (Vec<_>, Vec<_>) = on(node.name_server, port).into_iter().partition(is_edges);
        DnsHttps { own, is_beside_sites: !shared.is_empty() }
    }

    /// Where a node's edge takes TLS: nowhere without a site that has it.
    fn open_https_of(&self, node: &Node<'_>, sites: &[Site]) -> Vec<SocketAddr> {
        let has_tls = sites.iter().any(|site| site.tls.is_some());
        node.edge.filter(|_| has_tls).map(|(_, edge)| self.https_of(edge)).unwrap_or_default()
    }

    /// What a node listens for, and where.
    fn uses_of(&self, node: &Node<'_>, sites: &[Site]) -> Vec<(Use, Vec<SocketAddr>)> {
        let tls = self.dns.tls.as_ref().map(|tls| tls.port);
        vec![
            (Use::Dns, node.name_server.map(|node| node.listen.clone()).unwrap_or_default()),
            (Use::DnsTls, on(node.name_server, tls)),
            (Use::DnsHttps, self.dns_https_of(node, sites).own),
            (Use::Http, node.edge.map(|(_, edge)| self.http_of(edge)).unwrap_or_default()),
            (Use::Https, self.open_https_of(node, sites)),
        ]
    }
}

/// A fault for every two uses of one node that would need one port of an address.
pub(crate) fn check(register: &Register, network: &Network, sites: &[Site]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for id in network.node_ids() {
        let Some(node) = network.node(&id) else { continue };
        let place = [Kind::NameServer, Kind::Edge].into_iter().find_map(|kind| register.place(kind, id.as_str()));
        let uses = network.uses_of(&node, sites);
        for (number, (one, at)) in uses.iter().enumerate() {
            for (two, others) in uses.iter().skip(number + 1) {
                let taken = at.iter().find(|at| others.iter().any(|other| overlaps(**at, *other)));
                if let (Some(taken), Some(place)) = (taken, place) {
                    let message = format!("node `{id}` needs {taken} twice: for {} and {}", one.key(), two.key());
                    problems.push(Problem::fault(place.clone(), message).help(mend(*one, *two)));
                }
            }
        }
    }
    problems
}

/// What a node listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Dns,
    DnsTls,
    DnsHttps,
    Http,
    Https,
}

impl Use {
    /// The key that says where.
    fn key(self) -> &'static str {
        match self {
            Self::Dns => "`listen` of [[nameserver]]",
            Self::DnsTls => "`port` of [dns.tls]",
            Self::DnsHttps => "`https` of [dns.tls]",
            Self::Http => "`http` of the edge",
            Self::Https => "`https` of the edge",
        }
    }
}

fn mend(one: Use, two: Use) -> &'static str {
    match (one, two) {
        // One address of many is not all of them.
        (Use::DnsHttps, Use::Https) => {
            "name addresses in the name server's `listen`, or let the edge have all of them, too, as in `https = [\"0.0.0.0:443\", \"[::]:443\"]`: then one listener is for both"
        }
        _ => "give one of them another port, or another address",
    }
}

/// A port on the addresses on which a name server listens.
fn on(name_server: Option<&NameServer>, port: Option<u16>) -> Vec<SocketAddr> {
    let Some((name_server, port)) = name_server.zip(port) else { return Vec::new() };
    let mut at: Vec<_> = name_server.listen.iter().map(|at| SocketAddr::new(at.ip(), port)).collect();
    at.dedup();
    at
}

/// Whether all that comes to the second comes to the first, where both listen.
fn takes_all_of(one: SocketAddr, other: SocketAddr) -> bool {
    let is_wider = one.ip() == other.ip() || one.ip().is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && is_wider
}

/// Whether a connection could be meant for both.
fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    takes_all_of(one, other) || takes_all_of(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;

    use crate::{NodeId, load};

    /// A network with one node of both roles, what stands in its `listen`, the name server's `https` and the edge's.
    fn said(listen: &str, dns: &str, http: &str, https: &str) -> Result<DnsHttps, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sites")).unwrap();
        fs::create_dir_all(dir.path().join("secrets")).unwrap();
        fs::write(dir.path().join("secrets/fleet.key"), "a key for tests only").unwrap();
        let network = format!(
            "zone = \"cdn.example\"\n[dns.tls]\nauto = true\n{dns}\n\
             [[nameserver]]\nid = \"a\"\naddresses = [\"192.0.2.1\"]\nlisten = [{listen}]\n\
             [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n\
             [[pop.edge]]\nid = \"a\"\naddresses = [\"192.0.2.1\"]\nhttp = {http}\nhttps = {https}\n"
        );
        fs::write(dir.path().join("hither.toml"), network).unwrap();
        let site =
            "hosts = [\"www.shop.example\"]\ntls = \"auto\"\n[origin]\nservers = [\"https://origin.shop.example\"]\n";
        fs::write(dir.path().join("sites/shop.toml"), site).unwrap();
        let loaded = load(dir.path())
            .map_err(|refused| refused.problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>())?;
        let node = loaded.config.network.node(&NodeId::parse("a").unwrap()).unwrap();
        Ok(loaded.config.network.dns_https_of(&node, &loaded.config.sites))
    }

    #[test]
    fn dns_over_https_is_the_edge_s_where_both_have_one_port() {
        let own = |at: &[&str], is_beside_sites| {
            let own = at.iter().map(|at| at.parse().unwrap()).collect();
            Ok::<_, Vec<String>>(DnsHttps { own, is_beside_sites })
        };
        let all = "[\"0.0.0.0:443\"]";
        for (listen, dns, https, expected) in [
            ("\"192.0.2.1:53\"", "https = 443", "443", own(&[], true)),
            ("\"192.0.2.1:53\"", "https = 443", all, own(&[], true)),
            ("\"192.0.2.1:53\"", "https = 8443", "443", own(&["192.0.2.1:8443"], false)),
            ("\"192.0.2.9:53\"", "https = 443", "443", own(&["192.0.2.9:443"], false)),
            ("\"192.0.2.1:53\", \"192.0.2.9:53\"", "https = 443", "443", own(&["192.0.2.9:443"], true)),
            ("\"0.0.0.0:53\"", "https = 443", all, own(&[], true)),
            ("\"192.0.2.1:53\"", "", "443", own(&[], false)),
        ] {
            assert_eq!(said(listen, dns, "80", https), expected, "{listen} {dns} {https}");
        }
    }

    #[test]
    fn two_uses_of_one_port_are_a_fault() {
        for (listen, dns, http, https, expected) in [
            (
                "\"0.0.0.0:53\"",
                "https = 443",
                "80",
                "443",
                "0.0.0.0:443 twice: for `https` of [dns.tls] and `https` of the edge",
            ),
            (
                "\"192.0.2.1:53\"",
                "https = 80",
                "80",
                "443",
                "192.0.2.1:80 twice: for `https` of [dns.tls] and `http` of the edge",
            ),
            (
                "\"192.0.2.1:53\"",
                "https = 853",
                "80",
                "443",
                "192.0.2.1:853 twice: for `port` of [dns.tls] and `https` of [dns.tls]",
            ),
            (
                "\"192.0.2.1:53\"",
                "port = 443",
                "80",
                "443",
                "192.0.2.1:443 twice: for `port` of [dns.tls] and `https` of the edge",
            ),
            (
                "\"192.0.2.1:80\"",
                "",
                "80",
                "443",
                "192.0.2.1:80 twice: for `listen` of [[nameserver]] and `http` of the edge",
            ),
            ("\"192.0.2.1:53\"", "", "80", "80", "192.0.2.1:80 twice: for `http` of the edge and `https` of the edge"),
        ] {
            let told = said(listen, dns, http, https).unwrap_err();
            assert_eq!(told, [format!("node `a` needs {expected}")], "{listen} {dns} {https}");
        }
    }
}
