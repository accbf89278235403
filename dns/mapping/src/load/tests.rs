use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Family;
use crate::topology::PopIndex;
use crate::unit::Ranked;

fn pop(index: usize) -> PopIndex {
    PopIndex::from_usize(index)
}

/// A list from PoPs and costs in milliseconds.
fn list(costs: &[(usize, u32)]) -> Vec<Ranked> {
    costs.iter().map(|(index, ms)| Ranked { pop: pop(*index), cost: ms * 10 }).collect()
}

fn status(capacity: f64, admission: Admission) -> PopStatus {
    PopStatus { capacity: Rate::parse(capacity).unwrap(), admission }
}

fn free(capacity: f64) -> PopStatus {
    status(capacity, Admission::Free)
}

fn open(capacity: f64) -> Limit {
    Limit::Open(Room { load: 0.75 * capacity, capacity })
}

fn parcel(rate: f64, candidates: &[Ranked]) -> Parcel<'_> {
    Parcel { rate, candidates, present: None, salt: 7, part: 0, parts: Parts::Whole }
}

fn settings() -> Settings {
    Settings { ttl: Duration::from_secs(20), bonus_ms: 5.0 }
}

/// A control loop whose PoPs really carry what is assigned to them, a step ago.
struct Loop {
    state: State,
    pops: Vec<PopStatus>,
    demands: Vec<(UnitIndex, f64)>,
    now: u64,
    moves: usize,
}

impl Loop {
    fn new(lists: Vec<Vec<Ranked>>, demands: &[f64], pops: Vec<PopStatus>) -> Self {
        let demands = demands.iter().copied().enumerate().collect();
        Self { state: State::new(settings(), lists, &pops), pops, demands, now: 0, moves: 0 }
    }

    fn step(&mut self, loads: &[LoadReport]) {
        self.now += 5;
        let before: Vec<_> = (0..self.demands.len()).map(|unit| self.answers(unit)).collect();
        let reports = Reports { demands: &self.demands, loads };
        self.state = step(self.state.clone(), &self.pops, &reports, Duration::from_secs(self.now));
        let after: Vec<_> = (0..self.demands.len()).map(|unit| self.answers(unit)).collect();
        self.moves += before.iter().zip(&after).filter(|(before, after)| before != after).count();
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            let at = Duration::from_secs(self.now);
            let load = self.load();
            let reports: Vec<LoadReport> =
                (0..self.pops.len()).map(|index| LoadReport { pop: pop(index), at, rate: load[index] }).collect();
            self.step(&reports);
        }
    }

    /// The PoPs that addresses of a unit are told, in 256 blocks.
    fn answers(&self, unit: UnitIndex) -> Vec<usize> {
        let table = self.state.assignment();
        let find = |block: u64| table.find(unit, Family::V4.address(block << 12)).unwrap().pop.as_usize();
        (0..256).map(find).collect()
    }

    fn load(&self) -> Vec<f64> {
        let mut load = vec![0.0; self.pops.len()];
        for (unit, rate) in &self.demands {
            self.answers(*unit).into_iter().for_each(|index| load[index] += rate / 256.0);
        }
        load
    }
}

#[test]
fn each_goes_to_its_best_where_there_is_room() {
    let lists = [list(&[(0, 10), (1, 11)]), list(&[(1, 10), (0, 11)])];
    let parcels = [parcel(30.0, &lists[0]), parcel(30.0, &lists[1])];
    let found = solve(&Problem { parcels: &parcels, limits: &[open(100.0), open(100.0)], bonus: 0.0 }, &[]);
    assert_eq!(found.pops, [Some(pop(0)), Some(pop(1))]);
    assert_eq!(found.prices, [0.0, 0.0]);
}

#[test]
fn who_loses_least_by_it_moves() {
    let lists = [list(&[(0, 10), (1, 90)]), list(&[(0, 10), (1, 20)]), list(&[(0, 10), (1, 50)])];
    let parcels: Vec<_> = lists.iter().map(|list| parcel(30.0, list)).collect();
    let found = solve(&Problem { parcels: &parcels, limits: &[open(100.0), open(100.0)], bonus: 0.0 }, &[]);
    assert_eq!(found.pops, [Some(pop(0)), Some(pop(1)), Some(pop(0))]);
    assert!((100.0..102.0).contains(&found.prices[0]), "the 10 ms it took to move one: {:?}", found.prices);
    assert_eq!(found.prices[1], 0.0);
}

