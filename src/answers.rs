//! What a new network is made of, as a person says it in a word: on the command line, or when asked.

use std::fmt::Display;
use std::net::IpAddr;

use config::{
    CountryCode, DomainName, HostPattern, Location, NodeId, OriginServer, PopId, SiteId, Wrong, parse_address,
};

/// A name server: `ns1=192.0.2.53,2001:db8::53`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewNameServer {
    pub(crate) id: NodeId,
    pub(crate) addresses: Vec<IpAddr>,
}

/// A PoP: `fra@50.11,8.68,DE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewPop {
    pub(crate) id: PopId,
    pub(crate) location: Location,
    pub(crate) country: Option<CountryCode>,
}

/// An edge in a PoP: `fra-1@fra=192.0.2.10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewEdge {
    pub(crate) id: NodeId,
    pub(crate) pop: PopId,
    pub(crate) addresses: Vec<IpAddr>,
}

/// A customer's site: `shop=www.shop.example=https://origin.shop.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSite {
    pub(crate) id: SiteId,
    pub(crate) hosts: Vec<HostPattern>,
    /// As it was written: the type keeps no text.
    pub(crate) origin: String,
    /// Whether the origin is at an address inside the operator's network.
    pub(crate) is_private: bool,
}

/// All that a new network is made of.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) zone: DomainName,
    pub(crate) contact: String,
    /// Where nodes keep their state.
    pub(crate) state: String,
    pub(crate) name_servers: Vec<NewNameServer>,
    pub(crate) pops: Vec<NewPop>,
    pub(crate) edges: Vec<NewEdge>,
    pub(crate) sites: Vec<NewSite>,
}

impl Answers {
    /// The edges of a PoP.
    pub(crate) fn edges_of(&self, pop: &PopId) -> impl Iterator<Item = &NewEdge> {
        self.edges.iter().filter(move |edge| edge.pop == *pop)
    }

    /// The first thing that does not go with the rest.
    pub(crate) fn clash(&self) -> Option<String> {
        let twice = |what: &str, name: Option<String>| name.map(|name| format!("there are two {what} `{name}`"));
        let hosts = self.sites.iter().flat_map(|site| &site.hosts);
        let addresses = self.edges.iter().flat_map(|edge| &edge.addresses);
        let servers = self.name_servers.iter().flat_map(|node| &node.addresses);
        twice("name servers", repeated(self.name_servers.iter().map(|node| &node.id)))
            .or_else(|| twice("PoPs", repeated(self.pops.iter().map(|pop| &pop.id))))
            .or_else(|| twice("edges", repeated(self.edges.iter().map(|edge| &edge.id))))
            .or_else(|| twice("sites", repeated(self.sites.iter().map(|site| &site.id))))
            .or_else(|| twice("sites with the host", repeated(hosts)))
            .or_else(|| twice("edges with the address", repeated(addresses)))
            .or_else(|| twice("name servers with the address", repeated(servers)))
            .or_else(|| self.edges.iter().find_map(|edge| self.clash_of_edge(edge)))
            .or_else(|| self.sites.iter().find_map(|site| self.clash_of_site(site)))
    }

    fn clash_of_edge(&self, edge: &NewEdge) -> Option<String> {
        let NewEdge { id, pop, addresses } = edge;
        if !self.pops.iter().any(|known| known.id == *pop) {
            return Some(format!("edge `{id}` is of PoP `{pop}`, and there is no such PoP"));
        }
        let shares = |node: &&NewNameServer| node.id != *id && node.addresses.iter().any(|one| addresses.contains(one));
        let other = &self.name_servers.iter().find(shares)?.id;
        Some(format!("edge `{id}` has an address of name server `{other}`; give both one id: one node has both roles"))
    }

    fn clash_of_site(&self, site: &NewSite) -> Option<String> {
        let is_taken = self.name_servers.iter().any(|node| node.id.as_str() == site.id.as_str());
        is_taken.then(|| format!("site `{0}` and name server `{0}` would both be {0}.{1}", site.id, self.zone))
    }

    /// What a network needs and this one lacks, by the option that gives it.
    pub(crate) fn lack(&self) -> Option<String> {
        if self.name_servers.is_empty() {
            return Some("--nameserver ns1=192.0.2.53".to_owned());
        }
        if self.pops.is_empty() {
            return Some("--pop fra@50.11,8.68,DE".to_owned());
        }
        let empty = self.pops.iter().find(|pop| self.edges_of(&pop.id).next().is_none())?;
        Some(format!("--edge {0}-1@{0}=192.0.2.10", empty.id))
    }
}

/// The first value that came before.
fn repeated<T: PartialEq + Display>(values: impl Iterator<Item = T>) -> Option<String> {
    let mut seen = Vec::new();
    for value in values {
        if seen.contains(&value) {
            return Some(value.to_string());
        }
        seen.push(value);
    }
    None
}

