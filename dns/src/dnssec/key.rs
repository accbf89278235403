//! One key of a zone: made, read, and shown as records.

use std::fmt;

use config::{KeyAlgorithm, KeyRole, Secret, ZoneKey};
use data_encoding::BASE64;
use hickory_server::proto::dnssec::crypto::{EcdsaSigningKey, Ed25519SigningKey, signing_key_from_der};
use hickory_server::proto::dnssec::rdata::{CDNSKEY, CDS, DNSKEY, DNSSECRData, DS, SigInput};
use hickory_server::proto::dnssec::{Algorithm, DigestType, PublicKey, SigningKey, TBS};
use hickory_server::proto::rr::{Name, RData};
use rustls_pki_types::PrivateKeyDer;

/// A key, ready to sign.
pub(super) struct Key {
    pub(super) plan: ZoneKey,
    pair: Box<dyn SigningKey>,
    public: DNSKEY,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault(String);

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.plan.tag)
    }
}

/// The flags of a zone's key, and of one that the parent's DS is of (RFC 4034 §2.1.1).
const ZONE: u16 = 256;
const ENTRY: u16 = 1;
/// SHA-256: the one digest that every validator has (RFC 8624 §3.3).
const DIGEST: DigestType = DigestType::SHA256;

impl Key {
    pub(super) fn read(apex: &Name, plan: &ZoneKey) -> Result<Self, KeyFault> {
        let fault = |why: &str| KeyFault(format!("key {} of {apex} {why}", plan.tag));
        let (pair, public) = read(plan.algorithm, plan.role, &plan.private).map_err(|why| fault(&why))?;
        let tag = public.calculate_key_tag().map_err(|_| fault("cannot be encoded"))?;
        if tag != plan.tag {
            return Err(fault(&format!("has the tag {tag}")));
        }
        Ok(Self { plan: plan.clone(), pair, public })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.pair.algorithm()
    }

    pub(super) fn sign(&self, input: SigInput, text: &[u8]) -> Option<(SigInput, Vec<u8>)> {
        self.pair.sign(&TBS::from(text)).ok().map(|signature| (input, signature))
    }

    /// Signs by another pair from now on.
    #[cfg(test)]
    pub(super) fn replace_pair(&mut self, pair: Box<dyn SigningKey>) {
        self.pair = pair;
    }

    pub(super) fn dnskey(&self) -> RData {
        RData::DNSSEC(DNSSECRData::DNSKEY(self.public.clone()))
    }

    pub(super) fn cds(&self, apex: &Name) -> Option<RData> {
        let digest = self.public.to_digest(apex, DIGEST).ok()?.as_ref().to_vec();
        Some(RData::DNSSEC(DNSSECRData::CDS(CDS::new(self.plan.tag, Some(self.algorithm()), DIGEST, digest))))
    }

    pub(super) fn cdnskey(&self) -> RData {
        let key = self.public.public_key();
        let data = CDNSKEY::with_flags(self.public.flags(), Some(self.algorithm()), key.public_bytes().to_vec());
        RData::DNSSEC(DNSSECRData::CDNSKEY(data))
    }
}

fn read(algorithm: KeyAlgorithm, role: KeyRole, private: &Secret) -> Result<(Box<dyn SigningKey>, DNSKEY), String> {
    let bytes = BASE64.decode(private.as_bytes()).map_err(|_| "is not base64".to_owned())?;
    let der = PrivateKeyDer::Pkcs8(bytes.into());
    let pair = signing_key_from_der(&der, number(algorithm));
    let pair = pair.map_err(|_| format!("is no private key for {}", algorithm.as_str()))?;
    let public = pair.to_public_key().map_err(|_| "has no public key".to_owned())?;
    let flags = if role.is_entry() { ZONE | ENTRY } else { ZONE };
    Ok((pair, DNSKEY::with_flags(flags, public)))
}

fn number(algorithm: KeyAlgorithm) -> Algorithm {
    match algorithm {
        KeyAlgorithm::EcdsaP256Sha256 => Algorithm::ECDSAP256SHA256,
        KeyAlgorithm::Ed25519 => Algorithm::ED25519,
    }
}

/// Makes a private key, PKCS #8 in base64.
///
/// # Errors
/// The system's source of randomness failed.
pub fn make_key(algorithm: KeyAlgorithm) -> Result<Secret, KeyFault> {
    let made = match algorithm {
        KeyAlgorithm::EcdsaP256Sha256 => EcdsaSigningKey::generate_pkcs8(number(algorithm)),
        KeyAlgorithm::Ed25519 => Ed25519SigningKey::generate_pkcs8(),
    };
    let made = made.map_err(|error| KeyFault(format!("no key can be made: {error}")))?;
    Ok(Secret::new(&BASE64.encode(made.secret_pkcs8_der())))
}

/// The tag of a private key (RFC 4034 appendix B).
///
/// # Errors
/// It is no such key.
pub fn tag_of(algorithm: KeyAlgorithm, role: KeyRole, private: &Secret) -> Result<u16, KeyFault> {
    let (_, public) = read(algorithm, role, private).map_err(|why| KeyFault(format!("the key {why}")))?;
    public.calculate_key_tag().map_err(|error| KeyFault(error.to_string()))
}

/// The DS record that the zone's parent is to have of a key, as registrars ask for it.
///
/// # Errors
/// The key cannot be read.
pub fn ds_record(zone: &config::DomainName, key: &ZoneKey) -> Result<String, KeyFault> {
    let apex = Name::from_ascii(format!("{zone}.")).map_err(|error| KeyFault(error.to_string()))?;
    let key = Key::read(&apex, key)?;
    let digest = key.public.to_digest(&apex, DIGEST).map_err(|error| KeyFault(error.to_string()))?;
    let ds = DS::new(key.plan.tag, key.algorithm(), DIGEST, digest.as_ref().to_vec());
    Ok(format!("{apex} IN DS {} {} {} {}", ds.key_tag(), u8::from(ds.algorithm()), u8::from(DIGEST), hex(ds.digest())))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(bytes)
}
