//! An immutable snapshot of all that answering a query may consult.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwap;
use certs::Challenges;
use config::{Config, NodeId, PopId, Prefix, Problem, SiteId};
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::HINFO;
use hickory_server::proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordType};
use mapping::latency::Learned;
use mapping::load::Assignment;
use mapping::{Classes, Fitness, Geography, Region, Topology};

use crate::arrival::Arrival;
use crate::compiled::Compiled;
use crate::dnssec::Signatures;
use crate::identity::Identity;
use crate::limiter::Same;
use crate::others::warn_of_others;
use crate::query::{Flaw, Query, is_challenge};
use crate::reply::{Reply, Reuse, Why};
use crate::service;
use crate::transfers::Transfers;
use crate::tsig::{self, Session};
use crate::zone::{Found, Zone};
use crate::zones::{Built, Zones};

/// What a name server answers from; a reload builds a new one and swaps it in whole.
#[derive(Debug)]
pub struct View {
    pub(crate) zones: Zones,
    pub(crate) transfers: Transfers,
    pub(crate) signatures: Arc<Signatures>,
    pub(crate) compiled: Arc<Compiled>,
    learned: ArcSwap<Learned>,
    pub(crate) topology: Topology,
    pub(crate) sites: Vec<RoutedSite>,
    pub(crate) pops: Vec<PopId>,
    /// Where each rule stands in `routes.toml`.
    pub(crate) rule_lines: Vec<usize>,
    pub(crate) edges: Vec<NodeId>,
    /// Where clients reach each edge over TLS.
    pub(crate) https_ports: Vec<u16>,
    pub(crate) fitness: Arc<ArcSwap<Fitness>>,
    pub(crate) assignment: Arc<ArcSwap<Assignment>>,
    identity: Identity,
    pub(crate) challenges: Arc<Challenges>,
    /// How often a network gets the same reply in a second; 0 is no limit.
    rate_limit: u32,
    pub(crate) ttl: u32,
    pub(crate) ttl_changing: u32,
    pub(crate) answers: usize,
    /// After so many turns edges and their addresses stand as at first.
    turns: usize,
    /// Who may ask why.
    pub(crate) explained_to: Vec<Prefix>,
    /// What looks like a mistake in the zones.
    pub warnings: Vec<Problem>,
    /// What is wrong with zone files that are not served as they are now: their zones of before are. And what secondaries
    /// will miss of the others.
    pub refused: Vec<Problem>,
}

/// What routing needs of a site.
#[derive(Debug)]
pub(crate) struct RoutedSite {
    pub(crate) id: SiteId,
    pub(crate) hash: u64,
    pub(crate) class: usize,
}

