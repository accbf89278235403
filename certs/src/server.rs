//! TLS servers that choose a certificate by the name a client asks for (SNI, RFC 6066 §3).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use config::limits;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;

use crate::alpn;
use crate::challenges::Challenges;
use crate::held::Validity;
use crate::names::Names;

/// The certificates in use; a reload swaps them whole.
#[derive(Debug, Default)]
pub struct Certificates {
    names: ArcSwap<Names>,
    challenges: Arc<Challenges>,
}

impl Certificates {
    /// None yet; authorities that ask in a handshake are shown what is ready for them, where the server has
    /// [`ACME_TLS`](crate::ACME_TLS) among its protocols.
    #[must_use]
    pub fn answering(challenges: Arc<Challenges>) -> Self {
        Self { names: ArcSwap::default(), challenges }
    }

    /// Puts new certificates in place of the old.
    pub fn swap(&self, names: Names) {
        self.names.store(Arc::new(names));
    }

    /// Whether there is one for this name; for who names none, whether there is one for all such.
    #[must_use]
    pub fn has(&self, name: Option<&str>) -> bool {
        let names = self.names.load();
        name.map_or(names.default.is_some(), |name| names.find(name.trim_end_matches('.')).is_some())
    }

    /// Whether clients know a name server by this name, and are shown its certificate.
    #[must_use]
    pub fn is_name_server(&self, name: &str) -> bool {
        self.names.load().is_name_server(name.trim_end_matches('.'))
    }

    /// Until when the certificate of each name is good.
    #[must_use]
    pub fn validities(&self) -> BTreeMap<String, Validity> {
        self.names.load().validities()
    }

    /// Until when the certificate is good that is shown whatever name is asked for.
    #[must_use]
    pub fn validity_of_default(&self) -> Option<Validity> {
        self.names.load().validity_of_default()
    }

    /// A TLS 1.2 and 1.3 server with these certificates, for these protocols by ALPN, the best first.
    ///
    /// # Errors
    /// The provider does not support the protocol versions.
    pub fn server(self: &Arc<Self>, protocols: &[&str]) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut server = builder.with_no_client_auth().with_cert_resolver(resolver);
        server.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
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
        if alpn::is_asked(&hello) {
            let name = hello.server_name()?;
            let digest = self.challenges.digest(name, SystemTime::now())?;
            return alpn::make(name, &digest).map(Arc::new);
        }
        let names = self.names.load();
        hello.server_name().and_then(|name| names.find(name)).or_else(|| names.default.clone())
    }
}
