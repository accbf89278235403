//! All zones served here: the network's own, and the operator's files.

use std::collections::HashMap;
use std::sync::Arc;

use config::{Config, DomainName, HostName, Problem, Severity, ZoneFile, ZoneKeys};
use hickory_server::proto::rr::rdata::{A, AAAA, NS, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType};
use jiff::Timestamp;

use crate::dnssec::{Signatures, Signer};
use crate::query::is_challenge;
use crate::transfers::{Transfers, zones_of};
use crate::zone::{Found, Routed, Tls, Zone};

/// Zones by apex.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zones {
    zones: HashMap<LowerName, Arc<Zone>>,
    /// Whether any is signed.
    signed: bool,
}

/// Zones, and what is wrong.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) zones: Zones,
    pub(crate) warnings: Vec<Problem>,
    /// What keeps files from being served, in place of which their zones of before are; and what secondaries will miss.
    pub(crate) refused: Vec<Problem>,
}

/// TTL of the network zone's own records: they change only with the fleet.
const INFRASTRUCTURE_TTL: u32 = 3_600;
/// How long "no such name" is kept: short, so that a new site is seen soon.
const NEGATIVE_TTL: u32 = 60;
/// SOA timers for secondaries (RFC 1912 §2.2).
const REFRESH: i32 = 7_200;
const RETRY: i32 = 900;
const EXPIRE: i32 = 1_209_600;

impl Zones {
    /// Builds every zone; sites are named by their place in the config. Where a zone's file is wrong, the zone that was
    /// served before stays.
    pub(crate) fn build(
        config: &Config,
        (transfers, signatures): (&Transfers, &Arc<Signatures>),
        before: Option<&Self>,
    ) -> Result<Built, Vec<Problem>> {
        let mut zones = Self::default();
        let (mut problems, mut refused) = (Vec::new(), Vec::new());
        for file in &config.zones {
            let (zone, told) = Zone::read(file);
            let earlier = before.zip(name(&file.name).ok()).and_then(|(before, name)| before.at(&name));
            match (zone, earlier) {
                (None, Some(earlier)) => {
                    refused.extend(told);
                    zones.zones.insert(earlier.apex().clone(), Arc::new(earlier.as_written()));
                }
                (zone, _) => {
                    problems.extend(told);
                    zones.zones.extend(zone.map(|zone| (zone.apex().clone(), Arc::new(zone))));
                }
            }
        }
        if let Err(problem) = zones.add_network_zone(config) {
            problems.push(problem);
        }
        zones.route_sites(config);
        problems.extend(config.zone_key_problems.iter().cloned());
        problems.extend(zones.sign(config, signatures));
        problems.extend(zones.check_transfers(config));
        if problems.iter().any(|problem| problem.severity == Severity::Fault) {
            return Err(problems);
        }
        problems.extend(zones.warn_of_aliases());
        zones.keep_changes((config, transfers), before, &mut refused);
        Ok(Built { zones, warnings: problems, refused })
    }

    /// Makes the zones that secondaries may take ready for them: those of files.
    fn keep_changes(
        &mut self,
        (config, transfers): (&Config, &Transfers),
        before: Option<&Self>,
        notes: &mut Vec<Problem>,
    ) {
        for file in &config.zones {
            let Ok(apex) = name(&file.name).map(|name| LowerName::new(&name)) else { continue };
            let zone = self.zones.get_mut(&apex).filter(|zone| transfers.hold(&apex) && zone.is_plain());
            let Some(zone) = zone else { continue };
            let earlier = before.and_then(|before| before.zones.get(&apex));
            if let Some(earlier) = earlier
                && earlier.serial() == zone.serial()
                && zone.differs(earlier)
            {
                let message = format!("zone {apex} has changed and its serial has not: no secondary takes the change");
                let problem = Problem::general(message).help("raise the first number of its SOA");
                notes.push(Problem { severity: Severity::Warning, ..problem });
            }
            if let Some(earlier) = earlier
                && zone.serial() < earlier.serial()
            {
                let (was, is) = (earlier.serial().get(), zone.serial().get());
                let message = format!("the serial of zone {apex} went back from {was} to {is}: no secondary takes it");
                let problem = Problem::general(message).help("make the first number of its SOA larger than it was");
                notes.push(Problem { severity: Severity::Warning, ..problem });
            }
            Arc::make_mut(zone).keep_changes(earlier.map(|earlier| &**earlier));
        }
    }

