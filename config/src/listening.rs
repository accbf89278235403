//! Where the roles of one node listen, and where two of them would need one port.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

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

    /// Where a node is bound to be reached at `peer`: there, where its machine has that address, which `is_own` tells. Where
    /// it has not, others dial what leads here (NAT): then at the same port of those addresses where the node listens that are
    /// not among its `addresses`, if there are any.
    #[must_use]
    pub fn peer_listen_of(
        &self,
        node: &Node<'_>,
        sites: &[Site],
        peer: SocketAddr,
        is_own: impl FnOnce(IpAddr) -> bool,
    ) -> Vec<SocketAddr> {
        let listening = self.uses_of(node, sites).into_iter().flat_map(|(_, at)| at).map(|at| at.ip());
        let behind: BTreeSet<IpAddr> = listening.filter(|ip| !node.has_address(*ip)).collect();
        if behind.is_empty() || is_own(peer.ip()) {
            return vec![peer];
        }
        led_to(peer.ip(), &behind).into_iter().map(|ip| SocketAddr::new(ip, peer.port())).collect()
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

/// To which addresses behind it one that is dialled may lead: those of its family, where there are any. None is in it that
/// another, which stands for all of a family, takes already.
fn led_to(dialled: IpAddr, behind: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let has_family = behind.iter().any(|ip| ip.is_ipv4() == dialled.is_ipv4());
    let of_family = behind.iter().copied().filter(|ip| !has_family || ip.is_ipv4() == dialled.is_ipv4());
    let all_of = |ip: &IpAddr| behind.iter().any(|all| all.is_unspecified() && all.is_ipv4() == ip.is_ipv4());
    of_family.filter(|ip| ip.is_unspecified() || !all_of(ip)).collect()
}

/// Whether all that comes to the second comes to the first, where both listen.
fn takes_all_of(one: SocketAddr, other: SocketAddr) -> bool {
    let is_wider = one.ip() == other.ip() || one.ip().is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && is_wider
}

/// Whether a connection could be meant for both.
#[must_use]
pub fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    takes_all_of(one, other) || takes_all_of(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;

    use crate::{Config, NodeId, load};

    /// The config of a network of which this is the text, and of a site with TLS.
    fn config(network: &str) -> Result<Config, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sites")).unwrap();
        fs::create_dir_all(dir.path().join("secrets")).unwrap();
        fs::write(dir.path().join("secrets/fleet.key"), "a key for tests only").unwrap();
        fs::write(dir.path().join("hither.toml"), network).unwrap();
        let site =
            "hosts = [\"www.shop.example\"]\ntls = \"auto\"\n[origin]\nservers = [\"https://origin.shop.example\"]\n";
        fs::write(dir.path().join("sites/shop.toml"), site).unwrap();
        let loaded = load(dir.path());
        loaded
            .map(|loaded| loaded.config)
            .map_err(|refused| refused.problems.iter().map(|problem| problem.message.clone()).collect())
    }

    /// Of a node of both roles: what stands in its `listen`, the name server's `https` and the edge's.
    fn said(listen: &str, dns: &str, http: &str, https: &str) -> Result<DnsHttps, Vec<String>> {
        let config = config(&format!(
            "zone = \"cdn.example\"\n[dns.tls]\nauto = true\n{dns}\n\
             [[nameserver]]\nid = \"a\"\naddresses = [\"192.0.2.1\"]\nlisten = [{listen}]\n\
             [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n\
             [[pop.edge]]\nid = \"a\"\naddresses = [\"192.0.2.1\"]\nhttp = {http}\nhttps = {https}\n"
        ))?;
        let node = config.network.node(&NodeId::parse("a").unwrap()).unwrap();
        Ok(config.network.dns_https_of(&node, &config.sites))
    }

    /// Where the edge `a` and the name server `b` are bound for their peers on machines that have `own` addresses.
    fn bound(edge: &str, name_server: &str, own: &[&str]) -> [Vec<String>; 2] {
        let config = config(&format!(
            "zone = \"cdn.example\"\n\
             [[nameserver]]\nid = \"b\"\naddresses = [\"192.0.2.2\"]\n{name_server}\n\
             [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n\
             [[pop.edge]]\nid = \"a\"\naddresses = [\"192.0.2.1\", \"2001:db8::1\"]\n{edge}\n"
        ))
        .unwrap();
        let network = &config.network;
        ["a", "b"].map(|id| {
            let node = network.node(&NodeId::parse(id).unwrap()).unwrap();
            let peer = match (node.edge, node.name_server) {
                (Some((_, edge)), _) => network.peer_of(edge),
                (None, name_server) => network.peer_of_name_server(name_server.unwrap()),
            };
            let is_own = |ip: IpAddr| own.contains(&ip.to_string().as_str());
            let bound = network.peer_listen_of(&node, &config.sites, peer.unwrap(), is_own);
            bound.iter().map(ToString::to_string).collect()
        })
    }

    #[test]
    fn a_node_behind_nat_is_bound_where_it_listens_and_any_other_where_it_is_dialled() {
        let behind = "http = [\"10.0.0.1:80\"]";
        for (edge, own, expected) in [
            ("", &["192.0.2.1", "2001:db8::1"][..], &["192.0.2.1:8444"][..]),
            // What is listened on beside it changes nothing.
            (behind, &["192.0.2.1", "10.0.0.1"], &["192.0.2.1:8444"]),
            // Where nothing says what is behind it, binding says what is wrong.
            ("", &["10.0.0.1"], &["192.0.2.1:8444"]),
            (behind, &["10.0.0.1"], &["10.0.0.1:8444"]),
            (
                "http = [\"10.0.0.1:80\", \"10.0.0.2:80\"]\nhttps = [\"10.0.0.2:443\", \"10.0.0.3:443\"]",
                &[],
                &["10.0.0.1:8444", "10.0.0.2:8444", "10.0.0.3:8444"],
            ),
            // IPv6 needs no NAT, and what is dialled by IPv4 leads to IPv4.
            ("http = [\"10.0.0.1:80\", \"[2001:db8::1]:80\"]", &["2001:db8::1"], &["10.0.0.1:8444"]),
            ("http = [\"10.0.0.1:80\", \"[fd00::1]:80\"]", &["fd00::1"], &["10.0.0.1:8444"]),
            ("http = [\"[fd00::1]:80\"]", &["fd00::1"], &["[fd00::1]:8444"]),
            // One for all addresses is enough.
            ("http = [\"0.0.0.0:80\", \"[::]:80\"]\nhttps = [\"10.0.0.1:443\"]", &["10.0.0.1"], &["0.0.0.0:8444"]),
            // One that is named is dialled, too.
            ("http = [\"10.0.0.1:80\"]\npeer = \"192.0.2.9:9000\"", &["10.0.0.1"], &["10.0.0.1:9000"]),
            ("http = [\"10.0.0.1:80\"]\npeer = \"10.0.0.9:9000\"", &["10.0.0.9"], &["10.0.0.9:9000"]),
        ] {
            assert_eq!(bound(edge, "", own)[0], expected, "{edge} {own:?}");
        }
        let listen = "listen = [\"10.0.0.2:53\"]";
        for (name_server, own, expected) in [
            ("", &["10.0.0.2"][..], "192.0.2.2:8444"),
            (listen, &["10.0.0.2"], "10.0.0.2:8444"),
            (listen, &["192.0.2.2"], "192.0.2.2:8444"),
        ] {
            assert_eq!(bound("", name_server, own)[1], [expected], "{name_server} {own:?}");
        }
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
