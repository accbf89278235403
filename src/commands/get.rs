//! `hither get`: resolve through our DNS as a client, fetch from the chosen edge, show each step.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use config::Network;
use hickory_server::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_server::proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_server::proto::rr::{Name, RData, RecordType};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::cli::Get;
use crate::directory;
use crate::exit::{Done, Exit, Failure, plain};
use crate::say::say;
use crate::waiting::wait_for;

/// What a URL looks like.
const EXAMPLE: &str = "write one such as http://www.shop.example/";

/// How long each step may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Headers worth showing, in this order.
const SHOWN: [&str; 9] = [
    "location",
    "content-type",
    "content-length",
    "cache-control",
    "etag",
    "age",
    "via",
    "cache-status",
    "proxy-status",
];

pub(crate) fn run(args: Get, dir: Option<PathBuf>) -> Done {
    let network = directory::known(&directory::find(dir))?.network;
    let url: Uri = args
        .url
        .parse()
        .map_err(|error| Failure::operator(format!("`{}` is not a URL: {error}; {EXAMPLE}", args.url)))?;
    let secure = match url.scheme_str() {
        Some("http") => Secure::No,
        Some("https") => Secure::Yes,
        _ => return Err(Failure::operator(format!("`{}` has neither http:// nor https://; {EXAMPLE}", args.url))),
    };
    let host = url.host().ok_or_else(|| Failure::operator(format!("the URL names no host; {EXAMPLE}")))?.to_owned();
    let resolved = resolve(&network, &host, args.from)?;
    let address = *resolved.addresses.first().ok_or_else(|| {
        Failure::operator(format!("{host} has no address for {}; `hither explain` says what it knows of it", args.from))
    })?;
    let port = url.port_u16().unwrap_or_else(|| edge_port(&network, address, secure));
    let target = SocketAddr::new(address, port);
    if !args.json {
        print_resolved(&args, &resolved);
    }
    let fetching = fetch(&url, &host, target, secure, args.cacert.as_deref());
    let limited = async { tokio::time::timeout(LIMIT, fetching).await };
    let fetched = wait_for(limited)?.map_err(|_| {
        Failure::operator(format!("{target} did not answer in time; `hither status` tells which edges are up"))
    })??;
    if args.json {
        print_json(&args, &network, &resolved, target, &fetched)
    } else {
        print_fetched(&network, target, &fetched);
        Ok(Exit::Done)
    }
}

/// Whether TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secure {
    Yes,
    No,
}

struct Resolved {
    /// What came of the name servers asked before.
    failed: Vec<String>,
    server: SocketAddr,
    chain: Vec<String>,
    addresses: Vec<IpAddr>,
    scope: Option<u8>,
    took: Duration,
}

struct Fetched {
    status: u16,
    headers: Vec<(String, String)>,
    bytes: usize,
    took: Duration,
}

/// Asks the first name server that answers, as a resolver that sends the client's subnet.
fn resolve(network: &Network, host: &str, from: IpAddr) -> Result<Resolved, Failure> {
    let mut failed = Vec::new();
    for server in network.name_servers.iter().flat_map(|node| &node.listen) {
        let start = Instant::now();
        match ask(*server, host, from) {
            Ok(reply) => return read(reply, Resolved { failed, ..Resolved::by(*server, start.elapsed()) }, host),
            Err(error) => failed.push(format!("name server {server}: {error}; is it running?")),
        }
    }
    Err(Failure::operator(failed.join("\n")))
}

impl Resolved {
    fn by(server: SocketAddr, took: Duration) -> Self {
        Self { failed: Vec::new(), server, chain: Vec::new(), addresses: Vec::new(), scope: None, took }
    }
}

/// What a reply says.
fn read(reply: Message, resolved: Resolved, host: &str) -> Result<Resolved, Failure> {
    let server = resolved.server;
    match reply.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::Refused => {
            let message = format!("name server {server} refuses {host}: it is in no zone served here");
            return Err(Failure::operator(message));
        }
        code => return Err(Failure::operator(format!("name server {server} answers {host} with {code}"))),
    }
    let chain = reply
        .answers
        .iter()
        .map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data));
    let addresses = reply.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    let scope = reply.edns.as_ref().and_then(|edns| match edns.option(8.into()) {
        Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
        _ => None,
    });
    Ok(Resolved { chain: chain.collect(), addresses: addresses.collect(), scope, ..resolved })
}

