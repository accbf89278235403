//! Which certificate a name gets.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use config::{Config, DnsTls, HostName, Problem, Site, Tls};
use rustls::sign::CertifiedKey;

use crate::files;
use crate::held::{Held, Validity};

/// Certificates by host.
#[derive(Clone, Debug, Default)]
pub struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the name below which a wildcard host holds.
    below: HashMap<String, Arc<CertifiedKey>>,
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

    fn add(&mut self, site: &Site, zone: &config::DomainName, key: &Arc<CertifiedKey>) {
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
        if let Some(key) = self.exact.get(&name) {
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
