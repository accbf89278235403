//! What shows an authority over TLS that a name is ours (RFC 8737).

use data_encoding::BASE64URL_NOPAD;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

/// The protocol by which an authority asks for it (RFC 8737 §6.2). Over a connection that agrees on it nothing is said.
pub const ACME_TLS: &str = "acme-tls/1";

/// Of SHA-256.
const DIGEST_BYTES: usize = 32;

/// Whether a client asks for that. RFC 8737 §3: it "MUST" offer this protocol and no other.
pub(crate) fn is_asked(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_TLS.as_bytes()) && offered.next().is_none())
}

/// Makes the certificate that an authority expects for a name: one that signed itself and holds this digest, in base64url.
pub(crate) fn make(name: &str, digest: &str) -> Option<CertifiedKey> {
    let digest = BASE64URL_NOPAD.decode(digest.as_bytes()).ok().filter(|digest| digest.len() == DIGEST_BYTES)?;
    let mut params = CertificateParams::new([name.to_owned()]).ok()?;
    params.custom_extensions.push(CustomExtension::new_acme_identifier(&digest));
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let private = aws_lc_rs::default_provider().key_provider.load_private_key(private).ok()?;
    // What compares both reads the certificate, and knows nothing of its critical extension.
    Some(CertifiedKey::new(vec![certificate.der().clone()], private))
}

#[cfg(test)]
mod tests {
    use x509_parser::parse_x509_certificate;

    use super::*;

    #[test]
    fn the_certificate_is_for_one_name_and_holds_the_digest() {
        let digest = BASE64URL_NOPAD.encode(&[7; 32]);
        let made = make("www.shop.example", &digest).unwrap();
        let (_, read) = parse_x509_certificate(&made.cert[0]).unwrap();
        let names = read.subject_alternative_name().unwrap().unwrap();
        let names: Vec<String> = names.value.general_names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["DNSName(www.shop.example)"]);
        let held = read.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let held = held.unwrap();
        assert!(held.critical);
        assert_eq!(held.value, [&[4, 32][..], &[7; 32]].concat());
        for wrong in ["", "AAAA", "no base64!"] {
            assert!(make("www.shop.example", wrong).is_none(), "{wrong}");
        }
    }
}
