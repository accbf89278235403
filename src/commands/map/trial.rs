//! Learning on trial: clients whose round trips are known ask the map as it learns.

use std::collections::BTreeMap;

use config::Location;
use mapping::latency::{Group, Learned, Measured, Observed, learn, prior_ms, stretch};
use mapping::{Place, PopIndex, distance_km};

/// Prefixes of a client network.
const PREFIXES: usize = 20;
/// Standard deviation of the logarithm of a round trip.
const NOISE: f64 = 0.3;
/// One in so many round trips takes three times as long.
const OUTLIERS: usize = 20;
/// How far a prefix's way to a PoP is from its network's, as a standard deviation of logarithms.
const OWN_DEVIATION: f64 = 0.1;
/// The last mile of a prefix, milliseconds.
const LAST_MILE: (f64, f64) = (2.0, 30.0);

/// Who asks, whom, and how far it really is.
pub(super) struct World {
    /// PoPs with their stretch.
    pub(super) pops: Vec<(Location, f64)>,
    pub(super) clients: Vec<Client>,
}

/// A client network.
pub(super) struct Client {
    pub(super) location: Location,
    /// True round trips to the PoPs, milliseconds.
    pub(super) round_trips: Vec<f64>,
}

/// How a trial went, milliseconds on average over clients.
pub(super) struct Outcome {
    /// The round trip of each client at the end.
    pub(super) learned: Vec<f64>,
    /// The mean round trip while it learned, trials included.
    pub(super) meanwhile: f64,
    /// Moves to a PoP that is really farther, in a hundred groups.
    pub(super) wrong_moves: f64,
    /// Of a hundred answers, how many were trials.
    pub(super) tried: f64,
}

impl World {
    /// Puts a world together; a PoP's stretch is what its round trips to the other PoPs say.
    pub(super) fn new(pops: &[Location], between: impl Fn(usize, usize) -> Option<f64>, clients: Vec<Client>) -> Self {
        let with_stretch = pops.iter().enumerate().map(|(number, location)| {
            let others = pops.iter().enumerate().filter(|(other, _)| *other != number);
            let known =
                others.filter_map(|(other, there)| Some((distance_km(*location, *there), between(number, other)?)));
            (*location, stretch(known))
        });
        Self { pops: with_stretch.collect(), clients }
    }

    /// The round trips of clients that each go to the PoP a function likes best (the least).
    pub(super) fn assigned(&self, least: impl Fn(&Client, usize) -> f64) -> Vec<f64> {
        let go = |client: &Client| {
            let best = (0..self.pops.len()).min_by(|a, b| least(client, *a).total_cmp(&least(client, *b)));
            best.and_then(|pop| client.round_trips.get(pop)).copied().unwrap_or(f64::NAN)
        };
        self.clients.iter().map(go).collect()
    }

    pub(super) fn distance(&self, client: &Client, pop: usize) -> f64 {
        self.pops.get(pop).map_or(f64::INFINITY, |(location, _)| distance_km(client.location, *location))
    }

    pub(super) fn prior(&self, client: &Client, pop: usize) -> f64 {
        let stretch = self.pops.get(pop).map_or(1.0, |(_, stretch)| *stretch);
        prior_ms(self.distance(client, pop), stretch)
    }

    /// Lets the map learn: in each round every prefix gives one sample, of the PoP it was sent to.
    pub(super) fn learn(&self, rounds: usize, dice: &mut Dice) -> Outcome {
        let mut networks: Vec<Network> = self.clients.iter().map(|client| Network::new(client, dice)).collect();
        let mut learned = Learned::default();
        let (mut meanwhile, mut wrong, mut tried) = (0.0, 0_usize, 0_usize);
        for _ in 0..rounds {
            for (number, (client, network)) in self.clients.iter().zip(&mut networks).enumerate() {
                let group = learned.group_of(network.place, asn(number)).map(|(_, group)| group);
                let (current, trial) = self.sent_to(client, group);
                for prefix in &mut network.prefixes {
                    let other = trial.filter(|(_, share)| dice.below(10_000) < *share);
                    tried += usize::from(other.is_some());
                    let pop = other.map_or(current, |(pop, _)| pop);
                    meanwhile += client.round_trips.get(pop.as_usize()).copied().unwrap_or(0.0);
                    prefix.measure(client, pop, dice);
                }
            }
            let next = learn(&self.pops, &[], &observed(&networks), &learned);
            wrong += self.wrong_moves(&networks, &learned, &next);
            learned = next;
        }
        let answers = (self.clients.len() * PREFIXES * rounds) as f64;
        let end = self.clients.iter().zip(&networks).enumerate().map(|(number, (client, network))| {
            let group = learned.group_of(network.place, asn(number)).map(|(_, group)| group);
            let (pop, _) = self.sent_to(client, group);
            client.round_trips.get(pop.as_usize()).copied().unwrap_or(f64::NAN)
        });
        Outcome {
            learned: end.collect(),
            meanwhile: meanwhile / answers,
            wrong_moves: 100.0 * wrong as f64 / self.clients.len() as f64,
            tried: 100.0 * tried as f64 / answers,
        }
    }

