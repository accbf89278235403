//! One fetch: the servers in order, each within its times.

use std::net::IpAddr;
use std::time::Duration;

use config::{Origin, OriginServer, Scheme, limits};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;

use crate::body::{FetchBody, RequestBody};
use crate::error::FetchError;
use crate::reach::Reach;
use crate::resolve::Resolver;

/// A response from the origin, its body still on its way.
pub type Fetched = Response<FetchBody>;

/// Fetches for one site, on one core.
#[derive(Debug)]
pub struct Fetcher {
    servers: Vec<Server>,
    client: Client<HttpsConnector<HttpConnector<Resolver>>, RequestBody>,
    host: Option<HeaderValue>,
    reach: Reach,
}

#[derive(Debug)]
struct Server {
    scheme: http::uri::Scheme,
    authority: Authority,
    /// The address, where the config names one instead of a host.
    literal: Option<IpAddr>,
}

impl Fetcher {
    /// Makes a fetcher for a site's origin.
    ///
    /// # Errors
    /// The TLS settings cannot be used: ours to mend.
    pub fn new(origin: &Origin) -> Result<Self, rustls::Error> {
        let reach = if origin.allow_private { Reach::Anywhere } else { Reach::Public };
        let mut tcp = HttpConnector::new_with_resolver(Resolver(reach));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limits::ORIGIN_CONNECT));
        tcp.set_nodelay(true);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(provider)?.https_or_http();
        let name = origin.host.as_ref().and_then(|host| ServerName::try_from(host.to_string()).ok());
        let connector = match name {
            Some(name) => {
                tls.with_server_name_resolver(FixedServerNameResolver::new(name)).enable_http1().wrap_connector(tcp)
            }
            None => tls.enable_http1().wrap_connector(tcp),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::ORIGIN_IDLE_TIME)
            .pool_max_idle_per_host(limits::ORIGIN_IDLE)
            .set_host(false)
            .build(connector);
        let host = origin.host.as_ref().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        Ok(Self { servers: origin.servers.iter().filter_map(server).collect(), client, host, reach })
    }

    /// Sends a request whose URI holds the path and query, and whose Host is the client's. Returns
    /// when the response's head is there.
    ///
    /// The next server is tried when one cannot have seen the request; a request without a body and
    /// of an idempotent method (RFC 9110 §9.2.2) also when the connection died before any response.
    ///
    /// # Errors
    /// The last server's failure.
    pub async fn fetch(&self, head: Parts, body: Option<RequestBody>) -> Result<Fetched, FetchError> {
        let mut body = body;
        let mut failed = FetchError::DnsError;
        let again = body.is_none() && is_idempotent(&head.method);
        for (number, server) in self.servers.iter().enumerate() {
            let sent = body.take().unwrap_or_else(none);
            match self.ask(server, &head, sent).await {
                Ok(response) => return Ok(response),
                Err(error) => failed = error,
            }
            let is_last = number + 1 == self.servers.len();
            // A body that was handed over is gone: it cannot be sent twice.
            let may_go_on = again && (failed.is_before_request() || failed == FetchError::ConnectionTerminated);
            if is_last || !may_go_on {
                break;
            }
        }
        Err(failed)
    }

    async fn ask(&self, server: &Server, head: &Parts, body: RequestBody) -> Result<Fetched, FetchError> {
        if server.literal.is_some_and(|address| !self.reach.allows(address)) {
            return Err(FetchError::DestinationIpProhibited);
        }
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(server.scheme.clone()).authority(server.authority.clone()).path_and_query(path);
        let uri = uri.build().map_err(|_| FetchError::HttpRequestError)?;
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = head.headers.clone();
        if let Some(host) = &self.host {
            request.headers_mut().insert(header::HOST, host.clone());
        }
        let answered = tokio::time::timeout(first_byte(), self.client.request(request)).await;
        let response =
            answered.map_err(|_| FetchError::HttpResponseTimeout)?.map_err(|error: Error| FetchError::of(&error))?;
        Ok(response.map(|body| FetchBody::new(body, limits::ORIGIN_BETWEEN_BYTES)))
    }
}

/// Connecting counts into the time to the first byte.
fn first_byte() -> Duration {
    limits::ORIGIN_CONNECT + limits::ORIGIN_FIRST_BYTE
}

fn server(server: &OriginServer) -> Option<Server> {
    let authority: Authority = format!("{}:{}", server.host, server.port).parse().ok()?;
    let scheme = match server.scheme {
        Scheme::Http => http::uri::Scheme::HTTP,
        Scheme::Https => http::uri::Scheme::HTTPS,
    };
    let literal = server.host.trim_matches(['[', ']']).parse().ok();
    Some(Server { scheme, authority, literal })
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE)
}

fn none() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