impl View {
    /// Builds a view from a config. `before` spares compiling the map, where nothing in it has changed.
    ///
    /// # Errors
    /// Zones that cannot be served.
    pub fn build(
        config: &Config,
        (geography, regions): (&Arc<Geography>, &Arc<[Region]>),
        learned: &Arc<Learned>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<Problem>> {
        let topology = Topology::of(&config.network);
        let classes = classes(config);
        let earlier = before.map(|view| &view.compiled);
        let compiled = Compiled::new(config, (&topology, &classes), (geography, regions), learned, earlier);
        Self::with_map(config, compiled.map_err(|problem| vec![problem])?, learned, before)
    }

    /// Builds a view around a map that was kept.
    ///
    /// # Errors
    /// Zones that cannot be served.
    pub(crate) fn restore(config: &Config, kept: Arc<Compiled>) -> Result<Self, Vec<Problem>> {
        Self::with_map(config, kept, &Arc::default(), None)
    }

    fn with_map(
        config: &Config,
        compiled: Arc<Compiled>,
        learned: &Arc<Learned>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<Problem>> {
        let signatures = before.map(|before| Arc::clone(&before.signatures)).unwrap_or_default();
        let transfers = Transfers::new(config);
        let zones_before = before.map(|before| &before.zones);
        let Built { zones, mut warnings, refused } = Zones::build(config, (&transfers, &signatures), zones_before)?;
        warnings.extend(warn_of_others(config, &zones));
        let network = &config.network;
        let topology = Topology::of(network);
        let classes = classes(config);
        let pops: Vec<PopId> = network.pops.iter().map(|pop| pop.id.clone()).collect();
        let assignment = before.filter(|before| before.pops == pops).map(|before| before.assignment_for(&compiled));
        let assignment = assignment.unwrap_or_default();
        let fitness = Fitness::all_up(topology.edges.len());
        let turns = turns(&topology, network.dns.answers.into());
        let site = |site: &config::Site| {
            let id = site.id.clone();
            RoutedSite { hash: mapping::site_hash(&id), class: classes.of(&id), id }
        };
        let sites = config.sites.iter().map(site).collect();
        let edges = network.edges().map(|(_, edge)| edge.id.clone()).collect();
        Ok(Self {
            zones,
            transfers,
            signatures,
            compiled,
            learned: ArcSwap::new(Arc::clone(learned)),
            topology,
            sites,
            pops,
            rule_lines: config.routes.routes.iter().map(|route| route.line).collect(),
            edges,
            https_ports: service::ports(config),
            fitness: Arc::new(ArcSwap::from_pointee(fitness)),
            assignment,
            identity: before.map(|before| before.identity.clone()).unwrap_or_default(),
            challenges: before.map(|before| Arc::clone(&before.challenges)).unwrap_or_default(),
            rate_limit: network.dns.rate_limit,
            ttl: seconds(network.dns.ttl),
            ttl_changing: seconds(network.dns.ttl_changing),
            answers: usize::from(network.dns.answers),
            turns,
            explained_to: network.dns.explain.clone(),
            warnings,
            refused,
        })
    }

    /// Answers by this fitness, which numbers edges as the view's config does. Until then all are up.
    #[must_use]
    pub fn with_fitness(mut self, fitness: Arc<ArcSwap<Fitness>>) -> Self {
        self.fitness = fitness;
        self
    }

    /// Tells this of itself. Until then nothing.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Tells authorities of certificates what these have ready. Until then what the view before did.
    #[must_use]
    pub fn with_challenges(mut self, challenges: Arc<Challenges>) -> Self {
        self.challenges = challenges;
        self
    }

    /// Tells of TLS only at the names of sites that this knows to have it by now, by the site's place in the config and the
    /// name, in lower case: who is told comes by no other way (RFC 9460 §9.5). Until then at all of a site with `tls`.
    #[must_use]
    pub fn with_tls(mut self, is_there: impl Fn(usize, &str) -> bool) -> Self {
        self.zones.tell_of_tls(&|site, name| is_there(site, name.to_string().trim_end_matches('.')));
        self
    }

    /// How often a network gets the same reply by UDP in a second; 0 is no limit.
    #[must_use]
    pub fn rate_limit(&self) -> u32 {
        self.rate_limit
    }

    /// The cookies of its network.
    pub(crate) fn cookies(&self) -> &crate::cookie::Cookies {
        &self.identity.cookies
    }

    /// The fitness it answers by.
    #[must_use]
    pub fn fitness(&self) -> Arc<ArcSwap<Fitness>> {
        Arc::clone(&self.fitness)
    }

    /// What round trips have taught.
    #[must_use]
    pub fn learned(&self) -> Arc<Learned> {
        self.learned.load_full()
    }

    /// Takes over what they teach now, which has the same groups and moves as what its map was compiled with.
    pub fn relearn(&self, learned: Arc<Learned>) {
        self.learned.store(learned);
    }

    /// Whether these are its PoPs, in this order.
    #[must_use]
    pub fn has_pops(&self, pops: &[PopId]) -> bool {
        self.pops == pops
    }

    /// How many signatures were sent past half of their life since they could not be renewed, since this was last asked.
    #[must_use]
    pub fn take_late_signatures(&self) -> u64 {
        self.signatures.take_late()
    }

    /// How many PoPs there are.
    #[must_use]
    pub fn pops(&self) -> usize {
        self.pops.len()
    }

    /// Whether another answers by the same map.
    #[must_use]
    pub fn shares_map(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.compiled, &other.compiled)
    }

    /// Distinct units, and bytes of the lookup tables.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.compiled.map.units(), self.compiled.map.bytes())
    }