/// Reads `ID=IP[,IP]`.
pub(crate) fn name_server(text: &str) -> Result<NewNameServer, String> {
    let (id, addresses) = halves(text, '=', "ns1=192.0.2.53,2001:db8::53")?;
    Ok(NewNameServer { id: NodeId::parse(id).map_err(said)?, addresses: list(addresses, parse_address)? })
}

/// Reads `ID@LATITUDE,LONGITUDE[,COUNTRY]`.
pub(crate) fn pop(text: &str) -> Result<NewPop, String> {
    let (id, place) = halves(text, '@', "fra@50.11,8.68,DE")?;
    let (location, country) = match place.rsplit_once(',') {
        Some((location, country)) if location.contains(',') => (location, Some(country.trim())),
        _ => (place, None),
    };
    let country = country.map(CountryCode::read).transpose().map_err(said)?;
    Ok(NewPop { id: PopId::parse(id).map_err(said)?, location: Location::parse(location).map_err(said)?, country })
}

/// Reads `ID@POP=IP[,IP]`.
pub(crate) fn edge(text: &str) -> Result<NewEdge, String> {
    let example = "fra-1@fra=192.0.2.10,2001:db8::10";
    let (node, addresses) = halves(text, '=', example)?;
    let (id, pop) = halves(node, '@', example)?;
    let (id, pop) = (NodeId::parse(id).map_err(said)?, PopId::parse(pop).map_err(said)?);
    Ok(NewEdge { id, pop, addresses: list(addresses, parse_address)? })
}

/// As [`edge`], where the PoP is known.
pub(crate) fn edge_in(pop: &PopId, text: &str) -> Result<NewEdge, String> {
    let (id, addresses) = halves(text, '=', &format!("{pop}-1=192.0.2.10,2001:db8::10"))?;
    edge(&format!("{id}@{pop}={addresses}"))
}

/// Reads `ID=HOST[,HOST]=ORIGIN`.
pub(crate) fn site(text: &str) -> Result<NewSite, String> {
    let example = "shop=www.shop.example=https://origin.shop.example";
    let (id, rest) = halves(text, '=', example)?;
    let (hosts, origin) = halves(rest, '=', example)?;
    let (id, hosts) = (SiteId::parse(id).map_err(said)?, list(hosts, HostPattern::parse)?);
    let server = OriginServer::parse(origin).map_err(said)?;
    let address: Option<IpAddr> = server.host.trim_matches(['[', ']']).parse().ok();
    let is_private = address.is_some_and(|address| !origin::is_public(address));
    Ok(NewSite { id, hosts, origin: origin.to_owned(), is_private })
}

/// Reads the network's zone.
pub(crate) fn zone(text: &str) -> Result<DomainName, String> {
    if text.is_empty() {
        return Err("write a name such as cdn.example".to_owned());
    }
    DomainName::parse(text).map_err(said)
}

/// Reads a mail address.
pub(crate) fn contact(text: &str) -> Result<String, String> {
    config::parse_contact(text).map_err(said)
}

fn said(wrong: Wrong) -> String {
    wrong.to_string()
}

fn halves<'t>(text: &'t str, at: char, example: &str) -> Result<(&'t str, &'t str), String> {
    let halves = text.split_once(at).map(|(one, other)| (one.trim(), other.trim()));
    let halves = halves.filter(|(one, other)| !one.is_empty() && !other.is_empty());
    halves.ok_or_else(|| format!("write it as {example}"))
}

