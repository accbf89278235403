//! What the network outside says of a config, judged. Nobody is asked here.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::{Config, DomainName, HostName, NodeId, Problem, Severity, SiteId};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;

use crate::exit::plain;

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
    Failed(Failed),
}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The resolver does not get to know: SERVFAIL.
    Unknown,
    /// The resolver does not want to: REFUSED.
    Refused,
    /// The resolver that is there does not answer, or none is reached.
    Silent(String),
    /// Something else, in its own words.
    Other(String),
}

impl Failed {
    /// What is wrong, and what to do.
    fn told(&self) -> (&str, &'static str) {
        match self {
            Self::Unknown => (
                "the resolver answers SERVFAIL",
                "see by `dig +trace` whether the zone's name servers answer, and by `dig +cd` whether its signatures are wrong",
            ),
            Self::Refused => (
                "the resolver answers REFUSED",
                "it does not serve this machine, or is no resolver; --resolver IP asks another",
            ),
            Self::Silent(why) => (
                why.as_str(),
                "where it answers for other names, the name servers of this one's zone do not answer it; else mend \
                 /etc/resolv.conf, or ask another with --resolver IP",
            ),
            Self::Other(why) => (why.as_str(), "ask another resolver with --resolver IP"),
        }
    }
}

/// Why a resolver at an address, which was waited for so long, does not tell.
pub(super) fn judge_failure(error: &NetError, at: &str, waited: Duration) -> Failed {
    match error {
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => Failed::Unknown,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => Failed::Refused,
        NetError::Timeout => {
            Failed::Silent(format!("no answer from the resolver, {at}, within {} s", waited.as_secs()))
        }
        NetError::Io(error) => Failed::Silent(format!("the resolver, {at}, is not reached: {}", plain(error))),
        // Which of both it was, is not told.
        NetError::NoConnections => {
            Failed::Silent(format!("the resolver, {at}, is not reached: no way leads there, or its port refuses"))
        }
        other => Failed::Other(other.to_string()),
    }
}

/// Where a name stands in its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Below,
    /// At the top, where no alias may stand (RFC 1034 §3.6.2).
    AtTop,
}

/// Names that nobody knows for one reason are told each up to so many.
const TOLD_EACH: usize = 3;

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

/// Whether a name that was looked up does not lead here.
pub(super) fn is_astray(found: &Found, ours: &Ours) -> bool {
    match found {
        Found::Answer(names, addresses) => {
            !names.iter().any(|name| ours.has(name)) && !addresses.iter().any(|one| ours.addresses.contains(one))
        }
        Found::Nothing => true,
        Found::Failed(_) => false,
    }
}

/// A warning of a name that does not lead here.
pub(super) fn judge_name(asked: &Leading, found: &Found, stands: Stands, ours: &Ours) -> Option<Problem> {
    if !is_astray(found, ours) {
        return None;
    }
    let Leading { site, host, .. } = asked;
    let why = match found {
        Found::Answer(names, addresses) => {
            let at: Vec<String> = names.iter().cloned().chain(addresses.iter().map(ToString::to_string)).collect();
            format!("it leads to {}", at.join(", "))
        }
        Found::Nothing | Found::Failed(_) => "resolvers find no address for it".to_owned(),
    };
    let message = format!("`{host}` of site `{site}` does not lead here: {why}");
    let zone = &ours.zone;
    let help = match stands {
        Stands::Below => {
            format!("have `{host}. CNAME {site}.{zone}.` in its zone; until then no client comes by that name")
        }
        Stands::AtTop => format!(
            "it is the top of its zone, where no CNAME may stand: have the zone served here (docs/how-to/apex.md), or let \
             its provider follow {site}.{zone} (ALIAS, ANAME)"
        ),
    };
    Some(warning(message, help))
}

/// Warnings of names that nobody knows of: each, or those at once that have one reason.
pub(super) fn judge_unknown<'a>(names: impl Iterator<Item = (&'a Leading, &'a Found)>) -> Vec<Problem> {
    let mut reasons: Vec<(&Failed, Vec<&Leading>)> = Vec::new();
    for (asked, found) in names {
        let Found::Failed(why) = found else { continue };
        match reasons.iter_mut().find(|(other, _)| *other == why) {
            Some((_, all)) => all.push(asked),
            None => reasons.push((why, vec![asked])),
        }
    }
    let mut warnings = Vec::new();
    for (failed, all) in reasons {
        let (why, mend) = failed.told();
        let name = |one: &Leading| format!("`{}` of site `{}`", one.host, one.site);
        match all.as_slice() {
            [first, ..] if all.len() > TOLD_EACH => {
                let message = format!(
                    "whether {} names lead here, such as {}, could not be looked up: {why}",
                    all.len(),
                    name(first)
                );
                warnings.push(warning(message, mend));
            }
            few => {
                let each =
                    few.iter().map(|one| format!("whether {} leads here could not be looked up: {why}", name(one)));
                warnings.extend(each.map(|message| warning(message, mend)));
            }
        }
    }
    warnings
}

