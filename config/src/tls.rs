//! `tls` of a site: its certificate, and what clients without TLS are told.

use std::time::Duration;

use schemars::JsonSchema;

use crate::limits;
use crate::problem::Problem;
use crate::secret::{SecretFile, secret_file};
use crate::shape;
use crate::table::{Table, Value};

/// A certificate from files, and what clients without TLS are told.
#[derive(Clone, Debug, JsonSchema)]
pub struct Tls {
    /// PEM chain, the site's certificate first; a file under `secrets/`. A reload takes it, also when
    /// the file is replaced.
    pub cert: SecretFile,
    /// The certificate's private key in PEM; a file under `secrets/`, mode 0600. A reload takes it, also
    /// when the file is replaced.
    pub key: SecretFile,
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

/// Reads `tls`.
pub(crate) fn read(mut table: Table<'_>) -> Option<Tls> {
    let cert = table.required("cert", secret_file);
    let key = table.required("key", secret_file);
    let redirect = table.or("redirect", false, Value::boolean);
    let hsts = table.optional("hsts", |v| v.table(read_hsts));
    table.finish();
    Some(Tls { cert: cert?, key: key?, redirect, hsts })
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