#[test]
fn a_unit_stays_for_less_than_the_bonus() {
    let list = list(&[(0, 10), (1, 14)]);
    for (bonus, expected) in [(50.0, 1), (30.0, 0)] {
        let parcels = [Parcel { present: Some(pop(1)), ..parcel(30.0, &list) }];
        let found = solve(&Problem { parcels: &parcels, limits: &[open(100.0), open(100.0)], bonus }, &[]);
        assert_eq!(found.pops, [Some(pop(expected))], "{bonus}");
    }
}

#[test]
fn a_rules_order_is_kept_against_cost() {
    let list = list(&[(1, 80), (0, 10)]);
    let found =
        solve(&Problem { parcels: &[parcel(1.0, &list)], limits: &[open(100.0), open(100.0)], bonus: 0.0 }, &[]);
    assert_eq!(found.pops, [Some(pop(1))]);
}

#[test]
fn limits_decide_who_takes_what() {
    let room = |load| Room { load, capacity: 100.0 };
    let list = list(&[(0, 10), (1, 20)]);
    for (limit, present, expected) in [
        (Limit::Open(room(75.0)), 1, 0),
        (Limit::Closed, 0, 1),
        (Limit::Full(room(70.0)), 1, 1),
        (Limit::Full(room(70.0)), 0, 0),
        (Limit::Full(room(10.0)), 0, 1),
        (Limit::Forced(room(10.0)), 1, 0),
    ] {
        let parcels = [Parcel { present: Some(pop(present)), ..parcel(30.0, &list) }];
        let found = solve(&Problem { parcels: &parcels, limits: &[limit, open(100.0)], bonus: 0.0 }, &[]);
        assert_eq!(found.pops, [Some(pop(expected))], "{limit:?} from {present}");
    }
}

#[test]
fn the_list_never_empties() {
    let list = list(&[(1, 10), (0, 20)]);
    let room = Room { load: 0.0, capacity: 10.0 };
    for limits in [[Limit::Closed; 2], [Limit::Full(room); 2], [Limit::Closed, Limit::Full(room)]] {
        let found = solve(&Problem { parcels: &[parcel(1e9, &list)], limits: &limits, bonus: 50.0 }, &[]);
        assert!(found.pops[0].is_some(), "{limits:?}");
    }
    let mut run = Loop::new(vec![list], &[30.0], vec![free(100.0), free(100.0)]);
    run.pops = vec![free(0.0), status(100.0, Admission::Drained)];
    run.run(3);
    assert_eq!(run.load(), [0.0, 30.0]);
}

#[test]
fn demand_beyond_all_room_is_shared() {
    let lists: Vec<_> = (0..200).map(|unit| list(&[(0, 10 + unit % 7), (1, 20 + unit % 5)])).collect();
    let parcels: Vec<_> = lists.iter().map(|list| parcel(1.5, list)).collect();
    let problem = Problem { parcels: &parcels, limits: &[open(100.0), open(100.0)], bonus: 0.0 };
    let mut found = solve(&problem, &[]);
    // Prices climb from step to step while there is no room.
    (0..12).for_each(|_| found = solve(&problem, &found.prices));
    let load = 1.5 * found.pops.iter().filter(|found| **found == Some(pop(0))).count() as f64;
    assert!((120.0..=180.0).contains(&load), "{load} of 300 at prices {:?}", found.prices);
}

#[test]
fn a_crowded_pop_sheds_parts_of_its_one_unit_and_is_split() {
    let mut run = Loop::new(
        vec![list(&[(0, 10), (1, 20)]), list(&[(1, 10), (0, 20)])],
        &[90.0, 20.0],
        vec![free(100.0), free(100.0)],
    );
    run.run(10);
    let load = run.load();
    assert!((60.0..80.0).contains(&load[0]), "{load:?}");
    let table = run.state.assignment();
    assert!(table.is_split(pop(0)) && !table.is_split(pop(1)));
    assert_eq!(table.find(0, Family::V4.address(0)).unwrap().width, Width::Block(20));
    assert_eq!(table.find(0, Family::V6.address(0)).unwrap().width, Width::Block(36));
    assert_eq!(table.find(1, Family::V4.address(0)).unwrap(), Use { pop: pop(1), width: Width::Depth });
    assert!((5.0..20.0).contains(&run.state.price_ms(pop(0))), "{}", run.state.price_ms(pop(0)));
    assert_eq!(run.state.price_ms(pop(1)), 0.0);
    // Demand falls: the price goes, and all come home.
    run.demands[0].1 = 30.0;
    run.run(80);
    assert_eq!((run.load(), run.state.price_ms(pop(0))), (vec![30.0, 20.0], 0.0));
    assert_eq!(run.state.assignment().find(0, Family::V4.address(0)).unwrap().width, Width::Depth);
}

