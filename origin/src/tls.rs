//! How servers over TLS are trusted, and what is shown to them.

use std::sync::{Arc, LazyLock};

use config::{Origin, Problem, Scheme, Site};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The settings for the public authorities: tickets are kept by server name, and the roots only once.
static PUBLIC: LazyLock<Result<Arc<ClientConfig>, Unfit>> =
    LazyLock::new(|| settings(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }, None).map(Arc::new));

/// Why an origin's TLS settings cannot be used, and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The key of `[origin]`.
    pub key: &'static str,
    /// What is wrong with its file.
    pub why: String,
}

/// A fault for each site whose origin's certificates or keys cannot be used.
#[must_use]
pub fn check(sites: &[Site]) -> Vec<Problem> {
    let is_over_tls = |site: &&Site| site.origin.servers.iter().any(|server| server.scheme == Scheme::Https);
    let faults = sites.iter().filter(is_over_tls).filter_map(|site| {
        let Unfit { key, why } = of(&site.origin).err()?;
        let problem = Problem::general(format!("sites/{}.toml: `{key}` of [origin] cannot be used: {why}", site.id));
        Some(problem.help("write PEM: certificates, and a private key without a passphrase"))
    });
    faults.collect()
}

/// The settings for an origin's servers.
///
/// # Errors
/// A file is not what it must be.
pub(crate) fn of(origin: &Origin) -> Result<Arc<ClientConfig>, Unfit> {
    if origin.ca.is_none() && origin.client.is_none() {
        return PUBLIC.clone();
    }
    let roots = match &origin.ca {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            let (_, ignored) = roots.add_parsable_certificates(certificates("ca", ca.as_bytes())?);
            if ignored > 0 {
                return Err(Unfit { key: "ca", why: format!("{ignored} of its certificates cannot be read") });
            }
            roots
        }
    };
    let own = match &origin.client {
        None => None,
        Some(client) => {
            let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes());
            let key = key.map_err(|error| Unfit { key: "client.key", why: error.to_string() })?;
            Some((certificates("client.cert", client.cert.as_bytes())?, key))
        }
    };
    settings(roots, own).map(Arc::new)
}

fn certificates(key: &'static str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let read = read.map_err(|error| Unfit { key, why: error.to_string() })?;
    if read.is_empty() { Err(Unfit { key, why: "there is no certificate in it".to_owned() }) } else { Ok(read) }
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn settings(roots: RootCertStore, own: Option<Own>) -> Result<ClientConfig, Unfit> {
    let unfit = |key| move |error: rustls::Error| Unfit { key, why: error.to_string() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let trusting = versions.map_err(unfit("servers"))?.with_root_certificates(roots);
    match own {
        None => Ok(trusting.with_no_client_auth()),
        Some((chain, key)) => trusting.with_client_auth_cert(chain, key).map_err(unfit("client")),
    }
}
