//! Certificates from files under `secrets/`.

use std::io::ErrorKind;
use std::path::Path;

use config::{Problem, SecretFile, Site};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// A fault for every certificate or key under `secrets/` that is missing, unreadable, or not the
/// other's.
#[must_use]
pub fn check(dir: &Path, sites: &[Site]) -> Vec<Problem> {
    sites.iter().filter_map(|site| read(dir, site.tls.as_ref()?.files()?).err()).collect()
}

/// Reads a certificate with its chain, and its key.
pub(crate) fn read(dir: &Path, (cert, key): (&SecretFile, &SecretFile)) -> Result<CertifiedKey, Problem> {
    let path = |file: &SecretFile| dir.join("secrets").join(&file.name);
    let fault = |file: &SecretFile, why: String| {
        Problem::fault(file.place.clone(), format!("secrets/{} cannot be used: {why}", file.name.display()))
    };
    let chain_help = "write the site's certificate and its chain, in PEM";
    let key_help = "write the certificate's private key, in PEM, without a passphrase";
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path(cert))
        .and_then(Iterator::collect)
        .map_err(|error| fault(cert, error.to_string()).help(mend(&error, chain_help)))?;
    if chain.is_empty() {
        return Err(fault(cert, "there is no certificate in it".to_owned()).help(chain_help));
    }
    let private = PrivateKeyDer::from_pem_file(path(key))
        .map_err(|error| fault(key, error.to_string()).help(mend(&error, key_help)))?;
    CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| {
        let why = match error {
            rustls::Error::InconsistentKeys(_) => "it is another certificate's key".to_owned(),
            error => error.to_string(),
        };
        fault(key, why).help(format!("is it the key of secrets/{}?", cert.name.display()))
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
