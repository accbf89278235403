//! Where a node listens, for what, and the sockets of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use config::{Config, NodeId, overlaps};
use listen::{BindError, Sharing, bind_tcp, bind_udp};
use serde::{Deserialize, Serialize};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Role {
    Dns,
    /// DNS over TLS and QUIC.
    DnsTls,
    /// DNS over HTTPS.
    DnsHttps,
    Http,
    Https,
}

/// Where a node listens, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Listener {
    pub(super) role: Role,
    pub(super) address: SocketAddr,
}

/// How a listener is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Tcp,
    Udp,
}

/// One socket of a listener.
#[derive(Debug)]
pub(super) enum Socket {
    Udp(std::net::UdpSocket),
    Tcp(std::net::TcpListener),
}

/// Sockets by listener, in the order in which they were bound.
pub(super) type Sockets = BTreeMap<Listener, Vec<Socket>>;

/// Sockets at which other nodes reach this one, by address.
pub(super) type Reached = BTreeMap<SocketAddr, std::net::TcpListener>;

/// Sockets of new listeners, not served yet.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(super) sockets: Sockets,
    pub(super) wanted: BTreeSet<Listener>,
    /// Of those that another process has handed over, the ones that are not wanted: open until the others are served.
    pub(super) _spare: Sockets,
}

/// Where a config wants a node to listen.
pub(super) fn wanted(config: &Config, id: &NodeId) -> BTreeSet<Listener> {
    let node = config.network.node(id);
    let name_server = node.and_then(|node| node.name_server);
    let edge = node.and_then(|node| node.edge).map(|(_, edge)| edge);
    let has_tls = config.sites.iter().any(|site| site.tls.is_some());
    let dns = name_server.map_or_else(Vec::new, |node| node.listen.clone());
    let http = edge.map(|edge| config.network.http_of(edge)).unwrap_or_default();
    let https = edge.filter(|_| has_tls).map(|edge| config.network.https_of(edge)).unwrap_or_default();
    let of = |role, addresses: Vec<SocketAddr>| addresses.into_iter().map(move |address| Listener { role, address });
    let of_dns = |port: Option<u16>| {
        let mut at: Vec<SocketAddr> =
            port.into_iter().flat_map(|port| dns.iter().map(move |at| SocketAddr::new(at.ip(), port))).collect();
        at.dedup();
        at
    };
    let encrypted = config.network.dns.tls.as_ref();
    let dns_tls = of_dns(encrypted.map(|tls| tls.port));
    let dns_https = node.map(|node| config.network.dns_https_of(&node, &config.sites).own).unwrap_or_default();
    let of_name_server = of(Role::DnsTls, dns_tls).chain(of(Role::DnsHttps, dns_https)).chain(of(Role::Dns, dns));
    of_name_server.chain(of(Role::Http, http)).chain(of(Role::Https, https)).collect()
}

/// Has a socket for each core where it is wanted and not open: of those handed over, else bound.
///
/// # Errors
/// The first address that cannot be had.
pub(super) fn bind(
    wanted: BTreeSet<Listener>,
    open: &BTreeSet<Listener>,
    mut handed: Sockets,
    cores: usize,
) -> Result<Bound, BindError> {
    let had: BTreeSet<Listener> = open.iter().chain(handed.keys()).copied().collect();
    // What this node itself gives up with the same config may be shared for a moment: a port that
    // changes its use, an address that becomes all of them.
    let leaving = |new: &Listener| had.iter().any(|old| !wanted.contains(old) && overlaps(old.address, new.address));
    for listener in wanted.difference(&had).filter(|listener| !leaving(listener)) {
        listener.probe()?;
    }
    let mut sockets = Sockets::new();
    for listener in wanted.difference(open) {
        let own = match handed.remove(listener) {
            Some(own) => own,
            None => listener.bind(cores)?,
        };
        sockets.insert(*listener, own);
    }
    Ok(Bound { sockets, wanted, _spare: handed })
}

impl Listener {
    /// Whether it speaks QUIC: its datagrams belong to connections.
    pub(super) fn has_quic(self) -> bool {
        matches!(self.role, Role::DnsTls | Role::DnsHttps | Role::Https)
    }

    /// Whether datagrams come there, too: queries, or QUIC.
    fn has_udp(self) -> bool {
        self.role != Role::Http
    }

    /// Checks that nobody has its address. Sockets that share would join another program's silently.
    fn probe(self) -> Result<(), BindError> {
        bind_tcp(self.address, Sharing::Alone)?;
        if self.has_udp() {
            bind_udp(self.address, Sharing::Alone)?;
        }
        Ok(())
    }

    /// A socket of each kind for each core.
    fn bind(self, cores: usize) -> Result<Vec<Socket>, BindError> {
        let mut sockets = Vec::new();
        for _ in 0..cores {
            sockets.push(Socket::Tcp(bind_tcp(self.address, Sharing::Cores)?));
        }
        for _ in (0..cores).filter(|_| self.has_udp()) {
            sockets.push(Socket::Udp(bind_udp(self.address, Sharing::Cores)?));
        }
        Ok(sockets)
    }
}

impl Socket {
    /// One of a kind that came from another process.
    pub(super) fn of(kind: Kind, descriptor: OwnedFd) -> Self {
        match kind {
            Kind::Tcp => Self::Tcp(descriptor.into()),
            Kind::Udp => Self::Udp(descriptor.into()),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Tcp(_) => Kind::Tcp,
            Self::Udp(_) => Kind::Udp,
        }
    }

    /// The same socket once more: what waits in it waits for whoever reads first.
    pub(super) fn try_clone(&self) -> std::io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Udp(socket) => socket.try_clone().map(Self::Udp),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(address: &str) -> Listener {
        Listener { role: Role::Http, address: address.parse().unwrap() }
    }

    #[test]
    fn what_was_handed_over_is_not_bound_again_and_what_is_not_wanted_is_spare() {
        let handed = ["127.0.0.1:0", "127.0.0.1:0"].map(|any| bind_tcp(any.parse().unwrap(), Sharing::Alone).unwrap());
        let [first, second] = handed.map(|socket| (socket.local_addr().unwrap(), socket));
        let of = |(address, socket)| (Listener { role: Role::Http, address }, vec![Socket::Tcp(socket)]);
        let (kept, gone) = (first.0, second.0);
        let wanted = BTreeSet::from([http(&kept.to_string()), http("127.0.0.1:0")]);
        let bound = bind(wanted, &BTreeSet::new(), Sockets::from([of(first), of(second)]), 2).unwrap();
        let counts: Vec<(SocketAddr, usize)> =
            bound.sockets.iter().map(|(listener, sockets)| (listener.address, sockets.len())).collect();
        assert!(counts.contains(&(kept, 1)) && counts.contains(&("127.0.0.1:0".parse().unwrap(), 2)), "{counts:?}");
        assert_eq!(bound._spare.keys().map(|listener| listener.address).collect::<Vec<_>>(), [gone]);
    }
}
