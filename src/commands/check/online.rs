//! `hither check --online`: asks the network outside what it makes of a config.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use config::{AdminState, Config, DomainName, Problem};
use futures_util::StreamExt;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::judged::{
    Failed, Found, Leading, Ours, Reached, Stands, is_astray, judge_delegation, judge_edges, judge_failure, judge_name,
    judge_unknown, leading,
};
use crate::exit::{Failure, plain};

/// How long an edge may take to answer: as long as a probe by default, and a handshake that was lost on top.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a resolver may take for a name.
const LOOK_UP: Duration = Duration::from_secs(4);
/// Connections and questions under way at the same time.
const AT_ONCE: usize = 128;
/// Names asked for, so that it ends: some minutes at worst.
const NAMES: usize = 2_000;

/// What was looked at, and what is likely wrong with it.
pub(super) struct Looked {
    pub(super) warnings: Vec<Problem>,
    pub(super) addresses: usize,
    pub(super) names: usize,
    /// Names that were left out, since there are so many.
    pub(super) left_out: usize,
}

/// Looks whether edges are reached, and whether names lead here.
pub(super) async fn look(config: &Config, resolver: Option<SocketAddr>) -> Result<Looked, Failure> {
    let resolver = Resolver::at(resolver)?;
    let mut names = leading(config);
    let left_out = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    let ours = Ours::of(config);
    let zone = &config.network.zone;
    let (reached, delegation, found) =
        tokio::join!(reach_edges(config), resolver.ask(zone.as_str(), RecordType::NS), resolver.ask_all(&names));
    let looked: Vec<(&Leading, &Found)> = names.iter().zip(&found).collect();
    let astray = looked.iter().filter(|(_, found)| is_astray(found, &ours)).map(|(asked, _)| asked.name.as_str());
    let tops = resolver.tops(astray.collect()).await;
    let stands = |asked: &Leading| if tops.contains(asked.name.as_str()) { Stands::AtTop } else { Stands::Below };
    let mut warnings = judge_edges(&reached);
    warnings.extend(judge_delegation(zone, &name_servers(config), &delegation));
    warnings.extend(looked.iter().filter_map(|(asked, found)| judge_name(asked, found, stands(asked), &ours)));
    warnings.extend(judge_unknown(looked.iter().copied()));
    Ok(Looked { warnings, addresses: reached.len(), names: names.len() + 1, left_out })
}

/// The names of the zone's name servers.
fn name_servers(config: &Config) -> Vec<DomainName> {
    let network = &config.network;
    let own = |id: &str| DomainName::parse(&format!("{id}.{}", network.zone)).ok();
    let of_nodes = || network.name_servers.iter().filter_map(|node| own(node.id.as_str())).collect();
    network.nameservers.clone().unwrap_or_else(of_nodes)
}

async fn reach_edges(config: &Config) -> Vec<Reached> {
    let network = &config.network;
    let edges = network.edges().filter(|(_, edge)| edge.admin_state != AdminState::Drained);
    let targets = edges.flat_map(|(_, edge)| {
        let port = network.probe_port(edge);
        edge.addresses.all().iter().map(move |address| (edge.id.clone(), SocketAddr::new(*address, port)))
    });
    let reaching = targets.map(|(edge, address)| async move {
        let outcome = match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err((error.kind(), plain(&error))),
            Err(_) => Err((ErrorKind::TimedOut, format!("no answer within {} s", CONNECT.as_secs()))),
        };
        Reached { edge, address, outcome }
    });
    futures_util::stream::iter(reaching.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
}

/// Who is asked for names.
struct Resolver {
    dns: TokioResolver,
    /// Its addresses, for people.
    at: String,
}