    /// What `[[transfer]]` asks for and cannot have.
    fn check_transfers(&self, config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        let files: Vec<LowerName> =
            config.zones.iter().filter_map(|file| name(&file.name).ok()).map(|name| LowerName::new(&name)).collect();
        for spec in &config.network.transfers {
            let named = zones_of(spec);
            for apex in named.as_ref().unwrap_or(&files) {
                // One that is wrong is told of elsewhere.
                let Some(zone) = self.zones.get(apex) else { continue };
                if !zone.is_plain() {
                    let message =
                        format!("hither.toml: a transfer of zone {apex}, which is signed as answers are asked for");
                    let help = "run another name server of this network in its place, or leave `dnssec` out";
                    let problem = Problem::general(message).help(help);
                    let severity = if named.is_some() { Severity::Fault } else { Severity::Warning };
                    problems.push(Problem { severity, ..problem });
                } else if let Some(host) = zone.routed_names().next() {
                    let message =
                        format!("secondaries of zone {apex} do not answer `{host}`, which is a host of a site");
                    let help = "below the apex, give it an alias in the file: `www CNAME <site>.<zone>.`";
                    problems.push(Problem { severity: Severity::Warning, ..Problem::general(message).help(help) });
                }
            }
        }
        problems.extend(same_keys(config));
        problems
    }

    /// The zone of exactly this name.
    pub(crate) fn at(&self, name: &Name) -> Option<&Arc<Zone>> {
        self.zones.get(&LowerName::new(name))
    }

    /// The zones that secondaries may take.
    pub(crate) fn for_secondaries(&self) -> impl Iterator<Item = (&LowerName, &Zone)> {
        self.zones.iter().filter(|(_, zone)| zone.is_for_secondaries()).map(|(apex, zone)| (apex, &**zone))
    }

    /// Gives every zone that has keys what signs it.
    fn sign(&mut self, config: &Config, signatures: &Arc<Signatures>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for keys in &config.zone_keys {
            let Ok(apex) = name(&keys.zone) else { continue };
            let Some(zone) = self.zones.get_mut(&LowerName::new(&apex)) else { continue };
            match Signer::new(&apex, keys, signatures) {
                Ok(signer) => {
                    if let Some(begin) = signer.begins_after(Timestamp::now()) {
                        let file = ZoneKeys::file(&keys.zone);
                        let message = format!("{}: the first key is of {begin}, which is to come", file.display());
                        let help = "it signs all the same; is this machine's clock right?";
                        let problem = Problem::general(message).help(help);
                        problems.push(Problem { severity: Severity::Warning, ..problem });
                    }
                    Arc::make_mut(zone).signer = Some(Arc::new(signer));
                    self.signed = true;
                }
                Err(fault) => problems.push(
                    Problem::general(format!("{}: {fault}", ZoneKeys::file(&keys.zone).display()))
                        .help("take the file from the machine where `hither keys` made it, or from a backup"),
                ),
            }
        }
        problems
    }

    /// Aliases that lead to a name of ours which is not there: a site removed or misspelt. What authorities of certificates
    /// look for is there while they do.
    fn warn_of_aliases(&self) -> Vec<Problem> {
        let aliases = self.zones.values().flat_map(|zone| zone.aliases().map(move |alias| (zone, alias)));
        let dangling = aliases.filter(|(_, (_, target))| !is_challenge(target)).filter(|(_, (_, target))| {
            let covering = self.covering(target);
            covering.is_some_and(|zone| matches!(zone.find(target, RecordType::A), Found::NoName))
        });
        let warn = |(zone, (name, target)): (&Arc<Zone>, (Name, Name))| {
            let apex = zone.apex().to_string();
            let file = apex.trim_end_matches('.');
            let message = format!("zones/{file}: `{name}` is an alias of `{target}`, which does not exist");
            let problem = Problem::general(message).help("is there such a site? `<site>.<zone>` is its name");
            Problem { severity: Severity::Warning, ..problem }
        };
        dangling.map(warn).collect()
    }

