//! A simulated fleet and who it serves.

use mapping::load::{Admission, PopStatus, Rate};
use mapping::{PopIndex, Ranked};

use crate::chance::Chance;
use crate::places::{CITIES, DEMO, location};

/// PoPs, and units with their true demand.
pub(crate) struct World {
    /// By unit.
    pub(crate) lists: Vec<Vec<Ranked>>,
    /// By unit, bits per second; 1e12 in all.
    pub(crate) demand: Vec<f64>,
    /// By PoP.
    pub(crate) capacity: Vec<f64>,
}

/// Candidates kept, as in the map.
const KEPT: usize = 8;

impl World {
    /// Units lie around the large cities, with demand by city and a heavy tail; PoPs are the demo's, or around
    /// cities. Capacity is bought by a guess at what each PoP serves, so that some lack and some have too much.
    pub(crate) fn new(pops: usize, units: usize, utilisation: f64, chance: &mut Chance) -> Self {
        let places: Vec<_> = if pops == DEMO.len() {
            DEMO.iter().map(|(latitude, longitude)| location(*latitude, *longitude)).collect()
        } else {
            (0..pops).map(|_| near_city(chance)).collect()
        };
        let (mut lists, mut demand) = (Vec::new(), Vec::new());
        for _ in 0..units {
            let place = near_city(chance);
            let mut list: Vec<Ranked> = places
                .iter()
                .enumerate()
                .map(|(pop, at)| Ranked {
                    pop: PopIndex::from_usize(pop),
                    cost: mapping::cost(mapping::distance_km(place, *at), 1.0),
                })
                .collect();
            list.sort_by_key(|ranked| (ranked.cost, ranked.pop));
            list.truncate(KEPT);
            lists.push(list);
            demand.push(chance.about_one(1.2));
        }
        let all: f64 = demand.iter().sum();
        demand.iter_mut().for_each(|demand| *demand *= 1e12 / all);
        let mut natural = vec![2e11 / pops as f64; pops];
        for (list, demand) in lists.iter().zip(&demand) {
            natural[list[0].pop.as_usize()] += demand;
        }
        let mut capacity: Vec<f64> = natural.iter().map(|load| load * chance.about_one(0.3)).collect();
        let bought: f64 = capacity.iter().sum();
        capacity.iter_mut().for_each(|capacity| *capacity *= 1e12 / utilisation / bought);
        Self { lists, demand, capacity }
    }

    /// All PoPs up.
    pub(crate) fn statuses(&self) -> Vec<PopStatus> {
        self.capacity.iter().map(|capacity| status(*capacity)).collect()
    }
}

/// A PoP of a capacity that takes units by its load.
pub(crate) fn status(capacity: f64) -> PopStatus {
    PopStatus { capacity: Rate::parse(capacity).unwrap(), admission: Admission::Free }
}

fn near_city(chance: &mut Chance) -> config::Location {
    let all: f64 = CITIES.iter().map(|city| city.2).sum();
    let mut at = chance.uniform() * all;
    let city = CITIES.iter().find(|city| {
        at -= city.2;
        at <= 0.0
    });
    let (latitude, longitude, _) = *city.unwrap_or(&CITIES[0]);
    location(latitude + 3.0 * chance.normal(), longitude + 4.0 * chance.normal())
}
