//! Moving load by prices: the bars of its design, in a simulation.
//!
//! `cargo xtask bench -p hither-benches --bench load -- [SEED...] [scale]`; with `scale` only
//! what 1,000 PoPs take. Resolvers keep answers for a TTL of 20 s, some
//! for 30 and 60; 15 % of the clients stick for 180 s; reported demand is wrong by 15 % for a unit and 10 % from
//! report to report; loads are measured to 2 % and heard of 5 s late.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that fails panics")]

#[path = "load/chance.rs"]
mod chance;
#[path = "load/optimum.rs"]
mod optimum;
#[path = "load/places.rs"]
mod places;
#[path = "load/reality.rs"]
mod reality;
#[path = "load/world.rs"]
mod world;

use std::time::{Duration, Instant};

use chance::Chance;
use mapping::load::{Limit, Parcel, Parts, Problem, Reports, Room, Settings, State, solve, step};
use reality::Reality;
use world::World;

/// What PoPs are filled to.
const FILLED: f64 = 0.75;

fn main() {
    let mut seeds: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if seeds.is_empty() {
        seeds = vec![1, 2, 3];
    }
    let only_scale = std::env::args().any(|argument| argument == "scale");
    for pops in if only_scale { [].as_slice() } else { &[12, 40] }.iter().copied() {
        for seed in &seeds {
            println!("{pops} PoPs, 545 units, seed {seed}");
            judge(pops, *seed);
        }
    }
    for (pops, units) in [(1_000, 5_000), (1_000, 38_500)] {
        time(pops, units, seeds[0]);
    }
}

fn judge(pops: usize, seed: u64) {
    let mut chance = Chance(seed);
    let world = World::new(pops, 545, 0.60, &mut chance);
    solution(&world);
    for bonus in [5.0, 20.0] {
        let mut reality = Reality::new(&world, bonus, chance.clone());
        (0..600).for_each(|_| drop(reality.tick()));
        steady(&world, reality.clone(), bonus);
        losses(&world, &reality, 0.0, bonus);
        losses(&world, &reality, 0.5, bonus);
        if bonus < 20.0 {
            surges(&world, &reality, 1.7, 45);
            surges(&world, &reality, 3.0, 90);
        }
    }
}

/// One solution from nothing, beside the linear programme's.
fn solution(world: &World) {
    let parcels: Vec<Parcel<'_>> = world
        .lists
        .iter()
        .zip(&world.demand)
        .zip(0..)
        .flat_map(|((list, demand), salt)| {
            let parts = if *demand > 0.005e12 || *demand > 0.03 * world.capacity[list[0].pop.as_usize()] {
                Parts::Sixteen
            } else {
                Parts::Whole
            };
            (0..parts.count()).map(move |part| Parcel {
                rate: demand / f64::from(parts.count()),
                candidates: list,
                present: None,
                salt,
                part,
                parts,
            })
        })
        .collect();
    let limits: Vec<Limit> = world
        .capacity
        .iter()
        .map(|capacity| Limit::Open(Room { load: FILLED * capacity, capacity: *capacity }))
        .collect();
    let start = Instant::now();
    let found = solve(&Problem { parcels: &parcels, limits: &limits, bonus: 0.0 }, &[]);
    let took = start.elapsed();
    let (mut cost, mut load) = (0.0, vec![0.0; limits.len()]);
    for (parcel, pop) in parcels.iter().zip(&found.pops) {
        let pop = pop.unwrap();
        let ranked = parcel.candidates.iter().find(|ranked| ranked.pop == pop).unwrap();
        cost += parcel.rate / 1e12 * f64::from(ranked.cost) / mapping::COST_PER_MS;
        load[pop.as_usize()] += parcel.rate;
    }
    let most = load.iter().zip(&world.capacity).map(|(load, capacity)| load / capacity).fold(0.0, f64::max);
    let least = optimum::least_cost_ms(world, &world.demand, &world.capacity, FILLED).unwrap();
    let priced = found.prices.iter().filter(|price| **price > 0.0).count();
    println!(
        "  solution: {cost:.3} ms, linear programme {least:.3} ms ({:+.2} %); fullest PoP {most:.3}; {priced} priced; {} sweeps, {:.1} ms",
        100.0 * (cost / least - 1.0),
        found.sweeps,
        took.as_secs_f64() * 1e3,
    );
}

/// Half an hour of steady load.
fn steady(world: &World, mut reality: Reality<'_>, bonus: f64) {
    reality.moved.clear();
    reality.reasons = [0; 3];
    let mut most = 0.0_f64;
    let mut least_cost = 0.0;
    let mut cost = 0.0;
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for second in 0..1_800 {
        let fullest = reality.tick().into_iter().fold(0.0, f64::max);
        most = most.max(fullest);
        if second < 280 {
            (low, high) = (low.min(fullest), high.max(fullest));
        }
        if second % 600 == 0 {
            cost += reality.cost_ms();
            least_cost += optimum::least_cost_ms(world, &reality.demand(), &world.capacity, FILLED).unwrap();
        }
    }
    let moved: f64 = reality.moved.iter().sum();
    println!(
        "  steady, bonus {bonus}: moved {:.3} % a minute, fullest PoP {most:.3} (swing in 5 min {:.3}), cost {:+.2} % of the linear programme's; placed anew {:?}",
        100.0 * moved / 30.0,
        high - low,
        100.0 * (cost / least_cost - 1.0),
        reality.reasons,
    );
}