    /// The zone under which sites are answered, with its name servers' records. A file of that name
    /// is its base.
    fn add_network_zone(&mut self, config: &Config) -> Result<(), Problem> {
        let network = &config.network;
        let apex = name(&network.zone)?;
        let servers: Vec<Name> = match &network.nameservers {
            Some(names) => names.iter().map(name).collect::<Result<_, _>>()?,
            None => network.name_servers.iter().map(|node| below(&apex, node.id.as_str())).collect::<Result<_, _>>()?,
        };
        let key = LowerName::new(&apex);
        if self.zones.contains_key(&key) {
            return Ok(());
        }
        let primary = servers.first().cloned().unwrap_or_else(|| apex.clone());
        let contact = contact(&network.contact)?;
        // Seconds fit a serial until 2106.
        let serial = u32::try_from(config.version / 1_000).unwrap_or(u32::MAX);
        let soa = SOA::new(primary, contact, serial, REFRESH, RETRY, EXPIRE, NEGATIVE_TTL);
        let mut zone = Zone::new(apex.clone(), soa, INFRASTRUCTURE_TTL);
        for server in servers {
            zone.insert(Record::from_rdata(apex.clone(), INFRASTRUCTURE_TTL, RData::NS(NS(server))));
        }
        for node in &network.name_servers {
            for address in node.addresses.all() {
                let data = match address {
                    std::net::IpAddr::V4(v4) => RData::A(A(*v4)),
                    std::net::IpAddr::V6(v6) => RData::AAAA(AAAA(*v6)),
                };
                zone.insert(Record::from_rdata(below(&apex, node.id.as_str())?, INFRASTRUCTURE_TTL, data));
            }
        }
        self.zones.insert(key, Arc::new(zone));
        Ok(())
    }

    /// Routes `<site>.<zone>` and every host of a site that lies in a zone served here.
    fn route_sites(&mut self, config: &Config) {
        let apex = name(&config.network.zone).ok();
        for (index, site) in config.sites.iter().enumerate() {
            let tls = if site.tls.is_some() { Tls::Served } else { Tls::Unserved };
            let routed = Routed { site: index, tls };
            let own = apex.as_ref().and_then(|apex| below(apex, site.id.as_str()).ok());
            let hosts = site.hosts.iter().filter_map(|host| match &host.name {
                HostName::Exact(host) => name(host).ok(),
                HostName::Below(host) => name(host).ok()?.prepend_label("*").ok(),
                HostName::Address(_) => None,
            });
            for host in own.into_iter().chain(hosts) {
                if let Some(zone) = self.covering_mut(&host) {
                    zone.route(&host, routed);
                }
            }
        }
    }

    /// As [`Zone::tell_of_tls`], in all of them.
    pub(crate) fn tell_of_tls(&mut self, is_there: &dyn Fn(usize, &LowerName) -> bool) {
        for zone in self.zones.values_mut().filter(|zone| zone.routed_names().next().is_some()) {
            Arc::make_mut(zone).tell_of_tls(is_there);
        }
    }

    /// Whether any zone is.
    pub(crate) fn are_signed(&self) -> bool {
        self.signed
    }

    /// When the keys of any zone do something else.
    pub(crate) fn keys_change_after(&self, now: Timestamp) -> Option<Timestamp> {
        let signers = self.zones.values().filter_map(|zone| zone.signer.as_ref());
        signers.filter_map(|signer| signer.changes_after(now)).min()
    }