#[test]
fn measured_load_counts_where_reports_say_less() {
    let mut run = Loop::new(vec![list(&[(0, 10), (1, 20)])], &[50.0], vec![free(100.0), free(100.0)]);
    for _ in 0..40 {
        let load = run.load();
        let at = Duration::from_secs(run.now);
        run.step(&[0, 1].map(|index| LoadReport { pop: pop(index), at, rate: 2.0 * load[index] }));
    }
    let load = run.load();
    assert!(2.0 * load[0] < 82.0, "half of each load is not reported: {load:?}");
}

#[test]
fn an_overloaded_pop_takes_nobody_new() {
    let lists = vec![list(&[(0, 10), (1, 20)]), list(&[(1, 10), (0, 11)])];
    let mut run = Loop::new(lists, &[20.0, 60.0], vec![free(100.0), free(100.0)]);
    run.run(4);
    let at = Duration::from_secs(run.now);
    run.pops[1] = free(70.0);
    run.step(&[LoadReport { pop: pop(0), at, rate: 96.0 }]);
    assert!(run.answers(1).iter().all(|index| *index == 1), "sooner 0.86 there than any more at 0.96");
}

#[test]
fn the_operators_word_goes_before_load() {
    let lists = vec![list(&[(0, 10), (1, 20)]); 4];
    for (admission, expected) in [(Admission::Forced, [120.0, 0.0]), (Admission::Drained, [0.0, 120.0])] {
        let pops = vec![status(100.0, admission), free(1_000.0)];
        let mut run = Loop::new(lists.clone(), &[30.0; 4], pops);
        run.run(10);
        assert_eq!(run.load(), expected, "{admission:?}");
    }
    // A drained PoP is as if it were not there: the next is the best, and answers are as wide as its depth allows.
    let mut run = Loop::new(lists, &[30.0; 4], vec![status(100.0, Admission::Drained), free(1_000.0)]);
    run.run(3);
    assert_eq!(
        run.state.assignment().find(0, Family::V4.address(0)).unwrap(),
        Use { pop: pop(1), width: Width::Depth }
    );
}

#[test]
fn a_new_map_keeps_units_where_they_are() {
    let lists = vec![list(&[(0, 10), (1, 12)]); 4];
    let mut run = Loop::new(lists, &[30.0; 4], vec![free(100.0), free(100.0)]);
    run.run(10);
    let before = run.answers(2);
    let units = [Some(2), Some(1), Some(0), Some(3), None].map(|earlier| (list(&[(0, 10), (1, 12)]), earlier));
    run.state = run.state.clone().with_units(units.to_vec());
    assert_eq!(run.answers(0), before);
    run.state = run.state.clone().with_units(vec![(list(&[(1, 10)]), Some(0))]);
    assert_eq!(run.answers(0), [1; 256], "where it was is no candidate any more");
}

