//! `[acme]`: the authority that certificates are got from by themselves.

use schemars::JsonSchema;

use crate::limits;
use crate::secret::Secret;
use crate::shape;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// The authority that certificates of sites with `tls = "auto"` are got from (ACME, RFC 8555). To use one is to agree to its
/// terms.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Acme {
    /// Its directory, an `https://` URL. Default: that of Let's Encrypt. A reload takes it; an account is made at each
    /// authority that is used for the first time.
    #[schemars(transform = shape::text("URL", URL))]
    pub directory: String,
    /// The file under `secrets/` with the authorities, in PEM, that sign the directory's own certificate: for a private one.
    /// Default: the public ones. A reload takes it.
    #[schemars(with = "Option<String>", transform = shape::text("file name", shape::SECRET_FILE))]
    pub ca: Option<Secret>,
    /// How a name in no zone served here is shown to be ours, where its owner has made no alias. Default: `auto`. A reload
    /// takes it.
    pub challenge: AcmeChallenge,
    /// The account elsewhere that the authority wants to know of, in `[acme.account]`. Default: none.
    pub account: Option<ExternalAccount>,
}

/// How a name is shown to be ours at the name itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum AcmeChallenge {
    /// By `http-01`; by `tls-alpn-01` where edges have port 443 and none has port 80.
    #[schemars(rename = "auto")]
    Auto,
    /// By a file (RFC 8555 §8.3): authorities ask at port 80, in the clear.
    #[schemars(rename = "http-01")]
    Http,
    /// In a handshake (RFC 8737): authorities ask at port 443.
    #[schemars(rename = "tls-alpn-01")]
    TlsAlpn,
}

/// An account elsewhere to which that at the authority is bound (RFC 8555 §7.3.4), as commercial authorities want.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct ExternalAccount {
    /// Its key's id, as the authority tells it. A reload takes it, for an account that is not made yet.
    pub id: String,
    /// The file under `secrets/` with its key, base64url, as the authority tells it. A reload takes it, for an account that
    /// is not made yet.
    #[schemars(with = "String", transform = shape::text("file name", shape::SECRET_FILE))]
    pub key: Secret,
}

const URL: &str = r"^https://[^/@?#\s]+/[!-~]*$";

impl Default for Acme {
    fn default() -> Self {
        Self { directory: limits::ACME_DIRECTORY.to_owned(), ca: None, challenge: AcmeChallenge::Auto, account: None }
    }
}

type ReadSecret<'s> = &'s dyn Fn(Value<'_>) -> Option<Secret>;

/// Reads `[acme]`.
pub(crate) fn read(mut table: Table<'_>, secret: ReadSecret<'_>) -> Option<Acme> {
    let directory = table.or("directory", Acme::default().directory, |v| v.parse(directory));
    let ca = table.optional("ca", secret);
    let challenge = table.or("challenge", AcmeChallenge::Auto, |v| v.parse(challenge));
    let account = table.optional("account", |v| v.table(|table| read_account(table, secret)));
    table.finish();
    Some(Acme { directory, ca, challenge, account })
}

fn challenge(text: &str) -> Result<AcmeChallenge, Wrong> {
    match text {
        "auto" => Ok(AcmeChallenge::Auto),
        "http-01" => Ok(AcmeChallenge::Http),
        "tls-alpn-01" => Ok(AcmeChallenge::TlsAlpn),
        _ => {
            let wrong = Wrong::new(format!("`{text}` is not known here"));
            Err(wrong
                .help("one of \"auto\", \"http-01\", \"tls-alpn-01\"; names in zones served here are shown by DNS"))
        }
    }
}

fn directory(text: &str) -> Result<String, Wrong> {
    let rest = text.strip_prefix("https://").and_then(|rest| rest.split_once('/'));
    let is_host = |host: &str| !host.is_empty() && !host.contains(['@', '?', '#']);
    let is_url = rest.is_some_and(|(host, path)| is_host(host) && path.bytes().all(|byte| byte.is_ascii_graphic()));
    if is_url && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new(format!("`{text}` is not the URL of a directory"));
    Err(wrong.help("as in \"https://acme-v02.api.letsencrypt.org/directory\""))
}

fn read_account(mut table: Table<'_>, secret: ReadSecret<'_>) -> Option<ExternalAccount> {
    let id = table.required("id", |v| v.parse(|text| Ok(text.to_owned())));
    let key = table.required("key", secret);
    table.finish();
    Some(ExternalAccount { id: id?, key: key? })
}
