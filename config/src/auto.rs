//! Hosts of sites with `tls = "auto"` for which no certificate comes without more.

use std::net::SocketAddr;

use crate::acme::AcmeChallenge;
use crate::host::{DomainName, HostName, HostPattern};
use crate::network::{EdgeNode, Network};
use crate::problem::Problem;
use crate::register::{Kind, Register};
use crate::site::Site;

/// A warning for every host that gets no certificate by itself, or only with the help of its zone's owner.
pub(crate) fn check(register: &Register, network: &Network, sites: &[Site]) -> Vec<Problem> {
    let is_auto = |site: &&Site| site.tls.as_ref().is_some_and(|tls| tls.auto);
    let warn = |host: &HostPattern| {
        let (what, mend) = lack(register, network, &host.name)?;
        let place = register.place(Kind::Host, &host.to_string())?;
        Some(Problem::warning(place.clone(), what).help(mend))
    };
    sites.iter().filter(is_auto).flat_map(|site| &site.hosts).filter_map(warn).collect()
}

impl Network {
    /// Whether names in no zone served here are shown to be ours in handshakes (RFC 8737), not in the clear.
    #[must_use]
    pub fn proves_by_tls(&self) -> bool {
        match self.acme.challenge {
            AcmeChallenge::Http => false,
            AcmeChallenge::TlsAlpn => true,
            AcmeChallenge::Auto => {
                let has = |of: fn(&Self, &EdgeNode) -> Vec<SocketAddr>, port: u16| {
                    self.edges().any(|(_, edge)| of(self, edge).iter().any(|address| address.port() == port))
                };
                has(Self::https_of, 443) && !has(Self::http_of, 80)
            }
        }
    }
}

/// What a host lacks for a certificate, and the mend.
fn lack(register: &Register, network: &Network, host: &HostName) -> Option<(String, String)> {
    match host {
        HostName::Exact(_) => None,
        HostName::Address(address) => {
            let mend = "clients that are given an address name no host: `default_site` of [edge] says whose they get";
            Some((format!("`auto` gets no certificate for the address {address}"), mend.to_owned()))
        }
        HostName::Below(name) if is_served(register, network, name) => None,
        HostName::Below(name) => {
            let alias = format!("_acme-challenge.{name} CNAME _acme-challenge.{name}.{}", network.zone);
            let what =
                format!("`*.{name}` is in no zone served here: its certificate needs an alias that its owner makes");
            Some((what, format!("have `{alias}` there, or get it elsewhere and name its files in `tls`")))
        }
    }
}

/// Whether a name is in a zone that is served here.
fn is_served(register: &Register, network: &Network, name: &DomainName) -> bool {
    let mut rest = Some(name.as_str());
    while let Some(zone) = rest {
        if zone == network.zone.as_str() || register.place(Kind::ZoneFile, zone).is_some() {
            return true;
        }
        rest = zone.split_once('.').map(|(_, above)| above);
    }
    false
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::load;

    #[test]
    fn hosts_that_get_no_certificate_by_themselves_are_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["sites", "zones", "secrets"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        fs::write(dir.path().join("secrets/fleet.key"), "a key for tests only").unwrap();
        fs::write(dir.path().join("zones/shop.example"), "").unwrap();
        let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n\
            [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n";
        fs::write(dir.path().join("hither.toml"), network).unwrap();
        let says = |hosts: &str, tls: &str| {
            let site = format!("hosts = [{hosts}]\n{tls}\n[origin]\nservers = [\"https://origin.shop.example\"]\n");
            fs::write(dir.path().join("sites/shop.toml"), site).unwrap();
            let warnings = load(dir.path()).unwrap().warnings;
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let alias = "`_acme-challenge.workshop.example CNAME _acme-challenge.workshop.example.cdn.example`";
        for (host, expected) in [
            ("\"www.else.example\"", None),
            ("\"*.shop.example\"", None),
            ("\"*.img.shop.example\"", None),
            ("\"*.a.cdn.example\"", None),
            ("\"*.else.example\"", Some("sites/shop.toml:1:10: `*.else.example` is in no zone served here")),
            ("\"*.workshop.example\"", Some(alias)),
            ("\"192.0.2.7\"", Some("`auto` gets no certificate for the address 192.0.2.7")),
        ] {
            let said = says(host, "tls = \"auto\"");
            assert_eq!(said.is_empty(), expected.is_none(), "{host}: {said}");
            assert!(said.contains(expected.unwrap_or_default()), "{host}: {said}");
            assert_eq!(says(host, ""), "", "{host}");
        }
    }
    #[test]
    fn names_are_proved_at_a_port_that_edges_have() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sites")).unwrap();
        let edge = |more: &str| format!("[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.1\"]\n{more}\n");
        for (acme, ports, of_edge, expected) in [
            ("", "", "", false),
            ("", "http = 8080", "", true),
            ("", "http = 8080\nhttps = 8443", "", false),
            ("", "http = 8080", "http = 80", false),
            ("", "", "http = [\"192.0.2.1:8080\"]", true),
            ("auto", "http = 8080", "", true),
            ("http-01", "http = 8080", "", false),
            ("tls-alpn-01", "", "", true),
        ] {
            let acme = if acme.is_empty() { String::new() } else { format!("challenge = \"{acme}\"") };
            let network = format!(
                "zone = \"cdn.example\"\n[edge]\n{ports}\n[acme]\n{acme}\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.2\"]\n\
                 [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n{}",
                edge(of_edge)
            );
            fs::write(dir.path().join("hither.toml"), network).unwrap();
            let network = load(dir.path()).unwrap().config.network;
            assert_eq!(network.proves_by_tls(), expected, "{acme} {ports} {of_edge}");
        }
    }
}
