//! Sites ready for serving, found by host.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use caching::decode_unreserved;
use certs::Certificates;
use config::{
    Config, CountryCode, HostName, Hsts, KeyPart, Maintenance, OriginServer, Prefix, Problem, Rule, Secret, Severity,
    SigningKey, SiteId, limits,
};
use http::HeaderValue;
use mapping::{Family, Geography};
use origin::{Fares, Servers};
use telemetry::Metrics;
use xxhash_rust::xxh3::xxh3_64;

use crate::accounts::Accounts;
use crate::counters::SiteCounters;
use crate::fields::is_unkeyed;
use crate::panics::Panics;
use crate::query::normalise;
use crate::room::Room;
use crate::signature::unsigned;

/// Every site of a config.
#[derive(Clone, Debug)]
pub struct Sites {
    sites: Vec<Arc<Site>>,
    /// Where clients are, if any site asks for their countries.
    geography: Option<Arc<Geography>>,
    exact: Hosts,
    below: Hosts,
    /// Whose certificate clients get that name no host, or one that no site has.
    default: Option<usize>,
    /// Who may say whose a request is.
    pub(crate) proxies: Vec<Prefix>,
    pub(crate) digest: String,
    /// Which config it was built of.
    pub(crate) version: fleet::ConfigVersion,
    /// By which we recognise our own requests (RFC 8586): the network's zone.
    pub(crate) loop_id: HeaderValue,
    /// By which name servers show that they may read the report.
    pub(crate) fleet_key: Option<Secret>,
    /// What clients are shown that come by TLS, where anybody listens.
    certificates: Option<Arc<Certificates>>,
}

/// The numbers of sites by the names of hosts, and by their ports where they have one.
type Hosts = HashMap<String, Vec<(Option<u16>, usize)>>;

/// One site.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) origin: config::Origin,
    pub(crate) cache: config::Cache,
    pub(crate) rules: Vec<Rule>,
    has_tls: bool,
    /// The port of the same URLs over TLS, where clients without it are sent there.
    pub(crate) sends_to: Option<u16>,
    /// What browsers are told over TLS.
    pub(crate) hsts: Option<HeaderValue>,
    /// Whether a rule keeps anybody out.
    pub(crate) is_guarded: bool,
    pub(crate) maintenance: Option<Maintenance>,
    /// Set when the sites go into service.
    pub(crate) counters: OnceLock<SiteCounters>,
    room: OnceLock<Arc<Room>>,
    servers: OnceLock<Arc<Servers>>,
    /// What it is told apart by from others of its id.
    digest: u64,
    /// The same of what keeps people out.
    guards: u64,
    pub(crate) panics: Panics,
    /// The last of its id that did well, where this is another.
    before: Mutex<Option<Arc<Site>>>,
    /// The digest of the one in whose place it stands, where that has failed.
    failed: Mutex<Option<u64>>,
}

/// Warns of origins from which nothing can be fetched.
#[must_use]
pub fn warn_of_origins(config: &Config) -> Vec<Problem> {
    let warn = |site: &config::Site, server: &OriginServer| {
        let message =
            format!("sites/{}.toml: the origin `{}` is a private address: every fetch will fail", site.id, server.host);
        let problem = Problem::general(message).help("set `allow_private = true` in its [origin] if that is meant");
        Problem { severity: Severity::Warning, ..problem }
    };
    let in_clear = |site: &config::Site| {
        let is_clear = site.origin.servers.iter().any(|server| server.scheme == config::Scheme::Http);
        let (name, _) = site.origin.secret_headers.first().filter(|_| is_clear && !site.origin.allow_private)?;
        let message = format!("sites/{}.toml: the secret in `{name}` goes to its origin in the clear", site.id);
        let problem = Problem::general(message).help("write the server with https://");
        Some(Problem { severity: Severity::Warning, ..problem })
    };
    let sites = config.sites.iter();
    let private = sites.clone().flat_map(|site| origin::prohibited(&site.origin).map(move |server| warn(site, server)));
    private.chain(sites.filter_map(in_clear)).collect()
}

/// Whether any site's rules ask for the countries of clients: only then must an edge read databases.
#[must_use]
pub fn asks_for_countries(config: &Config) -> bool {
    config.sites.iter().flat_map(|site| &site.rules).any(Rule::names_country)
}

