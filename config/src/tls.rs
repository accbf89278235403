//! `tls` of a site: its certificate, and what clients without TLS are told.

use std::time::Duration;

use schemars::JsonSchema;

use crate::limits;
use crate::problem::Problem;
use crate::secret::{SecretFile, secret_file};
use crate::shape;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// Certificates, from files or got by themselves, and what clients without TLS are told.
#[derive(Clone, Debug, Default, JsonSchema)]
pub struct Tls {
    /// PEM chain, the site's certificate first; a file under `secrets/`. Default: none, with `auto` alone. A reload takes it,
    /// also when the file is replaced.
    pub cert: Option<SecretFile>,
    /// The certificate's private key in PEM; a file under `secrets/`, mode 0600. Default: none, with `auto` alone. A reload
    /// takes it, also when the file is replaced.
    pub key: Option<SecretFile>,
    /// Whether each host's certificate is got, and renewed, from the authority of `[acme]`; `tls = "auto"` is short for
    /// `{ auto = true }`. Default: `false`. A reload takes it.
    pub auto: bool,
    /// Whether requests in the clear are sent to the same URL over TLS: with 301, or 308 where the method is neither GET nor
    /// HEAD. Not those below `/.well-known/acme-challenge/`. Default: `false`. A reload takes it.
    pub redirect: bool,
    /// What browsers are told of TLS (Strict-Transport-Security, RFC 6797), in answers over TLS, as in `[tls.hsts]`. Default:
    /// nothing.
    pub hsts: Option<Hsts>,
}

/// What browsers are told of TLS: to use nothing else for a while. Who was told keeps to it until that is over, or
/// `max_age = "0s"` is told.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Hsts {
    /// For how long; `0s` ends it. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::HSTS_AGE))]
    pub max_age: Duration,
    /// Whether for every name below the host too. Default: `false`. A reload takes it.
    pub subdomains: bool,
    /// Whether browsers may have it built in: their list wants a year and subdomains. Default: `false`. A reload takes it.
    pub preload: bool,
}

/// Encrypted DNS on every name server: over TLS (RFC 7858) and QUIC (RFC 9250), and over HTTPS (RFC 8484) where that has a
/// port.
#[derive(Clone, Debug, JsonSchema)]
pub struct DnsTls {
    /// PEM chain, the name servers' certificate first; a file under `secrets/`. Default: none, with `auto` alone. A reload
    /// takes it, also when the file is replaced.
    pub cert: Option<SecretFile>,
    /// Its private key in PEM; a file under `secrets/`, mode 0600. Default: none, with `auto` alone. A reload takes it, also
    /// when the file is replaced.
    pub key: Option<SecretFile>,
    /// Whether the certificate is the one for `*.ZONE` that gets itself, from the authority of `[acme]`: name servers are
    /// known as `<id>.ZONE`. Default: `false`. A reload takes it.
    pub auto: bool,
    /// The port of both, on the addresses of `listen`: TLS by TCP, QUIC by UDP. Default: 853. A reload opens the new and closes
    /// the old.
    #[schemars(transform = shape::integer(&limits::DNS_TLS_PORT))]
    pub port: u16,
    /// The port of DNS over HTTPS, on the addresses of `listen`, at the path `/dns-query`. On a node that is an edge, too, it
    /// may be the port of `[edge] https`: then one listener is for both, and name servers are told from sites by the name
    /// that is asked for. Default: none. A reload opens the new and closes the old.
    #[schemars(transform = shape::integer_or_none(&limits::DNS_HTTPS_PORT))]
    pub https: Option<u16>,
}

impl DnsTls {
    /// Certificate and key, where they are files.
    #[must_use]
    pub fn files(&self) -> Option<(&SecretFile, &SecretFile)> {
        self.cert.as_ref().zip(self.key.as_ref())
    }
}

impl Tls {
    /// Certificate and key, where they are files.
    #[must_use]
    pub fn files(&self) -> Option<(&SecretFile, &SecretFile)> {
        self.cert.as_ref().zip(self.key.as_ref())
    }
}

/// Reads `tls`: a table, or the short word for one.
pub(crate) fn read(value: Value<'_>) -> Option<Tls> {
    if value.is_text() {
        return value.parse(|text| match text {
            "auto" => Ok(Tls { auto: true, ..Tls::default() }),
            _ => Err(Wrong::new(format!("`{text}` is not known here")).help(FORMS)),
        });
    }
    value.table(read_table)
}

const FORMS: &str =
    "write { cert = \"shop.pem\", key = \"shop.key\" }, or \"auto\" for certificates that get themselves";

fn read_table(mut table: Table<'_>) -> Option<Tls> {
    let Pair { auto, cert, key } = read_pair(&mut table);
    let redirect = table.or("redirect", false, Value::boolean);
    let hsts = table.optional("hsts", |v| v.table(read_hsts));
    table.finish();
    Some(Tls { cert, key, auto, redirect, hsts })
}

/// Where a certificate comes from.
struct Pair {
    auto: bool,
    cert: Option<SecretFile>,
    key: Option<SecretFile>,
}

fn read_pair(table: &mut Table<'_>) -> Pair {
    let auto = table.or("auto", false, Value::boolean);
    let is_named = table.has("cert") || table.has("key");
    if auto == is_named {
        let told = if auto { "a certificate is a file or gets itself, not both" } else { "there is no certificate" };
        table.context().add(table.fault(told).help(FORMS));
    }
    let mut file = |key| if is_named { table.required(key, secret_file) } else { table.optional(key, secret_file) };
    let (cert, key) = (file("cert"), file("key"));
    Pair { auto, cert, key }
}

/// Reads `[dns.tls]`.
pub(crate) fn read_of_dns(mut table: Table<'_>) -> Option<DnsTls> {
    let Pair { auto, cert, key } = read_pair(&mut table);
    let port = table.or("port", limits::DNS_TLS_PORT.default, |v| v.integer(&limits::DNS_TLS_PORT));
    let https = table.optional("https", |v| v.integer(&limits::DNS_HTTPS_PORT));
    table.finish();
    Some(DnsTls { cert, key, auto, port, https })
}

fn read_hsts(mut table: Table<'_>) -> Option<Hsts> {
    let max_age = table.required("max_age", |v| v.duration(&limits::HSTS_AGE));
    let subdomains = table.optional("subdomains", Value::boolean);
    // One that cannot be read is told already.
    let is_told = table.has("subdomains") && subdomains.is_none();
    let subdomains = subdomains.unwrap_or(false);
    let preload = table.or("preload", false, Value::boolean);
    let is_enough = subdomains && max_age.is_none_or(|age| age >= limits::HSTS_PRELOAD);
    if preload && !is_enough && !is_told {
        let problem = Problem::fault(
            table.place_of("preload"),
            "browsers build in only what holds for a year and for subdomains",
        );
        table.context().add(problem.help("set max_age = \"365d\" and subdomains = true, or leave `preload` out"));
    }
    table.finish();
    Some(Hsts { max_age: max_age?, subdomains, preload })
}
