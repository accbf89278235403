//! What clients will refuse.

use std::time::SystemTime;

use config::{Config, HostName, Problem, SecretFile, Site};
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use crate::held::Validity;
use crate::names::Names;

/// A warning for every host that its site's certificate does not cover, and every certificate that soon ends, or has:
/// clients will refuse it.
#[must_use]
pub fn warn_of_names(config: &Config, names: &Names, now: SystemTime) -> Vec<Problem> {
    let mut warnings = warn_of_ends(config, names, now);
    for (site, cert) in config.sites.iter().filter_map(|site| Some((site, site.tls.as_ref()?.files()?.0))) {
        for host in &site.hosts {
            // Any one name stands for all below a wildcard.
            let name = match &host.name {
                HostName::Exact(name) => name.to_string(),
                HostName::Below(name) => format!("any.{name}"),
                HostName::Address(_) => continue,
            };
            if names.find(&name).is_some_and(|key| !covers(&key, &name)) {
                let what = format!("secrets/{} is not a certificate for {}", cert.name.display(), host);
                let warning = Problem::warning(cert.place.clone(), what);
                warnings.push(warning.help("clients that ask for that name over TLS will refuse it"));
            }
        }
    }
    warnings
}

fn warn_of_ends(config: &Config, names: &Names, now: SystemTime) -> Vec<Problem> {
    let files = config.sites.iter().filter_map(|site| Some((site, site.tls.as_ref()?.files()?.0)));
    let warn = |(site, cert): (&Site, &SecretFile)| {
        let key = names.find(&format!("{}.{}", site.id, config.network.zone))?;
        let validity = Validity::of(key.cert.first()?)?;
        let name = cert.name.display();
        let what = match validity.until.duration_since(now) {
            _ if !validity.is_alarming(now) => return None,
            Ok(left) => format!("secrets/{name} is good for {} more days", left.as_secs() / 86_400),
            Err(_) => format!("secrets/{name} is no longer good: clients refuse it"),
        };
        let help = "put a new one in its place; it is used from the next handshake on";
        Some(Problem::warning(cert.place.clone(), what).help(help))
    };
    files.filter_map(warn).collect()
}

fn covers(key: &CertifiedKey, name: &str) -> bool {
    let certificate = key.cert.first().and_then(|first| ParsedCertificate::try_from(first).ok());
    let name = ServerName::try_from(name).ok();
    certificate.zip(name).is_some_and(|(certificate, name)| verify_server_name(&certificate, &name).is_ok())
}
