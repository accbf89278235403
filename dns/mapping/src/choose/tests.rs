use super::*;
use crate::scope::Scopes;
use crate::topology::{EdgeSpec, PopSpec};
use crate::unit::{Cause, List};
use config::Location;

/// Three PoPs with two edges each; only the last has IPv6.
fn topology() -> Topology {
    let (mut pops, mut edges) = (Vec::new(), Vec::new());
    for pop in 0..3_usize {
        for edge in 0..2_usize {
            let number = u8::try_from(pop * 2 + edge).unwrap();
            let v6 = if pop == 2 { vec!["2001:db8::1".parse().unwrap()] } else { Vec::new() };
            edges.push(EdgeSpec { hash: u64::from(number), capacity: 10, v4: vec![[192, 0, 2, number].into()], v6 });
        }
        let beyond = (0..3).filter(|other| *other != pop).map(PopIndex::from_usize).collect();
        let location = Location { latitude: 0.0, longitude: 0.0 };
        pops.push(PopSpec { location, edges: pop * 2..pop * 2 + 2, beyond });
    }
    Topology::new(pops, edges)
}

fn list(costs: &[(usize, u32)]) -> List {
    let ranked = costs.iter().map(|(pop, cost)| Ranked { pop: PopIndex::from_usize(*pop), cost: *cost }).collect();
    List { ranked, forbidden: Vec::new(), cause: Cause::Geography }
}

fn run(fitness: &Fitness, list: &List, family: Family) -> (Chosen, u8, Basis) {
    let mapped = Mapped { number: 0, list, scopes: Scopes { first: 8, second: 16, whole: 24 } };
    let choice = choose(&topology(), fitness, mapped, None, Wanted { site: 0, hash: 9, family, answers: 2, turn: 0 });
    (choice.chosen, choice.scope, choice.basis)
}

fn pop_of(chosen: &Chosen) -> usize {
    match chosen {
        Chosen::Edges { pop, .. } => pop.as_usize(),
        other => panic!("{other:?}"),
    }
}

fn down(edges: &[usize]) -> Fitness {
    let mut fitness = Fitness::all_up(6);
    for edge in edges {
        fitness.mark_down(*edge, Family::V4);
        fitness.mark_down(*edge, Family::V6);
    }
    fitness
}

#[test]
fn the_scope_is_that_of_the_depth_used() {
    let list = list(&[(0, 100), (1, 200), (2, 300)]);
    for (fitness, pop, scope) in [(down(&[]), 0, 8), (down(&[0, 1]), 1, 16), (down(&[0, 1, 2, 3]), 2, 24)] {
        let (chosen, got, _) = run(&fitness, &list, Family::V4);
        assert_eq!((pop_of(&chosen), got), (pop, scope));
    }
}

#[test]
fn one_fit_edge_answers_alone() {
    let (chosen, ..) = run(&down(&[0]), &list(&[(0, 100), (1, 200)]), Family::V4);
    assert_eq!(chosen, Chosen::Edges { pop: PopIndex::from_usize(0), edges: vec![1] });
}

#[test]
fn beyond_the_list_the_nearest_fit_pop_answers() {
    let (chosen, scope, _) = run(&down(&[0, 1]), &list(&[(0, 100)]), Family::V4);
    assert_eq!((pop_of(&chosen), scope), (1, 16));
}

#[test]
fn all_down_is_not_no_answer() {
    let (chosen, scope, basis) = run(&down(&[0, 1, 2, 3, 4, 5]), &list(&[(1, 100), (0, 200)]), Family::V4);
    assert!(matches!(chosen, Chosen::FailOpen { pop, ref edges } if pop.as_usize() == 1 && edges.len() == 2));
    assert_eq!((scope, basis), (8, Basis::Changing));
}

#[test]
fn a_missing_family_comes_from_a_pop_nearly_as_near() {
    let near = list(&[(0, 100), (2, 150)]);
    let (chosen, scope, _) = run(&down(&[]), &near, Family::V6);
    assert_eq!((pop_of(&chosen), scope), (2, 24), "an answer that depends on cost takes the whole list's scope");
    let far = list(&[(0, 100), (2, 151)]);
    assert_eq!(run(&down(&[]), &far, Family::V6).0, Chosen::NoAddress);
}

#[test]
fn ipv4_that_is_down_is_not_no_answer() {
    let list = list(&[(2, 100), (1, 200), (0, 300)]);
    let mut fitness = Fitness::all_up(6);
    (4..6).for_each(|edge| fitness.mark_down(edge, Family::V4));
    let (chosen, scope, _) = run(&fitness, &list, Family::V4);
    assert_eq!((pop_of(&chosen), scope), (1, 24), "IPv4 alone is down at the best PoP: the next has it, at any cost");
    assert_eq!(pop_of(&run(&fitness, &list, Family::V6).0), 2);
    (0..4).for_each(|edge| fitness.mark_down(edge, Family::V4));
    let (chosen, scope, basis) = run(&fitness, &list, Family::V4);
    assert!(matches!(chosen, Chosen::FailOpen { pop, ref edges } if pop.as_usize() == 2 && edges.len() == 2));
    assert_eq!((scope, basis), (24, Basis::Changing));
    let mut fitness = Fitness::all_up(6);
    (4..6).for_each(|edge| fitness.mark_down(edge, Family::V6));
    assert_eq!(run(&fitness, &list, Family::V6).0, Chosen::NoAddress, "IPv4 reaches the best PoP still");
}

