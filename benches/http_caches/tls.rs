//! TLS as all servers have it: one certificate, and a client that takes any, so that what is measured is the server's work.

use std::fs;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion, SignatureScheme, Stream,
};

use crate::generator::{Target, read_answer};

/// The site's name, which clients ask for.
pub(crate) const NAME: &str = "www.shop.example";
/// Files of the certificate and its key, and of both.
pub(crate) const CERTIFICATE: &str = "shop.pem";
pub(crate) const KEY: &str = "shop.key";
pub(crate) const BOTH: &str = "shop-both.pem";

/// Writes a new certificate, ECDSA with P-256, to files that servers read.
pub(crate) fn write_certificate(dir: &Path) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(dir.join(CERTIFICATE), &certificate).unwrap();
    fs::write(dir.join(KEY), &key).unwrap();
    fs::write(dir.join(BOTH), certificate + &key).unwrap();
}

/// A client of TLS 1.3 that agrees on keys by X25519 and on AES-128-GCM, which all servers know, and resumes nothing.
pub(crate) fn client(protocol: &str) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut client = builder.dangerous().with_custom_certificate_verifier(Arc::new(TakesAny)).with_no_client_auth();
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(client)
}

/// A new connection after a full handshake.
pub(crate) fn connect(server: SocketAddr, client: &Arc<ClientConfig>) -> (ClientConnection, TcpStream) {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let mut session = ClientConnection::new(Arc::clone(client), name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket).unwrap();
    }
    while session.wants_write() {
        session.write_tls(&mut socket).unwrap();
    }
    let got = (session.handshake_kind(), session.protocol_version());
    assert_eq!(got, (Some(HandshakeKind::Full), Some(ProtocolVersion::TLSv1_3)));
    (session, socket)
}

/// Asks once over a new connection, which is left open: the origin's number of the answer, which must be a 200 of its
/// length.
pub(crate) fn fetch(server: SocketAddr, client: &Arc<ClientConfig>, size: usize) -> (TcpStream, Option<String>) {
    let (mut session, mut socket) = connect(server, client);
    let mut stream = BufReader::new(Stream::new(&mut session, &mut socket));
    stream.get_mut().write_all(Target::Stored.request(size).as_bytes()).unwrap();
    let number = read_answer(&mut stream, size);
    (socket, number)
}

/// Whether what a server is asked for over TLS is a hit.
pub(crate) fn is_hit(server: SocketAddr, size: usize) -> bool {
    let client = client("http/1.1");
    let number = || fetch(server, &client, size).1;
    number() == number()
}

/// Checks no certificate: the client's work is not what is measured.
#[derive(Debug)]
struct TakesAny;

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
