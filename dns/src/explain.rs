//! Why a client is sent where it is: the same calls as an answer, told step by step.

use std::net::IpAddr;

use config::Location;
use hickory_server::proto::rr::{Name, RData, RecordType};
use mapping::latency;
use mapping::load::{Use, Width};
use mapping::{
    Basis, COST_PER_MS, Cause, Choice, Chosen, EdgeIndex, Family, Fitness, List, Mapped, Place, PopIndex, Ranked,
    Wanted,
};
use serde::{Deserialize, Serialize};

use crate::ecs::Asker;
use crate::query::Subnet;
use crate::view::View;
use crate::zone::Found;

/// Where a client is sent for a name, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The name asked for.
    pub name: String,
    /// The client.
    pub from: IpAddr,
    /// The site the name is routed to.
    pub site: String,
    /// The chosen PoP; none where no PoP has an address of the family.
    pub pop: Option<String>,
    /// The edges answered, best first.
    pub edges: Vec<String>,
    /// Their addresses.
    pub addresses: Vec<IpAddr>,
    /// Where the client is, as databases say.
    pub place: String,
    /// A point that stands for that on a map, degrees north and east, to a tenth.
    #[serde(default)]
    pub location: Option<[f64; 2]>,
    /// What distances are from, where that is no point.
    pub distances: Option<String>,
    /// Its AS, where one says that.
    pub asn: Option<u32>,
    /// What ranked the PoPs: `geography`, `latency`, or a rule by its place, as in `routes.toml:3`.
    pub source: String,
    /// The group whose round trips count, where there is one.
    pub group: Option<Group>,
    /// What the TTL is by: whether the health of an edge that the answer rests on is changing, load has moved the client,
    /// or nothing is fit.
    pub state: String,
    /// Scope of the answer to a client subnet query.
    pub scope: u8,
    /// Why it is no wider.
    pub scope_reason: String,
    /// Seconds a resolver keeps the answer.
    pub ttl: u32,
    /// The first PoPs in order.
    pub candidates: Vec<Candidate>,
    /// How many PoPs come after them, the nearest to the first of them first.
    pub further: usize,
    /// PoPs that a rule forbids: they come after all others.
    pub forbidden: Vec<String>,
    /// Edges of the candidates that are not fit, and why.
    pub unfit: Vec<Unfit>,
}

/// Prefixes whose round trips are taken together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its country, cell and AS.
    pub name: String,
    /// Prefixes that were measured.
    pub prefixes: usize,
    /// The PoP it goes to.
    pub goes_to: String,
    /// The PoP that distance and neighbours let expect.
    pub expected: String,
}

/// An edge that is not named, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unfit {
    /// The edge.
    pub edge: String,
    /// Why.
    pub reason: String,
}

/// What round trips say of a PoP for a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What is believed: the prior, moved by the samples.
    pub ms: f64,
    /// Its standard deviation, as a share.
    pub spread: f64,
    /// Round trips measured.
    pub samples: u32,
    /// Prefixes they came from.
    pub prefixes: u32,
}

/// One PoP of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The PoP.
    pub pop: String,
    /// Its cost, milliseconds of expected round trip.
    pub cost_ms: f64,
    /// How far the client is, km; from a country's people on average where no city is known.
    pub distance_km: f64,
    /// What its ways take longer than distance says, as a factor.
    pub stretch: f64,
    /// What was measured, where the client's group was.
    pub measured: Option<Measured>,
    /// What is added while it is near its limit, milliseconds.
    pub price_ms: f64,
    /// The load it will settle at, as a share of its capacity; none while nothing is known of load.
    pub load: Option<f64>,
    /// Edges that are fit, of all.
    pub fit: usize,
    /// All its edges.
    pub edges: usize,
}

