//! What really happens: resolvers and clients that hold on to answers, and reports that come late.

use std::time::Duration;

use mapping::load::{Assignment, LoadReport, Parts, PopStatus, Reason, Reports, Settings, State, step};
use mapping::{Family, PopIndex};

use crate::chance::Chance;
use crate::world::World;

/// Who holds an answer for how many seconds: the TTL, resolvers that keep it longer, and those who stick with
/// an exponential distribution of this mean.
const HOLDING: [(f64, usize); 3] = [(0.70, 20), (0.10, 30), (0.05, 60)];
const STICKING: (f64, f64) = (0.15, 180.0);

/// Blocks that a unit's clients are in: as many as it has parts at most.
const BLOCKS: u8 = 64;

/// Seconds from step to step, and from the measurement of a load to the step that hears of it.
const STEP: usize = 5;
const LAG: usize = 5;

/// What is not known: relative errors of reported demand, lasting for a unit and from report to report, and of
/// measured load.
const DEMAND_BIAS: f64 = 0.15;
const DEMAND_NOISE: f64 = 0.10;
const LOAD_NOISE: f64 = 0.02;

/// Real demand of a unit wanders by this about its mean, over a minute.
const WANDER: f64 = 0.05;

/// The world as it goes on, second by second, with the control step in it.
#[derive(Clone)]
pub(crate) struct Reality<'a> {
    world: &'a World,
    chance: Chance,
    pub(crate) state: State,
    pub(crate) statuses: Vec<PopStatus>,
    /// Factor on demand, by unit.
    pub(crate) surge: Vec<f64>,
    wander: Vec<f64>,
    bias: Vec<f64>,
    blocks: Vec<Block>,
    keys: Vec<u64>,
    second: usize,
    /// Loads of the last seconds, the newest last; by PoP.
    loads: Vec<Vec<f64>>,
    /// Steps that placed anew, by reason: changed, crowded, roomy.
    pub(crate) reasons: [usize; 3],
    /// Demand that moved at each step, as a share of all.
    pub(crate) moved: Vec<f64>,
}

/// The clients of one block of a unit.
#[derive(Clone)]
struct Block {
    unit: usize,
    /// Share of its unit.
    share: f64,
    pop: usize,
    /// PoPs that were answered before, and until which second.
    before: Vec<(usize, usize)>,
    /// Where those are who stick.
    sticking: Vec<(usize, f64)>,
}

impl<'a> Reality<'a> {
    pub(crate) fn new(world: &'a World, bonus_ms: f64, mut chance: Chance) -> Self {
        let statuses = world.statuses();
        let settings = Settings { ttl: Duration::from_secs(20), bonus_ms };
        let mut blocks = Vec::new();
        for (unit, list) in world.lists.iter().enumerate() {
            let weights: Vec<f64> = (0..BLOCKS).map(|_| chance.about_one(0.5)).collect();
            let all: f64 = weights.iter().sum();
            let pop = list[0].pop.as_usize();
            blocks.extend(weights.into_iter().map(|weight| Block {
                unit,
                share: weight / all,
                pop,
                before: Vec::new(),
                sticking: vec![(pop, 1.0)],
            }));
        }
        let find =
            |block: u8| (0_u64..).map(|key| key << 12).find(|key| Parts::SixtyFour.part_of(Family::V4, *key) == block);
        Self {
            world,
            state: State::new(settings, world.lists.clone(), &statuses),
            statuses,
            surge: vec![1.0; world.lists.len()],
            wander: vec![0.0; world.lists.len()],
            bias: world.lists.iter().map(|_| chance.about_one(DEMAND_BIAS)).collect(),
            blocks,
            keys: (0..BLOCKS).filter_map(find).collect(),
            second: 0,
            loads: Vec::new(),
            moved: Vec::new(),
            reasons: [0; 3],
            chance,
        }
    }

    /// One second on; the load of each PoP as a share of its capacity.
    pub(crate) fn tick(&mut self) -> Vec<f64> {
        self.second += 1;
        for wander in &mut self.wander {
            *wander += -*wander / 60.0 + WANDER * (2.0_f64 / 60.0).sqrt() * self.chance.normal();
        }
        let demand = self.demand();
        let mut load = vec![0.0; self.world.capacity.len()];
        for block in &mut self.blocks {
            block.add_to(&mut load, block.share * demand[block.unit], self.second);
        }
        self.loads.push(load.clone());
        if self.second.is_multiple_of(STEP) {
            self.step(&demand);
        }
        load.iter().zip(&self.world.capacity).map(|(load, capacity)| load / capacity).collect()
    }