fn ask(server: SocketAddr, host: &str, from: IpAddr) -> Result<Message, String> {
    let mut name = Name::from_ascii(host).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    let mut query = Message::query();
    query.add_query(Query::query(name, RecordType::A));
    let mut edns = Edns::new();
    edns.set_max_payload(config::limits::DNS_UDP_BYTES);
    // What resolvers send: a network, not a person (RFC 7871 §11.1).
    let prefix = config::Prefix::around(from, if from.is_ipv4() { 24 } else { 56 });
    edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(prefix.address(), prefix.length(), 0)));
    query.set_edns(edns);
    let bytes = query.to_vec().map_err(|error| error.to_string())?;
    let any: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).map_err(|error| plain(&error))?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).map_err(|error| plain(&error))?;
    socket.connect(server).map_err(|error| plain(&error))?;
    let mut buffer = [0_u8; 4096];
    let mut last = String::new();
    for _ in 0..3 {
        socket.send(&bytes).map_err(|error| plain(&error))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                return Message::from_vec(buffer.get(..length).unwrap_or_default()).map_err(|error| error.to_string());
            }
            // What the system calls a wait that was too long.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                last = "no answer".to_owned();
            }
            Err(error) => last = plain(&error),
        }
    }
    Err(last)
}

/// The port of the edge that has the address.
fn edge_port(network: &Network, address: IpAddr, secure: Secure) -> u16 {
    let edge = network.edges().find(|(_, edge)| edge.addresses.all().contains(&address)).map(|(_, edge)| edge);
    let (list, default) = match secure {
        Secure::Yes => (edge.map(|edge| network.https_of(edge)), 443),
        Secure::No => (edge.map(|edge| network.http_of(edge)), 80),
    };
    list.and_then(|list| list.first().map(SocketAddr::port)).unwrap_or(default)
}

async fn fetch(
    url: &Uri,
    host: &str,
    target: SocketAddr,
    secure: Secure,
    authority: Option<&Path>,
) -> Result<Fetched, Failure> {
    let start = Instant::now();
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header("host", url.authority().map_or(host, |authority| authority.as_str()));
    let request = request
        .header("user-agent", concat!("hither/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(Failure::ours)?;
    let connect = TcpStream::connect(target).await;
    let stream = connect.map_err(|error| {
        Failure::operator(format!("edge {target}: {}; `hither status` tells whether it runs", plain(&error)))
    })?;
    let response = if secure == Secure::Yes {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| Failure::operator(error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client_tls(authority)?));
        let stream = connector.connect(name, stream).await;
        let help = "name the authority with --cacert FILE if it is not a public one";
        exchange(stream.map_err(|error| Failure::operator(format!("TLS with {target}: {error}; {help}")))?, request)
            .await?
    } else {
        exchange(stream, request).await?
    };
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers = headers.collect();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| Failure::operator(format!("the body was cut: {error}")))?;
    Ok(Fetched { status, headers, bytes: body.to_bytes().len(), took: start.elapsed() })
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let fail = |error: hyper::Error| Failure::operator(format!("the edge's answer cannot be read: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(fail)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(fail)
}

fn client_tls(authority: Option<&Path>) -> Result<rustls::ClientConfig, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = authority {
        let fail = |error: String| {
            Failure::operator(format!("cannot use {}: {error}; name a PEM file of an authority", path.display()))
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))? {
            let certificate = certificate.map_err(|error| fail(error.to_string()))?;
            roots.add(certificate).map_err(|error| fail(error.to_string()))?;
        }
    } else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn edge_name(network: &Network, address: IpAddr) -> String {
    let edge = network.edges().find(|(_, edge)| edge.addresses.all().contains(&address));
    edge.map_or_else(|| "an address of no edge".to_owned(), |(pop, edge)| format!("{} in {}", edge.id, pop.name))
}

fn print_resolved(args: &Get, resolved: &Resolved) {
    for failed in &resolved.failed {
        say(format!("1. {failed}"));
    }
    let scope = resolved.scope.map_or_else(String::new, |scope| format!(", scope /{scope}"));
    say(format!("1. asked {} as {} ({:.1} ms{scope})", resolved.server, args.from, millis(resolved.took)));
    for record in &resolved.chain {
        say(format!("     {record}"));
    }
}

fn print_fetched(network: &Network, target: SocketAddr, fetched: &Fetched) {
    say(format!("2. fetched from {target}: {}", edge_name(network, target.ip())));
    say(format!("     {} {} bytes in {:.1} ms", fetched.status, fetched.bytes, millis(fetched.took)));
    for name in SHOWN {
        for (_, value) in fetched.headers.iter().filter(|(header, _)| header == name) {
            say(format!("     {name}: {}", visible(value)));
        }
    }
}

fn print_json(args: &Get, network: &Network, resolved: &Resolved, target: SocketAddr, fetched: &Fetched) -> Done {
    let value = json!({
        "url": args.url,
        "from": args.from,
        "name_server": resolved.server,
        "records": resolved.chain,
        "scope": resolved.scope,
        "dns_ms": millis(resolved.took),
        "edge": edge_name(network, target.ip()),
        "address": target,
        "status": fetched.status,
        "headers": fetched.headers,
        "bytes": fetched.bytes,
        "http_ms": millis(fetched.took),
    });
    say(serde_json::to_string_pretty(&value).map_err(Failure::ours)?);
    Ok(Exit::Done)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// A field's value for a terminal: control bytes of an origin's do nothing there.
fn visible(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