impl View {
    /// Explains a routed name for a client's address.
    ///
    /// # Errors
    /// Says why the name is not routed.
    pub fn explain(&self, name: &str, from: IpAddr, family: Family) -> Result<Explanation, String> {
        let site_index = self.routed_site(name)?;
        let site = self.sites.get(site_index).ok_or("the site is gone")?;
        let length = if from.is_ipv4() { 32 } else { 128 };
        let asker = Asker::new(Some(&Subnet { address: from, source: length, wire: Vec::new() }), from);
        let mapped =
            self.compiled.map.find(asker.address, asker.known_bits, site.class).ok_or("the map has no entry")?;
        let fitness = self.fitness.load();
        let wanted =
            Wanted { site: site_index, hash: mapping::site_hash(&site.id), family, answers: self.answers, turn: 0 };
        let placed = self.assignment.load().find(mapped.number, asker.address);
        let choice = mapping::choose(&self.topology, &fitness, mapped, placed, wanted);
        let (pop, edges) = match &choice.chosen {
            Chosen::Edges { pop, edges } | Chosen::FailOpen { pop, edges } => (Some(*pop), edges.clone()),
            Chosen::NoAddress => (None, Vec::new()),
        };
        let (place, asn) = self.compiled.place_of(asker.address).unwrap_or((Place::Home, 0));
        let learned = self.learned();
        let group = learned.group_of(place, asn).map(|(_, group)| group);
        let ranked = &mapped.list.ranked;
        let names = |pops: &[PopIndex]| pops.iter().map(|pop| self.pop_name(*pop)).collect();
        Ok(Explanation {
            name: name.to_owned(),
            from,
            site: site.id.to_string(),
            pop: pop.map(|pop| self.pop_name(pop)),
            edges: edges.iter().filter_map(|edge| self.edges.get(*edge)).map(ToString::to_string).collect(),
            addresses: self.addresses(&edges, family),
            place: place.to_string(),
            location: Some(tenths(self.compiled.centre_of(place))),
            distances: match place {
                Place::Point { .. } => None,
                Place::Country(_) => Some("distances are those of the country's people, on average".to_owned()),
                Place::Home => Some("distances are from `[geo] home`, else the first PoP".to_owned()),
            },
            asn: Some(asn).filter(|asn| *asn > 0),
            source: self.source(mapped.list.cause),
            group: group.map(|group| self.group(group)),
            state: self.state(&choice, &mapped, placed, (&fitness, site_index)).to_owned(),
            scope: asker.scope(choice.scope),
            scope_reason: scope_reason(&mapped, placed, pop).to_owned(),
            ttl: if choice.basis == Basis::Settled { self.ttl } else { self.ttl_changing },
            candidates: ranked
                .iter()
                .map(|ranked| self.candidate(*ranked, (place, group), &fitness, site_index))
                .collect(),
            further: self.pops.len().saturating_sub(ranked.len()),
            forbidden: names(&mapped.list.forbidden),
            unfit: self.unfit(mapped.list, &fitness, site_index),
        })
    }

    pub(crate) fn addresses(&self, edges: &[EdgeIndex], family: Family) -> Vec<IpAddr> {
        let address = |edge: &EdgeIndex| {
            let spec = self.topology.edges.get(*edge)?;
            match family {
                Family::V4 => spec.v4.first().copied().map(IpAddr::V4),
                Family::V6 => spec.v6.first().copied().map(IpAddr::V6),
            }
        };
        edges.iter().filter_map(address).collect()
    }

    fn source(&self, cause: Cause) -> String {
        match cause {
            Cause::Geography => "geography".to_owned(),
            Cause::Latency(_) => "latency".to_owned(),
            Cause::Rule(number) => {
                let line = usize::try_from(number).ok().and_then(|number| self.rule_lines.get(number));
                line.map_or_else(|| format!("rule {}", number + 1), |line| format!("routes.toml:{line}"))
            }
        }
    }

    fn group(&self, group: &latency::Group) -> Group {
        Group {
            name: group.key.to_string(),
            prefixes: group.prefixes,
            goes_to: self.pop_name(group.current),
            expected: self.pop_name(group.expected),
        }
    }

    /// The site that a name is routed to, over aliases, by its place in the config.
    ///
    /// # Errors
    /// Says why the name is not routed.
    pub fn routed_site(&self, name: &str) -> Result<usize, String> {
        let mut at = Name::from_ascii(name).map_err(|error| format!("`{name}` is not a domain name: {error}"))?;
        at.set_fqdn(true);
        for _ in 0..config::limits::DNS_CHAIN {
            let zone = self.zones.covering(&at).ok_or_else(|| {
                format!(
                    "`{at}` is in no zone served here; a site's own name is SITE.ZONE, with the `zone` of hither.toml"
                )
            })?;
            match zone.find(&at, RecordType::A) {
                Found::Routed(site) => return Ok(site),
                Found::Redirected(_, None) => return Err(format!("what `{at}` leads to is too long for a name")),
                Found::Alias(alias) | Found::Redirected(_, Some(alias)) => match alias.data {
                    RData::CNAME(target) => at = target.0,
                    _ => return Err(format!("`{at}` is not routed")),
                },
                Found::Records(_) => return Err(format!("`{at}` has addresses in its zone file and is not routed")),
                Found::NoData => {
                    return Err(format!("`{at}` exists but is not routed: no site has it among its hosts"));
                }
                Found::NoName => return Err(format!("`{at}` does not exist")),
                Found::Delegated(_) => return Err(format!("`{at}` is delegated to other name servers")),
            }
        }
        Err(format!("`{name}` is an endless chain of aliases"))
    }

