//! Certificates from files, chosen by the name a client asks for (SNI, RFC 6066 §3).

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use config::{Config, HostName, Problem, SecretFile, Site, Tls, limits};
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;

/// The certificates in use; a reload swaps them whole.
#[derive(Debug, Default)]
pub struct Certificates {
    names: ArcSwap<Names>,
}

/// Certificates by host.
#[derive(Debug, Default)]
pub struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the name below which a wildcard host holds.
    below: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name no host, or one that no site has.
    default: Option<Arc<CertifiedKey>>,
}

impl Names {
    /// Reads the certificates of every site.
    ///
    /// # Errors
    /// As [`check`].
    pub fn load(config: &Config) -> Result<Self, Vec<Problem>> {
        let mut names = Self::default();
        let mut problems = Vec::new();
        for site in &config.sites {
            let Some(tls) = &site.tls else {
                continue;
            };
            match read(&config.dir, tls) {
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
        if let Some(id) = config.network.edge.default_site.as_ref().filter(|_| problems.is_empty())
            && names.default.is_none()
        {
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

    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
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

/// A fault for every certificate or key under `secrets/` that is missing, unreadable, or not the
/// other's.
#[must_use]
pub fn check(dir: &Path, sites: &[Site]) -> Vec<Problem> {
    sites.iter().filter_map(|site| read(dir, site.tls.as_ref()?).err()).collect()
}

impl Certificates {
    /// Puts new certificates in place of the old.
    pub fn swap(&self, names: Names) {
        self.names.store(Arc::new(names));
    }

    /// A TLS 1.2 and 1.3 server with these certificates, for HTTP/2 and 1.1 by ALPN.
    ///
    /// # Errors
    /// The provider does not support the protocol versions.
    pub fn server(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut server = builder.with_no_client_auth().with_cert_resolver(resolver);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Keys of its own, which rotate every six hours: nothing is kept of clients.
        server.ticketer = Ticketer::new()?;
        Ok(server)
    }

    /// A TLS 1.3 server with these certificates for QUIC (RFC 9001), with one protocol. Clients that come again may send
    /// with their first packet, once for each ticket: what they have is kept here, and taken when they come.
    ///
    /// # Errors
    /// The provider does not support the protocol version.
    pub fn quic(self: &Arc<Self>, protocol: &str) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut server = builder.with_no_client_auth().with_cert_resolver(resolver);
        server.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        server.session_storage = ServerSessionMemoryCache::new(limits::TLS_SESSIONS);
        // What there is of it QUIC bounds itself: RFC 9001 §4.6.1 has no other value.
        server.max_early_data_size = u32::MAX;
        Ok(server)
    }
}

impl ResolvesServerCert for Certificates {
    /// A name no site has is refused in the handshake, unless there is a site for such: any certificate would be the wrong
    /// one.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let names = self.names.load();
        hello.server_name().and_then(|name| names.find(name)).or_else(|| names.default.clone())
    }
}

fn read(dir: &Path, tls: &Tls) -> Result<CertifiedKey, Problem> {
    let path = |file: &SecretFile| dir.join("secrets").join(&file.name);
    let fault = |file: &SecretFile, why: String| {
        Problem::fault(file.place.clone(), format!("secrets/{} cannot be used: {why}", file.name.display()))
    };
    let chain_help = "write the site's certificate and its chain, in PEM";
    let key_help = "write the certificate's private key, in PEM, without a passphrase";
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path(&tls.cert))
        .and_then(Iterator::collect)
        .map_err(|error| fault(&tls.cert, error.to_string()).help(mend(&error, chain_help)))?;
    if chain.is_empty() {
        return Err(fault(&tls.cert, "there is no certificate in it".to_owned()).help(chain_help));
    }
    let private = PrivateKeyDer::from_pem_file(path(&tls.key))
        .map_err(|error| fault(&tls.key, error.to_string()).help(mend(&error, key_help)))?;
    CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| {
        let why = match error {
            rustls::Error::InconsistentKeys(_) => "it is another certificate's key".to_owned(),
            error => error.to_string(),
        };
        fault(&tls.key, why).help(format!("is it the key of secrets/{}?", tls.cert.name.display()))
    })
}

/// A file that cannot be read wants another mend than one with the wrong things in it.
fn mend(error: &pem::Error, otherwise: &str) -> String {
    match error {
        pem::Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
            "let the user who runs hither read it".to_owned()
        }
        _ => otherwise.to_owned(),
    }
}

/// A warning for every host that its site's certificate does not cover: clients will refuse it.
#[must_use]
pub fn warn_of_names(config: &Config, names: &Names) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for (site, tls) in config.sites.iter().filter_map(|site| Some((site, site.tls.as_ref()?))) {
        for host in &site.hosts {
            // Any one name stands for all below a wildcard.
            let name = match &host.name {
                HostName::Exact(name) => name.to_string(),
                HostName::Below(name) => format!("any.{name}"),
                HostName::Address(_) => continue,
            };
            if names.find(&name).is_some_and(|key| !covers(&key, &name)) {
                let what = format!("secrets/{} is not a certificate for {}", tls.cert.name.display(), host);
                let warning = Problem::warning(tls.cert.place.clone(), what);
                warnings.push(warning.help("clients that ask for that name over TLS will refuse it"));
            }
        }
    }
    warnings
}

fn covers(key: &CertifiedKey, name: &str) -> bool {
    let certificate = key.cert.first().and_then(|first| ParsedCertificate::try_from(first).ok());
    let name = ServerName::try_from(name).ok();
    certificate.zip(name).is_some_and(|(certificate, name)| verify_server_name(&certificate, &name).is_ok())
}
