//! Name servers of a zone that are not of this network: what authorities of certificates look for is at ours alone.

use std::net::IpAddr;

use config::{Config, HostName, Problem, Severity};
use hickory_server::proto::rr::{Name, RData, RecordType};

use crate::query::is_challenge;
use crate::zone::{Found, Zone};
use crate::zones::Zones;

/// A warning for every name that wants a certificate by itself in a zone that others serve, too: an authority that asks one
/// of these finds nothing (RFC 8555 §8.4). An alias in the zone leads it to us, whomever it asks.
pub(crate) fn warn_of_others(config: &Config, zones: &Zones) -> Vec<Problem> {
    let sites = config.sites.iter().filter(|site| site.tls.as_ref().is_some_and(|tls| tls.auto));
    let mut names: Vec<String> = sites
        .flat_map(|site| &site.hosts)
        .filter_map(|host| match &host.name {
            HostName::Exact(name) | HostName::Below(name) => Some(name.to_string()),
            HostName::Address(_) => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names.iter().filter_map(|name| warn(config, zones, name)).collect()
}

fn warn(config: &Config, zones: &Zones, name: &str) -> Option<Problem> {
    let own = &config.network.zone;
    let challenge = Name::from_ascii(format!("_acme-challenge.{name}.")).ok()?;
    let zone = zones.covering(&challenge)?;
    let apex = zone.apex().to_string();
    let apex = apex.trim_end_matches('.');
    // No alias would lead out of that one.
    if apex == own.as_str() || !is_answered_here(zone, &challenge) {
        return None;
    }
    let other = servers(zone).into_iter().find(|server| !is_ours(config, zones, server))?;
    let other = other.to_ascii();
    let what = format!(
        "zones/{apex}: its name server `{}` is none of [[nameserver]]: an authority that asks it for the certificate of {name} finds nothing",
        other.trim_end_matches('.')
    );
    let help =
        format!("write `{challenge} CNAME _acme-challenge.{name}.{own}.` there: all of them lead it to ours then");
    Some(Problem { severity: Severity::Warning, ..Problem::general(what).help(help) })
}

/// Whether what is asked for at a name is to be found in the zone itself.
fn is_answered_here(zone: &Zone, challenge: &Name) -> bool {
    match zone.find(challenge, RecordType::TXT) {
        Found::Delegated(_) => false,
        Found::Alias(alias) => !matches!(&alias.data, RData::CNAME(target) if is_challenge(&target.0)),
        _ => true,
    }
}

/// The name servers that a zone says it has.
fn servers(zone: &Zone) -> Vec<Name> {
    match zone.find(&Name::from(zone.apex().clone()), RecordType::NS) {
        Found::Records(records) => {
            let server = |data: &RData| if let RData::NS(server) = data { Some(server.0.clone()) } else { None };
            records.iter().filter_map(|record| server(&record.data)).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a name is known as that of a name server of this network, or leads to the address of one.
fn is_ours(config: &Config, zones: &Zones, server: &Name) -> bool {
    let network = &config.network;
    let name = server.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let is_known = network.name_servers.iter().any(|node| name == format!("{}.{}", node.id, network.zone))
        || network.nameservers.iter().flatten().any(|told| told.as_str() == name);
    let leads_to = |kind| -> Vec<IpAddr> {
        match zones.covering(server).map(|zone| zone.find(server, kind)) {
            Some(Found::Records(records)) => records.into_iter().filter_map(|record| address(&record.data)).collect(),
            _ => Vec::new(),
        }
    };
    let is_own = |address: &IpAddr| network.name_servers.iter().any(|node| node.addresses.all().contains(address));
    is_known || [RecordType::A, RecordType::AAAA].into_iter().any(|kind| leads_to(kind).iter().any(is_own))
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use crate::View;
    use crate::view::tests::geography;

    #[test]
    fn a_name_in_a_zone_that_others_serve_needs_an_alias() {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["sites", "zones", "secrets"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let site = "hosts = [\"www.shop.example\", \"www.else.example\"]\ntls = \"auto\"\n[origin]\nservers = [\"http://192.0.2.80\"]\n";
        fs::write(dir.path().join("sites/shop.toml"), site).unwrap();
        let said = |known: &str, records: &str| {
            let network = format!(
                "zone = \"cdn.example\"\n{known}\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n\
                 [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n"
            );
            fs::write(dir.path().join("hither.toml"), network).unwrap();
            let zone = format!("$TTL 300\n@ SOA ns1.cdn.example. h.cdn.example. 1 3600 600 86400 300\n{records}\n");
            fs::write(dir.path().join("zones/shop.example"), zone).unwrap();
            let config = config::load(dir.path()).unwrap().config;
            let view = View::build(&config, (&Arc::new(geography()), &Arc::default()), &Arc::default(), None).unwrap();
            view.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let ours = "@ NS ns1.cdn.example.";
        let two = "@ NS ns1.cdn.example.\n@ NS ns.other.example.";
        let alias = "_acme-challenge.www CNAME _acme-challenge.www.shop.example.cdn.example.";
        for (known, records, is_told) in [
            ("", ours.to_owned(), false),
            ("", "@ NS ns\nns A 192.0.2.1".to_owned(), false),
            ("", "@ NS ns\nns A 192.0.2.2".to_owned(), true),
            ("", two.to_owned(), true),
            ("nameservers = [\"ns.other.example\"]", two.to_owned(), false),
            ("", format!("{two}\n{alias}"), false),
            // A wildcard's is not meant.
            ("", format!("{two}\n* CNAME shop.cdn.example."), true),
        ] {
            let said = said(known, &records);
            assert_eq!(said.contains("is none of [[nameserver]]"), is_told, "{known} {records}: {said}");
            assert!(!said.contains("does not exist"), "an alias for authorities is no mistake: {said}");
        }
        let said = said("", two);
        assert!(said.contains("`ns.other.example`") && !said.contains("www.else.example"), "{said}");
    }
}
