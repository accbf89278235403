//! From a ranked list to the edges of an answer.

use crate::address::Family;
use crate::compile::Mapped;
use crate::fitness::Fitness;
use crate::load::{Use, Width};
use crate::scope::Scopes;
use crate::topology::{EdgeIndex, PopIndex, Topology};
use crate::unit::{List, Ranked};

/// What an answer is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The site, by its place in the config.
    pub site: usize,
    /// Hash of the site's id.
    pub hash: u64,
    /// Addresses of this family.
    pub family: Family,
    /// At most this many edges.
    pub answers: usize,
    /// Turns the edges from answer to answer: any number that varies.
    pub turn: usize,
}

/// Whether everything an answer rests on will likely stay as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Every verdict is settled.
    Settled,
    /// A failure is counted, a recovery is under way, nothing is fit, or load or a trial has moved the client.
    Changing,
}

/// The PoP and edges of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to answer.
    pub chosen: Chosen,
    /// The scope that holds for it.
    pub scope: u8,
    /// How long it will likely hold.
    pub basis: Basis,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Edges of this PoP.
    Edges {
        /// The PoP.
        pop: PopIndex,
        /// Its edges, best first.
        edges: Vec<EdgeIndex>,
    },
    /// As `Edges`, though nothing anywhere is fit: an answer that may be wrong beats none.
    FailOpen {
        /// The PoP.
        pop: PopIndex,
        /// Its edges, best first.
        edges: Vec<EdgeIndex>,
    },
    /// Neither the best PoP nor one nearly as near has addresses of the family.
    NoAddress,
}

/// Edges of a PoP that share a site while its load is small: two, so that one may fail.
pub const LEAST_SHARING: usize = 2;

/// A PoP with the wanted family is used in place of one without while it costs at most 1.5 times.
const FAMILY_COST: (u32, u32) = (3, 2);

/// The PoP for a client, without its edges: found without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The PoP: it is fit, but may have no address of the family.
    pub pop: PopIndex,
    /// The scope that holds if its edges are the answer.
    pub scope: u8,
    /// How long it will likely hold.
    pub basis: Basis,
    /// What it costs, as in the list.
    cost: u32,
}

/// The first fit PoP of the list, or a fit one that load has moved these clients to; `None` where nothing is fit.
#[must_use]
pub fn pick(
    topology: &Topology,
    fitness: &Fitness,
    mapped: Mapped<'_>,
    placed: Option<Use>,
    wanted: Wanted,
) -> Option<Picked> {
    View { topology, fitness, wanted }.pick(&narrowed(mapped, placed), placed)
}

/// Picks the PoP, then its edges.
#[must_use]
pub fn choose(
    topology: &Topology,
    fitness: &Fitness,
    mapped: Mapped<'_>,
    placed: Option<Use>,
    wanted: Wanted,
) -> Choice {
    let view = View { topology, fitness, wanted };
    let mapped = narrowed(mapped, placed);
    let Some(picked) = view.pick(&mapped, placed) else {
        return view.fail_open(&mapped);
    };
    let Picked { pop, scope, basis, .. } = picked;
    let edges = view.edges(pop);
    if edges.is_empty() {
        return view.other_pop(&mapped, picked);
    }
    Choice { chosen: Chosen::Edges { pop, edges }, scope, basis }
}

/// While load moves clients apart that the list sends together, scopes are those of the whole list, or of a block.
fn narrowed(mapped: Mapped<'_>, placed: Option<Use>) -> Mapped<'_> {
    let whole = match placed.map(|placed| placed.width) {
        None | Some(Width::Depth) => return mapped,
        Some(Width::List) => mapped.scopes.whole,
        Some(Width::Block(bits) | Width::Trial(bits)) => mapped.scopes.whole.max(bits),
    };
    Mapped { scopes: Scopes { first: whole, second: whole, whole }, ..mapped }
}

/// Whether an edge may be named for a site: it has the site, is not drained, and one of its families
/// answers.
#[must_use]
pub fn is_fit(topology: &Topology, fitness: &Fitness, site: usize, edge: EdgeIndex) -> bool {
    let answers = |family| has_address(topology, edge, family) && fitness.is_up(edge, family);
    may_serve(fitness, site, edge) && (answers(Family::V4) || answers(Family::V6))
}

fn may_serve(fitness: &Fitness, site: usize, edge: EdgeIndex) -> bool {
    !fitness.is_drained(edge) && !fitness.is_failing(edge) && fitness.has_site(edge, site)
}

fn has_address(topology: &Topology, edge: EdgeIndex, family: Family) -> bool {
    topology.edges.get(edge).is_some_and(|edge| match family {
        Family::V4 => !edge.v4.is_empty(),
        Family::V6 => !edge.v6.is_empty(),
    })
}

struct View<'a> {
    topology: &'a Topology,
    fitness: &'a Fitness,
    wanted: Wanted,
}

