//! Which names want certificates.

use config::{Config, HostName};

/// A name that wants a certificate of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The name, as a certificate says it: `www.shop.example` or `*.img.shop.example`.
    pub name: String,
}

impl Wanted {
    /// The name that an authority asks about: without the wildcard (RFC 8555 §8.4).
    #[must_use]
    pub fn base(&self) -> &str {
        self.name.strip_prefix("*.").unwrap_or(&self.name)
    }

    /// Whether it stands for all names below one.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.name.starts_with("*.")
    }
}

/// The names of sites with `tls = "auto"`, each once: every host, and one for `<site>.<zone>` of all of them, and for name
/// servers. A name has a
/// certificate of its own, so that one which cannot be had keeps none of the others from theirs.
#[must_use]
pub fn wanted(config: &Config) -> Vec<Wanted> {
    let sites = config.sites.iter().filter(|site| site.tls.as_ref().is_some_and(|tls| tls.auto));
    let of_name_servers = config.network.dns.tls.as_ref().is_some_and(|tls| tls.auto);
    let mut names: Vec<_> = of_name_servers.then(|| format!("*.{}", config.network.zone)).into_iter().collect();
    for site in sites {
        names.push(format!("*.{}", config.network.zone));
        let named = site.hosts.iter().filter(|host| !matches!(host.name, HostName::Address(_)));
        names.extend(named.map(|host| host.name.to_string()));
    }
    names.sort();
    names.dedup();
    names.into_iter().map(|name| Wanted { name }).collect()
}
