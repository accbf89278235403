//! What the network outside says of a config, judged. Nobody is asked here.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use config::{Config, DomainName, HostName, NodeId, Problem, Severity, SiteId};

/// A name that is to lead to a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leading {
    pub(super) site: SiteId,
    /// As the site's file has it.
    pub(super) host: String,
    /// What is asked for: of a wildcard, any name below.
    pub(super) name: String,
}

/// What a resolver says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Names that it is an alias of, or that serve it, and its addresses.
    Answer(Vec<String>, Vec<IpAddr>),
    Nothing,
    /// Nobody knows: why.
    Failed(String),
}

/// What is this network's own.
pub(super) struct Ours {
    pub(super) zone: DomainName,
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Ours {
    pub(super) fn of(config: &Config) -> Self {
        let addresses = config.network.edges().flat_map(|(_, edge)| edge.addresses.all().iter().copied());
        Self { zone: config.network.zone.clone(), addresses: addresses.collect() }
    }

    fn has(&self, name: &str) -> bool {
        DomainName::parse(name).is_ok_and(|name| name.is_in(&self.zone))
    }
}

/// Every name that is to lead here, each once.
pub(super) fn leading(config: &Config) -> Vec<Leading> {
    let mut all: Vec<Leading> = Vec::new();
    for site in &config.sites {
        for host in &site.hosts {
            let name = match &host.name {
                HostName::Exact(name) => name.to_string(),
                HostName::Below(name) => format!("any.{name}"),
                HostName::Address(_) => continue,
            };
            if !all.iter().any(|other| other.name == name) {
                all.push(Leading { site: site.id.clone(), host: host.name.to_string(), name });
            }
        }
    }
    all
}

/// A warning of a name that does not lead here.
pub(super) fn judge_name(asked: &Leading, found: &Found, ours: &Ours) -> Option<Problem> {
    let Leading { site, host, .. } = asked;
    let why = match found {
        Found::Answer(names, addresses) => {
            let is_ours =
                names.iter().any(|name| ours.has(name)) || addresses.iter().any(|one| ours.addresses.contains(one));
            if is_ours {
                return None;
            }
            let at: Vec<String> = names.iter().cloned().chain(addresses.iter().map(ToString::to_string)).collect();
            format!("it leads to {}", at.join(", "))
        }
        Found::Nothing => "resolvers find no address for it".to_owned(),
        Found::Failed(why) => {
            let message = format!("whether `{host}` of site `{site}` leads here could not be looked up: {why}");
            return Some(warning(message, "ask another resolver with --resolver IP"));
        }
    };
    let message = format!("`{host}` of site `{site}` does not lead here: {why}");
    let help =
        format!("have `{host}. CNAME {site}.{}.` in its zone; until then no client comes by that name", ours.zone);
    Some(warning(message, help))
}

/// A warning of a zone that resolvers do not find at its name servers.
pub(super) fn judge_delegation(zone: &DomainName, name_servers: &[DomainName], found: &Found) -> Option<Problem> {
    let known = |name: &String| DomainName::parse(name).is_ok_and(|name| name_servers.contains(&name));
    let why = match found {
        Found::Answer(names, _) if names.iter().any(known) => return None,
        Found::Answer(names, _) => format!("resolvers find it at {}", names.join(", ")),
        Found::Nothing => "resolvers find no name server of it".to_owned(),
        Found::Failed(why) => {
            let help = "where the resolver is well (--resolver IP asks another), the zone is not delegated, or its name \
                servers do not answer at port 53";
            return Some(warning(format!("zone `{zone}` could not be looked up: {why}"), help));
        }
    };
    let all: Vec<&str> = name_servers.iter().map(DomainName::as_str).collect();
    let message = format!("zone `{zone}` is not delegated to {}: {why}", all.join(", "));
    Some(warning(message, "have the zone above it name them, with their addresses as glue, and open their port 53"))
}

/// What came of a connection to where name servers probe an edge.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub(super) edge: NodeId,
    pub(super) address: SocketAddr,
    pub(super) outcome: Result<(), (ErrorKind, String)>,
}

