//! What parcels bid for PoPs at the present prices, kept up as the prices change.

use super::by_pop::ByPop;
use crate::topology::PopIndex;

/// A parcel with what each open candidate costs it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) rate: f64,
    pub(super) choices: Vec<Choice>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) pop: PopIndex,
    pub(super) cost: f64,
}

/// Up to which price a parcel stays at a PoP.
pub(super) struct Bid {
    pub(super) price: f64,
    pub(super) rate: f64,
}

impl Choice {
    fn total(&self, prices: &ByPop) -> f64 {
        self.cost + prices.at(self.pop)
    }
}

impl Row {
    /// Where else it may go, and what it loses by it.
    pub(super) fn ways_from(&self, pop: PopIndex, prices: &ByPop) -> impl Iterator<Item = (f64, PopIndex)> {
        let here = self.choices.iter().find(|choice| choice.pop == pop).map_or(0.0, |choice| choice.total(prices));
        self.choices
            .iter()
            .filter(move |choice| choice.pop != pop)
            .map(move |choice| (choice.total(prices) - here, choice.pop))
    }

    fn lead(&self, prices: &ByPop) -> Lead {
        let mut lead = Lead { pop: None, total: f64::INFINITY, next: f64::INFINITY };
        for choice in &self.choices {
            let total = choice.total(prices);
            if total < lead.total {
                lead = Lead { pop: Some(choice.pop), total, next: lead.total };
            } else {
                lead.next = lead.next.min(total);
            }
        }
        lead
    }
}

/// A parcel's cheapest PoP, what it costs there, and at the next.
#[derive(Clone, Copy, PartialEq)]
struct Lead {
    pop: Option<PopIndex>,
    total: f64,
    next: f64,
}

/// Who may go to a PoP, and what it costs there.
struct Member {
    row: usize,
    cost: f64,
}

/// Rows and prices, with each row's lead. A PoP's bids are those of before until the lead of one of its
/// members changes: it need not be looked at again, and in a sweep over 1,000 PoPs nearly none are.
pub(super) struct Market {
    rows: Vec<Row>,
    pub(super) prices: ByPop,
    leads: Vec<Lead>,
    /// By PoP.
    members: Vec<Vec<Member>>,
    /// By PoP.
    freshness: Vec<Freshness>,
}

/// Whether what is bid for a PoP may have changed since it was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// It is what was taken.
    Taken,
    /// It may be other.
    Changed,
}

impl Market {
    pub(super) fn new(rows: Vec<Row>, prices: ByPop) -> Self {
        let pops = prices.values().len();
        let mut members: Vec<Vec<Member>> = (0..pops).map(|_| Vec::new()).collect();
        for (row, Row { choices, .. }) in rows.iter().enumerate() {
            for choice in choices {
                if let Some(members) = members.get_mut(choice.pop.as_usize()) {
                    members.push(Member { row, cost: choice.cost });
                }
            }
        }
        let leads = rows.iter().map(|row| row.lead(&prices)).collect();
        Self { rows, prices, leads, members, freshness: vec![Freshness::Changed; pops] }
    }

    /// Puts what is bid for a PoP into `bids`, unless it is what was bid when they were last taken: then `false`.
    pub(super) fn take_bids(&mut self, pop: PopIndex, bids: &mut Vec<Bid>) -> bool {
        let (Some(members), Some(freshness)) =
            (self.members.get(pop.as_usize()), self.freshness.get_mut(pop.as_usize()))
        else {
            return false;
        };
        if std::mem::replace(freshness, Freshness::Taken) == Freshness::Taken {
            return false;
        }
        bids.clear();
        bids.extend(members.iter().filter_map(|member| {
            let (row, lead) = (self.rows.get(member.row)?, self.leads.get(member.row)?);
            let elsewhere = if lead.pop == Some(pop) { lead.next } else { lead.total };
            Some(Bid { price: elsewhere - member.cost, rate: row.rate })
        }));
        true
    }

    /// Where each parcel is cheapest, and the prices.
    pub(super) fn settle(self) -> (Vec<Row>, Vec<Option<PopIndex>>, ByPop) {
        let pops = self.leads.iter().map(|lead| lead.pop).collect();
        (self.rows, pops, self.prices)
    }

    /// Sets a PoP's price, which changes what its members bid elsewhere.
    pub(super) fn set_price(&mut self, pop: PopIndex, price: f64) {
        let earlier = self.prices.at(pop);
        self.prices.set(pop, price);
        let lower = earlier.min(price);
        for member in self.members.get(pop.as_usize()).into_iter().flatten() {
            let (Some(row), Some(lead)) = (self.rows.get(member.row), self.leads.get_mut(member.row)) else { continue };
            // It was not among the two cheapest and is not now.
            if lead.pop != Some(pop) && member.cost + lower > lead.next {
                continue;
            }
            let before = std::mem::replace(lead, row.lead(&self.prices));
            if before == *lead {
                continue;
            }
            let is_next_alone = before.pop == lead.pop && before.total.to_bits() == lead.total.to_bits();
            let changed = row.choices.iter().map(|choice| choice.pop);
            for other in changed.filter(|other| !is_next_alone || Some(*other) == lead.pop) {
                if other != pop
                    && let Some(freshness) = self.freshness.get_mut(other.as_usize())
                {
                    *freshness = Freshness::Changed;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POPS: usize = 5;

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let costs = prop::collection::btree_map(0..POPS, amount(), 1..POPS);
        let row = (costs, 0.1..9.0).prop_map(|(costs, rate)| {
            let choice = |(pop, cost)| Choice { pop: PopIndex::from_usize(pop), cost };
            Row { rate, choices: costs.into_iter().map(choice).collect() }
        });
        prop::collection::vec(row, 1..20)
    }

    /// Equal ones, and fractions that sums round.
    fn amount() -> impl Strategy<Value = f64> {
        prop_oneof![(0..40_u8).prop_map(f64::from), 0.0..1e5]
    }

    /// What each member bids for a PoP and its rate, worked out from nothing.
    fn plain(rows: &[Row], prices: &ByPop, pop: PopIndex) -> Vec<(f64, f64)> {
        let bid = |row: &Row| {
            let here = row.choices.iter().find(|choice| choice.pop == pop)?;
            let others = row.choices.iter().filter(|choice| choice.pop != pop);
            let elsewhere = others.map(|choice| choice.cost + prices.at(choice.pop)).fold(f64::INFINITY, f64::min);
            Some((elsewhere - here.cost, row.rate))
        };
        rows.iter().filter_map(bid).collect()
    }

    proptest! {
        #[test]
        fn bids_are_those_worked_out_from_nothing(
            rows in rows(),
            start in prop::collection::vec(amount(), POPS),
            turns in prop::collection::vec((0..POPS, prop::option::of(amount())), 1..60),
        ) {
            let mut market = Market::new(rows, start.into_iter().collect());
            let mut taken = vec![None; POPS];
            for (number, price) in turns {
                let pop = PopIndex::from_usize(number);
                if let Some(price) = price {
                    market.set_price(pop, price);
                }
                let mut bids = Vec::new();
                if market.take_bids(pop, &mut bids) {
                    taken[number] = Some(bids.iter().map(|bid| (bid.price, bid.rate)).collect());
                }
                prop_assert_eq!(taken[number].as_ref(), Some(&plain(&market.rows, &market.prices, pop)));
            }
        }
    }
}
