//! Answering routed names: addresses of the edges chosen for who asks, and what is served there.

use hickory_server::proto::rr::rdata::{A, AAAA};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use mapping::{Basis, Choice, Chosen, EdgeIndex, Family, Wanted};

use crate::arrival::Arrival;
use crate::ecs::Asker;
use crate::query::Query;
use crate::reply::{Reply, Reuse};
use crate::service::{self, Service, turned};
use crate::view::View;
use crate::zone::Zone;

impl View {
    /// The edges chosen for who asks, for each of these families by the same fitness.
    fn choose<const N: usize>(
        &self,
        reply: &mut Reply,
        site: usize,
        families: [Family; N],
        (query, arrival): (&Query, &Arrival),
    ) -> Option<[Choice; N]> {
        reply.reuse = Reuse::Never;
        let subnet = query.edns.as_ref().and_then(|edns| edns.subnet.as_ref());
        let asker = Asker::new(subnet, arrival.resolver);
        let routed = self.sites.get(site)?;
        let mapped = self.compiled.map.find(asker.address, asker.known_bits, routed.class)?;
        let turn = self.turn(query.envelope.id);
        let placed = self.assignment.load().find(mapped.number, asker.address);
        let fitness = self.fitness.load();
        let choices = families.map(|family| {
            let wanted = Wanted { site, hash: routed.hash, family, answers: self.answers, turn };
            mapping::choose(&self.topology, &fitness, mapped, placed, wanted)
        });
        reply.facts.cause = Some(mapped.list.cause);
        let scope = choices.iter().map(|choice| choice.scope).max().unwrap_or(0);
        reply.facts.scope = asker.scope(scope);
        Some(choices)
    }

    /// Answers a routed name with the addresses of the edges chosen for who asks.
    pub(crate) fn route(
        &self,
        reply: &mut Reply,
        zone: &Zone,
        name: &Name,
        site: usize,
        query: &Query,
        arrival: &Arrival,
    ) {
        let family = match query.question.query_type() {
            RecordType::AAAA => Family::V6,
            _ => Family::V4,
        };
        let Some([choice]) = self.choose(reply, site, [family], (query, arrival)) else {
            return;
        };
        let ttl = self.ttl_by(choice.basis);
        let turn = self.turn(query.envelope.id);
        if let Chosen::Edges { pop, .. } = choice.chosen {
            reply.reuse = Reuse::Routed { site, family, pop, basis: choice.basis };
        }
        match choice.chosen {
            Chosen::Edges { pop, edges } | Chosen::FailOpen { pop, edges } => {
                reply.facts.pop = Some(pop);
                let records = edges.into_iter().filter_map(|edge| self.record(edge, family, name, ttl, turn));
                reply.message.answers.extend(records);
            }
            Chosen::NoAddress => {
                let mut soa = zone.negative();
                if self.topology.has(family) {
                    // Elsewhere, or soon here, there are addresses: no longer true than an answer would be.
                    soa.ttl = soa.ttl.min(ttl);
                } else {
                    // Nobody has one.
                    (reply.facts.scope, reply.reuse) = (0, Reuse::Always);
                }
                reply.message.authorities.push(soa);
                self.deny(reply, zone, name, query, arrival);
            }
        }
    }

    /// Answers a routed name with what is served there, and hints of the addresses that [`Self::route`] would tell.
    pub(crate) fn route_service(
        &self,
        reply: &mut Reply,
        zone: &Zone,
        name: &Name,
        site: usize,
        query: &Query,
        arrival: &Arrival,
    ) {
        let Some(choices) = self.choose(reply, site, [Family::V4, Family::V6], (query, arrival)) else {
            return;
        };
        let is_settled = choices.iter().all(|choice| choice.basis == Basis::Settled);
        let ttl = self.ttl_by(if is_settled { Basis::Settled } else { Basis::Changing });
        let turn = self.turn(query.envelope.id);
        let Some(service) = Service::of(&choices, &self.topology, &self.https_ports, turn) else {
            let mut soa = zone.negative();
            soa.ttl = soa.ttl.min(ttl);
            reply.message.authorities.push(soa);
            return self.deny(reply, zone, name, query, arrival);
        };
        if let Some((pop, basis)) = service::common(&choices, &self.topology) {
            reply.facts.pop = Some(pop);
            // Which PoP it is does not depend on the family.
            reply.reuse = Reuse::Routed { site, family: Family::V4, pop, basis };
        }
        reply.message.answers.push(service.record(name, ttl));
    }

    fn ttl_by(&self, basis: Basis) -> u32 {
        match basis {
            Basis::Settled => self.ttl,
            Basis::Changing => self.ttl_changing,
        }
    }

    /// One address of an edge: machines differ, so one each.
    fn record(&self, edge: EdgeIndex, family: Family, name: &Name, ttl: u32, turn: usize) -> Option<Record> {
        let spec = self.topology.edges.get(edge)?;
        let data = match family {
            Family::V4 => RData::A(A(turned(&spec.v4, turn)?)),
            Family::V6 => RData::AAAA(AAAA(turned(&spec.v6, turn)?)),
        };
        Some(Record::from_rdata(name.clone(), ttl, data))
    }
}