/// Warnings of the addresses that nobody answers at; those of a family that this machine does not have are one.
pub(super) fn judge_edges(reached: &[Reached]) -> Vec<Problem> {
    let is_without_way = |one: &&Reached| matches!(&one.outcome, Err((ErrorKind::NetworkUnreachable, _)));
    let without_way: Vec<&Reached> = reached.iter().filter(is_without_way).collect();
    let silent = reached.iter().filter(|one| !is_without_way(one)).filter_map(|one| {
        let Reached { edge, address, outcome: Err((_, why)) } = one else { return None };
        let message = format!("nobody answers at {address}, where name servers probe edge `{edge}`: {why}");
        Some(warning(message, "start it, open the port to everybody, or mend its `addresses`"))
    });
    let mut warnings: Vec<Problem> = silent.collect();
    if let Some(first) = without_way.first() {
        let family = if first.address.is_ipv4() { "IPv4" } else { "IPv6" };
        let count = without_way.len();
        let message = format!(
            "{count} addresses of edges, such as {}, were not looked at: no way leads there",
            first.address.ip()
        );
        warnings.push(warning(message, format!("check where there is {family}, too")));
    }
    warnings
}

fn warning(message: impl Into<String>, help: impl Into<String>) -> Problem {
    Problem { severity: Severity::Warning, ..Problem::general(message) }.help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn said(problem: Option<Problem>) -> String {
        problem.map(|problem| problem.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_name_leads_here_by_an_alias_or_by_an_address() {
        let ours = Ours { zone: name("cdn.example"), addresses: BTreeSet::from([[192, 0, 2, 10].into()]) };
        let asked = Leading {
            site: SiteId::parse("shop").unwrap(),
            host: "www.shop.example".to_owned(),
            name: "www.shop.example".to_owned(),
        };
        let answer = |names: &[&str], last: u8| {
            Found::Answer(names.iter().map(|name| (*name).to_owned()).collect(), vec![[192, 0, 2, last].into()])
        };
        for (found, expected) in [
            (answer(&["shop.cdn.example."], 10), ""),
            // Another CDN may stand between, and edges behind another address.
            (answer(&["shop.front.example.", "SHOP.cdn.example."], 99), ""),
            (answer(&[], 10), ""),
            (
                answer(&["shop.cdn.example.net."], 99),
                "does not lead here: it leads to shop.cdn.example.net., 192.0.2.99",
            ),
            (answer(&[], 99), "have `www.shop.example. CNAME shop.cdn.example.`"),
            (Found::Nothing, "does not lead here: resolvers find no address for it"),
            (Found::Failed("timeout".to_owned()), "could not be looked up: timeout (ask another resolver"),
        ] {
            let said = said(judge_name(&asked, &found, &ours));
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{found:?}: {said}");
        }
    }

    #[test]
    fn a_zone_is_delegated_where_one_of_its_name_servers_is_found() {
        let servers = [name("ns1.cdn.example"), name("ns2.cdn.example")];
        let answer = |server: &str| Found::Answer(vec![server.to_owned()], Vec::new());
        for (found, expected) in [
            (answer("NS2.cdn.example."), ""),
            (
                answer("ns.registrar.example."),
                "ns1.cdn.example, ns2.cdn.example: resolvers find it at ns.registrar.example.",
            ),
            (Found::Nothing, "resolvers find no name server of it"),
            (Found::Failed("timeout".to_owned()), "zone `cdn.example` could not be looked up: timeout"),
        ] {
            let said = said(judge_delegation(&name("cdn.example"), &servers, &found));
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{found:?}: {said}");
        }
    }

    #[test]
    fn addresses_that_nobody_answers_at_are_told_each_and_those_without_a_way_at_once() {
        let reached = |edge: &str, address: &str, outcome| Reached {
            edge: NodeId::parse(edge).unwrap(),
            address: address.parse().unwrap(),
            outcome,
        };
        let refused = || Err((ErrorKind::ConnectionRefused, "Connection refused".to_owned()));
        let no_way = || Err((ErrorKind::NetworkUnreachable, "Network is unreachable".to_owned()));
        let told = judge_edges(&[
            reached("a", "192.0.2.1:80", Ok(())),
            reached("a", "[2001:db8::1]:80", no_way()),
            reached("b", "192.0.2.2:80", refused()),
            reached("b", "[2001:db8::2]:80", no_way()),
        ]);
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("nobody answers at 192.0.2.2:80, where name servers probe edge `b`"), "{told:?}");
        assert!(told[1].starts_with("2 addresses of edges, such as 2001:db8::1, were not looked at"), "{told:?}");
        assert!(told[1].contains("where there is IPv6"), "{told:?}");
    }
}