impl Resolver {
    /// The machine's own resolver, or the one that is named.
    fn at(named: Option<SocketAddr>) -> Result<Self, Failure> {
        let help = "name a resolver with --resolver IP";
        let system = read_system_conf();
        let (mut servers, mut options) = match (named, system) {
            (_, Ok(system)) => system,
            (Some(_), Err(_)) => Default::default(),
            (None, Err(error)) => {
                let why = error.to_string();
                let why = why.trim_start_matches("io error: ");
                return Err(Failure::operator(format!(
                    "this machine names no resolver in /etc/resolv.conf: {why}; {help}"
                )));
            }
        };
        if let Some(address) = named {
            servers = ResolverConfig::from_parts(None, Vec::new(), vec![server(address)]);
        }
        let at: Vec<String> = servers.name_servers().iter().map(place).collect();
        options.use_hosts_file = ResolveHosts::Never;
        let built =
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default()).with_options(options).build();
        let dns = built.map_err(|error| Failure::operator(format!("no resolver can be asked: {error}; {help}")))?;
        Ok(Self { dns, at: at.join(" or ") })
    }

    async fn ask_all(&self, names: &[Leading]) -> Vec<Found> {
        let asking = names.iter().map(|leading| async move {
            match self.ask(&leading.name, RecordType::A).await {
                // It may have the other family alone.
                Found::Nothing => self.ask(&leading.name, RecordType::AAAA).await,
                found => found,
            }
        });
        futures_util::stream::iter(asking.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Found {
        let full = match full(name) {
            Ok(full) => full,
            Err(why) => return Found::Failed(Failed::Other(why)),
        };
        let told = match timeout(LOOK_UP, self.dns.lookup(full, kind)).await {
            Ok(Ok(told)) => told,
            Ok(Err(error)) if error.is_no_records_found() => return Found::Nothing,
            Ok(Err(error)) => return Found::Failed(self.why(&error)),
            Err(_) => return Found::Failed(self.why(&NetError::Timeout)),
        };
        let names = told.answers().iter().filter_map(|record| match &record.data {
            RData::CNAME(alias) => Some(alias.0.to_string()),
            RData::NS(server) => Some(server.0.to_string()),
            _ => None,
        });
        let addresses = told.answers().iter().filter_map(|record| record.data.ip_addr());
        Found::Answer(names.collect(), addresses.collect())
    }

    /// Those of some names that are the tops of zones.
    async fn tops<'n>(&self, names: Vec<&'n str>) -> BTreeSet<&'n str> {
        let asking = names.into_iter().map(|name| async move { self.is_top(name).await.then_some(name) });
        futures_util::stream::iter(asking.collect::<Vec<_>>())
            .buffered(AT_ONCE)
            .filter_map(|top| async move { top })
            .collect()
            .await
    }

    async fn is_top(&self, name: &str) -> bool {
        let Ok(full) = full(name) else { return false };
        let told = timeout(LOOK_UP, self.dns.lookup(full.clone(), RecordType::NS)).await;
        let Ok(Ok(told)) = told else { return false };
        // Where the name is an alias, the name servers are of where it leads.
        told.answers().iter().any(|record| record.name == full && matches!(record.data, RData::NS(_)))
    }

    /// Why it does not tell.
    fn why(&self, error: &NetError) -> Failed {
        judge_failure(error, &self.at, LOOK_UP)
    }
}

/// A resolver at an address.
fn server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
    server
}

/// Where a resolver is asked, for people: the port only where it is not that of DNS.
fn place(server: &NameServerConfig) -> String {
    let port = server.connections.first().map(|connection| connection.port).filter(|port| *port != 53);
    port.map_or_else(|| server.ip.to_string(), |port| SocketAddr::new(server.ip, port).to_string())
}

/// A name, from the root on.
fn full(name: &str) -> Result<Name, String> {
    let mut full = Name::from_ascii(name).map_err(|error| error.to_string())?;
    full.set_fqdn(true);
    Ok(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_is_told_with_its_port_where_it_is_not_that_of_dns() {
        for (address, expected) in [
            ("192.0.2.1:53", "192.0.2.1"),
            ("192.0.2.1:5300", "192.0.2.1:5300"),
            ("[2001:db8::1]:53", "2001:db8::1"),
            ("[2001:db8::1]:5300", "[2001:db8::1]:5300"),
        ] {
            assert_eq!(place(&server(address.parse().unwrap())), expected);
        }
    }
}