/// Each PoP in turn falls to a share of its capacity, where there is room for what it served.
fn losses(world: &World, reality: &Reality<'_>, left: f64, bonus: f64) {
    let assigned = reality.assigned();
    let all: f64 = assigned.iter().sum();
    let (mut count, mut moved, mut unavoidable, mut worst, mut settled) = (0, 0.0, 0.0, 0.0_f64, 0.0_f64);
    for (pop, load) in assigned.iter().enumerate() {
        let must = (load - left * FILLED * world.capacity[pop]).max(0.0) / all;
        let mut capacity = world.capacity.clone();
        capacity[pop] *= left;
        if must < 0.01 || optimum::least_cost_ms(world, &reality.demand(), &capacity, FILLED).is_none() {
            continue;
        }
        count += 1;
        let mut reality = reality.clone();
        reality.moved.clear();
        reality.statuses[pop] = world::status(left * world.capacity[pop]);
        for second in 0..180 {
            let loads = reality.tick();
            if second > 120 {
                let others = loads.iter().enumerate().filter(|(other, _)| *other != pop);
                settled = others.map(|(_, load)| *load).fold(settled, f64::max);
            }
        }
        let here: f64 = reality.moved.iter().sum();
        moved += here;
        unavoidable += must;
        worst = worst.max(here / must);
    }
    println!(
        "  a PoP falls to {:.0} %, {count} PoPs (bonus {bonus}): moved {:.2} times the unavoidable, {worst:.2} at worst; other PoPs after 2 min at most {settled:.3}",
        100.0 * left,
        moved / unavoidable
    );
}

/// Each region in turn (the units with one best PoP) grows within 30 s, where there is room for it.
fn surges(world: &World, reality: &Reality<'_>, factor: f64, bar: usize) {
    let (mut peaks, mut backs, mut swings) = (Vec::new(), Vec::new(), Vec::new());
    for pop in 0..world.capacity.len() {
        let region: Vec<usize> =
            (0..world.lists.len()).filter(|unit| world.lists[*unit][0].pop.as_usize() == pop).collect();
        let share = region.iter().map(|unit| world.demand[*unit]).sum::<f64>() / 1e12;
        let mut demand = reality.demand();
        region.iter().for_each(|unit| demand[*unit] *= factor);
        if share < 0.02 || optimum::least_cost_ms(world, &demand, &world.capacity, FILLED).is_none() {
            continue;
        }
        let mut reality = reality.clone();
        let (mut peak, mut first, mut last) = (0.0_f64, 0, 0);
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for second in 0..400_usize {
            let now = 1.0 + (factor - 1.0) * (second as f64 / 30.0).min(1.0);
            region.iter().for_each(|unit| reality.surge[*unit] = now);
            let loads = reality.tick();
            let most = loads.iter().copied().fold(0.0, f64::max);
            peak = peak.max(most);
            if most > 0.95 {
                first = if first == 0 { second } else { first };
                last = second;
            }
            if second > 120 {
                (low, high) = (low.min(most), high.max(most));
            }
        }
        peaks.push(peak);
        backs.push(last as f64 - first as f64);
        swings.push(high - low);
    }
    let middle = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[values.len() - 1])
    };
    let (peak, back, swing) = (middle(&mut peaks), middle(&mut backs), middle(&mut swings));
    println!(
        "  surge to {factor} in 30 s, {} regions, median and worst: peak {:.2} {:.2}; over 0.95 for {:.0} s {:.0} s (bar {bar}); swing after {:.3} {:.3}",
        peaks.len(),
        peak.0,
        peak.1,
        back.0,
        back.1,
        swing.0,
        swing.1
    );
}

/// The time of steps for a large fleet: the first, and one that places everything anew.
fn time(pops: usize, units: usize, seed: u64) {
    let world = World::new(pops, units, 0.60, &mut Chance(seed));
    let settings = Settings { ttl: Duration::from_secs(20), bonus_ms: 5.0 };
    let state = State::new(settings, world.lists.clone(), &world.statuses());
    let demands: Vec<(usize, f64)> = world.demand.iter().copied().enumerate().collect();
    let reports = Reports { demands: &demands, loads: &[] };
    let start = Instant::now();
    let state = step(state, &world.statuses(), &reports, Duration::from_secs(5));
    let first = start.elapsed();
    let mut statuses = world.statuses();
    statuses[0] = world::status(0.0);
    let start = Instant::now();
    let state = step(state, &statuses, &reports, Duration::from_secs(10));
    let death = start.elapsed();
    let start = Instant::now();
    let state = step(state, &statuses, &reports, Duration::from_secs(15));
    let quiet = start.elapsed();
    let start = Instant::now();
    let assignment = state.assignment();
    let table = start.elapsed();
    std::hint::black_box(assignment);
    println!(
        "{pops} PoPs, {units} units, seed {seed}: first step {:.3} s, death of a PoP {:.3} s, a quiet step {:.3} s, table {:.3} s",
        first.as_secs_f64(),
        death.as_secs_f64(),
        quiet.as_secs_f64(),
        table.as_secs_f64()
    );
}
