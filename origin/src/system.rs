//! Asking for a name as the machine is set up to: its hosts file, its name servers, its search list.
//!
//! Name servers are asked directly, since the system's own look-up tells no TTL and holds a thread for each name. It is
//! asked all the same for names that are not DNS's alone: those in /etc/hosts, and those without a dot.

use std::fs;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use config::limits;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::net::lookup_host;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::error::FetchError;
use crate::families::{Family, join};
use crate::known::Asked;

/// The files that say how.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// How names are asked for; its files are read again when they have changed.
#[derive(Debug, Default)]
pub(crate) struct System(Mutex<Option<Read>>);

/// What was read, and when the files are looked at again.
#[derive(Debug)]
struct Read {
    settings: Arc<Settings>,
    changed: [Option<SystemTime>; 2],
    again: Instant,
}

#[derive(Debug)]
struct Settings {
    /// None where the machine names no name servers.
    dns: Option<Dns>,
    hosts: Hosts,
}

#[derive(Debug)]
struct Dns {
    resolver: TokioResolver,
    search: Vec<Name>,
    dots: usize,
}

impl System {
    /// Asks for a name's addresses.
    pub(crate) async fn ask(self: Arc<Self>, name: String) -> Asked {
        let settings = spawn_blocking(move || self.settings()).await;
        let asked = settings.as_ref().ok().and_then(|settings| settings.by_dns(&name));
        match asked {
            Some((dns, names)) => dns.ask(names).await,
            None => ask_system(&name).await,
        }
    }

    fn settings(&self) -> Arc<Settings> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(read) = read.as_ref().filter(|read| now < read.again) {
            return Arc::clone(&read.settings);
        }
        let changed = FILES.map(|file| fs::metadata(file).ok()?.modified().ok());
        let same = read.take().filter(|read| read.changed == changed).map(|read| read.settings);
        let settings = same.unwrap_or_else(|| Arc::new(Settings::read()));
        let again = now + limits::ORIGIN_NAME_OF_SYSTEM;
        *read = Some(Read { settings: Arc::clone(&settings), changed, again });
        settings
    }
}

impl Settings {
    fn read() -> Self {
        Self { dns: Dns::read(), hosts: Hosts::from_system().unwrap_or_default() }
    }

    /// The names by which name servers are asked for one, if they are.
    fn by_dns(&self, name: &str) -> Option<(&Dns, Vec<Name>)> {
        let dns = self.dns.as_ref().filter(|_| name.contains('.'))?;
        let parsed = Name::from_str_relaxed(name).ok()?;
        let is_host = |kind| self.hosts.lookup_static_host(&Query::query(parsed.clone(), kind)).is_some();
        if is_host(RecordType::A) || is_host(RecordType::AAAA) {
            return None;
        }
        Some((dns, candidates(&parsed, name.matches('.').count(), dns)))
    }
}

/// The full names that a name may stand for, in the order in which they are asked for: resolv.conf(5), `search` and `ndots`.
fn candidates(name: &Name, dots: usize, dns: &Dns) -> Vec<Name> {
    let mut itself = name.clone();
    itself.set_fqdn(true);
    if name.is_fqdn() {
        return vec![itself];
    }
    let mut names: Vec<Name> = dns.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
    names.retain(|other| *other != itself);
    let place = if dots >= dns.dots { 0 } else { names.len() };
    names.insert(place, itself);
    names
}

impl Dns {
    fn read() -> Option<Self> {
        let (settings, mut options) = read_system_conf().ok()?;
        // The machine's own domain stands in for a list.
        let search =
            if settings.search.is_empty() { Vec::from_iter(settings.domain.clone()) } else { settings.search.clone() };
        let dots = options.ndots;
        // What is kept beside it makes no answer older than it may be.
        options.positive_max_ttl = Some(limits::ORIGIN_NAME_TTL_MOST);
        options.negative_max_ttl = Some(limits::ORIGIN_NAME_FAILED);
        options.use_hosts_file = ResolveHosts::Never;
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(settings, provider).with_options(options).build().ok()?;
        Some(Self { resolver, search, dots })
    }

    /// Asks for one name after the other until one has addresses. That nobody knows of one says nothing of those after
    /// it: what is found there may be another's.
    async fn ask(&self, names: Vec<Name>) -> Asked {
        for name in names {
            match self.ask_both(&name).await {
                Asked::Nothing => {}
                asked => return asked,
            }
        }
        Asked::Nothing
    }

