//! The map, compiled anew only where what it is made of has changed: most edits are of sites.

use std::net::IpAddr;
use std::sync::Arc;

use config::{Config, Location, PopId, Problem, Route};
use mapping::latency::Learned;
use mapping::{Classes, Family, Geography, Inputs, List, Map, Place, PopIndex, Region, Topology};

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
    regions: Arc<[Region]>,
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
    /// Where a client is, and its AS; 0 where it is not known.
    pub(crate) fn place_of(&self, client: IpAddr) -> Option<(Place, u32)> {
        self.made_of.geography.find(Family::of(client), Family::key(client))
    }

    /// How far a place is from a PoP, km.
    pub(crate) fn distance_km(&self, place: Place, pop: PopIndex) -> Option<f64> {
        let (_, location) = self.made_of.pops.get(pop.as_usize())?;
        Some(place.distance_km(self.made_of.home, &self.made_of.regions, *location))
    }

    /// A point that stands for a place on a map.
    pub(crate) fn centre_of(&self, place: Place) -> Location {
        place.centre(self.made_of.home, &self.made_of.regions)
    }

    /// The list of a client of which nothing but its place is known.
    pub(crate) fn rank(&self, topology: &Topology, learned: &Learned, place: Place) -> List {
        mapping::rank(topology, &self.made_of.regions, self.made_of.home, (learned, place))
    }

    /// A map that was compiled of this config earlier. Where clients are is not known with it.
    pub(crate) fn restored(config: &Config, map: Map) -> Self {
        let network = &config.network;
        let ids: Vec<_> = config.sites.iter().map(|site| site.id.clone()).collect();
        let first = network.pops.first().map(|pop| pop.location);
        let home = network.geo.home.or(first).unwrap_or(Location { latitude: 0.0, longitude: 0.0 });
        let made_of = MadeOf {
            geography: Arc::default(),
            regions: Arc::default(),
            pops: network.pops.iter().map(|pop| (pop.id.clone(), pop.location)).collect(),
            home,
            routes: config.routes.routes.clone(),
            classes: mapping::class_of_sites(&config.routes.routes, &ids),
            learned: Arc::default(),
        };
        Self { map, made_of }
    }

    /// Compiles the map of a config, or takes the one before.
    pub(crate) fn new(
        config: &Config,
        (topology, classes): (&Topology, &Classes),
        (geography, regions): (&Arc<Geography>, &Arc<[Region]>),
        learned: &Arc<Learned>,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, Problem> {
        let network = &config.network;
        let pops: Vec<(PopId, Location)> = network.pops.iter().map(|pop| (pop.id.clone(), pop.location)).collect();
        let first = pops.first().map(|(_, location)| *location);
        let home = network.geo.home.or(first).ok_or_else(|| Problem::general("the network has no PoP"))?;
        let routes = config.routes.routes.clone();
        let (geography, regions, learned) = (Arc::clone(geography), Arc::clone(regions), Arc::clone(learned));
        let made_of = MadeOf { geography, regions, pops, home, routes, classes: classes.clone(), learned };
        if let Some(before) = before.filter(|before| before.made_of.is(&made_of)) {
            return Ok(Arc::clone(before));
        }
        let ids: Vec<PopId> = made_of.pops.iter().map(|(id, _)| id.clone()).collect();
        let routes = &made_of.routes;
        let (geography, regions, learned) = (&*made_of.geography, &*made_of.regions, &*made_of.learned);
        let inputs = Inputs { topology, pops: &ids, geography, regions, home, routes, classes, learned };
        Ok(Arc::new(Self { map: mapping::compile(&inputs), made_of }))
    }
}
