//! `[origin]`: where a site's content comes from.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;

use crate::host::DomainName;
use crate::limits;
use crate::problem::Problem;
use crate::rule::added_to_requests;
use crate::secret::Secret;
use crate::shape;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// Where the content comes from.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Origin {
    /// `http://` or `https://` servers without a path. The first takes all fetches, each other those that the ones
    /// before it fail at; `weights` shares them instead. The certificate of an `https://` one is always verified. A
    /// reload takes them.
    #[schemars(transform = shape::some(None))]
    pub servers: Vec<OriginServer>,
    /// `[3, 1, 0]`, one for each server: how fetches are shared. One of 0 takes those that all others fail at. Default:
    /// none. A reload takes them.
    #[schemars(transform = shape::integers(&limits::ORIGIN_WEIGHT))]
    pub weights: Vec<u16>,
    /// The Host and TLS name sent. Default: the client's Host. A reload takes it.
    pub host: Option<DomainName>,
    /// Whether a server may be or resolve to an address that is not public. Default: `false`, so that
    /// a name that suddenly points inside cannot open the operator's network. A reload takes it.
    pub allow_private: bool,
    /// Whether servers are spoken to by HTTP/2, many fetches on one connection: over TLS where the server takes it, in the
    /// clear without asking, as servers of gRPC expect it. Default: `false`: by HTTP/1.1, where a lost packet holds up one
    /// fetch alone. A reload takes it.
    pub http2: bool,
    /// Fetches at once from each server, of one edge: what is more waits for up to five seconds, and is a 503 then. Too few
    /// make clients wait where the server would not. Default: none but the edge's own, 1,024 for each site on each core. A
    /// reload takes it.
    #[schemars(with = "Option<u32>", transform = shape::integer_or_none(&limits::ORIGIN_MAX_FETCHES))]
    pub max_fetches: Option<u32>,
    /// From a server's name to a connection on which a request can be sent, TLS included. Default: `5s`. A reload takes
    /// it.
    #[schemars(with = "String", transform = shape::duration(&limits::ORIGIN_CONNECT))]
    pub connect_timeout: Duration,
    /// From the end of a request, its body included, to the first byte of the answer. Default: `30s`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::ORIGIN_FIRST_BYTE))]
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body, to or from the origin. Default: `30s`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::ORIGIN_BETWEEN_BYTES))]
    pub between_bytes_timeout: Duration,
    /// A whole fetch, tries at several servers and the last byte of the body included, also while clients are slow to take
    /// what has come. Default: none, so that what is long is only slow. A reload takes it.
    #[schemars(with = "Option<String>", transform = shape::duration_or_none(&limits::ORIGIN_TOTAL))]
    pub total_timeout: Option<Duration>,
    /// The file under `secrets/` with the authorities, in PEM, that sign the certificates of `https://` servers: these and
    /// no others are trusted. Default: the public ones. A reload takes it.
    #[schemars(with = "Option<String>", transform = shape::text("file name", shape::SECRET_FILE))]
    pub ca: Option<Secret>,
    /// The certificate that edges show to `https://` servers, in `[origin.client]`. Default: none.
    pub client: Option<ClientCertificate>,
    /// `{ Authorization = "origin.auth" }`: fields that edges add to each request, with files under `secrets/` whose text is
    /// the value. A client's field of the same name goes no further. Default: none. A reload takes it.
    #[schemars(with = "std::collections::BTreeMap<String, String>", transform = shape::secret_fields)]
    pub secret_headers: Vec<(HeaderName, Secret)>,
    /// The key by which each request is signed, as S3 and what speaks like it want it, in `[origin.aws]`. A client's
    /// `Authorization` and `x-amz-` fields go no further. Default: none.
    pub aws: Option<Aws>,
    /// Whether servers are asked how they are, in `[origin.probe]`. Default: not at all: a server that fails fetches is
    /// left alone for a while all the same.
    pub probe: Option<OriginProbe>,
    /// Connections that each core of each edge has ready to each server, besides those in use, for ten minutes after a
    /// fetch: what is not stored is then fetched without a handshake. Too many cost servers idle connections, that many times
    /// cores and edges. Default: 0, so that a connection is kept only after it was used. A reload takes it.
    #[schemars(transform = shape::integer(&limits::ORIGIN_WARM))]
    pub warm: u8,
}

/// One origin server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String", transform = shape::text("URL", r"^[Hh][Tt][Tt][Pp][Ss]?://[^/@?#\s]+/?$"))]
pub struct OriginServer {
    /// Clear or TLS.
    pub scheme: Scheme,
    /// Name or address, in brackets if IPv6.
    pub host: String,
    /// Port; the scheme's own where none is written.
    pub port: u16,
}

impl OriginServer {
    /// Reads a URL that has nothing but scheme, host and port.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |help: &str| Wrong::new(format!("`{text}` is not an origin server")).help(help.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| wrong("write a URL such as \"https://origin.shop.example\""))?;
        let (scheme, default) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            _ => return Err(wrong("begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("name a host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("leave out the user and password; credentials belong under secrets/"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("leave out the path; clients' paths are sent as they are"));
        }
        Ok(Self { scheme, host: authority.host().to_ascii_lowercase(), port: authority.port_u16().unwrap_or(default) })
    }
}

