//! HTTPS records of routed names (RFC 9460): that a site is served over TLS, by what, and the addresses of its edges as hints.

use std::net::{Ipv4Addr, Ipv6Addr};

use config::{Config, Listen};
use hickory_server::proto::rr::rdata::svcb::{Alpn, IpHint, SVCB, SvcParamKey, SvcParamValue};
use hickory_server::proto::rr::rdata::{A, AAAA, HTTPS};
use hickory_server::proto::rr::{Name, RData, Record};
use mapping::{Basis, Choice, Chosen, EdgeIndex, Family, PopIndex, Topology};

/// "1" for "service mode", in which the record speaks of its own name (RFC 9460 §2.4.3).
const PRIORITY: u16 = 1;
/// HTTP/3 and 2; HTTP/1.1 is understood without being said (RFC 9460 §9.1).
const PROTOCOLS: [&str; 2] = ["h3", "h2"];
/// The port that needs no saying (RFC 9460 §9.1).
const PORT: u16 = 443;

/// The port at which clients reach each edge over TLS: the first of a list.
pub(crate) fn ports(config: &Config) -> Vec<u16> {
    let network = &config.network;
    let port = |listen: &Listen| match listen {
        Listen::Port(port) => *port,
        Listen::At(sockets) => sockets.first().map_or(PORT, std::net::SocketAddr::port),
    };
    network.edges().map(|(_, edge)| port(edge.https.as_ref().unwrap_or(&network.edge.https))).collect()
}

/// What an HTTPS record says of the edges that A and AAAA records would name.
pub(crate) struct Service {
    port: u16,
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

impl Service {
    /// Of the edges chosen for each family; `None` where there are none.
    pub(crate) fn of(choices: &[Choice; 2], topology: &Topology, ports: &[u16], turn: usize) -> Option<Self> {
        let [v4, v6] = choices.each_ref().map(edges);
        let port = *ports.get(*v4.iter().chain(v6).next()?)?;
        // Hints are for the port that is told.
        let at_port = |edges: &[EdgeIndex]| {
            let edges = edges.iter().filter(|edge| ports.get(**edge) == Some(&port));
            edges.filter_map(|edge| topology.edges.get(*edge)).collect::<Vec<_>>()
        };
        let v4 = at_port(v4).into_iter().filter_map(|edge| turned(&edge.v4, turn)).collect();
        let v6 = at_port(v6).into_iter().filter_map(|edge| turned(&edge.v6, turn)).collect();
        Some(Self { port, v4, v6 })
    }

    /// The record, with its parameters in ascending order (RFC 9460 §2.2).
    pub(crate) fn record(self, name: &Name, ttl: u32) -> Record {
        let protocols = PROTOCOLS.map(str::to_owned).to_vec();
        let mut parameters = vec![(SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(protocols)))];
        if self.port != PORT {
            parameters.push((SvcParamKey::Port, SvcParamValue::Port(self.port)));
        }
        if !self.v4.is_empty() {
            let hints = IpHint(self.v4.into_iter().map(A).collect());
            parameters.push((SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(hints)));
        }
        if !self.v6.is_empty() {
            let hints = IpHint(self.v6.into_iter().map(AAAA).collect());
            parameters.push((SvcParamKey::Ipv6Hint, SvcParamValue::Ipv6Hint(hints)));
        }
        let service = SVCB::new(PRIORITY, Name::root(), parameters);
        Record::from_rdata(name.clone(), ttl, RData::HTTPS(HTTPS(service)))
    }
}

/// The PoP of both choices, and their basis, where each family that there is at all is answered by it: then
/// whoever is sent to this PoP gets the same.
pub(crate) fn common(choices: &[Choice; 2], topology: &Topology) -> Option<(PopIndex, Basis)> {
    let families = choices.iter().zip([Family::V4, Family::V6]).filter(|(_, family)| topology.has(*family));
    let mut places = families.map(|(choice, _)| match choice.chosen {
        Chosen::Edges { pop, .. } => Some((pop, choice.basis)),
        Chosen::FailOpen { .. } | Chosen::NoAddress => None,
    });
    let first = places.next()??;
    places.all(|place| place == Some(first)).then_some(first)
}

fn edges(choice: &Choice) -> &[EdgeIndex] {
    match &choice.chosen {
        Chosen::Edges { edges, .. } | Chosen::FailOpen { edges, .. } => edges,
        Chosen::NoAddress => &[],
    }
}

/// One address of an edge, another from turn to turn.
pub(crate) fn turned<T: Copy>(list: &[T], turn: usize) -> Option<T> {
    list.get(turn.checked_rem(list.len())?).copied()
}

#[cfg(test)]
mod tests {
    use hickory_server::proto::rr::RecordType;

    use crate::view::tests::{ask, signed_view, view};

    #[test]
    fn a_site_with_tls_tells_what_serves_it_and_where() {
        let view = view();
        for (name, subnet, expected) in [
            ("www.shop.example.", "83.1.2.0/24", "20 1 . alpn=h3,h2, ipv4hint=198.18.2.1, ipv6hint=2001:db8:2::1,"),
            // Frankfurt has no IPv6, and nobody near it has.
            ("www.shop.example.", "81.1.2.0/24", "20 1 . alpn=h3,h2, ipv4hint=198.18.1.1,"),
            ("a.img.shop.example.", "133.1.2.0/24", "20 1 . alpn=h3,h2, ipv4hint=198.18.3.1,"),
            ("far.shop.example.", "83.1.2.0/24", "3600 blog.cdn.example."),
            // Without TLS, and a name that is not routed.
            ("blog.cdn.example.", "83.1.2.0/24", ""),
            ("mail.shop.example.", "83.1.2.0/24", ""),
        ] {
            let reply = ask(&view, name, RecordType::HTTPS, Some(subnet));
            let told: Vec<String> =
                reply.answers.iter().map(|record| format!("{} {}", record.ttl, record.data)).collect();
            assert_eq!(told.join("; "), expected, "{name} {subnet}");
            let is_there = expected.contains(" 1 . ");
            assert_eq!(reply.authorities.len(), usize::from(!is_there), "{name}");
        }
    }
    #[test]
    fn a_name_without_a_certificate_yet_tells_of_no_tls() {
        for view in [view(), signed_view()] {
            let view = view.with_tls(|_, name| name == "*.img.shop.example");
            for (name, is_there) in [("www.shop.example.", false), ("a.img.shop.example.", true)] {
                let reply = ask(&view, name, RecordType::HTTPS, Some("83.1.2.0/24"));
                assert_eq!(
                    reply.answers.iter().any(|record| record.record_type() == RecordType::HTTPS),
                    is_there,
                    "{name}"
                );
                assert!(!ask(&view, name, RecordType::A, Some("83.1.2.0/24")).answers.is_empty(), "{name}");
            }
        }
    }
}
