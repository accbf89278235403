//! The PoPs and edges that can be chosen, in numbers.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use config::{Location, Network, SiteId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::address::Family;
use crate::distance::{cost, distance_km};

/// A PoP's place in the config's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PopIndex(u16);

/// An edge's place in the config's order, over all PoPs.
pub type EdgeIndex = usize;

/// What choosing needs of a PoP.
#[derive(Clone, Debug)]
pub struct PopSpec {
    /// Where it is.
    pub location: Location,
    /// Its edges in [`Topology::edges`].
    pub edges: Range<EdgeIndex>,
    /// Every other PoP, nearest first: where clients go when their whole list is unfit.
    pub beyond: Vec<PopIndex>,
}

/// What choosing needs of an edge.
#[derive(Clone, Debug)]
pub struct EdgeSpec {
    /// Hash of its id, for rendezvous hashing.
    pub hash: u64,
    /// Its share among the PoP's edges, bits per second.
    pub capacity: u64,
    /// Public IPv4 addresses.
    pub v4: Vec<Ipv4Addr>,
    /// Public IPv6 addresses.
    pub v6: Vec<Ipv6Addr>,
}

/// All PoPs and edges.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// PoPs by [`PopIndex`].
    pub pops: Vec<PopSpec>,
    /// Edges by [`EdgeIndex`].
    pub edges: Vec<EdgeSpec>,
    has_v4: bool,
    has_v6: bool,
}

impl PopIndex {
    /// An index within the config's bound on PoPs (10,000).
    #[must_use]
    pub fn from_usize(index: usize) -> Self {
        Self(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// As an index into [`Topology::pops`].
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::from(self.0)
    }
}

impl Topology {
    /// The topology of these PoPs and edges.
    #[must_use]
    pub fn new(pops: Vec<PopSpec>, edges: Vec<EdgeSpec>) -> Self {
        let (has_v4, has_v6) =
            (edges.iter().any(|edge| !edge.v4.is_empty()), edges.iter().any(|edge| !edge.v6.is_empty()));
        Self { pops, edges, has_v4, has_v6 }
    }

    /// The topology of a network.
    #[must_use]
    pub fn of(network: &Network) -> Self {
        let (mut pops, mut edges) = (Vec::new(), Vec::new());
        for pop in &network.pops {
            let first: EdgeIndex = edges.len();
            edges.extend(pop.edges.iter().map(|edge| {
                let mut spec = EdgeSpec {
                    hash: xxh3_64(edge.id.as_str().as_bytes()),
                    capacity: edge.capacity,
                    v4: Vec::new(),
                    v6: Vec::new(),
                };
                for address in edge.addresses.all() {
                    match address {
                        std::net::IpAddr::V4(v4) => spec.v4.push(*v4),
                        std::net::IpAddr::V6(v6) => spec.v6.push(*v6),
                    }
                }
                spec
            }));
            pops.push(PopSpec { location: pop.location, edges: first..edges.len(), beyond: Vec::new() });
        }
        let mut topology = Self::new(pops, edges);
        topology.order_beyond();
        topology
    }

    /// Whether any edge has an address of the family.
    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.has_v4,
            Family::V6 => self.has_v6,
        }
    }

    /// The PoP of an index; every index comes from this topology.
    pub(crate) fn pop(&self, pop: PopIndex) -> Option<&PopSpec> {
        self.pops.get(pop.as_usize())
    }

    fn order_beyond(&mut self) {
        let places: Vec<Location> = self.pops.iter().map(|pop| pop.location).collect();
        for (index, pop) in self.pops.iter_mut().enumerate() {
            let mut others: Vec<(u32, PopIndex)> = places
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .map(|(other, place)| (cost(distance_km(pop.location, *place), 1.0), PopIndex::from_usize(other)))
                .collect();
            others.sort_unstable();
            pop.beyond = others.into_iter().map(|(_, other)| other).collect();
        }
    }
}

/// The hash of a site's id that rendezvous hashing takes.
#[must_use]
pub fn site_hash(site: &SiteId) -> u64 {
    xxh3_64(site.as_str().as_bytes())
}
