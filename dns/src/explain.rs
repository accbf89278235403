//! Why a client is sent where it is: the same calls as an answer, told step by step.

use std::net::IpAddr;

use hickory_server::proto::rr::{Name, RData, RecordType};
use mapping::{Basis, COST_PER_MS, Cause, Choice, Chosen, Family, Fitness, Mapped, PopIndex, Wanted};
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
    /// What ranked the PoPs: `geography`, or a rule by its place, as in `routes.toml:3`.
    pub source: String,
    /// Whether all that the answer rests on is settled, or nothing is fit.
    pub state: String,
    /// Scope of the answer to a client subnet query.
    pub scope: u8,
    /// Seconds a resolver keeps the answer.
    pub ttl: u32,
    /// The first PoPs in order.
    pub candidates: Vec<Candidate>,
    /// How many PoPs come after them, the nearest to the first of them first.
    pub further: usize,
}

/// One PoP of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The PoP.
    pub pop: String,
    /// Its cost, milliseconds of expected round trip.
    pub cost_ms: f64,
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
        let addresses = edges.iter().filter_map(|edge| {
            let spec = self.topology.edges.get(*edge)?;
            match family {
                Family::V4 => spec.v4.first().copied().map(IpAddr::V4),
                Family::V6 => spec.v6.first().copied().map(IpAddr::V6),
            }
        });
        Ok(Explanation {
            name: name.to_owned(),
            from,
            site: site.id.to_string(),
            pop: pop.map(|pop| self.pop_name(pop)),
            edges: edges.iter().filter_map(|edge| self.edges.get(*edge)).map(ToString::to_string).collect(),
            addresses: addresses.collect(),
            source: match mapped.list.cause {
                Cause::Geography => "geography".to_owned(),
                Cause::Latency(_) => "latency".to_owned(),
                Cause::Rule(number) => {
                    let line = usize::try_from(number).ok().and_then(|number| self.rule_lines.get(number));
                    line.map_or_else(|| format!("rule {}", number + 1), |line| format!("routes.toml:{line}"))
                }
            },
            state: state(&choice).to_owned(),
            scope: asker.scope(choice.scope),
            ttl: if choice.basis == Basis::Settled { self.ttl } else { self.ttl_changing },
            candidates: self.candidates(&mapped, &fitness, site_index),
            further: self.pops.len().saturating_sub(mapped.list.ranked.len()),
        })
    }

    /// Follows aliases to the routed name.
    fn routed_site(&self, name: &str) -> Result<usize, String> {
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
                Found::Alias(alias) => match alias.data {
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

    fn candidates(&self, mapped: &Mapped<'_>, fitness: &Fitness, site: usize) -> Vec<Candidate> {
        let ranked = mapped.list.ranked.iter();
        ranked
            .map(|ranked| {
                let edges =
                    self.topology.pops.get(ranked.pop.as_usize()).map(|pop| pop.edges.clone()).unwrap_or_default();
                let is_fit = |edge: &usize| mapping::is_fit(&self.topology, fitness, site, *edge);
                let (price_ms, load) = self.load_of(ranked.pop);
                Candidate {
                    pop: self.pop_name(ranked.pop),
                    cost_ms: f64::from(ranked.cost) / COST_PER_MS,
                    price_ms,
                    load,
                    fit: edges.clone().filter(is_fit).count(),
                    edges: edges.len(),
                }
            })
            .collect()
    }

    /// The id of a PoP.
    #[must_use]
    pub fn pop_name(&self, pop: PopIndex) -> String {
        self.pops.get(pop.as_usize()).map(ToString::to_string).unwrap_or_default()
    }
}

fn state(choice: &Choice) -> &'static str {
    match (&choice.chosen, choice.basis) {
        (Chosen::FailOpen { .. }, _) => "nothing is fit: answering as if all were up",
        (Chosen::NoAddress, _) => "no address of this family",
        (Chosen::Edges { .. }, Basis::Changing) => "changing",
        (Chosen::Edges { .. }, Basis::Settled) => "settled",
    }
}
