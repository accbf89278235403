//! The transport problem: every parcel to the PoP that is cheapest for it, with the PoPs' prices.

use super::by_pop::ByPop;
use super::limit::{HIGHEST, Limit};
use super::market::{Bid, Choice, Market, Row};
use super::parts::{Parts, apart};
use crate::topology::PopIndex;
use crate::unit::Ranked;

/// What is placed as one: a unit, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// Its traffic per second.
    pub rate: f64,
    /// Where it may go, best first. A cost below one before it counts as that one: the list's order is the
    /// operator's word where a rule made it.
    pub candidates: &'a [Ranked],
    /// Where it is.
    pub present: Option<PopIndex>,
    /// A number of its unit's own, by which equal costs are set apart.
    pub salt: u64,
    /// Which part of its unit it is.
    pub part: u8,
    /// How its unit is cut.
    pub parts: Parts,
}

/// All that a solution depends on.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// What is to be placed.
    pub parcels: &'a [Parcel<'a>],
    /// What each PoP takes, by [`PopIndex`].
    pub limits: &'a [Limit],
    /// How much better another PoP must be than the present one, in tenths of a millisecond.
    pub bonus: f64,
}

/// Where everything goes, and the prices that make it so.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// By parcel; `None` only for one without candidates.
    pub pops: Vec<Option<PopIndex>>,
    /// By PoP, in tenths of a millisecond: 0 where nothing is limited, never below.
    pub prices: Vec<f64>,
    /// Sweeps that it took.
    pub sweeps: u32,
}

/// Sweeps after which the prices are taken as they are: 2 to 30 are needed, more only where all the near PoPs
/// are full. There the prices go on from where they are at the next step.
const MOST_SWEEPS: u32 = 80;

/// By how much a price exceeds what would just keep a parcel, in tenths of a millisecond: it decides ties.
const STEP: f64 = 0.1;

/// What may be above its limit when the sweeps end, as a share of the capacity. Parcels cannot be cut, and the
/// last one may fit nowhere.
const TOLERANCE: f64 = 0.005;

/// Solves the problem's dual (Bertsekas and Tsitsiklis 1989, §5.3, "relaxation"): sweep over the PoPs and set
/// each price to the least at which the PoP keeps its limit, the others' given.
///
/// A price can only rise as others rise (PoPs are substitutes), so from 0 the prices climb to the least that
/// fit together: those of the optimum, but for the parcel that no longer fits into each full PoP.
/// `earlier` is where they start, by PoP; empty for 0.
#[must_use]
pub fn solve(problem: &Problem<'_>, earlier: &[f64]) -> Solution {
    let start = |pop: usize| earlier.get(pop).copied().filter(|price| price.is_finite()).unwrap_or(0.0);
    let prices: ByPop = (0..problem.limits.len()).map(|pop| start(pop).clamp(0.0, HIGHEST)).collect();
    let mut market = Market::new(problem.parcels.iter().map(|parcel| row(problem, parcel)).collect(), prices);
    let mut bids = Vec::new();
    let mut sweeps = 0;
    let mut has_changed = true;
    while has_changed && sweeps < MOST_SWEEPS {
        has_changed = false;
        sweeps += 1;
        for (index, limit) in problem.limits.iter().enumerate() {
            let pop = PopIndex::from_usize(index);
            if !market.take_bids(pop, &mut bids) {
                continue;
            }
            let price = least_price(limit, &mut bids);
            if (price - market.prices.at(pop)).abs() > STEP / 2.0 {
                has_changed = true;
                market.set_price(pop, price);
            }
        }
    }
    let (rows, mut pops, prices) = market.settle();
    if has_changed {
        relieve(problem.limits, &rows, &prices, &mut pops);
    }
    Solution { pops, prices: prices.values().to_vec(), sweeps }
}

/// What the prices leave above a limit goes where there is room, who loses least by it first.
fn relieve(limits: &[Limit], rows: &[Row], prices: &ByPop, pops: &mut [Option<PopIndex>]) {
    let mut load = ByPop::zero(limits.len());
    for (row, pop) in rows.iter().zip(pops.iter()) {
        pop.iter().for_each(|pop| load.add(*pop, row.rate));
    }
    for (index, limit) in limits.iter().enumerate() {
        let (pop, room) = (PopIndex::from_usize(index), limit.room());
        let most = room.load_at(prices.at(pop)) + TOLERANCE * room.capacity;
        if load.at(pop) <= most {
            continue;
        }
        let here = (0..).zip(rows.iter().zip(pops.iter())).filter(|(_, (_, at))| **at == Some(pop));
        let mut ways: Vec<(f64, usize, PopIndex, f64)> = here
            .flat_map(|(number, (row, _))| {
                row.ways_from(pop, prices).map(move |(loss, to)| (loss, number, to, row.rate))
            })
            .collect();
        ways.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, number, to, rate) in ways {
            let to_most = limits.get(to.as_usize()).map_or(0.0, |limit| limit.room().load);
            let Some(at) = pops.get_mut(number).filter(|at| **at == Some(pop)) else {
                continue;
            };
            if load.at(pop) > most && load.at(to) + rate <= to_most {
                *at = Some(to);
                load.add(pop, -rate);
                load.add(to, rate);
            }
        }
    }
}

/// The candidates that are open to a parcel; never none, while it has any.
fn row(problem: &Problem<'_>, parcel: &Parcel<'_>) -> Row {
    let limit = |pop: PopIndex| problem.limits.get(pop.as_usize()).unwrap_or(&Limit::Closed);
    let mut floor = 0.0_f64;
    let mut choices: Vec<Choice> = Vec::with_capacity(parcel.candidates.len());
    for candidate in parcel.candidates.iter().filter(|candidate| *limit(candidate.pop) != Limit::Closed) {
        floor = floor.max(f64::from(candidate.cost));
        let is_present = parcel.present == Some(candidate.pop);
        let bonus = if is_present { problem.bonus } else { 0.0 };
        // Nothing is added for the best, so that without prices the list's order is kept.
        let apart = if choices.is_empty() { 0.0 } else { apart(parcel.salt, parcel.part, parcel.parts, candidate.pop) };
        choices.push(Choice { pop: candidate.pop, cost: floor + apart - bonus });
    }
    if choices.first().is_some_and(|best| matches!(limit(best.pop), Limit::Forced(_))) {
        choices.truncate(1);
    }
    let may_take = |choice: &Choice| !matches!(limit(choice.pop), Limit::Full(_)) || parcel.present == Some(choice.pop);
    if choices.iter().any(may_take) {
        choices.retain(may_take);
    }
    if choices.is_empty() {
        // Nothing is open: the list's best, as an answer that may be wrong beats none.
        choices.extend(parcel.candidates.first().map(|best| Choice { pop: best.pop, cost: f64::from(best.cost) }));
    }
    Row { rate: parcel.rate, choices }
}

/// The least price at which those who still bid keep the limit.
fn least_price(limit: &Limit, bids: &mut Vec<Bid>) -> f64 {
    let room = limit.room();
    bids.retain(|bid| bid.price >= 0.0);
    let all: f64 = bids.iter().map(|bid| bid.rate).sum();
    if *limit == Limit::Closed || all <= room.load {
        return 0.0;
    }
    bids.sort_by(|a, b| b.price.total_cmp(&a.price));
    let mut load = 0.0;
    for bid in bids {
        let more = load + bid.rate;
        if bid.price.is_finite() && more > room.load_at(bid.price) {
            return (bid.price + STEP).max(room.price_of(load)).min(HIGHEST);
        }
        load = more;
    }
    room.price_of(load)
}