    /// Answers one message; `None` is silence.
    #[must_use]
    pub fn answer(&self, message: &[u8], arrival: &Arrival) -> Option<Reply> {
        let seconds = arrival.seconds().into();
        let Some(signed) = tsig::open(self.transfers.keys(), message, seconds) else {
            return self.answer_unsigned(message, arrival, None);
        };
        let mut reply = self.answer_unsigned(message, arrival, signed.as_ref().ok())?;
        reply.seal_with(signed, seconds);
        Some(reply)
    }

    fn answer_unsigned(&self, message: &[u8], arrival: &Arrival, session: Option<&Session>) -> Option<Reply> {
        let query = match Query::read(message) {
            Ok(query) => query,
            Err(Flaw::Silence) => return None,
            Err(Flaw::Greeting { envelope, edns }) => {
                let mut reply = Reply::greeting(&envelope, &edns);
                reply.introduce(&self.identity, &edns, arrival);
                return Some(reply);
            }
            Err(Flaw::Refuse { envelope, question, asked, code }) => {
                return Some(Reply::refusing(&envelope, question.as_ref(), asked, code));
            }
        };
        let mut reply = Reply::to(&query);
        match self.zone_of(&query) {
            Err(Why::Prohibited) if self.tells_version(&mut reply, &query, arrival, session) => {}
            Err(why) => reply.refuse(why),
            Ok(zone) => {
                if !self.tells_why(&mut reply, &query, arrival.resolver) {
                    self.walk(&mut reply, zone, &query, arrival);
                }
                if query.asks_why() || is_challenge(query.question.name()) {
                    reply.reuse = Reuse::Never;
                }
                reply.facts.same = same(zone, &query, &reply);
                self.sign(&mut reply, &query, arrival);
            }
        }
        reply.seal();
        if let Some(edns) = &query.edns {
            reply.introduce(&self.identity, edns, arrival);
        }
        Some(reply)
    }

    /// The zone that answers a query, or why none does.
    fn zone_of(&self, query: &Query) -> Result<&Zone, Why> {
        let kind = query.question.query_type();
        match (query.question.query_class(), kind) {
            (DNSClass::IN, RecordType::AXFR | RecordType::IXFR) => Err(Why::Prohibited),
            (DNSClass::IN, _) => self.zones.having(query.question.name(), kind).ok_or(Why::NotAuthoritative),
            // Our version is nobody's business.
            _ => Err(Why::NotSupported),
        }
    }

    /// Follows the name through the zones served here.
    fn walk(&self, reply: &mut Reply, zone: &Zone, query: &Query, arrival: &Arrival) {
        let kind = query.question.query_type();
        let mut name = query.question.name().clone();
        let mut zone = zone;
        reply.reuse = Reuse::Always;
        for _ in 0..config::limits::DNS_CHAIN {
            if let Some(records) = zone.made_by_keys(&name, kind, arrival.at) {
                return reply.message.answers.extend(records);
            }
            if let Some(records) = self.challenged(&name, kind, arrival.at) {
                return reply.message.answers.extend(records);
            }
            match zone.find(&name, kind) {
                Found::Records(records) => return reply.message.answers.extend(records),
                Found::Routed(site) if kind == RecordType::HTTPS => {
                    return self.route_service(reply, zone, &name, site, query, arrival);
                }
                Found::Routed(site) => return self.route(reply, zone, &name, site, query, arrival),
                Found::NoData if kind == RecordType::ANY => return reply.message.answers.push(minimal_any(&name)),
                Found::NoData => {
                    reply.message.authorities.push(zone.negative());
                    return self.deny(reply, zone, &name, query, arrival);
                }
                Found::NoName => {
                    // Of names that are not there are too many to keep.
                    reply.reuse = Reuse::Never;
                    if !self.may_deny(zone, query, arrival) {
                        reply.is_cut = true;
                        return;
                    }
                    // RFC 6604 §3: the code is that of the last name of a chain.
                    reply.message.metadata.response_code = ResponseCode::NXDomain;
                    reply.message.authorities.push(zone.negative());
                    return self.deny(reply, zone, &name, query, arrival);
                }
                Found::Delegated(servers) => {
                    refer(reply, zone, servers);
                    return self.vouch(reply, zone, servers, query, arrival);
                }
                // All that is there (RFC 1034 §4.3.2: `*` matches).
                Found::Alias(alias) if kind == RecordType::ANY => return reply.message.answers.push(*alias),
                Found::Alias(alias) => match self.lead(reply, alias) {
                    Some(next) => (zone, name) = next,
                    None => return,
                },
                Found::Redirected(redirection, alias) => {
                    // Of names below it are too many to keep.
                    reply.reuse = Reuse::Never;
                    if !reply.message.answers.contains(&redirection) {
                        reply.message.answers.push(*redirection);
                    }
                    let Some(alias) = alias else {
                        // RFC 6672 §2.2: a name that would be too long.
                        return reply.message.metadata.response_code = ResponseCode::YXDomain;
                    };
                    match self.lead(reply, alias) {
                        Some(next) if !matches!(kind, RecordType::CNAME | RecordType::ANY) => (zone, name) = next,
                        _ => return,
                    }
                }
            }
        }
    }

