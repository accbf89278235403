//! `[[transfer]]`: who may take plain zones, and who is told of changes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE64;
use schemars::JsonSchema;

use crate::host::DomainName;
use crate::limits;
use crate::prefix::Prefix;
use crate::register::Kind;
use crate::secret::Secret;
use crate::shape;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// Secondaries that may take plain zones (AXFR and IXFR), each a `[[transfer]]`. Routed names are answered for each client and
/// cannot be transferred: a secondary has only what the zone's file says. Signed zones cannot be either, since they are signed
/// as answers are asked for.
#[derive(Clone, Debug, JsonSchema)]
pub struct Transfer {
    /// The zones, by the names of their files under `zones/`. Default: all of them. A reload takes it.
    pub zones: Option<Vec<DomainName>>,
    /// Addresses and prefixes that may ask; with a `key` both are needed. Default: every address with a `key`, else those of
    /// `notify`. A reload takes it.
    pub to: Vec<Prefix>,
    /// The file under `secrets/` with the key that requests must be signed with (TSIG, RFC 8945): one line, as `dig -y` takes
    /// it, `hmac-sha256:NAME:BASE64`. Default: none, addresses alone. A reload takes it.
    #[schemars(
        with = "Option<std::collections::BTreeMap<String, String>>",
        transform = shape::secret_file_table
    )]
    pub key: Option<TransferKey>,
    /// Who is told at once that a zone has changed (NOTIFY, RFC 1996), from the first address in `listen`: addresses, at port
    /// 53, or `ip:port`. Default: nobody, so that secondaries see it at the SOA's refresh. A reload takes it.
    #[schemars(with = "Vec<String>", transform = shape::sockets)]
    pub notify: Vec<SocketAddr>,
}

/// A TSIG key.
#[derive(Clone, PartialEq, Eq)]
pub struct TransferKey {
    /// Its name, which both sides know it by.
    pub name: DomainName,
    /// How it signs.
    pub algorithm: TransferAlgorithm,
    /// The secret, decoded.
    pub secret: Vec<u8>,
}

impl fmt::Debug for TransferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransferKey({})", self.name)
    }
}

/// How a TSIG key signs (RFC 8945 §6); what is weaker is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferAlgorithm {
    /// HMAC with SHA-256, which every server has.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

const FORM: &str =
    "one line such as `hmac-sha256:secondary.shop.example:BASE64`; `openssl rand -base64 32` makes a secret";
/// Shorter secrets can be guessed (RFC 8945 §8: at least as long as the digest is best).
const LEAST_SECRET: usize = 16;

pub(crate) fn read(mut table: Table<'_>, secret: &dyn Fn(Value<'_>) -> Option<Secret>) -> Option<Transfer> {
    let zones = table.optional("zones", |v| v.list(zone));
    let to = table.list("to", |v| v.parse(Prefix::parse));
    let key = table.optional("key", |v| v.secret_file(|v| read_key(v, secret)));
    let notify = table.list("notify", |v| v.parse(target));
    if zones.as_ref().is_some_and(Vec::is_empty) {
        let problem = table.fault("this transfer is of no zone");
        table.context().add(problem.help("name zones, or leave `zones` out for all of them"));
    }
    if to.is_empty() && notify.is_empty() && key.is_none() {
        let problem = table.fault("this transfer names nobody");
        table.context().add(problem.help("write `to = [\"192.0.2.7\"]`, a `key`, or both"));
    }
    table.finish();
    let of_notified = || notify.iter().map(|socket| Prefix::around(socket.ip(), 128)).collect();
    let to = if to.is_empty() && key.is_none() { of_notified() } else { to };
    Some(Transfer { zones, to, key, notify })
}

fn zone(value: Value<'_>) -> Option<DomainName> {
    let (context, place) = (value.context(), value.place());
    let zone = value.parse(DomainName::parse)?;
    context.register(|register| {
        register.refer(Kind::ZoneFile, zone.as_str(), place);
        None
    });
    Some(zone)
}

fn read_key(value: Value<'_>, secret: &dyn Fn(Value<'_>) -> Option<Secret>) -> Option<TransferKey> {
    let (context, place) = (value.context(), value.place());
    let secret = secret(value)?;
    let key = parse_key(&secret);
    let problem = |wrong: Wrong| crate::problem::Problem::fault(place, wrong.message).help(FORM);
    key.map_err(|wrong| context.add(problem(wrong))).ok()
}

fn parse_key(secret: &Secret) -> Result<TransferKey, Wrong> {
    let wrong = |what: &str| Wrong::new(format!("the file holds no TSIG key: {what}"));
    let text = std::str::from_utf8(secret.as_bytes()).map_err(|_| wrong("it is not text"))?;
    let [algorithm, name, digits] = text.splitn(3, ':').collect::<Vec<_>>()[..] else {
        return Err(wrong("there are not three parts with `:` between them"));
    };
    let algorithm = match algorithm.trim().to_ascii_lowercase().as_str() {
        "hmac-sha256" => TransferAlgorithm::HmacSha256,
        "hmac-sha384" => TransferAlgorithm::HmacSha384,
        "hmac-sha512" => TransferAlgorithm::HmacSha512,
        _ => return Err(wrong("its algorithm is none of hmac-sha256, hmac-sha384 and hmac-sha512")),
    };
    let name = DomainName::parse(name.trim_end_matches('.')).map_err(|_| wrong("its name is no domain name"))?;
    let secret = BASE64.decode(digits.trim().as_bytes()).map_err(|_| wrong("its secret is not base64"))?;
    if secret.len() < LEAST_SECRET {
        return Err(wrong(&format!("its secret has {} bytes and needs at least {LEAST_SECRET}", secret.len())));
    }
    Ok(TransferKey { name, algorithm, secret })
}

fn target(text: &str) -> Result<SocketAddr, Wrong> {
    let at_port = |address: IpAddr| SocketAddr::new(address, limits::DNS_PORT);
    let target = text.parse().or_else(|_| text.parse().map(at_port));
    target.map_err(|_| {
        Wrong::new(format!("`{text}` is not an address")).help("as in \"192.0.2.7\" or \"192.0.2.7:5353\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_dig_takes_it() {
        let key = |text: &str| parse_key(&Secret::new(text));
        let good = "QUFBQUFBQUFBQUFBQUFBQQ==";
        for text in [format!("hmac-sha256:a.example:{good}\n"), format!("HMAC-SHA512:a.example.:{good}")] {
            let key = key(&text).unwrap();
            assert_eq!((key.name.to_string().as_str(), key.secret.len()), ("a.example", 16), "{text}");
        }
        for (text, what) in [
            (format!("hmac-md5:a.example:{good}"), "algorithm is none of"),
            (format!("a.example:{good}"), "three parts"),
            (format!("hmac-sha256:a..example:{good}"), "name is no domain name"),
            ("hmac-sha256:a.example:???".to_owned(), "not base64"),
            ("hmac-sha256:a.example:QUFB".to_owned(), "has 3 bytes and needs at least 16"),
        ] {
            let message = key(&text).unwrap_err().message;
            assert!(message.contains(what) && !message.contains("QUF"), "{message}");
        }
    }

    #[test]
    fn a_target_is_an_address() {
        assert_eq!(target("192.0.2.7").unwrap(), "192.0.2.7:53".parse().unwrap());
        assert_eq!(target("[2001:db8::1]:5353").unwrap().port(), 5_353);
        assert!(target("ns.example").is_err());
    }
}
