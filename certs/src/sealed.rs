//! Certificates with their keys on the way between nodes, which speak clear HTTP: sealed with a key of the fleet.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

/// Seals a text (AES-256-GCM, NIST SP 800-38D) with a nonce of its own, which stands first. None where there is no
/// randomness.
#[must_use]
pub fn seal(key: &[u8; 32], text: &[u8]) -> Option<Vec<u8>> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let mut sealed = text.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::empty(), &mut sealed).ok()?;
    Some([nonce.as_ref().as_slice(), &sealed].concat())
}

/// Opens what was sealed with the same key; none where it was not, or was changed.
#[must_use]
pub fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = sealed.to_vec();
    let length = key.open_in_place(nonce, Aad::empty(), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_and_only_what_is_whole() {
        let (key, other) = ([7; 32], [8; 32]);
        let sealed = seal(&key, b"a private key").unwrap();
        assert_ne!(sealed, seal(&key, b"a private key").unwrap(), "each has a nonce of its own");
        assert!(!sealed.windows(7).any(|piece| piece == b"private"));
        assert_eq!(open(&key, &sealed).unwrap(), b"a private key");
        assert_eq!(open(&other, &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&key, &changed), None, "byte {at}");
            assert_eq!(open(&key, &sealed[..at]), None, "cut at {at}");
        }
    }
}
