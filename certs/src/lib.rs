//! Certificates from files, chosen by the name a client asks for (SNI, RFC 6066 §3).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use config::{Config, HostName, Problem, SecretFile, Site, Tls};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

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
                Ok(key) => names.add(site, &config.network.zone, &Arc::new(key)),
                Err(problem) => problems.push(problem),
            }
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
        Ok(server)
    }
}

impl ResolvesServerCert for Certificates {
    /// A name no site has is refused in the handshake: any certificate would be the wrong one.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.names.load().find(hello.server_name()?)
    }
}

fn read(dir: &Path, tls: &Tls) -> Result<CertifiedKey, Problem> {
    let path = |file: &SecretFile| dir.join("secrets").join(&file.name);
    let fault = |file: &SecretFile, why: String| {
        Problem::fault(file.place.clone(), format!("secrets/{} cannot be used: {why}", file.name.display()))
    };
    let no_chain = |why| fault(&tls.cert, why).help("write the site's certificate and its chain, in PEM");
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path(&tls.cert))
        .and_then(Iterator::collect)
        .map_err(|error| no_chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(no_chain("there is no certificate in it".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(path(&tls.key))
        .map_err(|error| fault(&tls.key, error.to_string()).help("write the certificate's private key, in PEM"))?;
    CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| {
        let help = format!("is it the key of secrets/{}?", tls.cert.name.display());
        fault(&tls.key, error.to_string()).help(help)
    })
}