    /// Asks for both families at once. Where one is there, the other is waited for a little longer only: a name server that
    /// drops such questions must not hold up the rest.
    async fn ask_both(&self, name: &Name) -> Asked {
        let (mut v4, mut v6) = (pin!(self.ask_one(name, RecordType::A)), pin!(self.ask_one(name, RecordType::AAAA)));
        let late = || Family::Failed(FetchError::DnsTimeout);
        let (first, is_v4) = tokio::select! {
            found = &mut v4 => (found, true),
            found = &mut v6 => (found, false),
        };
        let wait = if matches!(first, Family::Found(..)) { OTHER_FAMILY } else { limits::ORIGIN_NAME_LOOK_UP };
        if is_v4 {
            join(first, timeout(wait, v6).await.unwrap_or_else(|_| late()))
        } else {
            join(timeout(wait, v4).await.unwrap_or_else(|_| late()), first)
        }
    }

    async fn ask_one(&self, name: &Name, kind: RecordType) -> Family {
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(found) => {
                let addresses: Vec<IpAddr> =
                    found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
                let ttl = found.valid_until().saturating_duration_since(Instant::now());
                if addresses.is_empty() { Family::Nothing } else { Family::Found(addresses, ttl) }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Family::Nothing,
            Err(NetError::Timeout) => Family::Failed(FetchError::DnsTimeout),
            Err(error) => {
                tracing::debug!(%error, %kind, "an origin's name could not be resolved");
                Family::Failed(FetchError::DnsError)
            }
        }
    }
}

/// How long the second family is waited for once the first has addresses; RFC 8305 §3 would have 50 ms, for people who wait.
const OTHER_FAMILY: Duration = Duration::from_millis(250);

/// Asks the system, which says neither a TTL nor whether it knew.
async fn ask_system(name: &str) -> Asked {
    let Ok(found) = lookup_host((name, 0)).await else {
        return Asked::Failed(FetchError::DnsError);
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Asked::Found(addresses, limits::ORIGIN_NAME_OF_SYSTEM)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::config::{NameServerConfig, ResolverConfig};

    use super::*;

    fn dns(search: &[&str], dots: usize) -> Dns {
        let server = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
        let settings = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let resolver = TokioResolver::builder_with_config(settings, TokioRuntimeProvider::default()).build().unwrap();
        Dns { resolver, search: search.iter().map(|name| Name::from_ascii(name).unwrap()).collect(), dots }
    }

    #[tokio::test]
    async fn the_search_list_comes_after_a_name_with_dots_enough_and_before_others() {
        let search = ["apps.svc.example", "svc.example."];
        let table: [(&str, &[&str], usize, &str); 5] = [
            ("www.shop.example", &[], 1, "www.shop.example."),
            ("www.shop.example.", &search, 5, "www.shop.example."),
            ("db.shop", &search, 1, "db.shop. db.shop.apps.svc.example. db.shop.svc.example."),
            ("db.shop", &search, 5, "db.shop.apps.svc.example. db.shop.svc.example. db.shop."),
            ("db.shop", &["."], 1, "db.shop."),
        ];
        for (name, search, dots, expected) in table {
            let settings = Settings { dns: Some(dns(search, dots)), hosts: Hosts::default() };
            let (_, names) = settings.by_dns(name).expect("it has a dot");
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), expected, "{name} with {dots} dots");
        }
    }

    #[tokio::test]
    async fn names_without_a_dot_and_those_of_the_hosts_file_are_the_systems() {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"192.0.2.1 origin.shop.example\n2001:db8::1 six.shop.example\n"[..]).unwrap();
        let settings = Settings { dns: Some(dns(&[], 1)), hosts };
        let table = [
            ("www.shop.example", true),
            ("localhost", false),
            ("web", false),
            ("origin.shop.example", false),
            ("six.shop.example", false),
        ];
        for (name, is_dns) in table {
            assert_eq!(settings.by_dns(name).is_some(), is_dns, "{name}");
        }
        assert!(Settings { dns: None, hosts: Hosts::default() }.by_dns("www.shop.example").is_none());
    }

    #[tokio::test]
    async fn localhost_is_here() {
        let asked = Arc::new(System::default()).ask("localhost".to_owned()).await;
        let Asked::Found(addresses, ttl) = asked else { panic!("{asked:?}") };
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
        assert_eq!(ttl, limits::ORIGIN_NAME_OF_SYSTEM);
    }
}