/// Warns of parts of keys that select nothing, since edges take no such field from clients.
#[must_use]
pub fn warn_of_keys(config: &Config) -> Vec<Problem> {
    let rules = config.sites.iter().flat_map(|site| site.rules.iter().map(move |rule| (site, rule)));
    let parts = rules.flat_map(|(site, rule)| rule.key.iter().flatten().map(move |part| (site, rule, part)));
    let warn = |(site, rule, part): (&config::Site, &Rule, &KeyPart)| {
        let KeyPart::Header(name) = part else { return None };
        let line = rule.written.iter().find(|written| written.key == "key").map_or(0, |written| written.line);
        let message = format!("sites/{}.toml:{line}: `header:{name}` selects nothing: edges drop it", site.id);
        let problem = Problem::general(message).help("clients could write what they like in it; key by another field");
        is_unkeyed(name).then_some(Problem { severity: Severity::Warning, ..problem })
    };
    parts.filter_map(warn).collect()
}

impl Sites {
    /// Sends nobody to TLS for whom these have no certificate.
    #[must_use]
    pub fn with_certificates(self, certificates: Arc<Certificates>) -> Self {
        Self { certificates: Some(certificates), ..self }
    }

    /// Makes a config's sites ready; with where clients are, which they need if [`asks_for_countries`] says so.
    #[must_use]
    pub fn build(config: &Config, geography: Option<Arc<Geography>>) -> Self {
        let mut sites = Vec::new();
        let (mut exact, mut below) = (Hosts::new(), Hosts::new());
        for (index, site) in config.sites.iter().enumerate() {
            exact.entry(format!("{}.{}", site.id, config.network.zone)).or_default().push((None, index));
            for host in &site.hosts {
                let (map, name) = match &host.name {
                    HostName::Exact(name) => (&mut exact, name.to_string()),
                    HostName::Below(name) => (&mut below, name.to_string()),
                    HostName::Address(address) => (&mut exact, address.to_string()),
                };
                map.entry(name).or_default().push((host.port, index));
            }
            let (id, origin) = (site.id.clone(), site.origin.clone());
            sites.push(Arc::new(Site {
                id,
                origin,
                cache: site.cache.clone(),
                is_guarded: site.rules.iter().any(Rule::is_guard),
                rules: site.rules.clone(),
                has_tls: site.tls.is_some(),
                sends_to: site.tls.as_ref().filter(|tls| tls.redirect).map(|_| config.network.tls_port()),
                hsts: site.tls.as_ref().and_then(|tls| strict(tls.hsts.as_ref()?)),
                maintenance: site.maintenance.clone(),
                counters: OnceLock::new(),
                room: OnceLock::new(),
                servers: OnceLock::new(),
                digest: digest(&format!("{site:?}"), site.rules.iter().flat_map(secrets).chain(shown(&site.origin))),
                guards: guards(&site.rules),
                panics: Panics::default(),
                before: Mutex::default(),
                failed: Mutex::default(),
            }));
        }
        let loop_id = HeaderValue::from_str(config.network.zone.as_str());
        let loop_id = loop_id.unwrap_or_else(|_| HeaderValue::from_static("hither"));
        let digest = fleet::site_digest(config.sites.iter().map(|site| &site.id));
        let fleet_key = config.fleet_key.clone();
        let is_default = |site: &config::Site| config.network.edge.default_site.as_ref() == Some(&site.id);
        let default = config.sites.iter().position(is_default);
        let (version, certificates) = (fleet::ConfigVersion::of(config), None);
        let proxies = config.network.edge.trusted_proxies.clone();
        Self { sites, geography, exact, below, default, proxies, digest, version, loop_id, fleet_key, certificates }
    }

    /// The country of a client. Addresses that are nobody's on the Internet have none.
    pub(crate) fn country_of(&self, client: IpAddr) -> Option<CountryCode> {
        let geography = self.geography.as_ref().filter(|_| origin::is_public(client))?;
        let (place, _) = geography.find(Family::of(client), Family::key(client))?;
        place.country()
    }

