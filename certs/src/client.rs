//! Asking an authority: HTTP/1.1 over TLS, a connection for each of the few requests.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use config::{Acme, Problem, limits};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Asks an authority.
pub(crate) struct Client {
    connector: TlsConnector,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A fault where the authorities that `[acme] ca` names cannot be used.
#[must_use]
pub fn check_authorities(acme: &Acme) -> Option<Problem> {
    let problem = Problem::general(roots(acme).err()?);
    Some(problem.help("write the certificates, in PEM, of the authorities that sign the directory's own"))
}

/// The authorities that are trusted: the public ones, or those that the config names.
fn roots(acme: &Acme) -> Result<RootCertStore, String> {
    let Some(ca) = &acme.ca else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let unfit = |why: &dyn std::fmt::Display| format!("`ca` of [acme] cannot be used: {why}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|error| unfit(&error))?;
        roots.add(certificate).map_err(|error| unfit(&error))?;
    }
    if roots.is_empty() { Err(unfit(&"there is no certificate in it")) } else { Ok(roots) }
}

impl Client {
    /// Trusts the public authorities, or those that the config names.
    pub(crate) fn new(acme: &Acme) -> Result<Self, String> {
        let roots = roots(acme)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let connector = self.connector.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(limits::ACME_TIME, ask(&connector, request)).await;
            match asked {
                Ok(Ok(response)) => Ok(BytesResponse::from(response)),
                Ok(Err(error)) => Err(Error::Other(error)),
                Err(_) => Err(Error::Other("it does not answer in time".into())),
            }
        })
    }
}

async fn ask(
    connector: &TlsConnector,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    let (mut head, body) = request.into_parts();
    let host = head.uri.host().ok_or("its URL has no host")?.trim_matches(['[', ']']).to_owned();
    let port = head.uri.port_u16().unwrap_or(443);
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    let stream = connector.connect(ServerName::try_from(host)?, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let authority = head.uri.authority().ok_or("its URL has no host")?.as_str().to_owned();
    head.headers.insert(header::HOST, HeaderValue::try_from(authority)?);
    head.uri = head.uri.path_and_query().map_or_else(Uri::default, |target| target.clone().into());
    let (head, body) = sender.send_request(Request::from_parts(head, body)).await?.into_parts();
    let body = Limited::new(body, limits::ACME_BYTES).collect().await?.to_bytes();
    driven.abort();
    Ok(Response::from_parts(head, Full::new(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use config::Secret;

    use crate::held::tests::made;

    #[test]
    fn authorities_that_cannot_be_read_are_a_fault() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (ca, expected) in [
            (None, None),
            (Some(made("an-authority.example", (0, 90))), None),
            (Some("sixteen characters".to_owned()), Some("there is no certificate in it")),
            (Some(broken.to_owned()), Some("")),
            (Some("-----BEGIN CERTIFICATE-----\nAAAA".to_owned()), Some("")),
        ] {
            let acme = Acme { ca: ca.as_deref().map(Secret::new), ..Acme::default() };
            let told = check_authorities(&acme).map(|problem| problem.message);
            let begins = expected.map(|expected| format!("`ca` of [acme] cannot be used: {expected}"));
            let fits = match (&told, &begins) {
                (Some(told), Some(begins)) => told.starts_with(begins),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{ca:?}: {told:?}, not {begins:?}");
        }
    }
}