    /// Answers with an alias; where it leads, if that is served here.
    fn lead(&self, reply: &mut Reply, alias: Box<Record>) -> Option<(&Zone, Name)> {
        let RData::CNAME(target) = &alias.data else { return None };
        let target = target.0.clone();
        let is_alias = |record: &Record| record.name == target && record.record_type() == RecordType::CNAME;
        let is_circle = alias.name == target || reply.message.answers.iter().any(is_alias);
        reply.message.answers.push(*alias);
        // Once round is all there is to say.
        Some((self.zones.covering(&target).filter(|_| !is_circle)?, target))
    }

    /// Which turn it is: a message's id is as random as that needs to be.
    pub(crate) fn turn(&self, id: u16) -> usize {
        usize::from(id) % self.turns
    }
}

/// The classes of sites under the operator's rules.
fn classes(config: &Config) -> Classes {
    let ids: Vec<SiteId> = config.sites.iter().map(|site| site.id.clone()).collect();
    mapping::class_of_sites(&config.routes.routes, &ids)
}

/// The least number of turns in which whatever turns comes round: up to `answers` edges, and addresses of each.
fn turns(topology: &Topology, answers: usize) -> usize {
    let sharing = 1..=mapping::LEAST_SHARING.max(answers);
    let addresses = topology.edges.iter().flat_map(|edge| [edge.v4.len(), edge.v6.len()]);
    let turns = sharing.chain(addresses).filter(|count| *count > 0).fold(1, least_common_multiple);
    turns.min(usize::from(u16::MAX) + 1)
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut divisor, mut rest) = (a, b);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor).saturating_mul(b)
}

fn seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// Sends the asker to the servers of a delegated name, with the addresses known here.
fn refer(reply: &mut Reply, zone: &Zone, servers: &[Record]) {
    reply.message.metadata.authoritative = !reply.message.answers.is_empty();
    for server in servers {
        if let RData::NS(target) = &server.data {
            reply.message.additionals.extend(zone.addresses(&target.0));
        }
        reply.message.authorities.push(server.clone());
    }
}

/// Which other replies are the same to a limit.
pub(crate) fn same(zone: &Zone, query: &Query, reply: &Reply) -> Same {
    let name = LowerName::new(query.question.name());
    // Not kept, so that it may be another in each process.
    let hash = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        value(&mut hasher);
        hasher.finish()
    };
    if zone.has(query.question.name()) {
        // What is not there is one reply, whichever of many types is asked for.
        let kind = if reply.message.answers.is_empty() { 0 } else { u16::from(query.question.query_type()) };
        Same::Answer(hash(&|hasher| (&name, kind).hash(hasher)))
    } else {
        Same::Stranger(hash(&|hasher| zone.apex().hash(hasher)))
    }
}

/// RFC 8482 §4.2: an HINFO record in place of everything, where there is something.
fn minimal_any(name: &Name) -> Record {
    let hinfo = HINFO::new("RFC8482".to_owned(), String::new());
    Record::from_rdata(name.clone(), 3_600, RData::HINFO(hinfo))
}

#[cfg(test)]
pub(crate) mod tests;
