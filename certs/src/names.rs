//! Which certificate a name gets.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use config::{Config, DnsTls, DomainName, HostName, Problem, Site, Tls};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::files;
use crate::held::{Held, Validity};

/// Certificates by host.
#[derive(Clone, Debug, Default)]
pub struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the name below which a wildcard host holds.
    below: HashMap<String, Arc<CertifiedKey>>,
    /// Of name servers, where they share a port with sites.
    name_servers: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name no host, or one that no site has.
    pub(crate) default: Option<Arc<CertifiedKey>>,
}

impl Names {
    /// Reads the certificates of every site.
    ///
    /// # Errors
    /// As [`check`](crate::check).
    pub fn load(config: &Config) -> Result<Self, Vec<Problem>> {
        let mut names = Self::default();
        let mut problems = Vec::new();
        for site in &config.sites {
            let Some(pair) = site.tls.as_ref().and_then(Tls::files) else { continue };
            match files::read(&config.dir, pair) {
                Ok(key) => {
                    let key = Arc::new(key);
                    names.add(site, &config.network.zone, &key);
                    if config.network.edge.default_site.as_ref() == Some(&site.id) {
                        names.default = Some(key);
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        let has_tls = |id: &_| config.sites.iter().any(|site| site.id == *id && site.tls.is_some());
        if let Some(id) = config.network.edge.default_site.as_ref().filter(|id| problems.is_empty() && !has_tls(*id)) {
            let problem = Problem::general(format!("`default_site` of [edge]: site `{id}` has no `tls`"));
            problems.push(problem.help("give it `tls`, or name a site that has it"));
        }
        if problems.is_empty() { Ok(names) } else { Err(problems) }
    }

    fn add(&mut self, site: &Site, zone: &DomainName, key: &Arc<CertifiedKey>) {
        self.exact.insert(format!("{}.{zone}", site.id), Arc::clone(key));
        for host in &site.hosts {
            match &host.name {
                HostName::Exact(name) => drop(self.exact.insert(name.to_string(), Arc::clone(key))),
                HostName::Below(name) => drop(self.below.insert(name.to_string(), Arc::clone(key))),
                HostName::Address(_) => {}
            }
        }
    }

    /// Adds those that sites got by themselves, of the sites that want them.
    pub fn add_held<'h>(&mut self, config: &Config, held: impl IntoIterator<Item = &'h Held>) {
        let held: HashMap<&str, &Held> = held.into_iter().map(|held| (held.name.as_str(), held)).collect();
        for site in config.sites.iter().filter(|site| site.tls.as_ref().is_some_and(|tls| tls.auto)) {
            let zone = &config.network.zone;
            let key_of = |name: &str| held.get(name).map(|held| Arc::clone(&held.key));
            if let Some(key) = key_of(&format!("*.{zone}")) {
                self.exact.insert(format!("{}.{zone}", site.id), key);
            }
            for host in &site.hosts {
                match (&host.name, key_of(&host.name.to_string())) {
                    (HostName::Exact(name), Some(key)) => drop(self.exact.insert(name.to_string(), key)),
                    (HostName::Below(name), Some(key)) => drop(self.below.insert(name.to_string(), key)),
                    _ => {}
                }
            }
            if config.network.edge.default_site.as_ref() == Some(&site.id) {
                let own = site.hosts.iter().find_map(|host| key_of(&host.name.to_string()));
                self.default = own.or_else(|| key_of(&format!("*.{zone}")));
            }
        }
    }

    /// The certificate of name servers for encrypted DNS, whatever name they are asked by.
    ///
    /// # Errors
    /// As [`check`](crate::check).
    pub fn of_name_servers(config: &Config) -> Result<Self, Vec<Problem>> {
        let Some(pair) = config.network.dns.tls.as_ref().and_then(DnsTls::files) else {
            return Ok(Self::default());
        };
        let key = files::read(&config.dir, pair).map_err(|problem| vec![problem])?;
        Ok(Self { default: Some(Arc::new(key)), ..Self::default() })
    }

    /// Adds the one that was got, where name servers want that.
    pub fn add_held_of_name_servers<'h>(&mut self, config: &Config, held: impl IntoIterator<Item = &'h Held>) {
        let name = format!("*.{}", config.network.zone);
        if config.network.dns.tls.as_ref().is_some_and(|tls| tls.auto) {
            self.default = held.into_iter().find(|held| held.name == name).map(|held| Arc::clone(&held.key));
        }
    }

    /// Adds the certificate of name servers for the names by which clients know them, where these come to a port of sites'.
    /// A host that a site names stays the site's.
    pub fn add_name_servers(&mut self, config: &Config, of_name_servers: &Self) {
        let Some(key) = &of_name_servers.default else { return };
        let network = &config.network;
        let own = network.name_servers.iter().map(|node| format!("{}.{}", node.id, network.zone));
        let told = network.nameservers.iter().flatten().map(ToString::to_string);
        let certified = key.cert.first().map(exact_names).unwrap_or_default();
        let is_free = |name: &String| !config.sites.iter().any(|site| is_of(site, &network.zone, name));
        let names = own.chain(told).chain(certified).filter(is_free);
        self.name_servers = names.map(|name| (name, Arc::clone(key))).collect();
    }

    /// Whether clients know a name server by this name.
    pub(crate) fn is_name_server(&self, name: &str) -> bool {
        !self.name_servers.is_empty() && self.name_servers.contains_key(&name.to_ascii_lowercase())
    }

    /// Until when the certificate is good that is shown whatever name is asked for.
    #[must_use]
    pub fn validity_of_default(&self) -> Option<Validity> {
        Validity::of(self.default.as_ref()?.cert.first()?)
    }

    /// Until when the certificate of each name is good.
    #[must_use]
    pub fn validities(&self) -> BTreeMap<String, Validity> {
        let below = self.below.iter().map(|(name, key)| (format!("*.{name}"), key));
        let all = self.exact.iter().map(|(name, key)| (name.clone(), key)).chain(below);
        all.filter_map(|(name, key)| Some((name, Validity::of(key.cert.first()?)?))).collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        if let Some(key) = self.exact.get(&name).or_else(|| self.name_servers.get(&name)) {
            return Some(Arc::clone(key));
        }
        let mut rest = name.as_str();
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(key) = self.below.get(above) {
                return Some(Arc::clone(key));
            }
            rest = above;
        }
        None
    }
}

/// Whether a site names a host itself, not by a wildcard.
fn is_of(site: &Site, zone: &DomainName, name: &str) -> bool {
    let is_host = |host: &config::HostPattern| matches!(&host.name, HostName::Exact(exact) if exact.as_str() == name);
    site.hosts.iter().any(is_host) || name == format!("{}.{zone}", site.id)
}

/// The names that a certificate is for, without wildcards.
fn exact_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let exact = |general: &GeneralName<'_>| match general {
        GeneralName::DNSName(name) if !name.starts_with('*') => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(exact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;

    use crate::held::tests::made;

    #[test]
    fn a_name_server_is_known_by_its_names_and_takes_none_of_a_site_s() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sites")).unwrap();
        fs::create_dir_all(dir.path().join("secrets")).unwrap();
        for (file, name) in [("shop", "www.shop.example"), ("ns", "dns.shop.example")] {
            let pem = made(name, (0, 90));
            let (chain, key) = pem.split_once("-----BEGIN PRIVATE").unwrap();
            fs::write(dir.path().join(format!("secrets/{file}.pem")), chain).unwrap();
            fs::write(dir.path().join(format!("secrets/{file}.key")), format!("-----BEGIN PRIVATE{key}")).unwrap();
        }
        let network = "zone = \"cdn.example\"\nnameservers = [\"a.dns.example\", \"www.shop.example\"]\n\
            [dns.tls]\ncert = \"ns.pem\"\nkey = \"ns.key\"\nhttps = 443\n\
            [[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n\
            [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n";
        fs::write(dir.path().join("hither.toml"), network).unwrap();
        let site = "hosts = [\"www.shop.example\", \"*.shop.example\"]\ntls = { cert = \"shop.pem\", key = \"shop.key\" }\n\
            [origin]\nservers = [\"https://origin.shop.example\"]\n";
        fs::write(dir.path().join("sites/shop.toml"), site).unwrap();
        let config = config::load(dir.path()).unwrap().config;
        let (mut names, of_name_servers) = (Names::load(&config).unwrap(), Names::of_name_servers(&config).unwrap());
        let site = names.find("www.shop.example").unwrap();
        assert!(!names.is_name_server("ns1.cdn.example"), "they share no port yet");
        names.add_name_servers(&config, &of_name_servers);
        for (name, is_name_server) in [
            ("ns1.cdn.example", true),
            ("NS1.cdn.example", true),
            ("a.dns.example", true),
            // It is the certificate's, and a site's wildcard alone holds it, too.
            ("dns.shop.example", true),
            ("www.shop.example", false),
            ("shop.cdn.example", false),
            ("other.shop.example", false),
        ] {
            assert_eq!(names.is_name_server(name), is_name_server, "{name}");
            let shown = names.find(name).unwrap();
            assert_eq!(Arc::ptr_eq(&shown, &site), !is_name_server, "{name}");
        }
        assert!(names.find("ns2.cdn.example").is_none());
        assert!(!names.validities().contains_key("ns1.cdn.example"), "it is told as that of [dns.tls]");
    }
}
