//! Signed URLs: a parameter that only who has the key can make, for a path, until a time, perhaps for one address.
//!
//! ```text
//! /film/1.mp4?signature=KEY.EXPIRES.MAC        KEY: the key's id; EXPIRES: Unix seconds
//! /film/1.mp4?signature=KEY.EXPIRES.ip.MAC     only for the address that was signed
//! MAC: HMAC-SHA256 in lower-case hex over four lines: KEY, EXPIRES, the address or nothing, the path as it is in the URL
//! ```

use std::borrow::Cow;
use std::net::IpAddr;

use config::SigningKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The parameter's name.
const PARAMETER: &str = "signature=";
/// Says that the address is part of what is signed.
const BOUND: &str = "ip";

/// Signs a path and query.
#[must_use]
pub fn sign(target: &str, key: &SigningKey, expires: i64, address: Option<IpAddr>) -> String {
    let target = unsigned(target);
    let path = target.split('?').next().unwrap_or_default();
    let mac = data_encoding::HEXLOWER.encode(&keyed(key, &expires.to_string(), address, path).finalize().into_bytes());
    let bound = address.map_or_else(String::new, |_| format!("{BOUND}."));
    let joint = if target.contains('?') { '&' } else { '?' };
    format!("{target}{joint}{PARAMETER}{}.{expires}.{bound}{mac}", key.id)
}

/// Whether a path and query is signed for a client by one of the keys; why not, for who looks.
pub(crate) fn verify(target: &str, keys: &[SigningKey], client: IpAddr, now_seconds: i64) -> Result<(), &'static str> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut signatures = query.split('&').filter_map(|part| part.strip_prefix(PARAMETER));
    let signature = signatures.next().ok_or("the URL is not signed")?;
    // Which of two counts, others might read in another way.
    let malformed = "the URL's signature is malformed";
    let parts: Vec<&str> = signature.split('.').collect();
    let (id, expires, address, mac) = match *parts {
        [id, expires, mac] if signatures.next().is_none() => (id, expires, None, mac),
        [id, expires, BOUND, mac] if signatures.next().is_none() => (id, expires, Some(client), mac),
        _ => return Err(malformed),
    };
    let mac = data_encoding::HEXLOWER.decode(mac.as_bytes()).map_err(|_| malformed)?;
    let until = expires.parse::<i64>().map_err(|_| malformed)?;
    let key = keys.iter().find(|key| key.id == id).ok_or("the URL is signed by a key that is not in use")?;
    // In constant time.
    let is_right = keyed(key, expires, address, path).verify_slice(&mac).is_ok();
    match (is_right, now_seconds < until) {
        (true, true) => Ok(()),
        (true, false) => Err("the URL's signature has expired"),
        (false, _) if address.is_some() => Err("the URL's signature is for another path, time or address"),
        (false, _) => Err("the URL's signature is for another path or time"),
    }
}

/// A path and query without its signature, as the key has it.
pub(crate) fn unsigned(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?').filter(|(_, query)| query.contains(PARAMETER)) else {
        return Cow::Borrowed(target);
    };
    let parts: Vec<&str> = query.split('&').filter(|part| !part.starts_with(PARAMETER)).collect();
    if parts.is_empty() { Cow::Borrowed(path) } else { Cow::Owned(format!("{path}?{}", parts.join("&"))) }
}

fn keyed(key: &SigningKey, expires: &str, address: Option<IpAddr>, path: &str) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "keys of any length are keys (RFC 2104 §3)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key.file.as_bytes()).expect("HMAC takes keys of any length");
    let address = address.map_or_else(String::new, |address| address.to_canonical().to_string());
    mac.update(format!("{}\n{expires}\n{address}\n{path}", key.id).as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use config::Secret;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn key(id: &str, text: &str) -> SigningKey {
        SigningKey { id: id.to_owned(), file: Secret::new(text) }
    }

    #[test]
    fn what_is_signed_is_the_path_the_time_and_the_address() {
        let keys = [key("new", "0123456789abcdef"), key("old", "fedcba9876543210")];
        for key in &keys {
            for (target, address) in [("/film/1.mp4", None), ("/film/1.mp4?q=hd", Some(CLIENT))] {
                let signed = sign(target, key, 1_000, address);
                assert_eq!(verify(&signed, &keys, CLIENT, 999), Ok(()), "{signed}");
                assert_eq!(unsigned(&signed), target);
                let again = sign(&signed, key, 1_000, address);
                assert_eq!(again, signed, "signed again it is signed once");
            }
        }
        let signed = sign("/film/1.mp4?q=hd", &keys[0], 1_000, None);
        let bound = sign("/film/1.mp4", &keys[0], 1_000, Some(CLIENT));
        let other: IpAddr = [192, 0, 2, 2].into();
        let of = |target: &str| target.to_owned();
        for (target, client, now, why) in [
            (of("/film/1.mp4"), CLIENT, 0, "is not signed"),
            (signed.clone(), CLIENT, 1_000, "has expired"),
            (signed.replace("1.mp4", "2.mp4"), CLIENT, 0, "is for another path or time"),
            (signed.replace(".1000.", ".9000."), CLIENT, 0, "is for another path or time"),
            (signed.replace("=new.", "=old."), CLIENT, 0, "is for another path or time"),
            (signed.replace("=new.", "=newer."), CLIENT, 0, "a key that is not in use"),
            (bound.clone(), other, 0, "path, time or address"),
            (bound.replace(".ip.", "."), CLIENT, 0, "is for another path or time"),
            (format!("{signed}&{}", signed.split('&').nth(1).unwrap()), CLIENT, 0, "malformed"),
            (of("/film/1.mp4?signature=new.1000.zz"), CLIENT, 0, "malformed"),
            (of("/film/1.mp4?signature="), CLIENT, 0, "malformed"),
        ] {
            let told = verify(&target, &keys, client, now).unwrap_err();
            assert!(told.contains(why), "{target}: {told}");
        }
    }

    /// As `printf 'a\n1000\n\n/x' | openssl dgst -sha256 -hmac 0123456789abcdef` prints it.
    #[test]
    fn other_programs_sign_the_same() {
        let signed = sign("/x", &key("a", "0123456789abcdef"), 1_000, None);
        assert_eq!(signed, "/x?signature=a.1000.c05bd5ce7feb0fdaa8c5495b4eb9dd3d12c12a90f3c831a297f486a15d09c276");
    }
}
