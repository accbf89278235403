//! DNS over HTTPS beside sites: where a name server and an edge are one node, and have one port.

use std::sync::Arc;

use certs::Certificates;
use dns::transport::Answer;
use dns::{DOH_PATH, Doh};
use http::{Request, header};
use listen::{AtOnce, Connection, Handler, Incoming, Mount, Plain, Reply, Scheme};

/// Answers queries that are asked of a name server; all else is the sites'.
struct BesideSites {
    certificates: Arc<Certificates>,
    doh: Doh,
    next: Arc<dyn Handler>,
}

/// Mounts answers to queries beside what an edge has.
pub(super) fn mount(mut mounts: Vec<Mount>, certificates: &Arc<Certificates>, answer: &Arc<dyn Answer>) -> Vec<Mount> {
    let edge = mounts.iter().find(|mount| mount.path == "/").map(|mount| Arc::clone(&mount.handler));
    if let Some(next) = edge {
        let (certificates, doh) = (Arc::clone(certificates), Doh::new(Arc::clone(answer)));
        mounts.push(Mount { path: DOH_PATH, handler: Arc::new(BesideSites { certificates, doh, next }) });
    }
    mounts
}

impl BesideSites {
    /// Whether a client was shown a name server's certificate.
    fn is_shown(&self, connection: &Connection) -> bool {
        let name = connection.sni.as_deref().filter(|_| connection.scheme == Scheme::Https);
        name.is_some_and(|name| self.certificates.is_name_server(name))
    }
}

impl Handler for BesideSites {
    fn at_once(&self, plain: &Plain<'_>, connection: &Connection, head: &mut Vec<u8>) -> Option<AtOnce> {
        if self.is_shown(connection) { None } else { self.next.at_once(plain, connection, head) }
    }

    fn takes_turns(&self) -> bool {
        self.next.takes_turns()
    }

    fn serve(&self, request: Request<Incoming>, connection: Connection) -> Reply {
        // RFC 9110 §7.4: over a connection for another name it is the edge that says 421.
        let is_asked =
            self.is_shown(&connection) && host_of(&request).is_some_and(|name| self.certificates.is_name_server(name));
        if is_asked { self.doh.serve(request, connection) } else { self.next.serve(request, connection) }
    }
}

/// The name of a request's one Host; what has none, or two, is for the edge to refuse.
fn host_of<B>(request: &Request<B>) -> Option<&str> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let host = match (request.uri().authority(), named.next(), named.next()) {
        (Some(authority), None, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().ok()?,
        // RFC 9113 §8.3.1: they are to be the same.
        (Some(authority), Some(host), None) if host.as_bytes() == authority.as_str().as_bytes() => authority.as_str(),
        _ => return None,
    };
    Some(host.split_once(':').map_or(host, |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_once() {
        let request = |uri: &str, hosts: &[&str]| {
            let request = Request::builder().uri(uri.to_owned());
            hosts.iter().fold(request, |request, host| request.header("host", *host)).body(()).unwrap()
        };
        for (uri, hosts, expected) in [
            ("/dns-query", &["ns1.cdn.example"][..], Some("ns1.cdn.example")),
            ("/dns-query", &["ns1.cdn.example:8443"], Some("ns1.cdn.example")),
            ("https://ns1.cdn.example/dns-query", &[], Some("ns1.cdn.example")),
            ("https://ns1.cdn.example:443/dns-query", &["ns1.cdn.example:443"], Some("ns1.cdn.example")),
            ("https://ns1.cdn.example/dns-query", &["www.shop.example"], None),
            ("/dns-query", &["ns1.cdn.example", "ns1.cdn.example"], None),
            ("/dns-query", &[], None),
        ] {
            assert_eq!(host_of(&request(uri, hosts)), expected, "{uri} {hosts:?}");
        }
    }
}