/// How an origin server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Clear HTTP.
    Http,
    /// HTTP over TLS, the certificate always verified.
    Https,
}

/// A certificate that edges show to origin servers.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct ClientCertificate {
    /// PEM chain, the client's certificate first; a file under `secrets/`. A reload takes it.
    #[schemars(with = "String", transform = shape::text("file name", shape::SECRET_FILE))]
    pub cert: Secret,
    /// Its private key in PEM; a file under `secrets/`, mode 0600. A reload takes it.
    #[schemars(with = "String", transform = shape::text("file name", shape::SECRET_FILE))]
    pub key: Secret,
}

/// A key by which edges sign requests (AWS Signature Version 4): for `s3` and stores that speak like it. What reads is
/// signed (GET and HEAD), and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Aws {
    /// Where the store is, as in `eu-central-1`; what a store elsewhere calls it, such as `auto`. A reload takes it.
    #[schemars(transform = shape::text("name", AWS_WORD))]
    pub region: String,
    /// What is asked. Default: `s3`. A reload takes it.
    #[schemars(transform = shape::text("name", AWS_WORD))]
    pub service: String,
    /// The key's id, which is no secret. A reload takes it.
    #[schemars(transform = shape::text("name", AWS_WORD))]
    pub key_id: String,
    /// The file under `secrets/` with the key itself. A reload takes it.
    #[schemars(
        with = "std::collections::BTreeMap<String, String>",
        transform = shape::secret_file_table
    )]
    pub secret: Secret,
}

/// What a signature can name: no space, and nothing that divides what it names.
const AWS_WORD: &str = r"^[!-+\-.0-~]+$";

/// How edges ask each server how it is: a GET, whose answer must have a status from 200 to 399. A server that is down takes
/// no fetches unless no other takes them.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct OriginProbe {
    /// Path and query to ask for. A reload takes it.
    #[schemars(transform = shape::text("path", "^/[!-~]*$"))]
    pub path: String,
    /// How often each edge asks. Default: `5s`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::ORIGIN_PROBE_INTERVAL))]
    pub interval: Duration,
    /// How long an answer may take, the connection included. Default: `2s`. A reload takes it.
    #[schemars(with = "String", transform = shape::duration(&limits::ORIGIN_PROBE_TIMEOUT))]
    pub timeout: Duration,
    /// Failures in a row that take a server out. Default: 2. A reload takes it.
    #[schemars(transform = shape::integer(&limits::HEALTH_FALL))]
    pub fall: u8,
    /// Successes in a row that bring it back. Default: 2. A reload takes it.
    #[schemars(transform = shape::integer(&limits::ORIGIN_PROBE_RISE))]
    pub rise: u8,
}

