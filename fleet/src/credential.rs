//! By which a node shows another that it belongs to the fleet.

use std::time::{SystemTime, UNIX_EPOCH};

use config::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The request field that carries a credential.
pub const HEADER: &str = "hither-credential";

/// HMAC-SHA256 (RFC 2104) over nonce, method, path and body with `secrets/fleet.key`.
///
/// The nonce begins with the time of signing; one older or newer than [`Credential::LIFETIME_MS`]
/// is refused, so that a copied credential is soon worthless.
#[derive(Clone, Copy, Debug)]
pub struct Credential;

impl Credential {
    /// How far two nodes' clocks may differ.
    pub const LIFETIME_MS: u64 = 300_000;

    /// Signs a request.
    #[must_use]
    pub fn sign(key: &Secret, now_ms: u64, random: u64, method: &str, path: &str, body: &[u8]) -> String {
        let nonce = format!("{now_ms}-{random:016x}");
        let mac = hex(&keyed(key, &nonce, method, path, body).finalize().into_bytes());
        format!("{nonce} {mac}")
    }

    /// Whether a request was signed with the key, lately.
    #[must_use]
    pub fn holds(key: &Secret, now_ms: u64, shown: &str, method: &str, path: &str, body: &[u8]) -> bool {
        let Some((nonce, mac)) = shown.split_once(' ') else {
            return false;
        };
        let signed_ms = nonce.split_once('-').and_then(|(time, _)| time.parse::<u64>().ok());
        let is_fresh = signed_ms.is_some_and(|signed| signed.abs_diff(now_ms) <= Self::LIFETIME_MS);
        let Some(mac) = unhex(mac) else {
            return false;
        };
        // Compared in constant time.
        is_fresh && keyed(key, nonce, method, path, body).verify_slice(&mac).is_ok()
    }
}

/// The key of the DNS cookies of all name servers that have this fleet key (RFC 9018 §5: an anycast or a set of servers
/// shares one).
#[must_use]
pub fn cookie_key(key: &Secret) -> [u8; 16] {
    let mac = keyed(key, "dns", "cookie", "", &[]).finalize().into_bytes();
    let mut cookie = [0; 16];
    cookie.iter_mut().zip(mac).for_each(|(byte, made)| *byte = made);
    cookie
}

/// The key that seals what only nodes with this fleet key may read.
#[must_use]
pub fn sealing_key(key: &Secret) -> [u8; 32] {
    keyed(key, "peer", "sealed", "", &[]).finalize().into_bytes().into()
}

/// Milliseconds since 1970 in UTC: the one clock nodes share, each with its own error.
#[must_use]
pub fn wall_clock_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

fn keyed(key: &Secret, nonce: &str, method: &str, path: &str, body: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    for part in [nonce.as_bytes(), method.as_bytes(), path.as_bytes()] {
        mac.update(part);
        mac.update(b"\n");
    }
    mac.update(&Sha256::digest(body));
    mac
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signed_request_holds_and_only_for_a_while() {
        let key = Secret::new("0123456789abcdef");
        let shown = Credential::sign(&key, 1_000_000, 7, "GET", "/x", b"body");
        let holds =
            |key: &Secret, now, shown: &str, method, path, body| Credential::holds(key, now, shown, method, path, body);
        assert!(holds(&key, 1_000_500, &shown, "GET", "/x", b"body"));
        assert!(!holds(&Secret::new("another key 0000"), 1_000_500, &shown, "GET", "/x", b"body"));
        assert!(!holds(&key, 1_000_500, &shown, "POST", "/x", b"body"));
        assert!(!holds(&key, 1_000_500, &shown, "GET", "/y", b"body"));
        assert!(!holds(&key, 1_000_500, &shown, "GET", "/x", b"other"));
        assert!(!holds(&key, 2_000_000, &shown, "GET", "/x", b"body"), "too old");
        for bad in ["", " ", "x y", "1000000-0 zz", "1000000-0 é"] {
            assert!(!holds(&key, 1_000_000, bad, "GET", "/x", b"body"), "{bad}");
        }
    }
}