    /// Whether a site of this id is served.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.sites.iter().any(|site| site.id.as_str() == id)
    }

    /// Whether a site is of this config, not of one before.
    pub(crate) fn holds(&self, site: &Arc<Site>) -> bool {
        self.sites.iter().any(|other| Arc::ptr_eq(other, site))
    }

    /// The keys by which a URL of a host must be signed, none where it needs not be; `None` where no site has the host.
    #[must_use]
    pub fn signing_keys(&self, host: &str, port: u16, target: &str) -> Option<&[SigningKey]> {
        let on_path = self.find(host, port)?.rules_on(target);
        Some(on_path.filter_map(|rule| rule.signed.as_deref()).last().unwrap_or_default())
    }

    /// Names every site in the metrics, where those past the bound on labels share one, and has it counted by day.
    pub(crate) fn label(&self, metrics: &Metrics, accounts: &Accounts) {
        for (number, site) in self.sites.iter().enumerate() {
            let label = if number < limits::METRIC_SITES { site.id.as_str() } else { "other" };
            let _ = site.counters.set(SiteCounters::new(label, metrics, accounts.totals_of(&site.id)));
        }
    }

    /// Adds what has come from origins to the metrics.
    pub(crate) fn note_received(&self) {
        self.sites.iter().filter_map(|site| site.counters.get()).for_each(SiteCounters::note_received);
    }

    /// The same with another site in the place of one.
    pub(crate) fn with(&self, old: &Arc<Site>, new: &Arc<Site>) -> Self {
        let put = |site: &Arc<Site>| Arc::clone(if Arc::ptr_eq(site, old) { new } else { site });
        Self { sites: self.sites.iter().map(put).collect(), ..self.clone() }
    }

    /// The same where each site that was changed knows what it was before, and one that has failed as it is stays what it
    /// fell back to.
    pub(crate) fn after(mut self, before: &Self) -> Self {
        for site in &mut self.sites {
            let Some(old) = before.sites.iter().find(|old| old.id == site.id) else { continue };
            let failed = *lock(&old.failed);
            if failed == Some(site.digest) {
                *site = Arc::clone(old);
            } else if old.digest == site.digest {
                *lock(&site.before) = lock(&old.before).clone();
            } else if old.panics.any() {
                // It did not do well: the one before it did.
                *lock(&site.before) = lock(&old.before).clone();
            } else {
                // Two versions are kept of a site, not all.
                *lock(&old.before) = None;
                *lock(&site.before) = Some(Arc::clone(old));
            }
        }
        let may_ask =
            |site: &Arc<Site>| site.asks_for_countries() || site.before().is_some_and(|site| site.asks_for_countries());
        if self.geography.is_none() && self.sites.iter().any(may_ask) {
            self.geography.clone_from(&before.geography);
        }
        self
    }

    /// The sites that are not what their files say, since that has failed.
    pub(crate) fn fallen_back(&self) -> impl Iterator<Item = &SiteId> {
        self.sites.iter().filter(|site| lock(&site.failed).is_some()).map(|site| &site.id)
    }

    /// Takes over the rooms of the sites that there were already, and what is known of servers that are the same.
    pub(crate) fn keep_rooms_of(&self, before: &Self) {
        for site in &self.sites {
            let Some(other) = before.sites.iter().find(|other| other.id == site.id) else { continue };
            other.room.get().into_iter().for_each(|room| _ = site.room.set(Arc::clone(room)));
            let servers = other.servers.get().filter(|_| other.origin.servers == site.origin.servers);
            servers.into_iter().for_each(|servers| _ = site.servers.set(Arc::clone(servers)));
        }
    }

    /// The sites whose origins are asked how they are.
    pub(crate) fn probed(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.sites.iter().filter(|site| site.origin.probe.is_some())
    }

    /// How the servers of all sites fare, where not all fare well.
    pub(crate) fn unwell(&self) -> impl Iterator<Item = (&SiteId, Vec<Fares>)> {
        let fares = self.sites.iter().filter_map(|site| Some((&site.id, site.fare()?)));
        fares.filter(|(_, fares)| fares.iter().any(|one| one.is_down || one.is_left_alone))
    }

    /// The ids of sites that had series of their own and in `now` have none.
    pub(crate) fn unlabelled_in<'s>(&'s self, now: &'s Self) -> impl Iterator<Item = &'s SiteId> {
        let labelled: HashSet<&SiteId> = now.labelled().collect();
        self.labelled().filter(move |id| !labelled.contains(id))
    }

    fn labelled(&self) -> impl Iterator<Item = &SiteId> {
        self.sites.iter().take(limits::METRIC_SITES).map(|site| &site.id)
    }

    /// The site whose certificate a client got that asked for this name.
    pub(crate) fn shown(&self, name: Option<&str>, reached: u16) -> Option<&Arc<Site>> {
        let named = name.and_then(|name| self.find(name, reached)).filter(|site| site.has_tls);
        named.or_else(|| self.default.and_then(|index| self.sites.get(index)))
    }

    /// Whether a clear request for a host is to be asked for again over TLS at a port: whoever comes there must find the site,
    /// and its certificate.
    pub(crate) fn is_there(&self, site: &Arc<Site>, host: &str, port: u16) -> bool {
        let (name, _) = parts_of(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let asked_for = Some(name).filter(|_| !is_address);
        let is_shown = self.shown(asked_for, port).is_some_and(|shown| Arc::ptr_eq(shown, site));
        // One that gets itself may not be there yet.
        let is_held = || self.certificates.as_ref().is_none_or(|certificates| certificates.has(asked_for));
        is_shown && self.find(name, port).is_some_and(|found| Arc::ptr_eq(found, site)) && is_held()
    }

    /// The site of a Host: with its port, then without, then the nearest wildcard. The port is the
    /// Host's, else the one the client reached.
    pub(crate) fn find(&self, host: &str, reached: u16) -> Option<&Arc<Site>> {
        let (name, port) = parts_of(host);
        let port = port.map_or(reached, |port| port.parse().unwrap_or(0));
        let name = lower(name.trim_matches(['[', ']']).trim_end_matches('.'));
        let name: &str = &name;
        let in_map = |hosts: &Hosts, name: &str| {
            let ports = hosts.get(name)?;
            // Of two that are alike the last counts.
            let on = |wanted| ports.iter().rev().find(|(port, _)| *port == wanted);
            on(Some(port)).or_else(|| on(None)).map(|(_, index)| *index)
        };
        let mut found = in_map(&self.exact, name);
        let mut rest = name;
        while found.is_none()
            && let Some((_, above)) = rest.split_once('.')
        {
            found = in_map(&self.below, above);
            rest = above;
        }
        found.and_then(|index| self.sites.get(index))
    }
}