type ReadSecret<'s> = &'s dyn Fn(Value<'_>) -> Option<Secret>;

/// Reads `[origin]`.
pub(crate) fn read(mut table: Table<'_>, secret: ReadSecret<'_>) -> Option<Origin> {
    let servers = table.required("servers", |v| v.list(|v| v.parse(OriginServer::parse)));
    if servers.as_ref().is_some_and(Vec::is_empty) && table.is_empty("servers") {
        let problem = Problem::fault(table.place_of("servers"), "an origin needs at least one server");
        table.context().add(problem.help("as in servers = [\"https://origin.shop.example\"]"));
    }
    let weights = table.list("weights", |v| v.integer(&limits::ORIGIN_WEIGHT));
    check_weights(&table, &weights);
    let host = table.optional("host", |v| v.parse(DomainName::parse));
    let allow_private = table.or("allow_private", false, Value::boolean);
    let http2 = table.or("http2", false, Value::boolean);
    let max_fetches = table.optional("max_fetches", |v| v.integer(&limits::ORIGIN_MAX_FETCHES));
    let mut time = |key, bounds: &limits::Bounds<Duration>| table.or(key, bounds.default, |v| v.duration(bounds));
    let connect_timeout = time("connect_timeout", &limits::ORIGIN_CONNECT);
    let first_byte_timeout = time("first_byte_timeout", &limits::ORIGIN_FIRST_BYTE);
    let between_bytes_timeout = time("between_bytes_timeout", &limits::ORIGIN_BETWEEN_BYTES);
    let total_timeout = table.optional("total_timeout", |v| v.duration(&limits::ORIGIN_TOTAL));
    let ca = table.optional("ca", secret);
    let client = table.optional("client", |v| v.table(|table| read_client(table, secret)));
    let secret_headers = table.optional("secret_headers", |v| secret_headers(v, secret)).unwrap_or_default();
    let aws = table.optional("aws", |v| v.table(|table| read_aws(table, secret)));
    if aws.is_some() && secret_headers.iter().any(|(name, _)| *name == http::header::AUTHORIZATION) {
        let message = "`Authorization` is what `aws` signs by, and cannot be a secret field, too";
        table.context().add(Problem::fault(table.place_of("secret_headers"), message).help("leave one of the two out"));
    }
    let probe = table.optional("probe", |v| v.table(read_probe));
    let warm = table.or("warm", limits::ORIGIN_WARM.default, |v| v.integer(&limits::ORIGIN_WARM));
    if warm > 0 && http2 {
        let problem =
            Problem::fault(table.place_of("warm"), "`warm` is for connections of HTTP/1.1, and `http2` is on");
        table.context().add(problem.help("leave it out: a connection of HTTP/2 is kept as long as the server lets it"));
    }
    for key in ["ca", "client"] {
        let is_clear = servers
            .as_ref()
            .is_some_and(|servers| !servers.is_empty() && servers.iter().all(|server| server.scheme == Scheme::Http));
        if table.has(key) && is_clear {
            let problem = Problem::fault(table.place_of(key), format!("`{key}` is for servers over TLS, and none is"));
            table.context().add(problem.help("write the servers with https://, or leave it out"));
        }
    }
    table.finish();
    Some(Origin {
        servers: servers?,
        weights,
        host,
        allow_private,
        http2,
        max_fetches,
        connect_timeout,
        first_byte_timeout,
        between_bytes_timeout,
        total_timeout,
        ca,
        client,
        secret_headers,
        aws,
        probe,
        warm,
    })
}

fn check_weights(table: &Table<'_>, weights: &[u16]) {
    let (servers, written) = (table.items("servers"), table.items("weights"));
    // One that cannot be read is told already.
    let is_all_zero = weights.len() == written && weights.iter().all(|weight| *weight == 0);
    let (message, help) = match written {
        _ if written == 0 || servers == 0 => return,
        _ if written != servers => {
            let message = format!("`weights` has {written}, `servers` {servers}");
            (message, "write one weight for each server, in their order")
        }
        _ if is_all_zero => {
            ("no server has a weight".to_owned(), "give one that is to take fetches 1, or leave `weights` out")
        }
        _ => return,
    };
    table.context().add(Problem::fault(table.place_of("weights"), message).help(help));
}

fn read_client(mut table: Table<'_>, secret: ReadSecret<'_>) -> Option<ClientCertificate> {
    let cert = table.required("cert", secret);
    let key = table.required("key", secret);
    table.finish();
    Some(ClientCertificate { cert: cert?, key: key? })
}

fn secret_headers(value: Value<'_>, secret: ReadSecret<'_>) -> Option<Vec<(HeaderName, Secret)>> {
    let mut known = Vec::new();
    value.entries(|name, value| {
        let name = added_to_requests(name).map_or_else(|wrong| value.wrong(wrong), Some)?;
        let (context, place) = (value.context(), value.place());
        if known.contains(&name) {
            context.add(Problem::fault(place, format!("`{name}` is there twice")).help("names of fields know no case"));
            return None;
        }
        known.push(name.clone());
        let text = secret(value)?;
        if HeaderValue::from_bytes(text.as_bytes()).is_err() {
            let problem = Problem::fault(place, format!("the file's text cannot be the value of `{name}`"));
            context.add(problem.help("one line of visible characters and spaces"));
            return None;
        }
        Some((name, text))
    })
}

fn read_aws(mut table: Table<'_>, secret: ReadSecret<'_>) -> Option<Aws> {
    let region = table.required("region", |v| v.parse(aws_word));
    let service = table.or("service", "s3".to_owned(), |v| v.parse(aws_word));
    let key_id = table.required("key_id", |v| v.parse(aws_word));
    let secret = table.required("secret", |v| v.secret_file(secret));
    table.finish();
    Some(Aws { region: region?, service, key_id: key_id?, secret: secret? })
}

fn aws_word(text: &str) -> Result<String, Wrong> {
    let is_right = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'/'));
    let wrong = || {
        Wrong::new(format!("`{text}` is not a name in a signature"))
            .help("no space, comma or slash, as in \"eu-central-1\"")
    };
    is_right.then(|| text.to_owned()).ok_or_else(wrong)
}

fn read_probe(mut table: Table<'_>) -> Option<OriginProbe> {
    let path = table.required("path", |v| v.parse(path));
    let interval =
        table.or("interval", limits::ORIGIN_PROBE_INTERVAL.default, |v| v.duration(&limits::ORIGIN_PROBE_INTERVAL));
    let timeout =
        table.or("timeout", limits::ORIGIN_PROBE_TIMEOUT.default, |v| v.duration(&limits::ORIGIN_PROBE_TIMEOUT));
    let fall = table.or("fall", limits::HEALTH_FALL.default, |v| v.integer(&limits::HEALTH_FALL));
    let rise = table.or("rise", limits::ORIGIN_PROBE_RISE.default, |v| v.integer(&limits::ORIGIN_PROBE_RISE));
    table.finish();
    Some(OriginProbe { path: path?, interval, timeout, fall, rise })
}

fn path(text: &str) -> Result<String, Wrong> {
    let is_right = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong = || Wrong::new(format!("`{text}` is not a path")).help("begin with `/`, as in \"/health\"");
    is_right.then(|| text.to_owned()).ok_or_else(wrong)
}