/// A warning of a zone that resolvers do not find at its name servers.
pub(super) fn judge_delegation(zone: &DomainName, name_servers: &[DomainName], found: &Found) -> Option<Problem> {
    let known = |name: &String| DomainName::parse(name).is_ok_and(|name| name_servers.contains(&name));
    let why = match found {
        Found::Answer(names, _) if names.iter().any(known) => return None,
        Found::Answer(names, _) => format!("resolvers find it at {}", names.join(", ")),
        Found::Nothing => "resolvers find no name server of it".to_owned(),
        Found::Failed(failed) => {
            let (why, mend) = failed.told();
            let help = match failed {
                Failed::Refused => mend,
                _ => {
                    "where the resolver is well (--resolver IP asks another), the zone is not delegated, or its name \
                     servers do not answer at port 53"
                }
            };
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
    let silent = reached.iter().filter(|one| !is_without_way(one)).filter_map(|one| {
        let Reached { edge, address, outcome: Err((_, why)) } = one else { return None };
        let message = format!("nobody answers at {address}, where name servers probe edge `{edge}`: {why}");
        Some(warning(message, "start it, open the port to everybody, or mend its `addresses`"))
    });
    let mut warnings: Vec<Problem> = silent.collect();
    for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let without_way = reached.iter().filter(is_without_way).filter(|one| one.address.is_ipv4() == is_v4);
        let without_way: Vec<&Reached> = without_way.collect();
        let message = match without_way.as_slice() {
            [] => continue,
            [Reached { edge, address, .. }] => {
                format!("the address {} of edge `{edge}` was not looked at: no way leads there", address.ip())
            }
            [Reached { address, .. }, ..] => format!(
                "{} addresses of edges, such as {}, were not looked at: no way leads there",
                without_way.len(),
                address.ip()
            ),
        };
        warnings.push(warning(message, format!("check on a machine that has {family} to the world, too")));
    }
    warnings
}

fn warning(message: impl Into<String>, help: impl Into<String>) -> Problem {
    Problem { severity: Severity::Warning, ..Problem::general(message) }.help(help)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
            // Nobody knows: that is told elsewhere.
            (Found::Failed(Failed::Unknown), ""),
        ] {
            let said = said(judge_name(&asked, &found, Stands::Below, &ours));
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{found:?}: {said}");
        }
        let said = said(judge_name(&asked, &Found::Nothing, Stands::AtTop, &ours));
        assert!(said.contains("docs/how-to/apex.md") && said.contains("follow shop.cdn.example"), "{said}");
        assert!(!said.contains(". CNAME "), "{said}");
    }

    #[test]
    fn a_resolver_that_does_not_tell_refuses_cannot_know_or_is_silent() {
        let code = |code| NetError::Dns(DnsError::ResponseCode(code));
        let silent = |why: &str| Failed::Silent(why.to_owned());
        let refused = std::io::Error::from(ErrorKind::ConnectionRefused);
        for (error, expected) in [
            (code(ResponseCode::ServFail), Failed::Unknown),
            (code(ResponseCode::Refused), Failed::Refused),
            (code(ResponseCode::NotImp), Failed::Other("DNS error: error response: Not Implemented".to_owned())),
            (NetError::Timeout, silent("no answer from the resolver, 192.0.2.1, within 4 s")),
            (
                NetError::NoConnections,
                silent("the resolver, 192.0.2.1, is not reached: no way leads there, or its port refuses"),
            ),
            (NetError::Io(Arc::new(refused)), silent("the resolver, 192.0.2.1, is not reached: connection refused")),
            (NetError::Message("odd"), Failed::Other("odd".to_owned())),
        ] {
            assert_eq!(judge_failure(&error, "192.0.2.1", Duration::from_secs(4)), expected, "{error:?}");
        }
    }

    #[test]
    fn names_that_nobody_knows_are_told_each_or_by_their_reason() {
        let leading =
            |host: &str| Leading { site: SiteId::parse("shop").unwrap(), host: host.to_owned(), name: host.to_owned() };
        let names: Vec<Leading> = ["a.example", "b.example", "c.example", "d.example", "e.example"].map(leading).into();
        let silent = || Found::Failed(Failed::Silent("192.0.2.1 does not answer".to_owned()));
        let told = |found: &[Found]| -> Vec<String> {
            judge_unknown(names.iter().zip(found)).iter().map(ToString::to_string).collect()
        };
        let broken = Found::Failed(Failed::Unknown);
        let all = told(&[silent(), silent(), broken.clone(), silent(), silent()]);
        assert_eq!(all.len(), 2, "{all:?}");
        let many =
            "whether 4 names lead here, such as `a.example` of site `shop`, could not be looked up: 192.0.2.1 does";
        assert!(all[0].starts_with(many) && all[0].contains("/etc/resolv.conf"), "{all:?}");
        let one =
            "whether `c.example` of site `shop` leads here could not be looked up: the resolver answers SERVFAIL (";
        assert!(all[1].starts_with(one) && all[1].contains("dig +trace"), "{all:?}");
        let few = told(&[broken, Found::Nothing, Found::Failed(Failed::Refused), silent()]);
        assert_eq!(few.len(), 3, "{few:?}");
        assert!(few[1].contains("answers REFUSED (it does not serve this machine"), "{few:?}");
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
            (
                Found::Failed(Failed::Silent("192.0.2.1 does not answer".to_owned())),
                "zone `cdn.example` could not be looked up: 192.0.2.1 does not answer (where the resolver is well",
            ),
            (Found::Failed(Failed::Refused), "the resolver answers REFUSED (it does not serve this machine"),
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
            reached("c", "192.0.2.3:80", no_way()),
        ]);
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("nobody answers at 192.0.2.2:80, where name servers probe edge `b`"), "{told:?}");
        assert!(told[1].starts_with("the address 192.0.2.3 of edge `c` was not looked at: no way"), "{told:?}");
        assert!(told[1].contains("that has IPv4"), "{told:?}");
        assert!(told[2].starts_with("2 addresses of edges, such as 2001:db8::1, were not looked at"), "{told:?}");
        assert!(told[2].contains("that has IPv6"), "{told:?}");
    }
}