    /// The true demand of each unit.
    pub(crate) fn demand(&self) -> Vec<f64> {
        let factors = self.surge.iter().zip(&self.wander);
        self.world.demand.iter().zip(factors).map(|(demand, (surge, wander))| demand * surge * wander.exp()).collect()
    }

    /// Mean cost of an answer in milliseconds, as assigned.
    pub(crate) fn cost_ms(&self) -> f64 {
        let demand = self.demand();
        let cost = |block: &Block| {
            let list = &self.world.lists[block.unit];
            let ranked = list.iter().find(|ranked| ranked.pop.as_usize() == block.pop).unwrap();
            block.share * demand[block.unit] * f64::from(ranked.cost) / mapping::COST_PER_MS
        };
        self.blocks.iter().map(cost).sum::<f64>() / demand.iter().sum::<f64>()
    }

    /// Demand by the PoP it is assigned to.
    pub(crate) fn assigned(&self) -> Vec<f64> {
        let demand = self.demand();
        let mut assigned = vec![0.0; self.world.capacity.len()];
        self.blocks.iter().for_each(|block| assigned[block.pop] += block.share * demand[block.unit]);
        assigned
    }

    fn step(&mut self, demand: &[f64]) {
        let mut demands = Vec::new();
        for (unit, rate) in demand.iter().enumerate() {
            demands.push((unit, rate * self.bias[unit] * self.chance.about_one(DEMAND_NOISE)));
        }
        let mut loads = Vec::new();
        if let Some(then) = self.second.checked_sub(LAG).filter(|then| *then > 0) {
            for (pop, rate) in self.loads[then - 1].iter().enumerate() {
                let rate = rate * self.chance.about_one(LOAD_NOISE);
                loads.push(LoadReport { pop: PopIndex::from_usize(pop), at: seconds(then), rate });
            }
        }
        let reports = Reports { demands: &demands, loads: &loads };
        self.state = step(self.state.clone(), &self.statuses, &reports, seconds(self.second));
        match self.state.reason() {
            Some(Reason::Changed) => self.reasons[0] += 1,
            Some(Reason::Crowded(_)) => self.reasons[1] += 1,
            Some(Reason::Roomy(_)) => self.reasons[2] += 1,
            None => {}
        }
        self.answer(&self.state.assignment(), demand);
    }

    fn answer(&mut self, assignment: &Assignment, demand: &[f64]) {
        let mut moved = 0.0;
        for (number, block) in self.blocks.iter_mut().enumerate() {
            let key = self.keys[number % usize::from(BLOCKS)];
            let pop = assignment.find(block.unit, Family::V4.address(key)).unwrap().pop.as_usize();
            if pop != block.pop {
                moved += block.share * demand[block.unit];
                block.before.push((block.pop, self.second));
                block.pop = pop;
            }
        }
        self.moved.push(moved / demand.iter().sum::<f64>());
    }
}

impl Block {
    /// Adds its clients' traffic to the PoPs where they are.
    fn add_to(&mut self, load: &mut [f64], rate: f64, second: usize) {
        self.before.retain(|(_, until)| until + 60 > second);
        for (share, seconds) in HOLDING {
            let start = second.saturating_sub(seconds);
            let mut from = start;
            for (pop, until) in &self.before {
                if *until > from {
                    load[*pop] += rate * share * (until - from) as f64 / seconds as f64;
                    from = *until;
                }
            }
            let left = seconds - (from - start);
            load[self.pop] += rate * share * left as f64 / seconds as f64;
        }
        let (share, mean) = STICKING;
        for (pop, part) in &self.sticking {
            load[*pop] += rate * share * part;
        }
        if self.sticking.len() > 1 || self.sticking[0].0 != self.pop {
            self.sticking.iter_mut().for_each(|(_, part)| *part *= 1.0 - 1.0 / mean);
            match self.sticking.iter_mut().find(|(pop, _)| *pop == self.pop) {
                Some((_, part)) => *part += 1.0 / mean,
                None => self.sticking.push((self.pop, 1.0 / mean)),
            }
            self.sticking.retain(|(_, part)| *part > 0.001);
            let all: f64 = self.sticking.iter().map(|(_, part)| part).sum();
            self.sticking.iter_mut().for_each(|(_, part)| *part /= all);
        }
    }
}

fn seconds(second: usize) -> Duration {
    Duration::from_secs(second as u64)
}