    /// The closest zone that covers a name.
    pub(crate) fn covering(&self, name: &Name) -> Option<&Zone> {
        self.closest(name).and_then(|apex| self.zones.get(&apex)).map(|zone| &**zone)
    }

    /// The zone that has a type of a name: a zone's DS is its parent's (RFC 4035 §3.1.4.1).
    pub(crate) fn having(&self, name: &Name, kind: RecordType) -> Option<&Zone> {
        let zone = self.covering(name)?;
        let is_apex = !name.is_root() && *zone.apex() == LowerName::new(name);
        let parent = || self.covering(&name.base_name());
        if kind == RecordType::DS && is_apex { parent().or(Some(zone)) } else { Some(zone) }
    }

    fn covering_mut(&mut self, name: &Name) -> Option<&mut Zone> {
        self.closest(name).and_then(|apex| self.zones.get_mut(&apex)).map(Arc::make_mut)
    }

    fn closest(&self, name: &Name) -> Option<LowerName> {
        let mut at = LowerName::new(name);
        loop {
            if self.zones.contains_key(&at) {
                return Some(at);
            }
            if at.is_root() {
                return None;
            }
            at = at.base_name();
        }
    }
}

/// Transfer keys that cannot be told apart: a key is known by its name (RFC 8945 §4.2).
fn same_keys(config: &Config) -> Option<Problem> {
    let mut keys = config.network.transfers.iter().filter_map(|spec| spec.key.as_ref());
    let mut seen: HashMap<&DomainName, &config::TransferKey> = HashMap::new();
    let twice = keys.find(|key| *seen.entry(&key.name).or_insert(key) != *key)?;
    let message = format!("hither.toml: two transfers have different keys of the name {}", twice.name);
    Some(Problem::general(message).help("give each key a name of its own"))
}

/// Everything that is wrong with the zone files, warnings too: also where the rest of the config does
/// not hold.
#[must_use]
pub fn check_zones(zones: &[ZoneFile]) -> Vec<Problem> {
    zones.iter().flat_map(|file| Zone::read(file).1).collect()
}

/// The largest TTL in a zone file; `None` where it cannot be served.
#[must_use]
pub fn largest_ttl(file: &ZoneFile) -> Option<u32> {
    Zone::read(file).0?.largest_ttl()
}

pub(crate) fn name(domain: &DomainName) -> Result<Name, Problem> {
    Name::from_ascii(format!("{domain}.")).map_err(|error| Problem::general(format!("`{domain}`: {error}")))
}

fn below(apex: &Name, label: &str) -> Result<Name, Problem> {
    let full = apex.prepend_label(label);
    full.map_err(|error| Problem::general(format!("`{label}.{apex}`: {error}")).help("use a shorter id or zone"))
}

/// `person@domain` as the SOA holds it: dots in the person stay in one label (RFC 1035 §8).
fn contact(mail: &str) -> Result<Name, Problem> {
    let fault = |_| Problem::general(format!("`{mail}` cannot be a zone's contact"));
    let (person, domain) = mail.split_once('@').unwrap_or(("hostmaster", mail));
    let domain = Name::from_ascii(format!("{domain}.")).map_err(fault)?;
    domain.prepend_label(person.as_bytes()).map_err(fault)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use config::Source;

    use super::*;

    #[test]
    fn every_zone_is_checked_to_its_end() {
        let file = |name: &str, text: &str| {
            let path = PathBuf::from("zones").join(name);
            let source = Source::new(&path, format!("$TTL 1h\n@ SOA ns1 h 1 2h 1h 2w 5m\n@ NS ns1\n{text}"));
            ZoneFile { name: DomainName::parse(name).unwrap(), source: Ok(source), path }
        };
        let files = [
            file("one.example", "a A 1.2.3\nb AAAA 1.2.3.4\n"),
            file("good.example", "a A 192.0.2.1"),
            file("odd.example", "a.odd.example A 192.0.2.1"),
            file("two.example", "c CNAME d\nc TXT e"),
        ];
        let told: Vec<String> = check_zones(&files).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