/// Values between commas, each once.
fn list<T: PartialEq + Display>(text: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Result<Vec<T>, String> {
    let mut values = Vec::new();
    for part in text.split(',') {
        let value = parse(part.trim()).map_err(said)?;
        if values.contains(&value) {
            return Err(format!("{value} is there twice"));
        }
        values.push(value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong, or that nothing is.
    fn wrong<T>(read: Result<T, String>) -> String {
        read.err().unwrap_or_default()
    }

    #[test]
    fn what_is_right_is_read() {
        let server = name_server("ns1=192.0.2.53, 2001:db8::53").unwrap();
        assert_eq!((server.id.as_str(), server.addresses.len()), ("ns1", 2));
        let syd = pop("syd@-33.87,151.21,au").unwrap();
        assert_eq!(syd.location, Location { latitude: -33.87, longitude: 151.21 });
        assert_eq!(syd.country.map(|country| country.to_string()).as_deref(), Some("AU"));
        assert_eq!(pop("fra@50.11, 8.68").unwrap().country, None);
        let edge = edge("fra-1@fra=192.0.2.10").unwrap();
        assert_eq!((edge.id.as_str(), edge.pop.as_str()), ("fra-1", "fra"));
        let shop = site("shop=www.shop.example,*.shop.example=https://origin.shop.example:8443").unwrap();
        assert_eq!((shop.hosts.len(), shop.origin.as_str()), (2, "https://origin.shop.example:8443"));
        assert!(!shop.is_private);
        assert!(site("shop=shop.example=http://10.0.0.1").unwrap().is_private);
        assert!(site("shop=shop.example=http://[fd00::1]:80").unwrap().is_private);
        assert_eq!(zone("CDN.example.").unwrap().as_str(), "cdn.example");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        for (said, expected) in [
            (wrong(name_server("ns1")), "write it as ns1=192.0.2.53,2001:db8::53"),
            (wrong(name_server("ns1=")), "write it as ns1="),
            (wrong(name_server("NS1=192.0.2.1")), "`NS1` is not an id; an id has 1 to 63 lower-case letters"),
            (wrong(name_server("ns1=192.0.2.300")), "`192.0.2.300` is not an address; as in"),
            (wrong(name_server("ns1=0.0.0.0")), "`0.0.0.0` is no node's address"),
            (wrong(name_server("ns1=192.0.2.1,192.0.2.1")), "192.0.2.1 is there twice"),
            (wrong(pop("fra")), "write it as fra@50.11,8.68,DE"),
            (wrong(pop("fra@50.11")), "`50.11` is not a location; degrees north, then degrees east"),
            (wrong(pop("fra@150.1,8.7")), "latitude, -90 to 90, comes first"),
            (wrong(pop("lhr@51.5,-0.1,UK")), "the United Kingdom's is \"GB\""),
            (wrong(pop("lhr@51.5,-0.1,GBR")), "`GBR` is not a country code"),
            (wrong(edge("fra-1=192.0.2.1")), "write it as fra-1@fra=192.0.2.10"),
            (wrong(site("shop=www.shop.example")), "write it as shop=www.shop.example=https://"),
            (wrong(site("shop=https://a.example=https://b.example")), "write the host alone: \"a.example\""),
            (wrong(site("shop=www.shop.example=origin.shop.example")), "begin with http:// or https://"),
            (wrong(site("shop=www.shop.example=https://o.example/path")), "leave out the path"),
            (wrong(zone("a..b")), "`a..b` is not a domain name"),
            (wrong(zone("")), "write a name such as cdn.example"),
            (wrong(contact("me")), "`me` is not a mail address; write one such as"),
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
    fn answers() -> Answers {
        Answers {
            zone: zone("cdn.example").unwrap(),
            contact: "hostmaster@cdn.example".to_owned(),
            state: ".state".to_owned(),
            name_servers: vec![name_server("ns1=192.0.2.53").unwrap()],
            pops: vec![pop("fra@50.11,8.68").unwrap(), pop("syd@-33.87,151.21").unwrap()],
            edges: vec![
                edge("fra-1@fra=192.0.2.10").unwrap(),
                edge_in(&PopId::parse("syd").unwrap(), "s=192.0.2.11").unwrap(),
            ],
            sites: vec![site("shop=www.shop.example=https://o.example").unwrap()],
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        type Change = fn(&mut Answers);
        let rows: [(Change, &str); 11] = [
            (|_| {}, ""),
            (|all| all.name_servers.push(name_server("ns1=192.0.2.54").unwrap()), "two name servers `ns1`"),
            (
                |all| all.name_servers.push(name_server("ns2=192.0.2.53").unwrap()),
                "two name servers with the address `192.0.2.53`",
            ),
            (|all| all.pops.push(pop("fra@1.0,1.0").unwrap()), "two PoPs `fra`"),
            (|all| all.edges.push(edge("fra-1@syd=192.0.2.12").unwrap()), "two edges `fra-1`"),
            (|all| all.edges.push(edge("fra-2@fra=192.0.2.10").unwrap()), "two edges with the address `192.0.2.10`"),
            (|all| all.edges.push(edge("lhr-1@lhr=192.0.2.12").unwrap()), "of PoP `lhr`, and there is no such PoP"),
            (|all| all.edges.push(edge("fra-2@fra=192.0.2.53").unwrap()), "give both one id"),
            // One node of both roles.
            (|all| all.edges.push(edge("ns1@fra=192.0.2.53").unwrap()), ""),
            (|all| all.sites.push(site("ns1=a.example=https://o.example").unwrap()), "would both be ns1.cdn.example"),
            (
                |all| all.sites.push(site("b=www.shop.example=https://o.example").unwrap()),
                "the host `www.shop.example`",
            ),
        ];
        for (change, expected) in rows {
            let mut changed = answers();
            change(&mut changed);
            let said = changed.clash().unwrap_or_default();
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{expected}: {said}");
        }
    }

    #[test]
    fn what_is_lacking_is_named_by_its_option() {
        type Change = fn(&mut Answers);
        let rows: [(Change, Option<&str>); 5] = [
            (|_| {}, None),
            (|all| all.sites.clear(), None),
            (|all| all.name_servers.clear(), Some("--nameserver ns1=192.0.2.53")),
            (|all| all.pops.clear(), Some("--pop fra@50.11,8.68,DE")),
            (|all| all.edges.truncate(1), Some("--edge syd-1@syd=192.0.2.10")),
        ];
        for (change, expected) in rows {
            let mut changed = answers();
            change(&mut changed);
            assert_eq!(changed.lack().as_deref(), expected);
        }
    }
}