    /// Where a client is sent, and which PoP how many of 10,000 answers try.
    fn sent_to(&self, client: &Client, group: Option<&Group>) -> (PopIndex, Option<(PopIndex, usize)>) {
        let expected = (0..self.pops.len()).min_by(|a, b| self.prior(client, *a).total_cmp(&self.prior(client, *b)));
        let expected = PopIndex::from_usize(expected.unwrap_or(0));
        match group {
            Some(group) => (group.current, group.trial.map(|trial| (trial.pop, trial.share as usize))),
            None => (expected, None),
        }
    }

    /// Moves of this round that made it worse.
    fn wrong_moves(&self, networks: &[Network], before: &Learned, after: &Learned) -> usize {
        let is_worse = |(number, (client, network)): (usize, (&Client, &Network))| {
            let at = |learned: &Learned| {
                let group = learned.group_of(network.place, asn(number)).map(|(_, group)| group);
                let (pop, _) = self.sent_to(client, group);
                client.round_trips.get(pop.as_usize()).copied().unwrap_or(0.0)
            };
            at(after) > at(before)
        };
        self.clients.iter().zip(networks).enumerate().filter(|client| is_worse((client.0, client.1))).count()
    }
}

/// Every network is an AS.
fn asn(number: usize) -> u32 {
    u32::try_from(number + 1).unwrap_or(0)
}

fn observed(networks: &[Network]) -> Vec<Observed<'_>> {
    let each = networks.iter().enumerate().flat_map(|(number, network)| {
        network.prefixes.iter().map(move |prefix| Observed {
            place: network.place,
            location: network.location,
            asn: asn(number),
            measured: &prefix.measured,
        })
    });
    each.collect()
}

struct Network {
    place: Place,
    location: Location,
    prefixes: Vec<Prefix>,
}

struct Prefix {
    last_mile: f64,
    /// Factors by PoP.
    own: Vec<f64>,
    measured: Measured,
}

impl Network {
    fn new(client: &Client, dice: &mut Dice) -> Self {
        let prefix = |_| Prefix {
            last_mile: LAST_MILE.0 + (LAST_MILE.1 - LAST_MILE.0) * dice.uniform(),
            own: client.round_trips.iter().map(|_| (OWN_DEVIATION * dice.normal()).exp()).collect(),
            measured: BTreeMap::new(),
        };
        let place = Place::at(client.location, None);
        Self { place, location: client.location, prefixes: (0..PREFIXES).map(prefix).collect() }
    }
}

impl Prefix {
    fn measure(&mut self, client: &Client, pop: PopIndex, dice: &mut Dice) {
        let at = pop.as_usize();
        let (Some(way), Some(own)) = (client.round_trips.get(at), self.own.get(at)) else {
            return;
        };
        let outlier = if dice.below(OUTLIERS) == 0 { 3.0 } else { 1.0 };
        let seen = (way * own + self.last_mile) * (NOISE * dice.normal()).exp() * outlier;
        self.measured.entry(pop).or_default().add(seen, 1);
    }
}

/// Randomness from a seed that is printed.
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound.max(1))
    }

    pub(super) fn shuffle(&mut self, list: &mut [usize]) {
        self.0.shuffle(list);
    }

    fn uniform(&mut self) -> f64 {
        self.0.f64()
    }

    /// Of a normal distribution (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let (a, b) = (1.0 - self.0.f64(), self.0.f64());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// A direction in space, all alike.
    pub(super) fn direction(&mut self) -> [f64; 3] {
        let at = [self.normal(), self.normal(), self.normal()];
        let length = at.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
        at.map(|x| x / length)
    }
}