impl View<'_> {
    fn pick(&self, mapped: &Mapped<'_>, placed: Option<Use>) -> Option<Picked> {
        let ranked = &mapped.list.ranked;
        let (depth, nearest, cost) = self.first_fit(mapped.list)?;
        let elsewhere = placed.filter(|placed| placed.width != Width::Depth && self.is_pop_fit(placed.pop));
        let elsewhere = elsewhere.and_then(|placed| {
            let listed = ranked.iter().find(|ranked| ranked.pop == placed.pop);
            // Nothing is known of a PoP that is tried: it may be beyond the list.
            let may_try = matches!(placed.width, Width::Trial(_)) && !mapped.list.forbidden.contains(&placed.pop);
            listed.map(|ranked| (ranked.pop, ranked.cost)).or_else(|| may_try.then_some((placed.pop, cost)))
        });
        let (pop, cost) = elsewhere.unwrap_or((nearest, cost));
        let scope = match depth {
            0 => mapped.scopes.first,
            1 => mapped.scopes.second,
            _ => mapped.scopes.whole,
        };
        let basis = if pop == nearest {
            self.basis(ranked.iter().take(depth + 1).map(|ranked| ranked.pop).chain([pop]))
        } else {
            Basis::Changing
        };
        Some(Picked { pop, scope, basis, cost })
    }

    /// The first fit PoP: of the list, else the nearest to the list's best, forbidden ones last.
    fn first_fit(&self, list: &List) -> Option<(usize, PopIndex, u32)> {
        let ranked = &list.ranked;
        let listed = ranked.iter().enumerate().find(|(_, ranked)| self.is_pop_fit(ranked.pop));
        if let Some((depth, ranked)) = listed {
            return Some((depth, ranked.pop, ranked.cost));
        }
        let best = ranked.first()?;
        self.beyond(list).find(|pop| self.is_pop_fit(*pop)).map(|pop| (ranked.len(), pop, best.cost))
    }

    /// For a fit PoP without an edge that answers in the family: another PoP's edges.
    ///
    /// While it is only down, IPv4 comes from the next PoP at any cost, since many clients have nothing
    /// else. IPv6 may be missing: clients that have it reach the fit PoP by IPv4.
    fn other_pop(&self, mapped: &Mapped<'_>, picked: Picked) -> Choice {
        let Picked { pop, cost, basis, .. } = picked;
        let ranked = &mapped.list.ranked;
        let scope = if self.topology.has(self.wanted.family) { mapped.scopes.whole } else { 0 };
        let is_down = self.wanted.family == Family::V4 && self.has_family(pop);
        let near = |ranked: &&Ranked| is_down || ranked.cost * FAMILY_COST.1 <= cost * FAMILY_COST.0;
        let listed = ranked.iter().filter(near).map(|ranked| ranked.pop);
        let beyond = is_down.then(|| self.beyond(mapped.list)).into_iter().flatten();
        let found = listed.chain(beyond).map(|pop| (pop, self.edges(pop))).find(|(_, edges)| !edges.is_empty());
        match found {
            Some((other, edges)) => {
                let basis = match basis {
                    Basis::Settled => self.basis([other].into_iter()),
                    Basis::Changing => Basis::Changing,
                };
                Choice { chosen: Chosen::Edges { pop: other, edges }, scope, basis }
            }
            None if is_down => Choice { scope, ..self.fail_open(mapped) },
            None => Choice { chosen: Chosen::NoAddress, scope, basis },
        }
    }

    /// Where clients go when their whole list is unfit: the nearest to its best, forbidden ones last.
    fn beyond<'l>(&'l self, list: &'l List) -> impl Iterator<Item = PopIndex> + 'l {
        let best = list.ranked.first().and_then(|best| self.topology.pop(best.pop));
        let nearest = best.map(|best| best.beyond.as_slice()).unwrap_or_default();
        let is_allowed = |pop: &&PopIndex| !list.forbidden.contains(pop);
        nearest.iter().filter(is_allowed).chain(&list.forbidden).copied()
    }

    fn has_family(&self, pop: PopIndex) -> bool {
        let edges = self.topology.pop(pop).map(|pop| pop.edges.clone()).unwrap_or_default();
        edges.into_iter().any(|edge| self.has_address(edge, self.wanted.family))
    }

    fn is_pop_fit(&self, pop: PopIndex) -> bool {
        self.topology.pop(pop).is_some_and(|pop| pop.edges.clone().any(|edge| self.is_edge_fit(edge)))
    }

    fn is_edge_fit(&self, edge: EdgeIndex) -> bool {
        is_fit(self.topology, self.fitness, self.wanted.site, edge)
    }

    fn may_serve(&self, edge: EdgeIndex) -> bool {
        may_serve(self.fitness, self.wanted.site, edge)
    }

    fn has_address(&self, edge: EdgeIndex, family: Family) -> bool {
        has_address(self.topology, edge, family)
    }

    /// The PoP's fit edges with an address that answers in the wanted family, chosen and turned.
    fn edges(&self, pop: PopIndex) -> Vec<EdgeIndex> {
        let family = self.wanted.family;
        let fit = |edge: &EdgeIndex| {
            self.has_address(*edge, family) && self.fitness.is_up(*edge, family) && self.may_serve(*edge)
        };
        self.sharing(pop, fit)
    }

    /// Highest random weight (Thaler and Ravishankar 1998), weighted by capacity: a site keeps its
    /// edges when others come and go.
    fn sharing(&self, pop: PopIndex, fit: impl Fn(&EdgeIndex) -> bool) -> Vec<EdgeIndex> {
        let Some(pop) = self.topology.pop(pop) else {
            return Vec::new();
        };
        let mut scored: Vec<(f64, EdgeIndex)> =
            pop.edges.clone().filter(fit).map(|edge| (self.score(edge), edge)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.truncate(LEAST_SHARING.max(self.wanted.answers));
        let mut edges: Vec<EdgeIndex> = scored.into_iter().map(|(_, edge)| edge).collect();
        if !edges.is_empty() {
            let turn = self.wanted.turn % edges.len();
            edges.rotate_left(turn);
        }
        edges.truncate(self.wanted.answers);
        edges
    }

    fn score(&self, edge: EdgeIndex) -> f64 {
        let Some(spec) = self.topology.edges.get(edge) else {
            return 0.0;
        };
        let hash = mix(spec.hash ^ self.wanted.hash.rotate_left(32));
        // 53 bits make a uniform number strictly between 0 and 1.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        #[expect(clippy::cast_precision_loss, reason = "a weight needs no more")]
        let weight = spec.capacity as f64;
        -weight / uniform.ln()
    }

    /// Answers with the best PoP as if all were up: an edge that the operator has drained only if there is no other.
    fn fail_open(&self, mapped: &Mapped<'_>) -> Choice {
        let family = self.wanted.family;
        let undrained = mapped.list.ranked.iter().map(|ranked| (ranked, false));
        for (ranked, with_drained) in undrained.chain(mapped.list.ranked.iter().map(|ranked| (ranked, true))) {
            let may_take = |edge: &EdgeIndex| with_drained || !self.fitness.is_drained(*edge);
            let edges = self.sharing(ranked.pop, |edge| self.has_address(*edge, family) && may_take(edge));
            if !edges.is_empty() {
                let scope =
                    if mapped.list.ranked.first() == Some(ranked) { mapped.scopes.first } else { mapped.scopes.whole };
                return Choice { chosen: Chosen::FailOpen { pop: ranked.pop, edges }, scope, basis: Basis::Changing };
            }
        }
        let scope = if self.topology.has(self.wanted.family) { mapped.scopes.whole } else { 0 };
        Choice { chosen: Chosen::NoAddress, scope, basis: Basis::Changing }
    }

    fn basis(&self, mut pops: impl Iterator<Item = PopIndex>) -> Basis {
        let changing = pops.any(|pop| {
            self.topology.pop(pop).is_some_and(|pop| pop.edges.clone().any(|edge| self.fitness.is_changing(edge)))
        });
        if changing { Basis::Changing } else { Basis::Settled }
    }
}

/// Mixes all bits (the finaliser of SplitMix64, Steele et al. 2014).
fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;
