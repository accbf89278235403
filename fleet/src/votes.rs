//! What several name servers see, merged into one view. Pure: votes come in, once a window, and a view goes out.
//!
//! A vantage point whose own network fails sees everything fall; a view that half the fleet falls out of at once is
//! more often such a fault than the truth. So a majority decides, who sees none of the other name servers has no
//! vote, and a great fall that not all agree on is believed only if it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use config::NodeId;

/// What one vantage point says in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Edges' addresses that it judges down; the others are up.
    pub down: BTreeSet<IpAddr>,
    /// What its probes of the other name servers found.
    pub references: References,
}

/// What a vantage point's probes of the other name servers found: whether it is itself in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum References {
    /// There are none to probe.
    None,
    /// At least one answers.
    Seen,
    /// None answers.
    Lost,
}

/// What is believed of all edges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Addresses that are down.
    pub down: BTreeSet<IpAddr>,
    /// A great fall that not all agree on is not believed yet: an alarm, and windows until it is.
    pub held: Option<u32>,
}

/// With fewer edges half of them may well fall at once.
const LEAST_EDGES: usize = 8;
/// Windows for which a great fall is held back.
const HELD: u32 = 3;

/// The view after one more window. `edges` has the addresses of each; `votes` those of the live vantage points: who
/// has said nothing in this window is not among them.
#[must_use]
pub fn merge(before: &View, edges: &[Vec<IpAddr>], votes: &BTreeMap<NodeId, Vote>) -> View {
    let voters: Vec<&Vote> = votes.values().filter(|vote| vote.references != References::Lost).collect();
    let is_lost = voters.len() < votes.len();
    let known: BTreeSet<IpAddr> = edges.iter().flatten().copied().collect();
    let kept: BTreeSet<IpAddr> = before.down.intersection(&known).copied().collect();
    if voters.is_empty() {
        return View { down: kept, held: before.held };
    }
    let says_down = |address: &IpAddr| voters.iter().filter(|vote| vote.down.contains(address)).count();
    let down: BTreeSet<IpAddr> =
        known.iter().filter(|address| says_down(address) * 2 > voters.len()).copied().collect();
    let is_down = |view: &BTreeSet<IpAddr>, edge: &[IpAddr]| edge.iter().all(|address| view.contains(address));
    let fallen: Vec<&Vec<IpAddr>> = edges.iter().filter(|edge| is_down(&down, edge) && !is_down(&kept, edge)).collect();
    let disagrees = |vote: &&Vote| fallen.iter().filter(|edge| !is_down(&vote.down, edge)).count() * 2 > fallen.len();
    let is_great = edges.len() >= LEAST_EDGES && fallen.len() * 2 > edges.len();
    let is_doubtful = is_great && (is_lost || voters.iter().any(disagrees));
    match before.held {
        _ if !is_doubtful => View { down, held: None },
        None => View { down: kept, held: Some(HELD) },
        Some(windows @ 2..) => View { down: kept, held: Some(windows - 1) },
        Some(_) => View { down, held: None },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    fn edges(count: u8) -> Vec<Vec<IpAddr>> {
        (0..count).map(|number| vec![address(number)]).collect()
    }

    fn vote(down: impl IntoIterator<Item = u8>) -> Vote {
        Vote { down: down.into_iter().map(address).collect(), references: References::Seen }
    }

    fn lost(down: impl IntoIterator<Item = u8>) -> Vote {
        Vote { references: References::Lost, ..vote(down) }
    }

    fn votes(votes: impl IntoIterator<Item = Vote>) -> BTreeMap<NodeId, Vote> {
        (1..).map(|number| NodeId::parse(&format!("ns{number}")).unwrap()).zip(votes).collect()
    }

    fn down(view: &View) -> Vec<u8> {
        let last = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => unreachable!(),
        };
        view.down.iter().map(last).collect()
    }

    #[test]
    fn more_than_half_of_the_live_vantage_points_decide() {
        let four = edges(4);
        for (said, expected) in [
            (vec![vote([1])], vec![1]),
            (vec![vote([1]), vote([])], vec![]),
            (vec![vote([1, 2]), vote([1]), vote([2, 3])], vec![1, 2]),
            // Who is cut off has no vote.
            (vec![vote([1]), lost([0, 1, 2, 3])], vec![1]),
            (vec![vote([]), lost([0, 1, 2, 3]), lost([0, 1, 2, 3])], vec![]),
            (vec![vote([9])], vec![]),
        ] {
            let view = merge(&View::default(), &four, &votes(said.clone()));
            assert_eq!((down(&view), view.held), (expected, None), "{said:?}");
        }
    }

    #[test]
    fn without_a_voter_the_view_stays() {
        let before = View { down: [address(1)].into(), held: None };
        assert_eq!(merge(&before, &edges(4), &votes([lost([0, 1, 2, 3])])), before);
        assert_eq!(merge(&before, &edges(4), &votes([])), before);
        // What is gone from the config is gone.
        assert_eq!(merge(&before, &edges(1), &votes([])), View::default());
    }

    #[test]
    fn a_great_fall_that_not_all_see_is_believed_after_three_windows() {
        let eight = edges(8);
        for doubtful in [votes([vote(0..5), vote(0..5), vote([])]), votes([vote(0..5), vote(0..5), lost(0..8)])] {
            let mut view = View::default();
            for left in [3, 2, 1] {
                view = merge(&view, &eight, &doubtful);
                assert_eq!((down(&view), view.held), (vec![], Some(left)));
            }
            view = merge(&view, &eight, &doubtful);
            assert_eq!((down(&view), view.held), (vec![0, 1, 2, 3, 4], None));
            assert_eq!(merge(&view, &eight, &doubtful), view);
        }
    }

    #[test]
    fn a_doubt_that_ends_is_forgotten() {
        let doubtful = votes([vote(0..5), vote(0..5), vote([])]);
        let held = merge(&View::default(), &edges(8), &doubtful);
        assert_eq!(merge(&held, &edges(8), &votes([vote([]), vote([]), vote([])])), View::default());
        let agreed = merge(&held, &edges(8), &votes([vote(0..5), vote(0..5), vote(0..5)]));
        assert_eq!((down(&agreed), agreed.held), (vec![0, 1, 2, 3, 4], None));
    }

    #[test]
    fn what_all_see_and_what_falls_in_a_small_fleet_is_believed_at_once() {
        for (count, said) in [
            (8, vec![vote(0..8), vote(0..8)]),
            (8, vec![vote(0..4), vote(0..4), vote([])]),
            (7, vec![vote(0..7), vote(0..7), vote([])]),
        ] {
            let view = merge(&View::default(), &edges(count), &votes(said));
            assert_eq!(view.held, None);
            assert!(down(&view).len() > 3);
        }
    }

    #[test]
    fn an_edge_falls_with_the_last_of_its_addresses() {
        let two: Vec<Vec<IpAddr>> = (0..8).map(|edge| vec![address(edge), address(edge + 8)]).collect();
        // One address of each: no edge has fallen.
        let view = merge(&View::default(), &two, &votes([vote(0..8), vote(0..8), vote([])]));
        assert_eq!((down(&view).len(), view.held), (8, None));
    }

    proptest! {
        /// Nothing is down that no vantage point sees down, or was down before; nothing is held for more than three
        /// windows; and who votes first makes no difference.
        #[test]
        fn nothing_is_down_that_nobody_saw(
            count in 1_u8..20,
            windows in proptest::collection::vec(proptest::collection::vec(
                (proptest::collection::btree_set(0_u8..20, 0..20), 0..3_u8), 0..5), 1..12),
        ) {
            let (edges, mut view) = (edges(count), View::default());
            let mut held = 0;
            for said in windows {
                let make = |(down, references): &(BTreeSet<u8>, u8)| {
                    let references = [References::None, References::Seen, References::Lost][usize::from(*references)];
                    Vote { references, ..vote(down.iter().copied()) }
                };
                let before = view.clone();
                view = merge(&before, &edges, &votes(said.iter().map(make)));
                prop_assert_eq!(&view, &merge(&before, &edges, &votes(said.iter().rev().map(make))));
                let seen = said.iter().map(make).flat_map(|vote| vote.down);
                let possible: BTreeSet<IpAddr> = seen.chain(before.down).collect();
                prop_assert!(view.down.is_subset(&possible));
                let is_voted = said.iter().any(|(_, references)| *references < 2);
                held = if view.held.is_some() { held + u32::from(is_voted) } else { 0 };
                prop_assert!(held <= HELD && view.held.is_none_or(|left| (1..=HELD).contains(&left)));
            }
        }
    }
}