#[test]
fn a_verdict_under_way_shortens_the_answer() {
    let list = list(&[(0, 100), (1, 200)]);
    let mut fitness = down(&[]);
    fitness.mark_changing(3);
    assert_eq!(run(&fitness, &list, Family::V4).2, Basis::Settled, "it rests on the first PoP alone");
    fitness.mark_changing(1);
    assert_eq!(run(&fitness, &list, Family::V4).2, Basis::Changing);
}

#[test]
fn a_drained_edge_takes_no_new_clients() {
    let mut fitness = down(&[]);
    fitness.mark_drained(0);
    fitness.mark_drained(1);
    assert_eq!(pop_of(&run(&fitness, &list(&[(0, 100), (1, 200)]), Family::V4).0), 1);
}

#[test]
fn an_edge_that_lacks_the_site_is_passed_over() {
    let list = list(&[(0, 100), (1, 200)]);
    let mut fitness = down(&[]);
    fitness.mark_missing(0, 0);
    assert_eq!(run(&fitness, &list, Family::V4).0, Chosen::Edges { pop: PopIndex::from_usize(0), edges: vec![1] });
    fitness.mark_missing(1, 0);
    assert_eq!(pop_of(&run(&fitness, &list, Family::V4).0), 1);
    fitness.mark_missing(2, 7);
    assert_eq!(pop_of(&run(&fitness, &list, Family::V4).0), 1, "another site's lack is none of this one's");
}

#[test]
fn a_site_keeps_its_edges_when_another_fails() {
    let mut pop = topology();
    pop.edges.extend((6..16_u64).map(|hash| EdgeSpec {
        hash,
        capacity: 10,
        v4: vec![[192, 0, 2, 99].into()],
        v6: Vec::new(),
    }));
    pop.pops[2].edges = 4..16;
    let list = list(&[(2, 100)]);
    let mapped = Mapped { number: 0, list: &list, scopes: Scopes::default() };
    let mut moved = 0;
    for site in 0..200_u64 {
        let wanted = Wanted { site: 0, hash: site, family: Family::V4, answers: 2, turn: 0 };
        let edges = |fitness: &Fitness| match choose(&pop, fitness, mapped, None, wanted).chosen {
            Chosen::Edges { edges, .. } => edges,
            other => panic!("{other:?}"),
        };
        let before = edges(&Fitness::all_up(16));
        let mut fitness = Fitness::all_up(16);
        fitness.mark_down(7, Family::V4);
        let after = edges(&fitness);
        if before.contains(&7) {
            moved += 1;
        } else {
            assert_eq!(before, after, "only sites of the failed edge move");
        }
    }
    assert!((15..60).contains(&moved), "2 of 12 edges: about 33 of 200 sites, not {moved}");
}

#[test]
fn a_forbidden_pop_comes_after_those_that_are_not_listed() {
    let mut list = list(&[(1, 100)]);
    assert_eq!(pop_of(&run(&down(&[2, 3]), &list, Family::V4).0), 0, "beyond the list, in order of distance");
    list.forbidden = vec![PopIndex::from_usize(0)];
    assert_eq!(pop_of(&run(&down(&[2, 3]), &list, Family::V4).0), 2);
    assert_eq!(pop_of(&run(&down(&[2, 3, 4, 5]), &list, Family::V4).0), 0, "while nothing else is fit");
}

#[test]
fn load_moves_clients_to_a_fit_pop_and_narrows_scopes() {
    let list = list(&[(0, 100), (1, 200), (2, 300)]);
    let to = |pop, width| Some(Use { pop: PopIndex::from_usize(pop), width });
    for (fitness, placed, expected) in [
        (down(&[]), None, (0, 8, Basis::Settled)),
        (down(&[]), to(0, Width::Depth), (0, 8, Basis::Settled)),
        (down(&[]), to(0, Width::List), (0, 18, Basis::Settled)),
        (down(&[]), to(1, Width::List), (1, 18, Basis::Changing)),
        (down(&[]), to(2, Width::Block(20)), (2, 20, Basis::Changing)),
        (down(&[]), to(0, Width::Block(20)), (0, 20, Basis::Settled)),
        // What was placed knows nothing of this site, or of the last second.
        (down(&[2, 3]), to(1, Width::List), (0, 18, Basis::Settled)),
        (down(&[0, 1]), to(0, Width::List), (1, 18, Basis::Settled)),
        (down(&[0, 1]), to(0, Width::Depth), (1, 16, Basis::Settled)),
        (down(&[]), to(7, Width::List), (0, 18, Basis::Settled)),
    ] {
        let mapped = Mapped { number: 0, list: &list, scopes: Scopes { first: 8, second: 16, whole: 18 } };
        let wanted = Wanted { site: 0, hash: 9, family: Family::V4, answers: 2, turn: 0 };
        let choice = choose(&topology(), &fitness, mapped, placed, wanted);
        assert_eq!((pop_of(&choice.chosen), choice.scope, choice.basis), expected, "{placed:?}");
    }
}