/// A name in lower case, in which nearly all are written.
fn lower(name: &str) -> Cow<'_, str> {
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) }
}

/// The name or address of a Host, and its port where it has one.
pub(crate) fn parts_of(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

/// RFC 6797 §6.1.
fn strict(hsts: &Hsts) -> Option<HeaderValue> {
    let subdomains = if hsts.subdomains { "; includeSubDomains" } else { "" };
    let preload = if hsts.preload { "; preload" } else { "" };
    HeaderValue::try_from(format!("max-age={}{subdomains}{preload}", hsts.max_age.as_secs())).ok()
}

/// What it guards is whole after a panic: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A hash of a text, and of secrets, which no text shows.
fn digest<'s>(text: &str, secrets: impl Iterator<Item = &'s Secret>) -> u64 {
    let secrets = secrets.flat_map(|secret| [secret.as_bytes(), b"\0"]);
    xxh3_64(&std::iter::once(text.as_bytes()).chain(secrets).collect::<Vec<_>>().concat())
}

/// A rule's secrets.
fn secrets(rule: &Rule) -> impl Iterator<Item = &Secret> {
    rule.signed.iter().flatten().map(|key| &key.file)
}

/// What an origin's servers are shown, and trusted by.
fn shown(origin: &config::Origin) -> impl Iterator<Item = &Secret> {
    let certificate = origin.client.iter().flat_map(|client| [&client.cert, &client.key]);
    let secrets =
        origin.secret_headers.iter().map(|(_, secret)| secret).chain(origin.aws.iter().map(|aws| &aws.secret));
    origin.ca.iter().chain(certificate).chain(secrets)
}