prop_compose! {
    fn lists(pops: usize)(costs in prop::collection::vec(prop::collection::vec(10_u32..150, pops), 30..60)) -> Vec<Vec<Ranked>> {
        costs.into_iter().map(|costs| {
            let mut list: Vec<Ranked> =
                costs.into_iter().enumerate().map(|(index, ms)| Ranked { pop: pop(index), cost: ms * 10 }).collect();
            list.sort_by_key(|ranked| (ranked.cost, ranked.pop));
            list
        }).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_pop_exceeds_its_limit_where_there_is_room(
        lists in lists(4),
        rates in prop::collection::vec(0.1_f64..3.0, 60),
        capacities in prop::collection::vec(40.0_f64..120.0, 4),
        fill in 0.3_f64..0.9,
    ) {
        // All limits together hold the demand and one parcel each, since parcels are not cut.
        let parcels: Vec<_> = lists.iter().zip(&rates).map(|(list, rate)| parcel(*rate, list)).collect();
        let all: f64 = parcels.iter().map(|parcel| parcel.rate).sum();
        let scale = all / fill / 0.75 / capacities.iter().sum::<f64>();
        let limits: Vec<Limit> = capacities.iter().map(|capacity| open(scale * capacity)).collect();
        let problem = Problem { parcels: &parcels, limits: &limits, bonus: 0.0 };
        let found = solve(&problem, &[]);
        prop_assert_eq!(&found, &solve(&problem, &[]), "the same input, the same output");
        let mut load = [0.0; 4];
        for (parcel, pop) in parcels.iter().zip(&found.pops) { load[pop.unwrap().as_usize()] += parcel.rate; }
        for index in 0..4 {
            let capacity = scale * capacities[index];
            prop_assert!(found.prices[index] >= 0.0);
            let is_within = load[index] <= 0.75 * capacity + 3.0;
            prop_assert!(is_within || found.prices[index] > 2_000.0, "{:?} {:?}", load, found);
            prop_assert!(found.prices[index] == 0.0 || load[index] >= 0.75 * capacity - 3.0 * 3.0, "{load:?} {limits:?} {found:?}");
        }
    }

    #[test]
    fn steady_load_moves_nothing_once_settled(
        lists in lists(4),
        rates in prop::collection::vec(0.1_f64..3.0, 60),
        fill in 0.3_f64..0.80,
    ) {
        let rates = &rates[..lists.len()];
        let capacity = rates.iter().sum::<f64>() / fill / 3.0;
        let mut run = Loop::new(lists, rates, vec![free(capacity); 4]);
        run.run(120);
        run.moves = 0;
        run.run(20);
        prop_assert_eq!(run.moves, 0);
        let load = run.load();
        prop_assert!(load.iter().all(|load| *load <= 0.83 * capacity), "{load:?} of {capacity}");
    }

    #[test]
    fn mad_reports_do_no_harm(
        lists in lists(3),
        demands in prop::collection::vec((0_usize..70, any::<f64>()), 0..60),
        loads in prop::collection::vec((0_usize..5, 0_u64..10_000, any::<f64>()), 0..20),
        steps in 1_usize..4,
    ) {
        let units = lists.len();
        let mut run = Loop::new(lists, &vec![1.0; units], vec![free(30.0); 3]);
        run.run(10);
        let loads: Vec<LoadReport> = loads.into_iter()
            .map(|(index, second, rate)| LoadReport { pop: pop(index), at: Duration::from_secs(second), rate }).collect();
        let sane = std::mem::replace(&mut run.demands, demands);
        for _ in 0..steps {
            run.now += 5;
            let reports = Reports { demands: &run.demands, loads: &loads };
            run.state = step(run.state.clone(), &run.pops, &reports, Duration::from_secs(run.now));
        }
        run.demands = sane;
        for index in 0..3 {
            prop_assert!(run.state.price_ms(pop(index)).is_finite() && run.state.price_ms(pop(index)) >= 0.0);
            prop_assert!(run.state.predicted_share(pop(index)).is_finite());
        }
        let _ = run.load();
        run.run(250);
        let load = run.load();
        prop_assert!(load.iter().all(|load| *load <= 0.83 * 30.0), "recovered: {load:?}");
    }
}

#[test]
fn a_trial_goes_before_load_and_narrows_its_neighbours() {
    let lists = vec![list(&[(0, 10), (1, 20)]), list(&[(0, 11), (1, 20)]), list(&[(1, 10), (0, 20)])];
    let mut run = Loop::new(lists, &[10.0, 10.0, 10.0], vec![free(100.0), free(100.0)]);
    run.run(2);
    let tried = |share| Tried { pop: pop(1), share, turn: 5 };
    let table = run.state.assignment().with_trials([(0, tried(2_000)), (9, tried(2_000))]);
    let blocks = 0..10_000_u64;
    let count = blocks.clone().filter(|block| table.find(0, Family::V4.address(block << 12)).unwrap().pop == pop(1));
    let count = count.count();
    assert!((1_800..2_200).contains(&count), "a fifth of the blocks: {count}");
    for address in blocks.map(|block| Family::V4.address(block << 12)) {
        let width = table.find(0, address).unwrap().width;
        assert!(matches!(width, Width::Block(20) | Width::Trial(20)), "{width:?}");
    }
    let address = Family::V4.address(0);
    assert_eq!(table.find(1, address), Some(Use { pop: pop(0), width: Width::List }));
    assert_eq!(table.find(2, address), Some(Use { pop: pop(1), width: Width::Depth }));
}

#[test]
fn a_table_is_good_for_the_units_that_another_map_has_too() {
    let lists = vec![list(&[(0, 10), (1, 20)]), list(&[(1, 10), (0, 20)])];
    let mut run = Loop::new(lists, &[90.0, 20.0], vec![free(100.0), free(100.0)]);
    run.run(10);
    let table = run.state.assignment();
    let renumbered = table.renumbered([(Some(pop(1)), Some(1)), (Some(pop(0)), None), (Some(pop(0)), Some(0))]);
    let address = Family::V4.address(0);
    assert_eq!(renumbered.find(0, address), table.find(1, address));
    assert_eq!(renumbered.find(1, address), Some(Use { pop: pop(0), width: Width::List }), "its best PoP is split");
    assert_eq!(renumbered.find(2, address), table.find(0, address));
    assert!(renumbered.is_split(pop(0)));
}
