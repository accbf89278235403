//! The map, compiled anew only where what it is made of has changed: most edits are of sites.

use std::sync::Arc;

use config::{Config, Location, PopId, Problem, Route};
use mapping::latency::Learned;
use mapping::{Classes, Geography, Inputs, Map, Region, Topology};

/// A map, and what it was made of.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) map: Map,
    made_of: MadeOf,
}

/// All that a map depends on. The same again gives the same map.
#[derive(Debug)]
struct MadeOf {
    geography: Arc<Geography>,
    pops: Vec<(PopId, Location)>,
    home: Location,
    routes: Vec<Route>,
    classes: Classes,
    learned: Arc<Learned>,
}

impl MadeOf {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.geography, &other.geography)
            && self.pops == other.pops
            && self.home == other.home
            && same_rules(&self.routes, &other.routes)
            && self.classes.are_alike(&other.classes)
            && self.learned.decides_as(&other.learned)
    }
}

/// Whether rules are the same, wherever they stand.
fn same_rules(a: &[Route], b: &[Route]) -> bool {
    let of = |route: &Route| Route { line: 0, ..route.clone() };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| of(a) == of(b))
}

impl Compiled {
    /// What round trips had taught when it was compiled.
    pub(crate) fn learned(&self) -> &Arc<Learned> {
        &self.made_of.learned
    }

    /// Compiles the map of a config, or takes the one before.
    pub(crate) fn new(
        config: &Config,
        (topology, classes): (&Topology, &Classes),
        (geography, regions): (&Arc<Geography>, &[Region]),
        learned: &Arc<Learned>,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, Problem> {
        let network = &config.network;
        let pops: Vec<(PopId, Location)> = network.pops.iter().map(|pop| (pop.id.clone(), pop.location)).collect();
        let first = pops.first().map(|(_, location)| *location);
        let home = network.geo.home.or(first).ok_or_else(|| Problem::general("the network has no PoP"))?;
        let routes = config.routes.routes.clone();
        let (geography, learned) = (Arc::clone(geography), Arc::clone(learned));
        let made_of = MadeOf { geography, pops, home, routes, classes: classes.clone(), learned };
        if let Some(before) = before.filter(|before| before.made_of.is(&made_of)) {
            return Ok(Arc::clone(before));
        }
        let ids: Vec<PopId> = made_of.pops.iter().map(|(id, _)| id.clone()).collect();
        let routes = &made_of.routes;
        let (geography, learned) = (&*made_of.geography, &*made_of.learned);
        let inputs = Inputs { topology, pops: &ids, geography, regions, home, routes, classes, learned };
        Ok(Arc::new(Self { map: mapping::compile(&inputs), made_of }))
    }
}