/// The same of the rules that keep people out.
fn guards(rules: &[Rule]) -> u64 {
    let guards: Vec<Rule> = rules.iter().filter(|rule| rule.is_guard()).cloned().collect();
    let of = |rule: &Rule| {
        let whom = (&rule.path, &rule.method, &rule.header, &rule.client, &rule.country);
        format!("{whom:?} {:?} {:?} {:?} {:?}", rule.deny, rule.allow, rule.signed, rule.rate)
    };
    digest(&guards.iter().map(of).collect::<String>(), guards.iter().flat_map(secrets))
}

impl Site {
    /// The last of its id that did well, where this is another.
    pub(crate) fn before(&self) -> Option<Arc<Self>> {
        lock(&self.before).clone()
    }

    fn asks_for_countries(&self) -> bool {
        self.rules.iter().any(Rule::names_country)
    }

    /// Whether both keep the same people out.
    pub(crate) fn guards_as(&self, other: &Self) -> bool {
        self.guards == other.guards
    }

    /// The parts of keys that edges work out, and tell the origin: what a client says of them is dropped.
    pub(crate) fn key_parts(&self) -> impl Iterator<Item = &KeyPart> {
        self.rules.iter().flat_map(|rule| rule.key.iter().flatten())
    }

    /// It is in this one's place from now on.
    pub(crate) fn stands_for(&self, failed: &Self) {
        *lock(&self.failed) = Some(failed.digest);
    }

    /// Where bytes from its origin are counted.
    pub(crate) fn received(&self) -> Arc<AtomicU64> {
        self.counters.get().map(SiteCounters::received).unwrap_or_default()
    }

    /// Counts a fetch by what came of it.
    pub(crate) fn count_fetch<T>(&self, fetched: &Result<T, origin::FetchError>) {
        if let Some(counters) = self.counters.get() {
            counters.count_fetch(fetched.as_ref().map_or_else(|error| error.name(), |_| "ok"));
        }
    }

    /// The rules whose path a path and query fits.
    fn rules_on(&self, target: &str) -> impl Iterator<Item = &Rule> {
        let path = decode_unreserved(target.split('?').next().unwrap_or_default()).into_owned();
        self.rules.iter().filter(move |rule| rule.path.as_ref().is_none_or(|glob| glob.matches(&path)))
    }

    /// Every path and query that a written one may be stored as, by whichever rules apply when it is asked for.
    pub(crate) fn counted(&self, target: &str) -> Vec<String> {
        let rules = self.rules_on(target).filter_map(|rule| rule.query.as_ref());
        let target = unsigned(target);
        let queries = self.cache.query.iter().chain(rules);
        let counted = queries.map(|query| normalise(&target, query).into_owned());
        counted.chain([target.clone().into_owned()]).collect()
    }

    /// How the origin's servers fare; what probes once said counts only where they go on.
    fn fare(&self) -> Option<Vec<Fares>> {
        let is_probed = self.origin.probe.is_some();
        let fares = self.servers.get()?.fare().into_iter();
        Some(fares.map(|one| Fares { is_down: one.is_down && is_probed, ..one }).collect())
    }

    /// How the origin's servers fare, as fetchers see it.
    pub(crate) fn servers(&self) -> Arc<Servers> {
        Arc::clone(self.servers.get_or_init(|| Servers::new(self.id.as_str(), &self.origin)))
    }

    /// The site's part of the memory for bodies on their way.
    pub(crate) fn room(&self, all: &Arc<Room>) -> Arc<Room> {
        Arc::clone(self.room.get_or_init(|| Arc::new(Room::half_of(all))))
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::Stage;

    #[test]
    fn a_site_is_found_by_its_host_however_that_is_written() {
        let sites = Stage::new("").shared.sites.load_full().unwrap();
        let found = |host: &str| sites.find(host, 80).map(|site| site.id.to_string());
        for host in ["shop.example", "SHOP.Example", "shop.example.", "shop.example:8080", "a.B.shop.example"] {
            assert_eq!(found(host).as_deref(), Some("shop"), "{host}");
        }
        assert_eq!(found("shop.cdn.example").as_deref(), Some("shop"), "by its id");
        assert_eq!(found("Other.example").as_deref(), Some("other"));
        for host in ["example", "shop.example.org", "a.other.example", ""] {
            assert_eq!(found(host), None, "{host}");
        }
    }
}