    pub(crate) fn candidate(
        &self,
        ranked: Ranked,
        (place, group): (Place, Option<&latency::Group>),
        fitness: &Fitness,
        site: usize,
    ) -> Candidate {
        let edges = self.edges_of(ranked.pop);
        let is_fit = |edge: &EdgeIndex| mapping::is_fit(&self.topology, fitness, site, *edge);
        let (price_ms, load) = self.load_of(ranked.pop);
        let estimate = group.and_then(|group| group.estimate(ranked.pop)).filter(|estimate| estimate.samples > 0);
        Candidate {
            pop: self.pop_name(ranked.pop),
            cost_ms: f64::from(ranked.cost) / COST_PER_MS,
            distance_km: self.compiled.distance_km(place, ranked.pop).unwrap_or(0.0).round(),
            stretch: self.learned().stretch(ranked.pop),
            measured: estimate.map(|estimate| Measured {
                ms: estimate.milliseconds(),
                spread: estimate.spread,
                samples: estimate.samples,
                prefixes: estimate.prefixes,
            }),
            price_ms,
            load,
            fit: edges.clone().filter(is_fit).count(),
            edges: edges.len(),
        }
    }

    /// What the answer's TTL is by.
    fn state(
        &self,
        choice: &Choice,
        mapped: &Mapped<'_>,
        placed: Option<Use>,
        (fitness, site): (&Fitness, usize),
    ) -> &'static str {
        let is_fit = |pop| self.edges_of(pop).any(|edge| mapping::is_fit(&self.topology, fitness, site, edge));
        let nearest = mapped.list.ranked.iter().map(|ranked| ranked.pop).find(|pop| is_fit(*pop));
        match (&choice.chosen, choice.basis) {
            (Chosen::FailOpen { .. }, _) => "nothing is fit: answering as if all were up",
            (Chosen::NoAddress, _) => "no address of this family",
            (Chosen::Edges { .. }, Basis::Settled) => "no edge's health is changing",
            (Chosen::Edges { pop, .. }, Basis::Changing) if Some(*pop) == nearest => "an edge's health is changing",
            _ if matches!(placed, Some(Use { width: Width::Trial(_), .. })) => "these clients try this PoP for a while",
            _ => "load has moved these clients for now",
        }
    }

    /// The candidates' edges that are not fit.
    pub(crate) fn unfit(&self, list: &List, fitness: &Fitness, site: usize) -> Vec<Unfit> {
        let edges = list.ranked.iter().flat_map(|ranked| self.edges_of(ranked.pop));
        let unfit = edges.filter(|edge| !mapping::is_fit(&self.topology, fitness, site, *edge));
        let told = unfit.filter_map(|edge| {
            let reason = match () {
                () if fitness.is_drained(edge) => "is drained",
                () if fitness.is_failing(edge) => "fails: its probes pass, its answers do not come",
                () if !fitness.has_site(edge, site) => "does not have the site yet",
                () => "is down",
            };
            Some(Unfit { edge: self.edges.get(edge)?.to_string(), reason: reason.to_owned() })
        });
        told.collect()
    }

    fn edges_of(&self, pop: PopIndex) -> std::ops::Range<EdgeIndex> {
        self.topology.pops.get(pop.as_usize()).map(|pop| pop.edges.clone()).unwrap_or_default()
    }

    /// The id of a PoP.
    #[must_use]
    pub fn pop_name(&self, pop: PopIndex) -> String {
        self.pops.get(pop.as_usize()).map(ToString::to_string).unwrap_or_default()
    }
}

pub(crate) fn tenths(Location { latitude, longitude }: Location) -> [f64; 2] {
    [latitude, longitude].map(|degrees| (degrees * 10.0).round() / 10.0)
}

/// Up to where the answer is the same.
fn scope_reason(mapped: &Mapped<'_>, placed: Option<Use>, pop: Option<PopIndex>) -> &'static str {
    let depth = mapped.list.ranked.iter().position(|ranked| Some(ranked.pop) == pop);
    match (placed.map(|placed| placed.width), depth) {
        (Some(Width::Block(_)), _) => "since load moves blocks of this size apart",
        (Some(Width::Trial(_)), _) => "since these clients try this PoP, to learn of it",
        (Some(Width::List), _) => "since load moves this PoP's clients apart",
        (_, Some(0)) => "all clients in it have this best PoP",
        (_, Some(1)) => "all clients in it have these first two PoPs",
        _ => "all clients in it have this list and these costs",
    }
}
